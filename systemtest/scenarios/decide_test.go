package scenarios

import (
	"slices"
	"time"

	"postern/access"
)

// answer is what has to come of a credential.
type answer struct {
	typ                access.EventType
	reason             access.Reason
	key                *key
	ask                bool // for the PIN
	countPad, countKey bool
	with               access.ID
	duress, violated   bool
	first              time.Time
	pair               remembered
}

func (a answer) granted() bool { return !a.ask && a.typ < 200 }

func deny(t access.EventType, r access.Reason) answer { return answer{typ: t, reason: r} }

// holder is whom a key stands for; nobody for a common one.
func (k *key) holder() access.ID {
	switch {
	case k.options&access.Common != 0:
		return access.ID{}
	case !k.person.IsZero():
		return k.person
	}
	return k.id
}

func (k *key) has(o access.Options) bool { return k.options&o != 0 }

// entry says how far a PIN has come.
type entry uint8

const (
	none entry = iota
	right
	wrong
	duress
)

// decide gives the first rule that applies, in the order of the rules.
func (m *model) decide(r int, c shown, pin entry) answer {
	a := m.judge(r, c, pin)
	if a.pair == (remembered{}) && !a.granted() && a.reason != access.ReasonSecondPerson {
		a.pair = m.points[r].pair
	}
	return a
}

func (m *model) judge(r int, c shown, pin entry) answer {
	p, modes, d := &m.site.points[r], m.modes(r), &m.doors[doorOf[r]]
	code := c.code != ""
	takes := func(mode access.PointMode) bool {
		switch mode {
		case access.ModeCard, access.ModeCardAndPIN:
			return !code
		case access.ModeCode:
			return code
		case access.ModeCardOrCode, access.ModeUnlocked:
			return true
		}
		return false
	}
	// 1. The door.
	if d.mode == access.LockedDown {
		return deny(access.Denied, access.ReasonLockedDown)
	}
	if d.mode == access.Blocked || len(modes) == 1 && modes[0] == access.ModeBlocked {
		return deny(access.Denied, access.ReasonBlocked)
	}
	// 2. The keypad's lockout: cards alone go on working.
	if code && m.locked("point:"+pointID(r)) {
		return deny(access.Denied, access.ReasonLockedOut)
	}
	// 3. The kind.
	if !slices.ContainsFunc(modes, takes) {
		return deny(access.Denied, access.ReasonWrongMode)
	}
	// 4. The key.
	found := m.found(r, c)
	if len(found) == 0 {
		return answer{typ: access.DeniedUnknown, countPad: code}
	}
	if len(found) > 1 {
		return deny(access.Denied, access.ReasonAmbiguous)
	}
	k := found[0]
	a := m.judgeKey(r, k, modes)
	if a.typ == 0 {
		if slices.ContainsFunc(modes, func(mode access.PointMode) bool { return !takes(mode) }) {
			a = deny(access.Denied, access.ReasonClockUntrusted)
		} else {
			a = m.judgePeople(r, k)
		}
	}
	if a.typ == 0 {
		a = m.judgePIN(r, k, code, modes, pin)
	}
	a.key = k
	if a.granted() {
		m.complete(&a, r, p)
	}
	return a
}

// judgeKey is 5 to 8: state, window, levels and what the clock does not allow.
func (m *model) judgeKey(r int, k *key, _ []access.PointMode) answer {
	switch k.state {
	case access.Blacklisted:
		return deny(access.DeniedBlacklisted, "")
	case access.Disabled:
		return deny(access.DeniedDisabled, "")
	}
	window := m.window(k)
	if window == no {
		return deny(access.DeniedOutside, "")
	}
	has, open := false, no
	for _, l := range k.levels {
		if l >= len(m.site.levels) {
			continue
		}
		for _, g := range m.site.levels[l] {
			if !slices.Contains(g.points, r) {
				continue
			}
			has = true
			switch o := m.open(g.sched); {
			case o == yes:
				open = yes
			case o == unknown && open == no:
				open = unknown
			}
		}
	}
	switch {
	case !has:
		return deny(access.DeniedNoLevel, "")
	case open == no:
		return deny(access.DeniedSchedule, "")
	case window == unknown || open == unknown:
		return deny(access.Denied, access.ReasonClockUntrusted)
	}
	return answer{}
}

// window says whether now is in [from, to), as far as the clock can tell.
func (m *model) window(k *key) sure {
	if m.clock.believed() {
		now := m.wall()
		if !k.from.IsZero() && k.from.After(now) || !k.to.IsZero() && !now.Before(k.to) {
			return no
		}
		return yes
	}
	good := m.clock.lastGood
	if !k.to.IsZero() && !k.to.After(good) {
		return no
	}
	if !k.from.IsZero() && k.from.After(good) {
		return unknown
	}
	if k.to.IsZero() || !good.IsZero() && k.to.After(good.Add(m.clock.grace)) {
		return yes
	}
	return unknown
}

// judgePeople is central's absence, and 9: anti-passback, the second person, and
// the doors that exclude each other.
func (m *model) judgePeople(r int, k *key) answer {
	p := &m.site.points[r]
	if after := m.site.stale; after > 0 && m.now.Sub(m.heard) > after && k.has(access.NeedsCentral) {
		return deny(access.Denied, access.ReasonStale)
	}
	var a answer
	if who := k.holder(); !who.IsZero() && !k.has(access.APBExempt) {
		switch m.passback(r, m.place(who)) {
		case "soft":
			a.violated = true
		case "":
		default:
			return deny(access.Denied, m.passback(r, m.place(who)))
		}
	}
	if (p.two || k.has(access.Escorted)) && !m.accompanied(r, k) {
		out := deny(access.Denied, access.ReasonSecondPerson)
		out.pair = m.remember(r, k)
		return out
	}
	if m.barred(doorOf[r]) {
		return deny(access.Denied, access.ReasonInterlock)
	}
	return a
}

// passback gives the reason to refuse, "soft" for a violation that is let pass,
// or "".
func (m *model) passback(r int, at access.Place) access.Reason {
	p := &m.site.points[r]
	name := p.to
	if name == access.Outside {
		name = p.from
	}
	area, ok := m.site.areas[name]
	if !ok || name == access.Outside || area.kind == access.PassbackOff || at.At.IsZero() {
		return ""
	}
	known := m.wall()
	if !m.clock.believed() {
		known = m.clock.lastGood
	}
	for _, minute := range area.forgive {
		local := known.In(m.site.loc)
		y, mon, day := local.Date()
		last := time.Date(y, mon, day, minute/60, minute%60, 0, 0, m.site.loc)
		if last.After(known) {
			last = time.Date(y, mon, day-1, minute/60, minute%60, 0, 0, m.site.loc)
		}
		if last.After(at.At) {
			return ""
		}
	}
	if area.kind == access.PassbackTimed {
		end := at.At.Add(area.within)
		switch {
		case p.to == access.Outside || at.Area != p.to:
			return ""
		case !m.clock.believed():
			if end.After(m.clock.lastGood) {
				return access.ReasonClockUntrusted
			}
			return ""
		case m.wall().Before(end) && at.At.Sub(m.wall()) < area.within:
			return access.ReasonPassback
		}
		return ""
	}
	switch {
	case at.Area == p.from:
		return ""
	case area.kind == access.PassbackSoft:
		return "soft"
	}
	return access.ReasonPassback
}

// place is where somebody is known to be; while a card is held to a reader, where
// that was before.
func (m *model) place(who access.ID) access.Place {
	if m.before != nil {
		return *m.before
	}
	return m.places[who]
}

func (m *model) fresh(r int) bool {
	within := m.site.points[r].within
	if within == 0 {
		within = 30 * time.Second
	}
	pair := m.points[r].pair
	return !pair.who.IsZero() && m.now.Sub(pair.at) < within
}

// accompanied reports whether somebody else is there whom this key needs.
func (m *model) accompanied(r int, k *key) bool {
	pair, me := m.points[r].pair, k.holder()
	if !m.fresh(r) || me.IsZero() || me == pair.who {
		return false
	}
	return (!k.has(access.Escorted) || pair.escort) && (!pair.needsOne || k.has(access.Escort))
}

// remember is who is remembered once this key was told to wait.
func (m *model) remember(r int, k *key) remembered {
	if k.holder().IsZero() {
		if m.fresh(r) {
			return m.points[r].pair
		}
		return remembered{}
	}
	return remembered{k.holder(), k.has(access.Escort), k.has(access.Escorted), m.now}
}

// judgePIN is 10.
func (m *model) judgePIN(r int, k *key, code bool, modes []access.PointMode, pin entry) answer {
	if code || k.has(access.PINExempt) || !slices.Contains(modes, access.ModeCardAndPIN) {
		return answer{}
	}
	if pin == duress && !m.site.duress {
		pin = wrong
	}
	switch {
	case k.pin == "":
		return deny(access.DeniedNoPIN, "")
	case m.locked("key:" + k.id.String()), m.locked("point:" + pointID(r)):
		return deny(access.Denied, access.ReasonLockedOut)
	case pin == none:
		return answer{ask: true}
	case pin == wrong:
		return answer{typ: access.Denied, reason: access.ReasonWrongPIN, countPad: true, countKey: true}
	}
	return answer{typ: access.GrantedCardPIN, duress: pin == duress}
}

// complete is 11: what a grant brings with it.
func (m *model) complete(a *answer, r int, p *ptSpec) {
	k := a.key
	if a.typ == 0 {
		switch {
		case k.code != "" && k.has(access.Common):
			a.typ = access.GrantedCommonCode
		case k.code != "":
			a.typ = access.GrantedCode
		default:
			a.typ = access.GrantedCard
		}
	}
	// Judged again, as a PIN's answer knows nothing of it.
	if who := k.holder(); !who.IsZero() && !k.has(access.APBExempt) {
		a.violated = m.passback(r, m.place(who)) == "soft"
	}
	was := m.points[r].pair
	if m.accompanied(r, k) && (p.two || was.needsOne) {
		a.with = was.who
	}
	switch {
	case !m.fresh(r):
	case p.two: // a third needs another
	default:
		a.pair = was
	}
	if !k.holder().IsZero() && k.has(access.Escort) && (!p.two || !m.fresh(r)) {
		a.pair = m.remember(r, k)
	}
	d := doorOf[r]
	spec := m.site.doors[d]
	if k.has(access.FirstCard) && spec.first && m.clock.believed() && !m.wall().Before(m.first[d]) && m.open(spec.unlock) == yes {
		a.first = m.closes(spec.unlock)
	}
}

// closes is when a schedule that is open closes; far away when it never does.
func (m *model) closes(sched string) time.Time {
	now := m.wall()
	if !m.site.scheds[sched].always {
		t := now.Truncate(time.Minute)
		for range 9 * 24 * 60 {
			t = t.Add(time.Minute)
			if !m.site.open(sched, t) {
				return t
			}
		}
	}
	return now.Add(400 * 24 * time.Hour)
}

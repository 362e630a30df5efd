package scenarios

import (
	"time"

	"postern/access"
)

// The times of a keypad and of a card that waits for its PIN.
const (
	keyGap     = 5 * time.Second
	entryLimit = 20 * time.Second
	hashGrace  = 2 * time.Second
	pinWait    = 20 * time.Second
	sameCard   = 2 * time.Second
)

// entryModel is what is being typed.
type entryModel struct {
	digits      string
	began, last time.Time
	graceEnd    time.Time
}

// end is when what is being typed expires.
func (e *entryModel) end() time.Time { return sooner(e.last.Add(keyGap), e.began.Add(entryLimit)) }

// key takes a key and gives what it submits.
func (e *entryModel) key(now time.Time, k byte, size int) string {
	if e.digits != "" && !now.Before(e.end()) {
		e.digits = ""
	}
	switch k {
	case '*':
		e.digits = ""
	case '#':
		if now.Before(e.graceEnd) {
			return ""
		}
		return e.submit()
	default:
		if e.digits == "" {
			e.began = now
		}
		e.digits += string(k)
		e.last = now
		if size > 0 && len(e.digits) >= size {
			e.graceEnd = now.Add(hashGrace)
			return e.submit()
		}
	}
	return ""
}

func (e *entryModel) submit() string {
	out := e.digits
	e.digits = ""
	return out
}

// expire gives a card up that nobody typed a PIN for.
func (m *model) expire(r int, to time.Time) {
	p := &m.points[r]
	if p.wait == nil || p.wait.until.After(to) {
		return
	}
	was := m.now
	m.now = p.wait.until
	m.giveUp(r)
	m.now = was
}

func (m *model) giveUp(r int) {
	p := &m.points[r]
	p.wait, p.entry = nil, entryModel{}
	m.signals[r] = "denied"
	if !m.site.points[r].gone {
		m.expect(event{at: m.now, typ: access.Denied, reason: access.ReasonPINTimeout, door: doorID(doorOf[r]), point: pointID(r)})
	}
}

// badge is a card at a reader.
func (m *model) badge(r int, c card) {
	p := &m.points[r]
	if m.site.points[r].gone {
		return
	}
	if p.wait != nil {
		again := same(r, p.wait.card, c) && m.now.Sub(p.wait.seen) < sameCard
		p.wait.seen = m.now
		if again {
			return
		}
		m.giveUp(r)
	}
	p.entry = entryModel{}
	m.answer(r, shown{card: c}, none)
}

func alikeShown(r int, a, b shown) bool {
	if a.code != "" || b.code != "" {
		return a.code == b.code
	}
	return same(r, a.card, b.card)
}

// same reports whether a reader sends the same for two cards.
func same(r int, a, b card) bool { return a.bits(r) == b.bits(r) }

// typed is a key of the keypad.
func (m *model) typed(r int, k byte) {
	p := &m.points[r]
	if m.site.points[r].gone {
		return
	}
	size := m.site.codes
	if p.wait != nil {
		size = 4
	}
	digits := p.entry.key(m.now, k, size)
	switch {
	case digits == "":
	case p.wait != nil:
		m.typedPIN(r, digits)
	default:
		m.answer(r, shown{code: digits}, none)
	}
}

func (m *model) typedPIN(r int, digits string) {
	c := m.points[r].wait.card
	m.points[r].wait = nil
	verdict := wrong
	if found := m.found(r, shown{card: c}); len(found) == 1 {
		verdict = check(found[0].pin, digits)
	}
	m.answer(r, shown{card: c}, verdict)
}

// check compares a PIN as typed; one whose last digit is one higher is of
// somebody under duress.
func check(pin, typed string) entry {
	switch {
	case pin == "" || len(typed) != 4:
		return wrong
	case pin == typed:
		return right
	case pin[:3] == typed[:3] && (pin[3]-'0'+1)%10 == typed[3]-'0':
		return duress
	}
	return wrong
}

// answer decides and does what comes of it.
func (m *model) answer(r int, c shown, pin entry) {
	p, d := &m.points[r], &m.doors[doorOf[r]]
	held := p.last.at.Add(sameCard).After(m.now) && alikeShown(r, p.last.shown, c)
	if held {
		m.before = &p.last.before
	}
	a := m.decide(r, c, pin)
	p.pair = a.pair
	m.stats.Answers++
	defer func() { m.before = nil }()
	if a.ask {
		p.wait = &waiting{card: c.card, seen: m.now, until: m.now.Add(pinWait)}
		p.entry = entryModel{}
		m.signals[r] = "pin_wanted"
		return
	}
	e := event{at: m.now, typ: a.typ, reason: a.reason, door: doorID(doorOf[r]), point: pointID(r)}
	m.stats.Reasons[e.typ.Text()+" "+string(e.reason)]++
	if a.key != nil {
		e.key, e.person = a.key.id, a.key.person
		if a.key.code == "" {
			e.cred = a.key.card.identification()
		}
	}
	m.expect(e)
	m.risk(r, c, a)
	if !a.granted() {
		m.stats.Denials++
		m.signals[r] = "denied"
		m.count(r, a)
		return
	}
	m.stats.Grants++
	if !held {
		p.last = lastRead{c, m.now, m.place(a.key.holder())}
	}
	m.signals[r] = "granted"
	m.besides(r, a)
	var going []movement
	if at := m.site.points[r]; at.from != at.to {
		for _, who := range []access.ID{a.key.holder(), a.with} {
			if !who.IsZero() {
				going = append(going, movement{who, at.to})
			}
		}
	}
	if d.contact && !d.open && !d.fault {
		d.going = append(d.going, going...)
	} else {
		m.move(going)
	}
	d.let(a.key.has(access.Extended))
}

// risk is what an entry is counted as until it was answered: as a wrong one.
func (m *model) risk(r int, c shown, a answer) {
	keys, pads, _, _ := m.site.rules()
	m.risked, m.riskedAt, m.riskedBy = map[string]tries{}, m.now, r
	switch a.reason {
	case access.ReasonLockedDown, access.ReasonBlocked, access.ReasonLockedOut, access.ReasonWrongMode:
		return // before anything was asked about the entry
	}
	if a.typ == access.GrantedCardPIN {
		m.risked["key:"+a.key.id.String()], _ = m.failed("key:"+a.key.id.String(), keys)
	}
	if a.typ == access.GrantedCardPIN || c.code != "" {
		m.risked["point:"+pointID(r)], _ = m.failed("point:"+pointID(r), pads)
	}
}

// count counts a wrong entry.
func (m *model) count(r int, a answer) {
	keys, pads, _, _ := m.site.rules()
	e := event{at: m.now, door: doorID(doorOf[r]), point: pointID(r)}
	if a.countPad && m.fail("point:"+pointID(r), pads) {
		e.typ = access.KeypadLockedOut
		m.expect(e)
	}
	if a.countKey && m.fail("key:"+a.key.id.String(), keys) {
		e.typ, e.key = access.KeyLockedOut, a.key.id
		m.expect(e)
	}
}

// besides is what a grant does beside opening.
func (m *model) besides(r int, a answer) {
	e := event{at: m.now, door: doorID(doorOf[r]), point: pointID(r), key: a.key.id, person: a.key.person}
	if a.duress {
		e.typ = access.Duress
		m.expect(e)
	}
	if a.violated {
		e.typ = access.PassbackViolated
		m.expect(e)
	}
	if !a.first.IsZero() {
		e.typ = access.FirstCardCame
		m.expect(e)
		m.first[doorOf[r]] = a.first
	}
	if a.typ == access.GrantedCardPIN {
		delete(m.pads, "key:"+a.key.id.String())
	}
	if a.typ == access.GrantedCardPIN || a.key.code != "" {
		if t, ok := m.pads["point:"+pointID(r)]; ok {
			t.failures = max(t.failures-1, 0)
			m.pads["point:"+pointID(r)] = t
		}
	}
}

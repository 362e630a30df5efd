package scenarios

import (
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"postern/access"
)

// effect is what comes of the last things when the power was cut at one of their
// commits. What was told or answered was committed; of the rest the card may hold
// what was written until then, and nothing else. The model goes on from there.
func (w *world) effect() {
	synctest.Wait()
	left := w.store.disarm()
	if left == "" {
		w.settle()
		w.risked = nil
		return
	}
	w.stats.Cuts++
	pads, places := maps.Clone(w.pads), maps.Clone(w.places)
	told := w.takeTold()
	locks, signals := w.catchUp(told)
	for r, s := range signals {
		if r == w.riskedBy && w.signals[r] == "denied" && slices.Contains(s, "denied") {
			pads = w.pads // it was answered: what it counted was committed
		}
		if w.signals[r] == "granted" && len(w.risked) > 0 && !slices.Contains(s, "granted") {
			w.ungrant(doorOf[r])
		}
	}
	w.signals = [readers]string{}
	for d := range w.doors {
		// It may have come into another mode, and not have told any more.
		w.blind = w.blind || w.doors[d].mode != w.wanted(d)
	}
	if !w.blind {
		w.checkLocks(locks)
	}
	may, boot, risked := w.events, w.boot, w.risked
	w.risked = nil
	w.halt(left)
	w.recover = func() {
		w.recoverJournal(boot, may, told)
		w.recoverPads(pads, risked)
		w.recoverPlaces(places)
	}
	w.up()
}

// ungrant takes back that a door was released for an entry that was still being
// counted when the power was cut.
func (w *world) ungrant(door int) {
	since := func(c change) bool { return c.door == door && !c.at.Before(w.riskedAt) }
	if n := slices.IndexFunc(w.locks, since); n >= 0 {
		w.doors[door].wasReleased = !w.locks[n].released
	}
	w.locks = slices.DeleteFunc(w.locks, since)
}

// recoverJournal checks that the card holds what was told, and beyond it only
// what happened.
func (w *world) recoverJournal(boot access.ID, may []event, told []access.Event) {
	var held []access.Event
	after := w.seq
	if n := len(w.journal); n > 0 {
		after = w.journal[n-1].Seq
	}
	for {
		run, ok, err := w.store.NextEvents(after, 100)
		must(w.t, err)
		if !ok {
			break
		}
		held = append(held, run.Events...)
		after = run.Events[len(run.Events)-1].Seq
	}
	for i, e := range held {
		if e.BootID != boot {
			w.flawed(lostEvent, "an event of boot %s is on the card: %s", e.BootID, e.Type.Text())
		}
		if i < len(told) {
			if e.Seq != told[i].Seq || e.Type != told[i].Type || e.Mono != told[i].Mono {
				w.flawed(lostEvent, "event %d was told as %s, and is %s", e.Seq, told[i].Type.Text(), e.Type.Text())
			}
		}
		if aside(e) {
			continue
		}
		p := w.plain(e)
		n := slices.Index(may, p)
		stale := e.Type == access.CentralStale || e.Type == access.CentralBack
		if _, mode := modeOf[e.Type]; n < 0 && (mode || e.Type == access.DoorAlarmEnded || stale && (e.Type == access.CentralStale) == w.isStale()) {
			continue // its cause was there, and nobody was told
		}
		if n < 0 {
			w.flawed(lostEvent, "an event is on the card that nothing caused: %s\nof %v", p, may)
		}
		may = slices.Delete(may, n, n+1)
	}
	if len(held) < len(told) {
		w.flawed(lostEvent, "%d events were told, and %d are on the card", len(told), len(held))
	}
	w.journal = append(w.journal, held...)
}

// recoverPads takes each subject's wrong entries from the card: those of before
// or of now, or with the entry that was not answered yet, none else.
func (w *world) recoverPads(before, risked map[string]tries) {
	for _, subject := range subjects(before, w.pads, risked) {
		got := w.triesOf(subject)
		if risk, some := risked[subject]; got != before[subject] && got != w.pads[subject] && (!some || got != risk) {
			w.failed("wrong entries of %s are %+v on the card, and were %+v, then %+v", subject, got, before[subject], w.pads[subject])
		}
		w.setPad(subject, got)
	}
}

func (w *world) setPad(subject string, t tries) {
	if t == (tries{}) {
		delete(w.pads, subject)
	} else {
		w.pads[subject] = t
	}
}

func subjects(lists ...map[string]tries) []string {
	all := map[string]bool{}
	for _, l := range lists {
		for s := range l {
			all[s] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// triesOf is what the store holds of a subject.
func (w *world) triesOf(subject string) tries {
	l, err := w.store.Lockout(subject)
	must(w.t, err)
	return tries{l.Failures, l.Level, utc(l.Last), utc(l.Until)}
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// recoverPlaces takes from the card where everybody is: where that was before, or
// after one of the movements since.
func (w *world) recoverPlaces(before map[access.ID]access.Place) {
	held, err := w.store.Places()
	must(w.t, err)
	all := maps.Clone(before)
	maps.Copy(all, w.places)
	for who := range all {
		got := held[who]
		may := append([]access.Place{before[who], w.places[who]}, w.moved[who]...)
		if !slices.ContainsFunc(may, func(p access.Place) bool { return p.Area == got.Area && p.At.Equal(got.At) }) {
			w.failed("%x is %+v on the card, and was one after the other %+v", who[:2], got, may)
		}
		delete(w.places, who)
		if !got.IsZero() {
			w.places[who] = got
		}
	}
	clear(w.moved)
}

package scenarios

import (
	"context"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

// audit compares what the store holds with what the model holds.
func (w *world) audit() {
	w.auditKeys()
	for _, subject := range subjects(w.pads) {
		if got := w.triesOf(subject); got != w.pads[subject] {
			w.failed("wrong entries of %s are %+v, and have to be %+v", subject, got, w.pads[subject])
		}
	}
	held, err := w.store.Places()
	must(w.t, err)
	got, want := map[access.ID]string{}, map[access.ID]string{}
	for who, p := range held {
		got[who] = p.Area + p.At.UTC().String()
	}
	for who, p := range w.places {
		want[who] = p.Area + p.At.UTC().String()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.failed("places (-model +store):\n%s", diff)
	}
	w.auditJournal()
}

func (w *world) auditKeys() {
	list, err := w.store.Keys(access.ID{}, 1000)
	must(w.t, err)
	if pos := w.store.Position(); len(list) != len(w.keys) || pos.Revision != w.revision {
		w.flawed(lostUpdate, "%d keys at revision %d, and have to be %d at %d", len(list), pos.Revision, len(w.keys), w.revision)
	}
	for _, k := range list {
		m := w.keys[k.Key.ID]
		if m == nil || k.Revision != m.revision {
			w.flawed(lostUpdate, "key %s is at revision %d", k.Key.ID, k.Revision)
		}
		if want, _ := w.result(m); k.Result.Error != want {
			w.flawed(lostUpdate, "key %s is %q, and has to be %q", k.Key.ID, k.Result.Error, want)
		}
	}
}

// sameEvent reports whether two entries are one.
func sameEvent(a, b access.Event) bool {
	if !a.At.Equal(b.At) {
		return false
	}
	a.At = b.At
	return a == b
}

// auditJournal is central: it takes what it has not got yet, which has to be what
// was committed, in its order, and confirms it now and then.
func (w *world) auditJournal() {
	for after := uint64(0); ; {
		run, ok, err := w.store.NextEvents(after, 100)
		must(w.t, err)
		if !ok {
			break
		}
		for _, e := range run.Events {
			if len(w.journal) == 0 || !sameEvent(w.journal[0], e) {
				w.flawed(lostEvent, "central gets event %d, %s; the panel told %+v", e.Seq, e.Type.Text(), w.journal[:min(1, len(w.journal))])
			}
			if w.seq++; e.Seq != w.seq {
				w.flawed(lostEvent, "event %d comes as %d", w.seq, e.Seq)
			}
			w.journal = w.journal[1:]
			after = e.Seq
		}
		last := run.Events[len(run.Events)-1]
		must(w.t, w.store.AckEvents(context.Background(), last.BootID, last.Seq))
	}
	if len(w.journal) > 0 {
		w.flawed(lostEvent, "central does not get %+v", w.journal[0])
	}
}

package store

import (
	"errors"
	"testing"

	"postern/access"
)

func local(id, card uint64, change ...func(*access.Update)) access.Update {
	return put(0, id, card, change...)
}

func (h *harness) addLocal(up access.Update) {
	h.tb.Helper()
	if err := h.s.AddLocal(h.ctx(), up); err != nil {
		h.tb.Fatalf("AddLocal: %v", err)
	}
}

func (h *harness) wantLocal(want ...uint64) {
	h.tb.Helper()
	got := h.s.LocalKeys()
	for i, k := range got {
		if i >= len(want) || k.Key.ID != testID(want[i]) {
			h.tb.Errorf("local keys %+v, want %v", got, want)
			return
		}
	}
	if len(got) != len(want) {
		h.tb.Errorf("local keys %+v, want %v", got, want)
	}
}

func TestLocalKeys(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 100))
	h.results()
	before := h.s.Position()

	h.addLocal(local(90, 900, func(u *access.Update) { u.PIN = "4711" }))
	h.addLocal(local(91, 0, code("1234")))
	check := func(what string) {
		t.Helper()
		h.wantLocal(90, 91)
		h.wantOpening(em(900), 90)
		h.wantOpening(access.CodeCredential("1234"), 91)
		h.wantOpening(em(100), 1)
		for pin, want := range map[string]bool{"4711": true, "4712": false} {
			if got, err := h.s.PINMatches(access.Key{ID: testID(90)}, pin); got != want || err != nil {
				t.Errorf("%s: PIN matches %t, %v, want %t", what, got, err, want)
			}
		}
	}
	check("added")
	if got := h.s.Position(); got != before {
		t.Errorf("local keys move the position: %+v, want %+v", got, before)
	}
	if got := h.results(); len(got) != 0 {
		t.Errorf("local keys have results for central: %+v", got)
	}
	h.reopen()
	check("after a restart")

	// A policy without codes closes the one that is a code, and takes no other.
	if _, err := h.s.SetPolicy(h.ctx(), testPolicy(t, 0, levelA), full); err != nil {
		t.Fatal(err)
	}
	h.wantOpening(access.CodeCredential("1234"))
	if _, err := h.s.SetPolicy(h.ctx(), testPolicy(t, 4, levelA), low24); err != nil {
		t.Fatal(err)
	}
	h.wantOpening(emLow(900), 90)
	h.wantOpening(em(900))
	if _, err := h.s.SetPolicy(h.ctx(), testPolicy(t, 4, levelA), full); err != nil {
		t.Fatal(err)
	}
	check("after other policies")
	h.stop()
	if err := CheckFile(h.path("keys.db")); err != nil {
		t.Error(err)
	}
}

func TestLocalKeysAreRefused(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 100), put(2, 2, 200, levels(unknown)), put(3, 3, 100))
	h.addLocal(local(90, 900))
	for _, tt := range []struct {
		name string
		up   access.Update
		want error
	}{
		{"of central's", local(91, 100), ErrInUse},
		{"of central's that failed", local(91, 200), ErrInUse},
		{"of another local key", local(91, 900), ErrInUse},
		{"an id of central's", local(1, 910), ErrInvalidKey},
		{"an id of a local key", local(90, 910), ErrInvalidKey},
		{"unknown level", local(91, 910, levels(unknown)), ErrInvalidKey},
		{"code of another size", local(91, 0, code("123456")), ErrInvalidKey},
		{"no key", local(91, 910, fault("broken")), ErrInvalidKey},
		{"bad PIN", local(91, 910, func(u *access.Update) { u.PIN = "12" }), ErrInvalidKey},
	} {
		if err := h.s.AddLocal(h.ctx(), tt.up); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	h.wantLocal(90)
	for i := range uint64(MaxLocalKeys - 1) {
		h.addLocal(local(1000+i, 1000+i))
	}
	if err := h.s.AddLocal(h.ctx(), local(91, 910)); !errors.Is(err, ErrManyLocal) {
		t.Errorf("one too many: %v", err)
	}
	if had, err := h.s.RemoveLocal(h.ctx(), testID(91)); had || err != nil {
		t.Errorf("removed one that is not there: %t, %v", had, err)
	}
	if had, err := h.s.RemoveLocal(h.ctx(), testID(1)); had || err != nil {
		t.Errorf("removed one of central's: %t, %v", had, err)
	}
}

// A credential of a local key is in use for central, whatever the claim, until the
// local key is removed.
func TestLocalKeysGoBeforeCentrals(t *testing.T) {
	h := newHarness(t)
	h.addLocal(local(90, 900))
	h.apply(put(1, 1, 900, claim(0)), put(2, 2, 900))
	want := func(what string, want ...brief) {
		t.Helper()
		got := briefs(h.results())
		if len(got) != len(want) {
			t.Fatalf("%s: results %v, want %v", what, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: results %v, want %v", what, got, want)
			}
		}
	}
	want("put", brief{1, 1, access.AccessKeyInUse}, brief{2, 2, access.AccessKeyInUse})
	h.wantOpening(em(900), 90)
	if had, err := h.s.RemoveLocal(h.ctx(), testID(90)); !had || err != nil {
		t.Fatalf("remove: %t, %v", had, err)
	}
	want("removed", brief{1, 1, access.Applied})
	h.wantOpening(em(900), 1)
	h.reopen()
	h.wantLocal()
	h.wantOpening(em(900), 1)
}

// Local keys survive a snapshot, and are in the way of its keys as of any.
func TestLocalKeysOverASnapshot(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 7, 700))
	h.addLocal(local(90, 900))
	h.install(freeze(snapID, 1, 50, []access.Update{put(10, 1, 900, claim(0)), put(11, 2, 200)}))
	failed := 0
	for _, r := range h.results() {
		if r.Error == access.AccessKeyInUse && r.ID == testID(1) {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("the key whose card is a local key's failed %d times, want once", failed)
	}
	for range 2 {
		h.wantLocal(90)
		h.wantOpening(em(900), 90)
		h.wantOpening(em(200), 2)
		h.wantOpening(em(700))
		h.reopen()
	}
	if _, err := h.s.RemoveLocal(h.ctx(), testID(90)); err != nil {
		t.Fatal(err)
	}
	h.wantOpening(em(900), 1)
	h.addLocal(local(91, 910))
	asked := false
	h.within(func() {
		asked = true
		if err := h.s.AddLocal(t.Context(), local(92, 920)); !errors.Is(err, ErrInstalling) {
			t.Errorf("AddLocal while a snapshot is installed: %v", err)
		}
		if _, err := h.s.RemoveLocal(t.Context(), testID(91)); !errors.Is(err, ErrInstalling) {
			t.Errorf("RemoveLocal while a snapshot is installed: %v", err)
		}
	})
	h.install(bigger(2000))
	if !asked {
		t.Error("nothing was asked while it was installed")
	}
	h.wantLocal(91)
	h.stop()
	if err := CheckFile(h.path("keys.db")); err != nil {
		t.Error(err)
	}
}

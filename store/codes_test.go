package store

import (
	"errors"
	"os"
	"testing"
)

func (h *harness) wantCodes(what string, want Codes) {
	h.tb.Helper()
	for range 2 { // counted, and remembered
		if got, err := h.s.Codes(); got != want || err != nil {
			h.tb.Errorf("%s: %+v, %v, want %+v", what, got, err, want)
		}
	}
}

func TestCodes(t *testing.T) {
	h := newHarness(t)
	h.wantCodes("none", Codes{})
	h.apply(put(1, 1, 100), put(2, 2, 0, code("1234")), put(3, 3, 0, code("1235")), put(4, 4, 0, code("1234")), put(5, 5, 0, code("12345")))
	h.wantCodes("two, one taken by another and one too long", Codes{2, 4})
	h.addLocal(local(90, 0, code("9876")))
	h.wantCodes("one of this panel alone", Codes{3, 4})
	h.apply(remove(6, 3))
	h.wantCodes("one less", Codes{2, 4})
	if _, err := h.s.SetPolicy(h.ctx(), testPolicy(t, 5, levelA), full); err != nil {
		t.Fatal(err)
	}
	h.wantCodes("another size", Codes{1, 5})
	if _, err := CodesIn(h.path("keys.db")); !errors.Is(err, ErrLocked) {
		t.Errorf("of a store in use: %v", err)
	}
	h.stop()
	if got, err := CodesIn(h.path("keys.db")); err != nil || got != (Codes{1, 5}) {
		t.Errorf("of a file: %+v, %v", got, err)
	}
	if _, err := CodesIn(h.path("journal.db")); err == nil {
		t.Error("a journal has codes")
	}
	if err := os.Truncate(h.path("keys.db"), 5000); err != nil {
		t.Fatal(err)
	}
	if _, err := CodesIn(h.path("keys.db")); err == nil {
		t.Error("a torn file has codes")
	}
}

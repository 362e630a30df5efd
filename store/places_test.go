package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

func TestPlaces(t *testing.T) {
	h := newHarness(t)
	want := func(what string, want map[access.ID]access.Place) {
		t.Helper()
		got, err := h.s.Places()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	set := func(who access.ID, at access.Place) {
		t.Helper()
		if err := h.s.SetPlace(t.Context(), who, at); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	want("new", map[access.ID]access.Place{})
	set(access.ID{}, access.Place{}) // nothing to forget
	set(testID(1), access.Place{Area: "lab", At: now})
	set(testID(2), access.Place{Area: "", At: now})
	h.reopen()
	want("after a restart", map[access.ID]access.Place{testID(1): {Area: "lab", At: now}, testID(2): {At: now}})
	set(testID(1), access.Place{})
	want("one forgotten", map[access.ID]access.Place{testID(2): {At: now}})
	set(access.ID{}, access.Place{})
	want("all forgotten", map[access.ID]access.Place{})
	if err := h.s.SetPlace(t.Context(), access.ID{}, access.Place{Area: "lab", At: now}); err == nil {
		t.Error("nobody is in the lab")
	}
	set(testID(3), access.Place{Area: "lab", At: now})
	h.stop()
	if err := CheckFile(h.path("keys.db")); err != nil {
		t.Error(err)
	}
}

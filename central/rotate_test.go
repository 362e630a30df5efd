package central

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// TestRotateAPIKey: both keys are good while one takes the other's place, for the
// same systems and the same access keys; then only the new one is.
func TestRotateAPIKey(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.panel("p1", 6, level(1))
		works := func(secret string) bool {
			t.Helper()
			r := k.send(secret, "/v1/accesslevels/list", "{}")
			if r.status != 200 && r.status != 401 {
				t.Fatalf("got %d %s", r.status, r.body)
			}
			return r.status == 200
		}
		old, err := k.store.CreateAPIKey(t.Context(), APIKeySpec{Integration: "x", Systems: []string{"p1"}, Expires: k.clock.now().Add(90 * 24 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		r := k.send(old.Secret, "/v1/accesskeys/add", `{"key":{"identification":"EM:1","type":"proximity"}}`)
		id := uuids.FindString(r.body)
		k.clock.pass(80 * 24 * time.Hour)
		next, err := k.store.RotateAPIKey(t.Context(), RotateSpec{ID: old.ID, Overlap: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if next.Integration != "x" || !slices.Equal(next.Systems, old.Systems) || !next.Expires.Equal(k.clock.now().Add(90*24*time.Hour)) || next.ID == old.ID || next.Secret == old.Secret {
			t.Errorf("got %+v in place of %+v", next, old)
		}
		if !works(old.Secret) || !works(next.Secret) {
			t.Error("not both are good")
		}
		if r := k.send(next.Secret, "/v1/accesskeys/status", `{"id":"`+id+`"}`); r.status != 200 {
			t.Errorf("the other's access keys: got %d %s", r.status, r.body)
		}
		k.clock.pass(24 * time.Hour)
		if works(old.Secret) || !works(next.Secret) {
			t.Error("after the overlap the old one is good, or the new one not")
		}
		if _, err := k.store.RotateAPIKey(t.Context(), RotateSpec{ID: old.ID}); !errors.Is(err, ErrNotFound) {
			t.Errorf("one that has ended: got %v", err)
		}
		if _, err := k.store.RotateAPIKey(t.Context(), RotateSpec{ID: "nobody"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("an unknown one: got %v", err)
		}
		last, err := k.store.RotateAPIKey(t.Context(), RotateSpec{ID: next.ID, Expires: k.clock.now().Add(time.Hour)})
		if err != nil || works(next.Secret) || !works(last.Secret) {
			t.Errorf("at once: got %+v, %v", last, err)
		}
		k.clock.pass(time.Hour)
		if works(last.Secret) {
			t.Error("good after its end")
		}
		// An overlap does not lengthen what would have ended before.
		short, err := k.store.CreateAPIKey(t.Context(), APIKeySpec{Integration: "x", Expires: k.clock.now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.store.RotateAPIKey(t.Context(), RotateSpec{ID: short.ID, Overlap: 24 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		k.clock.pass(time.Hour)
		if works(short.Secret) {
			t.Error("the overlap made the old key live longer")
		}
		before := k.dump()
		if _, err := k.store.RotateAPIKey(t.Context(), RotateSpec{ID: short.ID, Overlap: -time.Hour}); err == nil || k.dump() != before {
			t.Errorf("a negative overlap: got %v", err)
		}
	})
}

package store

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"postern/access"
)

// The index gives whoever was added and not forgotten, in order.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex(0)
		have := map[string][]claimed{}
		genCred := rapid.SampledFrom([]string{"C1", "C2", "H3", "H4"})
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			cred := genCred.Draw(t, "credential")
			c := claimed{rapid.Uint64Range(0, 3).Draw(t, "claim"), testID(rapid.Uint64Range(1, 4).Draw(t, "key"))}
			at, there := slices.BinarySearchFunc(have[cred], c, claimed.compare)
			before := x.find([]byte(cred))
			want := slices.Clone(before)
			e := x.entry([]byte(cred), c)
			switch add := rapid.Bool().Draw(t, "add"); {
			case add:
				x.add(e)
				if !there {
					have[cred] = slices.Insert(have[cred], at, c)
				}
			default:
				x.forget(map[entry]struct{}{e: {}})
				if there {
					have[cred] = slices.Delete(have[cred], at, at+1)
				}
			}
			if !slices.Equal(before, want) {
				t.Fatalf("a list that was given changed from %v to %v", want, before)
			}
			var codes []access.ID
			for cred, want := range have {
				if got := x.find([]byte(cred)); !slices.Equal(got, want) {
					t.Fatalf("%s: %v, want %v", cred, got, want)
				}
				for _, c := range want {
					if cred[0] == codePrefix {
						codes = append(codes, c.id)
					}
				}
			}
			slices.SortFunc(codes, compareIDs)
			if got := x.withCodes(); !slices.Equal(got, slices.Compact(codes)) {
				t.Fatalf("with codes: %v, want %v", got, codes)
			}
		}
	})
}

// A card that goes from key to key opens at every moment, and for one of them.
func TestLookupsWhileACardMoves(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11), put(2, 2, 11, claim(9)))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if keys, err := h.s.Lookup(em(11)); err != nil || len(keys) != 1 {
					t.Errorf("Lookup: %v, %v", keys, err)
					return
				}
			}
		})
	}
	rev := uint64(2)
	for range 100 {
		// From 1 to 2 and back, between keys that come and keys that go.
		h.apply(put(rev+1, 1, 12), put(rev+2, 1, 11, claim(1)), remove(rev+3, 1), put(rev+4, 3, 11, claim(3)))
		h.apply(put(rev+5, 1, 11, claim(2)), remove(rev+6, 3))
		rev += 6
	}
	close(done)
	wg.Wait()
	h.wantOpening(em(11), 1)
	h.wantOpening(em(12))
	if n := len(h.s.index.Load().find(em(11).IndexKey())); n != 2 {
		t.Errorf("the index has %d keys for the card", n)
	}
}

// What a transaction that failed left in the index harms nobody.
func TestIndexAfterAFailedCommit(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	err := h.s.keysC.submit(t.Context(), func(u *keysTx) error {
		if _, err := u.apply(access.Batch{Epoch: 1, Updates: []access.Update{put(2, 2, 12), remove(3, 1)}}); err != nil {
			return err
		}
		return errBounds
	})
	if err == nil {
		t.Fatal("no error")
	}
	h.wantOpening(em(11), 1)
	h.wantOpening(em(12))
	h.apply(put(2, 3, 12, claim(50)))
	h.wantOpening(em(12), 3)
}

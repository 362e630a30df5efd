package timing

import (
	"crypto/subtle"
	"math/rand/v2"
	"testing"
	"time"

	"postern/access"
)

// comparer is what a PIN is compared by.
type comparer interface {
	PINMatches(k access.Key, pin string) (bool, error)
}

// compared are two kinds of PIN that are compared as the panel does: as typed, and
// as typed under duress.
func compared(t *testing.T, name string, by comparer, first, second func(*rand.Rand) string) classes {
	r := rand.New(rand.NewPCG(5, 6))
	k := access.Key{ID: holder}
	return classes{name, func(is2 bool) time.Duration {
		// Both are made, and the one is brought to where the other would be, so that
		// nothing but its digits is different.
		a, b := first(r), second(r)
		typed, choose := []byte(a), 0
		if is2 {
			choose = 1
		}
		subtle.ConstantTimeCopy(choose, typed, []byte(b))
		pin := string(typed)
		began := time.Now()
		_, err := by.PINMatches(k, pin)
		_, err2 := by.PINMatches(k, access.DuressFor(pin))
		took := time.Since(began)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return took
	}}
}

func always(pin string) func(*rand.Rand) string { return func(*rand.Rand) string { return pin } }

func TestPINsAreComparedAlike(t *testing.T) {
	s := keyStore(t, policy(t))
	underDuress := access.DuressFor(access.DuressFor(access.DuressFor(right)))
	for range 6 { // what DuressFor turns into the right one
		underDuress = access.DuressFor(underDuress)
	}
	if access.DuressFor(underDuress) != right {
		t.Fatalf("%s is not what the holder of %s types under duress", underDuress, right)
	}
	for _, c := range []classes{
		compared(t, "right and wrong PIN", s, always(right), wrongPIN),
		compared(t, "PIN under duress and wrong PIN", s, always(underDuress), wrongPIN),
		compared(t, "wrong at its first and at its last digit", s, always("9719"), always("4712")),
	} {
		if c.differ(t, tries(2000)) {
			t.Errorf("%s: the time of the comparison tells", c.name)
		}
	}
}

func TestHastyComparisonIsFound(t *testing.T) {
	s := hasty{keyStore(t, policy(t))}
	if !compared(t, "control: a comparison that ends early", s, always(right), wrongPIN).differ(t, tries(2000)) {
		t.Error("a comparison that ends early is not found, so that the other test shows nothing")
	}
}

package controller

import (
	"slices"
	"testing"
	"time"

	"postern/access"
	"postern/wiegand"
)

// commit is how long the bench's card takes for a commit in these tests.
const commit = 40 * time.Millisecond

// answered types keys and gives how long the answer took, and what it was.
func (b *bench) answered(r *fakeReader, enc wiegand.Encoding, digits string) (time.Duration, Signal) {
	b.t.Helper()
	b.keys(r, enc, digits[:len(digits)-1])
	typed, before := time.Now(), len(r.signals)
	b.keys(r, enc, digits[len(digits)-1:])
	b.pass(time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.signals) != before+1 {
		b.t.Fatalf("%d answers, want one", len(r.signals)-before)
	}
	return r.at[before].Sub(typed), r.signals[before]
}

// The answer to a PIN comes at the same time whatever it is: when it was counted.
func TestPINIsAnsweredInTheSameTime(t *testing.T) {
	for _, tt := range []struct {
		name, pin string
		want      Signal
	}{
		{"right", "1234", SignalGranted},
		{"under duress", "1235", SignalGranted},
		{"wrong at its end", "1230", SignalDenied},
		{"wrong at its beginning", "9234", SignalDenied},
		{"too short", "1#", SignalDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(b *bench) {
				b.rule(func(p *access.Policy) { p.Duress = true })
				b.give(cardA, keyA, "1234")
				b.store.set(func() { b.store.commit = commit })
				for range 2 {
					b.badge(b.lab, cardA)
					took, said := b.answered(b.lab, wiegand.EightBit, tt.pin)
					if took != commit || said != tt.want {
						t.Errorf("answered %s after %v, want %s after %v", said, took, tt.want, commit)
					}
				}
			})
		})
	}
}

// Nor does the time of a denial tell a code that nobody has from one that somebody
// has, and that doesn't open here.
func TestCodeIsAnsweredInTheSameTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*access.Key)
		want   Signal
	}{
		{"unknown", nil, SignalDenied},
		{"granted", func(*access.Key) {}, SignalGranted},
		{"without a level", func(k *access.Key) { k.Levels = nil }, SignalDenied},
		{"blacklisted", func(k *access.Key) { k.State = access.Blacklisted }, SignalDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(b *bench) {
				if tt.change != nil {
					b.giveCode("482915")
					b.store.set(func() { tt.change(&b.store.keys[access.CodeCredential("482915")][0]) })
				}
				b.store.set(func() { b.store.commit = commit })
				took, said := b.answered(b.front, wiegand.FourBit, "482915")
				if took != commit || said != tt.want {
					t.Errorf("answered %s after %v, want %s after %v", said, took, tt.want, commit)
				}
				want := 0
				if tt.change == nil {
					want = 1
				}
				if l := b.store.lockouts["point:front-in"]; l.Failures != want {
					t.Errorf("counts %+v, want %d wrong", l, want)
				}
			})
		})
	}
}

// Until the last key of an entry nothing tells what was typed: neither a signal nor
// a time.
func TestKeyPressesAreAnsweredAlike(t *testing.T) {
	var first []Signal
	for i, digits := range []string{"1234", "9999", "1230", "0*12"} {
		run(t, func(b *bench) {
			b.give(cardA, keyA, "1234")
			b.badge(b.lab, cardA)
			for _, k := range digits[:3] {
				before := len(b.lab.signals)
				b.keys(b.lab, wiegand.EightBit, string(k))
				if len(b.lab.signals) != before {
					t.Errorf("key %d of %s is answered by %v", i, digits, b.lab.signals[before:])
				}
				b.pass(300 * time.Millisecond)
			}
			if first == nil {
				first = slices.Clone(b.lab.signals)
			}
			if !slices.Equal(first, b.lab.signals) {
				t.Errorf("%s shows %v, another entry %v", digits, b.lab.signals, first)
			}
		})
	}
}

// An entry is counted as wrong before it is compared, and a right one takes that
// back: a power cut between the two gives no try away, and costs one at most.
func TestPowerCutGivesNoTryBack(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "1234")
		b.store.set(func() {
			b.store.lockouts["key:"+keyA.String()] = access.Lockout{Failures: 2, Last: time.Now()}
			b.store.lockouts["point:lab-in"] = access.Lockout{Failures: 3, Last: time.Now()}
		})
		b.badge(b.lab, cardA)
		b.keys(b.lab, wiegand.EightBit, "123")
		b.store.set(func() {
			b.store.onCompare = func() {
				key, pad := b.store.lockouts["key:"+keyA.String()], b.store.lockouts["point:lab-in"]
				if key.Level != 1 || pad.Failures != 4 {
					t.Errorf("compared while the card holds %+v and %+v", key, pad)
				}
			}
		})
		b.obs.take()
		b.keys(b.lab, wiegand.EightBit, "4")
		b.want("the third try is right", told{access.GrantedCardPIN, "", "lab", keyA, "0001234567890"})
		if b.store.compared == 0 {
			t.Fatal("nothing was compared")
		}
		key, had := b.store.lockouts["key:"+keyA.String()]
		if pad := b.store.lockouts["point:lab-in"]; had && !key.IsZero() || pad.Failures != 2 {
			t.Errorf("after a right PIN: %+v and %+v", key, pad)
		}
	})
}

// What was locked out while the card waited for its PIN is neither compared nor
// counted.
func TestLockedOutPINIsNotCompared(t *testing.T) {
	for _, subject := range []string{"key:" + keyA.String(), "point:lab-in"} {
		run(t, func(b *bench) {
			b.give(cardA, keyA, "1234")
			b.badge(b.lab, cardA)
			locked := access.Lockout{Level: 1, Last: time.Now(), Until: time.Now().Add(time.Minute)}
			b.store.set(func() { b.store.lockouts[subject] = locked })
			b.obs.take()
			b.keys(b.lab, wiegand.EightBit, "1234")
			b.want("locked out", told{access.Denied, access.ReasonLockedOut, "lab", keyA, "0001234567890"})
			if b.store.compared != 0 || b.store.lockouts[subject] != locked || len(b.store.lockouts) != 1 {
				t.Errorf("%s: compared %d times, counts %+v", subject, b.store.compared, b.store.lockouts)
			}
		})
	}
}

// A grant releases the door for 3 s where nothing else is set, to the instant.
func TestReleaseLastsThreeSeconds(t *testing.T) {
	run(t, func(b *bench) {
		b.give(cardA, keyA, "")
		b.badge(b.front, cardA)
		for _, step := range []struct {
			wait     time.Duration
			released bool
		}{{0, true}, {3*time.Second - 1, true}, {1, false}} {
			b.pass(step.wait)
			if b.frontLock.get() != step.released {
				t.Errorf("%v later: released %v, want %v", step.wait, b.frontLock.get(), step.released)
			}
		}
	})
}

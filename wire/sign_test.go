package wire

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

func signer(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// Only what a trusted key signed for this panel and this topic is taken.
func TestTrust(t *testing.T) {
	old, next, other := signer(1), signer(2), signer(3)
	two := Trust{"old": public(old), "next": public(next)}
	payload := []byte(`{"epoch":3}`)
	good := Sign(old, "old", "gate-1", TopicChange, payload)
	edit := func(f func(*Signed)) []byte {
		s, err := Decode[Signed](good)
		if err != nil {
			t.Fatal(err)
		}
		f(&s)
		return Encode(s)
	}
	for _, c := range []struct {
		name    string
		trust   Trust
		system  string
		topic   Topic
		message []byte
		want    error // nil: taken
	}{
		{"the first key", two, "gate-1", TopicChange, good, nil},
		{"the second key", two, "gate-1", TopicChange, Sign(next, "next", "gate-1", TopicChange, payload), nil},
		{"with spaces", two, "gate-1", TopicChange, append([]byte(" "), good...), nil},
		{"another panel's", two, "gate-2", TopicChange, good, ErrSignature},
		{"another topic's", two, "gate-1", TopicDesired, good, ErrSignature},
		{"fields shifted", two, "gate-1k", "eys/change", good, ErrSignature},
		{"a key that was retired", Trust{"next": public(next)}, "gate-1", TopicChange, good, ErrSignature},
		{"a stranger's key", two, "gate-1", TopicChange, Sign(other, "other", "gate-1", TopicChange, payload), ErrSignature},
		{"a stranger under a known name", two, "gate-1", TopicChange, Sign(other, "old", "gate-1", TopicChange, payload), ErrSignature},
		{"one trusted key under the other's name", two, "gate-1", TopicChange, Sign(next, "old", "gate-1", TopicChange, payload), ErrSignature},
		{"a replaced payload", two, "gate-1", TopicChange, edit(func(s *Signed) { s.Payload = []byte(`{"epoch":4}`) }), ErrSignature},
		{"a changed signature", two, "gate-1", TopicChange, edit(func(s *Signed) { s.Sig[63] ^= 1 }), ErrSignature},
		{"a short signature", two, "gate-1", TopicChange, edit(func(s *Signed) { s.Sig = s.Sig[:10] }), ErrSignature},
		{"an empty signature", two, "gate-1", TopicChange, edit(func(s *Signed) { s.Sig = []byte{} }), ErrSignature},
		{"no signature", two, "gate-1", TopicChange, []byte(`{"kid":"old","payload":"e30="}`), ErrUnsigned},
		{"no name", two, "gate-1", TopicChange, edit(func(s *Signed) { s.KID = "" }), ErrUnsigned},
		{"two payloads", two, "gate-1", TopicChange, []byte(strings.Replace(string(good), `"payload"`, `"payload":"e30=","payload"`, 1)), ErrUnsigned},
		{"unsigned", two, "gate-1", TopicChange, payload, ErrUnsigned},
		{"not JSON", two, "gate-1", TopicChange, []byte("\xff"), ErrUnsigned},
		{"a key of no size", Trust{"old": nil}, "gate-1", TopicChange, good, ErrSignature},
		{"unsigned without trust", nil, "gate-1", TopicChange, payload, nil},
		{"signed without trust", nil, "gate-1", TopicChange, good, nil},
		{"signed by a stranger without trust", nil, "gate-1", TopicChange, Sign(other, "x", "gate-9", TopicAck, payload), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.trust.Open(c.system, c.topic, c.message)
			switch {
			case c.want == nil && (err != nil || string(got) != string(payload)):
				t.Errorf("got %q (%v), want the payload", got, err)
			case c.want != nil && (!errors.Is(err, c.want) || got != nil):
				t.Errorf("got %q (%v), want %v", got, err, c.want)
			}
		})
	}
	if _, err := two.Open("gate-1", TopicChange, make([]byte, MaxPayload+1)); err == nil || errors.Is(err, ErrUnsigned) {
		t.Errorf("a message that is too long: %v", err)
	}
}

// The example of a signed message can be verified with the key that it names.
func TestSignedExample(t *testing.T) {
	trust := Trust{"2026-09": public(exampleSigner())}
	if got, err := trust.Open("gate-1", TopicAck, Encode(signedExample())); err != nil || string(got) != "{}" {
		t.Errorf("got %q (%v), want {}", got, err)
	}
}

// Without the key nothing is taken that was not signed, whatever it says.
func FuzzTrust(f *testing.F) {
	key := signer(1)
	trust := Trust{"k": public(key)}
	good := Sign(key, "k", "gate-1", TopicChange, []byte("{}"))
	f.Add(good)
	f.Add([]byte(`{"kid":"k","payload":"e30=","sig":"AAAA"}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		if got, err := trust.Open("gate-1", TopicChange, message); err == nil && string(got) != "{}" {
			t.Fatalf("%q was taken as %q", message, got)
		}
		got, err := Trust(nil).Open("gate-1", TopicChange, message)
		if len(message) < MaxPayload {
			want, wantErr := Trust(nil).Open("gate-1", TopicChange, unplain(message))
			same := string(got) == string(want) || string(unplain(got)) == string(want)
			if !same || !sameError(err, wantErr) {
				t.Fatalf("%q is opened as %q (%v), strictly as %q (%v)", message, got, err, want, wantErr)
			}
		}
	})
}

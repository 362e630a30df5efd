package wire

import (
	"crypto/ed25519"
	"testing"

	"postern/access"
)

// exampleKey is a key as a site has it: a card with a PIN, a window and two levels.
func exampleKey() []byte {
	return Encode(Key{
		Identification: "0001234567890", Type: "proximity", State: "enabled", PIN: new("1234"),
		ValidFrom: "2020-09-01T00:00:00Z", ValidTo: "2020-10-01T14:00:00Z",
		AccessLevels: []string{level.String(), keyB.String()}, PersonID: who.String(), Options: []string{"extended"},
	})
}

func BenchmarkDecodeSnapshotKey(b *testing.B) {
	line := AppendSnapshotKey(nil, SnapshotKey{Revision: 42, ID: keyA, Claim: 17, Key: exampleKey()})
	spaced := append([]byte{' '}, line[:len(line)-1]...)
	for name, text := range map[string][]byte{"plain": line[:len(line)-1], "strict": spaced} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if u, err := DecodeSnapshotKey(text); err != nil || u.Fault != "" {
					b.Fatal(err, u.Fault)
				}
			}
		})
	}
}

func BenchmarkAppendSnapshotKey(b *testing.B) {
	k, buf := SnapshotKey{Revision: 42, ID: keyA, Claim: 17, Key: exampleKey()}, []byte{}
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendSnapshotKey(buf[:0], k)
	}
}

func BenchmarkDecodeChanges(b *testing.B) {
	_, key, _ := ed25519.GenerateKey(nil)
	payload := Encode(Changes{Epoch: 3, Changes: []Change{{Revision: 42, Op: OpPut, ID: keyA, Claim: 17, Key: exampleKey()}}})
	signed := Sign(key, "2026", "gate-1", TopicChange, payload)
	for name, trust := range map[string]Trust{"unsigned": nil, "signed": {"2026": key.Public().(ed25519.PublicKey)}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			message := payload
			if trust != nil {
				message = signed
			}
			for b.Loop() {
				payload, err := trust.Open("gate-1", TopicChange, message)
				if err != nil {
					b.Fatal(err)
				}
				if u, err := DecodeChanges(payload); err != nil || u.Updates[0].Op != access.Put {
					b.Fatal(err)
				}
			}
		})
	}
}

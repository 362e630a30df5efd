package wire

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
)

// Signed is a message with central's signature: Ed25519 over the
// length-prefixed fields Prefix, system id, topic and payload.
type Signed struct {
	KID     string `json:"kid"` // name of the key
	Payload []byte `json:"payload"`
	Sig     []byte `json:"sig"`
}

// Trust is the keys by name whose signatures a panel takes; two may be in force
// while one takes the place of the other. An empty Trust takes what nobody
// signed, and the payload of what somebody did.
type Trust map[string]ed25519.PublicKey

// Why a message is not taken.
var (
	ErrUnsigned  = errors.New("the message is not signed")
	ErrSignature = errors.New("the message is not signed by a trusted key")
)

// Sign wraps a payload for one panel and topic.
func Sign(key ed25519.PrivateKey, kid, system string, t Topic, payload []byte) []byte {
	return Encode(Signed{KID: kid, Payload: payload, Sig: ed25519.Sign(key, signedFields(system, t, payload))})
}

// Open gives the payload of a message that came on topic t of a panel, after it
// has verified the signature.
func (k Trust) Open(system string, t Topic, message []byte) ([]byte, error) {
	if len(message) > MaxPayload {
		return nil, tooLong(len(message))
	}
	if len(k) == 0 && !bytes.Contains(message, []byte(`"sig"`)) {
		return message, nil // spares what nobody signed a second decoding
	}
	s, ok := plainSigned(message)
	if !ok {
		s = Signed{}
		ok = Strict(message, &s, false) == nil
	}
	wrapped := ok && s.KID != "" && s.Payload != nil && s.Sig != nil
	switch key, known := k[s.KID]; {
	case len(k) == 0 && !wrapped:
		return message, nil
	case len(k) == 0:
		return s.Payload, nil
	case !wrapped:
		return nil, ErrUnsigned
	case !known || len(key) != ed25519.PublicKeySize:
		return nil, fmt.Errorf("%w: its key %.64q is unknown here", ErrSignature, s.KID)
	case !ed25519.Verify(key, signedFields(system, t, s.Payload), s.Sig):
		return nil, fmt.Errorf("%w: the signature of key %.64q does not fit", ErrSignature, s.KID)
	}
	return s.Payload, nil
}

func signedFields(system string, t Topic, payload []byte) []byte {
	var b []byte
	for _, f := range [][]byte{[]byte(Prefix), []byte(system), []byte(t), payload} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

package wiegand

// SwapState is what a [SwapWatch] thinks of the data lines.
type SwapState uint8

// The states.
const (
	SwapNone      SwapState = iota // no sign, or a frame since that proves them right
	SwapSuspected                  // one sign
	SwapReported                   // two different signs
)

// String gives "none", "suspected" or "reported".
func (s SwapState) String() string {
	switch s {
	case SwapSuspected:
		return "suspected"
	case SwapReported:
		return "reported"
	}
	return "none"
}

// SwapWatch looks for a reader whose D0 and D1 are swapped: every bit is its
// opposite then. The zero value is ready; it is for one goroutine.
//
// In H10301, W34, C1k35s, H10304, H10302 and C1k48s the complement of a right
// frame is never right, so a frame that fails while its complement passes is a
// sign. One or two bit errors can look the same (bit 18 of H10304 is under both
// of its checks), so one sign is a suspicion only, and so is the same frame
// again; two different ones are the report. A frame that
// proves the lines right clears everything.
//
// What can't tell a swap (no parity, or parities that hold for the complement
// too) counts by the caller's word alone: that a key has the complement is a
// sign, that a key has the frame clears.
//
// It is a guess, and a guess never grants: all that comes out is a state.
type SwapWatch struct {
	state SwapState
	// first is the frame that was the first sign; empty for a hint.
	first Bits
}

// Frame takes a card's frame with the formats of the reader and returns the
// state after it. The function known, which may be nil, reports whether a frame,
// had it come so, would be a key that is known here; it is asked about the frame
// and its complement.
func (w *SwapWatch) Frame(b Bits, formats []Format, known func(Bits) bool) SwapState {
	var listed, proven, plain, mirrored bool
	for _, f := range formats {
		if f.Len != b.Len() {
			continue
		}
		listed = true
		switch {
		case !f.tellsSwap():
			// Taken as it is, so the frame didn't fail.
			plain = plain || f.passes(b)
		case f.passes(b):
			proven = true
		case f.passes(b.Complement()):
			mirrored = true
		}
	}
	switch {
	case !listed:
	case proven, known != nil && known(b):
		w.Reset()
	case mirrored && !plain, known != nil && known(b.Complement()):
		w.sign(b)
	}
	return w.state
}

// Key takes a frame of the keypad on the same lines and returns the state after
// it. Swapped, 6 and 9, 7 and 8, 4 and '#', 5 and '*' change places in the 4-bit
// and 8-bit encodings, so these keys say nothing; 0 to 3 prove the lines right,
// and a complement of one of them is a sign. In the 6-bit encodings every key
// tells.
func (w *SwapWatch) Key(b Bits, e Encoding) SwapState {
	_, err := e.Key(b)
	_, mirrorErr := e.Key(b.Complement())
	switch {
	case err == nil && mirrorErr != nil:
		w.Reset()
	case err != nil && mirrorErr == nil:
		w.sign(b)
	}
	return w.state
}

// Hint takes the caller's word that something makes sense only mirrored, such as
// an unknown code that is known once [MirrorKey] turned its keys. All hints are
// one sign: what was typed is not kept, so two of them can't be told apart.
func (w *SwapWatch) Hint() SwapState {
	w.sign(Bits{})
	return w.state
}

// State returns the state.
func (w *SwapWatch) State() SwapState { return w.state }

// Reset forgets all signs.
func (w *SwapWatch) Reset() { *w = SwapWatch{} }

func (w *SwapWatch) sign(b Bits) {
	switch {
	case w.state == SwapNone:
		*w = SwapWatch{state: SwapSuspected, first: b}
	case w.state == SwapSuspected && b != w.first:
		*w = SwapWatch{state: SwapReported}
	}
}

// MirrorKey returns the key that a key of a 4-bit or 8-bit keypad was if D0 and
// D1 are swapped, or false for 0 to 3, which no swapped keypad sends.
func MirrorKey(key byte) (byte, bool) {
	b, err := FourBit.Encode(key)
	if err != nil {
		return 0, false
	}
	mirrored, err := FourBit.Key(b.Complement())
	return mirrored, err == nil
}

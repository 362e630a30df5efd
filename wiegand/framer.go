package wiegand

// Frame is what came between two silences.
type Frame struct {
	// Bits are the bits received; none when there were more than MaxBits.
	Bits Bits
	// Pulses is how many pulses came, more than MaxBits for noise.
	Pulses int
}

// Noise reports whether the train was longer than any frame can be.
func (f Frame) Noise() bool { return f.Pulses > MaxBits }

// Framer collects the pulses of one reader. The zero value is ready. It has no
// clock: its user calls Close when the line went silent, see the package comment.
type Framer struct {
	bits   Bits
	pulses int
}

// Pulse takes one pulse: 0 from D0, 1 from D1.
func (f *Framer) Pulse(bit int) {
	f.pulses++
	// A pulse that doesn't fit is counted all the same: the count is what makes
	// the train noise.
	f.bits, _ = f.bits.Append(bit)
}

// Close ends the frame and returns it, or false when there was no pulse since
// the last Close.
func (f *Framer) Close() (Frame, bool) {
	if f.pulses == 0 {
		return Frame{}, false
	}
	frame := Frame{Bits: f.bits, Pulses: f.pulses}
	if frame.Noise() {
		frame.Bits = Bits{}
	}
	*f = Framer{}
	return frame, true
}

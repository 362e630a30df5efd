package wiegand

import (
	"errors"
	"fmt"
	"strconv"
)

// BufferedName is the name by which configuration means a [Buffered] keypad. It
// is no [Encoding]: its frames are whole codes, not keys.
const BufferedName = "buffered26"

const (
	// MaxBufferedSize is the most digits that a number of 16 bits can bring whole.
	MaxBufferedSize = 5
	// bufferedError is what such keypads send for an empty or too large entry.
	bufferedError = 65535
)

// Buffered is a keypad that gathers the digits itself and sends them as an
// H10301 frame: its own facility code, and the code as the number. Facility, 0
// to 255, is set in the keypad and declared, so that a typed code never passes
// for a card nor a card for a typed code: no card with this facility code may be
// in use at such a reader.
//
// The number has no leading zeros: "0042#" and "42#" arrive as the same frame.
// A '*', the pause between keys and the count of tries are the keypad's affair.
type Buffered struct {
	Facility uint64
}

// Digits returns what was typed, padded with zeros in front to the size of the
// codes, 1 to 5 digits. The bool reports whether the frame is the keypad's:
//
//   - true and no error: these digits were typed;
//   - true and an error: the keypad told of an error (65535), a longer code than
//     size was typed, or a frame of 26 bits came damaged and may hold a code: its
//     bits must not be shown either;
//   - false and no error: another frame, a card's perhaps;
//   - false and an error: the size or the facility code can't be.
//
// No error tells the digits.
func (k Buffered) Digits(frame Bits, size int) (string, bool, error) {
	if err := k.check(size); err != nil {
		return "", false, err
	}
	format := h10301()
	if frame.Len() != format.Len {
		return "", false, nil
	}
	c, err := format.Decode(frame)
	if err != nil {
		return "", true, fmt.Errorf("keypad frame: %w", err)
	}
	if c.Facility != k.Facility {
		return "", false, nil
	}
	if c.Number == bufferedError {
		return "", true, fmt.Errorf("the keypad sent %d: nothing was typed, or too large a number", bufferedError)
	}
	digits := fmt.Sprintf("%0*d", size, c.Number)
	if len(digits) > size {
		return "", true, fmt.Errorf("more than %d digits were typed", size)
	}
	return digits, true, nil
}

// Encode returns the frame of 1 to 5 digits under 65535; the error doesn't tell
// them.
func (k Buffered) Encode(digits string) (Bits, error) {
	if err := k.check(len(digits)); err != nil {
		return Bits{}, err
	}
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return Bits{}, errors.New("a buffered code has only digits")
		}
	}
	// ParseUint's own error would repeat the digits, and can't come any more.
	number, _ := strconv.ParseUint(digits, 10, 64)
	if number >= bufferedError {
		return Bits{}, fmt.Errorf("a buffered keypad sends no number from %d on", bufferedError)
	}
	return h10301().Encode(k.Facility, number)
}

func (k Buffered) check(size int) error {
	if size < 1 || size > MaxBufferedSize {
		return fmt.Errorf("codes of %d digits: a %s keypad sends 1 to %d", size, BufferedName, MaxBufferedSize)
	}
	if k.Facility > 255 {
		return fmt.Errorf("facility code %d of a %s keypad: want 0 to 255", k.Facility, BufferedName)
	}
	return nil
}

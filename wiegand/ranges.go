package wiegand

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseRanges reads ranges of bits such as "0-3,7" within a frame, and returns
// them in their order and as a mask of the frame's length.
func parseRanges(text string, length int) (Bits, []Field, error) {
	if len(text) > maxSpecText {
		return Bits{}, nil, fmt.Errorf("%d characters: at most %d are allowed", len(text), maxSpecText)
	}
	m := NewBits(0, length)
	var ranges []Field
	for part := range strings.SplitSeq(text, ",") {
		f, err := parseRange(strings.TrimSpace(part))
		if err != nil {
			return Bits{}, nil, fmt.Errorf(`%.16q: %w: want bits such as "3" or "3-17"`, part, err)
		}
		if f.To >= length {
			return Bits{}, nil, fmt.Errorf("%.16q: the last bit is %d", part, length-1)
		}
		one := mask(length, f.From, f.To)
		if m.onesUnder(one) > 0 {
			return Bits{}, nil, fmt.Errorf("%.16q: a bit of it stands before already", part)
		}
		m = Bits{hi: m.hi | one.hi, lo: m.lo | one.lo, n: m.n}
		ranges = append(ranges, f)
	}
	return m, ranges, nil
}

func parseRange(text string) (Field, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	from, err := parseBit(first)
	if err != nil {
		return Field{}, err
	}
	to, err := parseBit(last)
	if err != nil {
		return Field{}, err
	}
	if to < from {
		return Field{}, errors.New("its end is before its beginning")
	}
	return Field{from, to}, nil
}

// parseBit reads 1 to 3 decimal digits; Atoi alone would take a sign.
func parseBit(text string) (int, error) {
	if text == "" || len(text) > 3 || strings.Trim(text, "0123456789") != "" {
		return 0, errors.New("not the number of a bit")
	}
	return strconv.Atoi(text)
}

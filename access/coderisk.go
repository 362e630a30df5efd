package access

import "fmt"

// MaxCodes is how many codes of a size there may be, so that a code that was
// guessed is right once in 1,000 tries at most (IEC 60839-11-1): 10 of 4
// digits, 100 of 5, 1,000 of 6.
func MaxCodes(size int) int {
	n := 1
	for range min(max(size-3, 0), MaxCodeSize) {
		n *= 10
	}
	if size < 3 {
		return 0
	}
	return n
}

// CodeRisk says what is wrong with a number of codes of a size, "" when they
// are few enough to be hard to guess.
func CodeRisk(size, count int) string {
	most := MaxCodes(size)
	if count <= most {
		return ""
	}
	more := size
	for more < MaxCodeSize && MaxCodes(more) < count {
		more++
	}
	return fmt.Sprintf("%d codes of %d digits are too easy to guess: at most %d (IEC 60839-11-1 wants 1,000 possible codes for each in use); use %d digits",
		count, size, most, more)
}

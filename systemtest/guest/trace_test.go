//go:build linux

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDrivenLevels(t *testing.T) {
	const trace = `# tracer: nop
 posternd-80  [000] .....  3.1: gpio_value: 508 set 0
 posternd-80  [000] .....  3.2: gpio_value: 50 set 1
 posternd-80  [000] .....  3.3: gpio_value: 508 get 1
 posternd-80  [000] .....  3.4: gpio_value: 508 set 1
`
	if diff := cmp.Diff([]bool{false, true}, drivenLevels(trace, 508)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := drivenLevels(trace, 5); len(got) > 0 {
		t.Errorf("another line's number in part: %v", got)
	}
}

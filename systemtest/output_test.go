package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestOutputKeepsLinesWhole(t *testing.T) {
	var b strings.Builder
	o := &output{w: &b}
	one, two := o.prefixed("gpio"), o.prefixed("cuts")
	for _, w := range []struct {
		part interface{ Write([]byte) (int, error) }
		text string
	}{{one, "a"}, {two, "b\nc"}, {one, "d\n\n"}, {two, "\n"}} {
		if _, err := fmt.Fprint(w.part, w.text); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := b.String(), "cuts     b\ngpio     ad\ngpio     \ncuts     c\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

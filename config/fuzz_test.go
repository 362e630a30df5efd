package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func checkFaults(t *testing.T, data []byte) {
	t.Helper()
	c, faults := Parse("panel.toml", data)
	if (c == nil) != (len(faults) > 0) {
		t.Fatalf("got %v and %d faults, want one of the two", c, len(faults))
	}
	if c != nil && (c.Policy() == nil || c.Panel.SystemID == "") {
		t.Fatal("a file without faults gave a configuration that can't be used")
	}
	last := strings.Count(string(data), "\n") + 1
	for _, f := range faults {
		if f.Line < 1 || f.Line > last || f.Message == "" || len(f.Path) > 1024 || !utf8.ValidString(f.Path) {
			t.Fatalf("%+v in a file of %d lines", f, last)
		}
	}
	if !slices.IsSortedFunc(faults, func(a, b Fault) int { return a.Line - b.Line }) {
		t.Fatalf("out of order: %v", faults)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(testFiles, "*.toml"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		f.Add(readFile(f, file))
	}
	f.Add([]byte("a.b.c.d.e.f.g.h.i.j=[[[[[[[[[[[[{a=1}]]]]]]]]]]]]"))
	f.Add([]byte("[[reader]]\n[reader.spare]\n[[door.times]]\n\"\" = {}\r\n"))
	f.Fuzz(checkFaults)
}

// What is legal TOML and far out of proportion is refused without taking memory
// out of proportion to its size.
func TestHostileShapes(t *testing.T) {
	const size = MaxSize / 2
	for name, text := range map[string]string{
		"deep lists":      "a = " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"deep keys":       strings.Repeat("a.", 9000) + "a = 1",
		"long table name": "[" + strings.Repeat("k", size) + "]\n" + rows(size, "k%d = 1\n"),
		"many readers":    strings.Repeat("[[reader]]\n", size/11),
		"many unknown":    rows(size/16, "k%d = 1\n"),
		"long list": minimal + "[[access_level]]\nid = \"5b8d6c1e-0f4a-4f0e-9d0c-2f6a1b3c4d5e\"\nname = \"x\"\n" +
			"grants = [{ schedule = \"always\", access_points = [" + strings.Repeat(`"a",`, size/4) + "]}]",
	} {
		t.Run(name, func(t *testing.T) {
			checkFaults(t, []byte(text))
			total := 0
			found, _ := scan([]byte(text))
			for path := range found {
				total += len(path)
			}
			if most := 64 * len(text); total > most {
				t.Errorf("the paths of %d bytes take %d bytes, want %d at most", len(text), total, most)
			}
		})
	}
}

// rows repeats a line with a counter up to a size.
func rows(size int, format string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

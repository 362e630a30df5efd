package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConformance finds a requirement in docs/conformance.md without a test, and a
// test that is not there.
func TestConformance(t *testing.T) {
	data, err := os.ReadFile("../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, rest, ok := strings.Cut(string(data), "\n## What only hardware")
	if !ok {
		t.Fatal("the two parts of docs/conformance.md are not to be told apart")
	}
	_, shown, _ = strings.Cut(shown, "\n## What software shows")
	named := regexp.MustCompile("`([a-z0-9/-]+)\\.(Test\\w+|Fuzz\\w+)`")
	if m := named.FindString(rest); m != "" {
		t.Errorf("%s stands in the part that no test shows", m)
	}
	known := map[string]map[string]bool{}
	rows := 0
	for line := range strings.Lines(shown) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[0]) == "the requirement" {
			continue
		}
		rows++
		tests := named.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(cells) != 3 || len(tests) == 0 {
			t.Errorf("no test shows it: %s", line)
		}
		for _, m := range tests {
			if known[m[1]] == nil {
				known[m[1]] = testsIn(t, filepath.Join("..", filepath.FromSlash(m[1])))
			}
			if !known[m[1]][m[2]] {
				t.Errorf("%s has no test %s", m[1], m[2])
			}
		}
	}
	if rows < 30 {
		t.Errorf("%d requirements were read: has the table another form?", rows)
	}
}

// testsIn are the names of a folder's test functions.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Errorf("%s has no tests (%v)", dir, err)
	}
	out := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				out[fn.Name.Name] = true
			}
		}
	}
	return out
}

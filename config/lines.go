package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxDepth bounds the paths that lines keeps. The file needs five parts;
// without a bound a hostile one would make paths of a megabyte.
const maxDepth = 8

// maxKey bounds one part of a path, in bytes.
const maxKey = 64

// member is the path of a key in the table at path.
func member(path, key string) string {
	if len(key) > maxKey {
		key = key[:maxKey]
		for !utf8.ValidString(key) {
			key = key[:len(key)-1]
		}
		key += "…"
	}
	if !isBare(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func isBare(key string) bool {
	for i := range len(key) {
		c := key[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return key != ""
}

// element is the path of entry i of the array at path.
func element(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

// outer is the path of the table or list around a member, "" at the top.
func outer(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// lines maps the path of every member that a file sets to its line.
type lines map[string]int

// set reports whether the file sets the member.
func (l lines) set(path string) bool { return l[path] > 0 }

// of gives the line of a member, or of the nearest table around one that is
// left out; 1 when there is none.
func (l lines) of(path string) int {
	for ; path != ""; path = outer(path) {
		if line, ok := l[path]; ok {
			return line
		}
	}
	return 1
}

// twice is a member that is set a second time.
type twice struct {
	path        string
	line, first int
}

// scan finds the lines of a document's members, and those that are set twice,
// up to the first fault of syntax.
func scan(data []byte) (lines, []twice) {
	s := scanner{starts: lineStarts(data), lines: lines{}, leaves: map[string]bool{}, tables: map[string]int{}}
	s.parser.Reset(data)
	table := ""
	for s.parser.NextExpression() {
		n := s.parser.Expression()
		if n.Kind == unstable.KeyValue {
			s.keyValue(table, n, 0)
			continue
		}
		table = s.header(n)
	}
	return s.lines, s.twice
}

// scanner walks the expressions of one document.
type scanner struct {
	parser unstable.Parser
	starts []int // offsets of the lines
	lines  lines
	leaves map[string]bool // paths of key = value
	tables map[string]int  // how many [[headers]] there were of each path
	twice  []twice
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func (s *scanner) line(n *unstable.Node) int {
	i, found := slices.BinarySearch(s.starts, int(n.Raw.Offset))
	if found {
		return i + 1
	}
	return i
}

// note keeps the first line of a path.
func (s *scanner) note(path string, line int) {
	if _, ok := s.lines[path]; !ok {
		s.lines[path] = line
	}
}

// header notes a [table] or [[table]] and gives its path.
func (s *scanner) header(n *unstable.Node) string {
	path, line := "", 0
	it := n.Key()
	for depth := 0; it.Next() && depth < maxDepth; depth++ {
		if i := s.tables[path]; i > 0 {
			path = element(path, i-1)
		}
		path, line = member(path, string(it.Node().Data)), s.line(it.Node())
		s.note(path, line)
	}
	if n.Kind == unstable.ArrayTable {
		s.tables[path]++
		path = element(path, s.tables[path]-1)
		s.note(path, line)
	}
	return path
}

func (s *scanner) keyValue(path string, n *unstable.Node, depth int) {
	line := 0
	for it := n.Key(); it.Next(); depth++ {
		if depth == maxDepth {
			return
		}
		path, line = member(path, string(it.Node().Data)), s.line(it.Node())
		s.note(path, line)
	}
	if s.leaves[path] {
		s.twice = append(s.twice, twice{path: path, line: line, first: s.lines[path]})
	}
	s.leaves[path] = true
	s.value(path, n.Value(), line, depth)
}

// value notes what is inside an array or an inline table. Those have no place
// of their own in the syntax tree: the first thing inside gives it.
func (s *scanner) value(path string, n *unstable.Node, line, depth int) {
	if depth == maxDepth {
		return
	}
	switch n.Kind {
	case unstable.InlineTable:
		for it := n.Children(); it.Next(); {
			s.keyValue(path, it.Node(), depth)
		}
	case unstable.Array:
		i := 0
		for it := n.Children(); it.Next(); i++ {
			path, inner := element(path, i), it.Node()
			for range maxDepth {
				if inner.Raw.Length > 0 || inner.Child() == nil {
					break
				}
				inner = inner.Child()
			}
			if inner.Raw.Length > 0 {
				line = s.line(inner)
			}
			s.note(path, line)
			s.value(path, it.Node(), line, depth+1)
		}
	}
}

package config

import (
	"cmp"
	"fmt"
	"slices"

	"postern/wiegand"
)

// Fault is one thing that is wrong with a file.
type Fault struct {
	File string
	// Line is where it is, from 1; for a member that is missing, the line of
	// the table that it is missing from.
	Line int
	// Path is the member, such as access_level[1].grants[0].schedule; "" when
	// the file as a whole is at fault.
	Path    string
	Message string
}

// String gives file:line: path: message.
func (f Fault) String() string {
	if f.Path == "" {
		return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Path, f.Message)
}

// checker collects the faults of one file.
type checker struct {
	file   string
	lines  lines
	faulty map[string]bool           // paths that have a fault, or can't be at fault
	broken map[string]bool           // paths whose value is of the wrong type
	own    map[string]wiegand.Format // the file's, by name in small letters
	faults []Fault
}

// fault adds a fault, unless its path has one, or is inside a value of the wrong
// type: what was wrong first is the cause of the rest.
func (v *checker) fault(path, format string, args ...any) {
	if v.faulty[path] {
		return
	}
	for p := outer(path); p != ""; p = outer(p) {
		if v.broken[p] {
			return
		}
	}
	v.faulty[path] = true
	v.faults = append(v.faults, Fault{File: v.file, Line: v.lines.of(path), Path: path, Message: fmt.Sprintf(format, args...)})
}

// sorted gives the faults by line.
func (v *checker) sorted() []Fault {
	slices.SortStableFunc(v.faults, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return v.faults
}

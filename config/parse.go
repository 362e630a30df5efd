package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// MaxSize bounds a file, in bytes.
const MaxSize = 1 << 20

// Load reads and checks a file as Parse does. The error says that it can't be
// read; the faults are nil then.
func Load(path string) (*Config, []Fault, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	c, faults := Parse(path, data)
	return c, faults, nil
}

// Parse checks the text of a panel.toml; file is its name in the faults. It
// gives every fault at once, by line, or a Config that is ready to use, nil
// when there are faults.
func Parse(file string, data []byte) (*Config, []Fault) {
	v := &checker{file: file, faulty: map[string]bool{}, broken: map[string]bool{}}
	if len(data) > MaxSize {
		v.fault("", "the file is larger than %d bytes", MaxSize)
		return nil, v.faults
	}
	var doc map[string]any
	if err := toml.Unmarshal(data, &doc); err != nil {
		return nil, v.syntax(data, err)
	}
	v.lines, _ = scan(data)
	c := Default()
	(&decoder{v}).table("", doc, reflect.ValueOf(&c).Elem())
	v.settle(&c)
	v.validate(&c)
	v.compile(&c)
	if len(v.faults) > 0 {
		return nil, v.sorted()
	}
	return &c, nil
}

// syntax gives the faults of a document that is not TOML: every member that is
// set twice, and the place where the parser gave up.
func (v *checker) syntax(data []byte, err error) []Fault {
	where := Fault{File: v.file, Line: 1, Message: strings.TrimPrefix(err.Error(), "toml: ")}
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		where.Line, _ = de.Position()
	}
	_, again := scan(data)
	known := false
	for _, t := range again {
		v.faults = append(v.faults, Fault{
			File: v.file, Line: t.line, Path: t.path,
			Message: fmt.Sprintf("is set already on line %d", t.first),
		})
		known = known || t.line == where.Line
	}
	if !known {
		v.faults = append(v.faults, where)
	}
	return v.sorted()
}

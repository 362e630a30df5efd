// Command wiring draws how each shipped profile is wired, from its panel.toml
// alone, so that the drawing can't drift from what the daemon does.
//
//	go run ./firmware-config/wiring           from the project's folder
//
// For each firmware-config/examples/NAME.toml it writes docs/wiring/NAME.svg, the
// diagram; docs/wiring/NAME.md, the table; and firmware-config/pins/NAME.txt, what
// the lines are while the board starts, for config.txt of a Raspberry Pi. It also
// takes profiles of your own:
//
//	go run ./firmware-config/wiring -out DIR FILE...
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postern/config"
)

func main() {
	out := flag.String("out", "", "`folder` for all that is made; default the project's")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "wiring:", err)
		os.Exit(1)
	}
}

func run(out string, files []string) error {
	if len(files) == 0 {
		var err error
		if files, err = filepath.Glob("firmware-config/examples/*.toml"); err != nil || len(files) == 0 {
			return errors.New("no profiles in firmware-config/examples: run this in the project's folder, or name files")
		}
	}
	for _, f := range files {
		made, err := draw(f)
		if err != nil {
			return err
		}
		for path, data := range made {
			if out != "" {
				path = filepath.Join(out, filepath.Base(path))
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// draw gives what is made of one profile, by path below the project's folder.
func draw(file string) (map[string][]byte, error) {
	c, faults, err := config.Load(file)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%v (posternd check lists all)", faults[0])
	}
	p, err := plan(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	name := strings.TrimSuffix(filepath.Base(file), ".toml")
	p.file = name
	return map[string][]byte{
		"docs/wiring/" + name + ".svg":          p.svg(),
		"docs/wiring/" + name + ".md":           p.table(),
		"firmware-config/pins/" + name + ".txt": p.pins(),
	}, nil
}

// Command wiring draws how each shipped profile is wired, from its panel.toml
// alone, so that the drawing can't drift from what the daemon does.
//
//	go run ./firmware-config/wiring           from the project's folder
//
// For each firmware-config/examples/NAME.toml it writes docs/wiring/NAME.svg, the
// diagram; docs/wiring/NAME.md, the table; and firmware-config/pins/NAME.txt, what
// the lines are while the board starts, for config.txt of a Raspberry Pi. A panel's
// own configuration is drawn by postern wiring.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"postern/config"
	"postern/firmware-config/wiring/plan"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "wiring:", err)
		os.Exit(1)
	}
}

func run() error {
	files, err := filepath.Glob("firmware-config/examples/*.toml")
	if err != nil || len(files) == 0 {
		return errors.New("no profiles in firmware-config/examples: run this in the project's folder")
	}
	for _, f := range files {
		made, err := draw(f)
		if err != nil {
			return err
		}
		for path, data := range made {
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
	name := strings.TrimSuffix(filepath.Base(file), ".toml")
	made, err := plan.Of(name, c, "firmware-config/examples/"+name+".toml by go run ./firmware-config/wiring")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return map[string][]byte{
		"docs/wiring/" + name + ".svg":          made.SVG,
		"docs/wiring/" + name + ".md":           made.Table,
		"firmware-config/pins/" + name + ".txt": made.Pins,
	}, nil
}

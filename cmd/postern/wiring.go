package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/config"
	"postern/firmware-config/wiring/plan"
)

func newWiring(o *options) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "wiring DIR", Short: "Draw how this panel is wired, from its configuration", Args: exactArgs("DIR"),
		Long: "wiring writes into a folder, replacing what it wrote before: NAME.svg, the diagram; NAME.md, the table with the rules of\n" +
			"electrics and life safety; and NAME-pins.txt, for /boot/firmware/postern-pins.txt of a Raspberry Pi. NAME is the panel's\n" +
			"system id. It needs no daemon.",
		RunE: func(_ *cobra.Command, args []string) error {
			c, faults, err := config.Load(file)
			switch {
			case err != nil:
				return fmt.Errorf("read configuration: %w", err)
			case len(faults) > 0:
				return fmt.Errorf("the configuration has %s, the first: %s", count(len(faults), "fault"), faults[0])
			}
			name := c.Panel.SystemID
			made, err := plan.Of(name, c, filepath.Base(file)+" by postern wiring")
			if err != nil {
				return fmt.Errorf("draw %s: %w", file, err)
			}
			written := map[string]string{"diagram": name + ".svg", "table": name + ".md", "pins": name + "-pins.txt"}
			for what, data := range map[string][]byte{"diagram": made.SVG, "table": made.Table, "pins": made.Pins} {
				written[what] = filepath.Join(args[0], written[what])
				if err := os.WriteFile(written[what], data, 0o644); err != nil {
					return fmt.Errorf("write the wiring: %w", err)
				}
			}
			return o.report(written, "%s\n%s\n%s", written["diagram"], written["table"], written["pins"])
		},
	}
	cmd.Flags().StringVar(&file, "config", defaultConfig, "the daemon's configuration `file`")
	return cmd
}

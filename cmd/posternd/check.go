package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"postern/config"
)

const defaultConfig = "/etc/postern/panel.toml"

func newCheck() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "List every fault of a configuration, each with file and line",
		Long: "check reads a configuration as run does, and lists everything that is wrong with it.\n" +
			"It exits with 0 when there is nothing, and with 2 otherwise.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, faults, err := config.Load(path)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			if asJSON {
				return checkJSON(faults)
			}
			for _, f := range faults {
				fmt.Println(f)
			}
			if len(faults) > 0 {
				return fmt.Errorf("%w: %s in %s", errUsage, count(len(faults), "fault"), path)
			}
			fmt.Printf("%s: no faults (panel %s: %s, %s, %s)\n", path, cfg.Panel.SystemID,
				count(len(cfg.Doors), "door"), count(len(cfg.Readers), "reader"), count(len(cfg.Levels), "access level"))
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line for each fault")
	return cmd
}

func checkJSON(faults []config.Fault) error {
	enc := json.NewEncoder(os.Stdout)
	for _, f := range faults {
		v := struct {
			File    string `json:"file"`
			Line    int    `json:"line"`
			Path    string `json:"path,omitempty"`
			Message string `json:"message"`
		}{f.File, f.Line, f.Path, f.Message}
		if err := enc.Encode(v); err != nil {
			return fmt.Errorf("write faults: %w", err)
		}
	}
	if len(faults) > 0 {
		return errUsage
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

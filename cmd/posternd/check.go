package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/config"
	"postern/store"
)

const defaultConfig = "/etc/postern/panel.toml"

func newCheck() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "List every fault of a configuration, each with file and line",
		Long: "check reads a configuration as run does, and lists everything that is wrong with it.\n" +
			"It exits with 0 when there is nothing, and with 2 otherwise.\n\n" +
			"Where the daemon does not run, it also counts the keypad codes in the key store, and warns\n" +
			"where there are too many for their length; postern doctor does that while it runs.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, faults, err := config.Load(path)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			var warnings []string
			if len(faults) == 0 {
				warnings = codeWarnings(cfg)
			}
			if asJSON {
				return checkJSON(path, faults, warnings)
			}
			for _, f := range faults {
				fmt.Println(f)
			}
			if len(faults) > 0 {
				return fmt.Errorf("%w: %s in %s", errUsage, count(len(faults), "fault"), path)
			}
			for _, w := range warnings {
				fmt.Printf("%s: warning: %s\n", path, w)
			}
			fmt.Printf("%s: no faults (panel %s: %s, %s, %s)\n", path, cfg.Panel.SystemID,
				count(len(cfg.Doors), "door"), count(len(cfg.Readers), "reader"), count(len(cfg.Levels), "access level"))
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line for each fault and warning")
	return cmd
}

// codeWarnings says where a guessed code would be right too often, by the key store
// of a daemon that does not run. Where nothing can be counted, it says that, if there
// is something to count.
func codeWarnings(cfg *config.Config) []string {
	codes, err := store.CodesIn(filepath.Join(cfg.Panel.DataDir, "keys.db"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err == nil:
		if risk := access.CodeRisk(codes.Size, codes.Count); risk != "" {
			return []string{risk}
		}
		return nil
	case !cfg.Codes.Enabled:
		return nil
	case errors.Is(err, store.ErrLocked):
		return []string{"codes were not counted: the daemon runs, so ask postern doctor"}
	}
	return []string{"codes were not counted: " + err.Error()}
}

// checked is one line of the JSON output.
type checked struct {
	Level   string `json:"level"` // fault or warning
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

func checkJSON(file string, faults []config.Fault, warnings []string) error {
	var all []checked
	for _, f := range faults {
		all = append(all, checked{"fault", f.File, f.Line, f.Path, f.Message})
	}
	for _, w := range warnings {
		all = append(all, checked{Level: "warning", File: file, Message: w})
	}
	enc := json.NewEncoder(os.Stdout)
	for _, v := range all {
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

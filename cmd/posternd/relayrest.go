package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"postern/config"
	"postern/hal"
)

func newRelayRest() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "relay-rest",
		Short: "Put every output to rest, as on_panel_dead says; for ExecStopPost",
		Long: "relay-rest drives every lock, lamp and auxiliary output of the configuration to its rest state and lets go of\n" +
			"the lines. systemd runs it when the daemon has ended, also after a crash, since a line keeps its last level.\n" +
			"It opens no reader and no store, goes on where one line fails, and exits with 1 then.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			if cfg.Board.Driver == config.Simulated {
				return nil // its relays went with the daemon
			}
			if err := hal.Rest(wiringOf(cfg), slog.New(slog.NewTextHandler(os.Stderr, nil))); err != nil {
				return fmt.Errorf("put outputs to rest: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	return cmd
}

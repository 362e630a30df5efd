package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/central"
)

func newCheck(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with the configuration, and change nothing",
		Long: `Reads the configuration file, the environment and every file that they name, and
lists all faults at once. It opens no database and reaches for no network.

These variables of the environment go over the file, and flags go over both. One
that begins so and is not among them is an error:
  ` + strings.Join(central.EnvironmentVariables(), "\n  "),
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			if err := errors.Join(c.Validate(), c.CheckFiles()); err != nil {
				from := o.config
				if from == "" {
					from = "configuration"
				}
				return usageError{fmt.Errorf("%s:\n  %s", from, strings.ReplaceAll(err.Error(), "\n", "\n  "))}
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return nil
		},
	}
}

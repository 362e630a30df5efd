// Command posternd is the controller daemon of one access-control panel.
//
// It is started by systemd with `posternd run --config /etc/postern/panel.toml`;
// SIGHUP reads the configuration again, and a faulty one leaves the running one
// in force. `posternd check` lists every fault of a configuration, each with
// file and line. Exit codes: 0 done, 1 failed, 2 usage or a faulty
// configuration.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"postern/store"
)

// version is set by the linker in released builds.
var version = ""

// builtAt is the time of the commit (RFC 3339), set by the linker too.
var builtAt = ""

// errUsage marks errors of usage and configuration, which exit with 2.
var errUsage = errors.New("usage")

func main() { os.Exit(execute(os.Args[1:])) }

func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.Execute()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		if text := err.Error(); text != errUsage.Error() {
			fmt.Fprintln(os.Stderr, "posternd:", text)
		}
		return 2
	}
	fmt.Fprintln(os.Stderr, "posternd:", err)
	switch {
	case errors.Is(err, store.ErrUnchecked):
		return exitUnchecked
	case errors.Is(err, store.ErrNewer):
		return exitNewer
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "posternd",
		Short:         "Controller daemon of an access-control panel",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return fmt.Errorf("%w: name a command, such as run", errUsage)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
	})
	root.AddCommand(newRun(), newCheck(), newRelayRest(), newCheckStore())
	return root
}

// usageArgs makes a wrong number of arguments an error of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: %w (see %s --help)", errUsage, err, cmd.CommandPath())
		}
		return nil
	}
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

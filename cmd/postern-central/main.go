// Command postern-central is Postern's central server and its administration.
//
//	postern-central serve --config /etc/postern/central.toml
//	postern-central keys create --integration reception
//	postern-central users add 'Ann Lee' --role approver
//	postern-central panels add abc123-001
//	postern-central modes set abc123-001 '*' LockedDown
//	postern-central command unlock abc123-001 front
//
// The administrative commands open the same database as the server, also while
// it runs. Exit codes: 0 done, 1 not done, 2 called or configured wrongly.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"postern/central"
)

// version is set by the linker in releases.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// usageError is a call or a configuration that is wrong.
type usageError struct{ error }

// Unwrap gives what is wrong.
func (e usageError) Unwrap() error { return e.error }

// run is the whole program but the process: it gives the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "postern-central: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "postern-central: %v\n", err)
	return 1
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// options are the flags that every command has.
type options struct {
	config    string
	database  string
	secretKey string
	signing   string
	logLevel  string
	json      bool
}

func newRoot() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:              "postern-central",
		Short:            "Postern's central server and its administration",
		Version:          versionText(),
		SilenceUsage:     true,
		SilenceErrors:    true,
		Args:             noArgs,
		PersistentPreRun: trail,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("name a command")}
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate("postern-central {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	})
	f := root.PersistentFlags()
	f.StringVar(&o.config, "config", "", "configuration `file` (TOML)")
	f.StringVar(&o.database, "database", "", "SQLite `file` or postgres:// URL, over the configuration's")
	f.StringVar(&o.secretKey, "secret-key-file", "", "`file` of the key that seals codes and PINs, over the configuration's")
	f.StringVar(&o.signing, "signing-key-file", "", "`file` of the keys that sign what goes to panels, over the configuration's")
	f.StringVar(&o.logLevel, "log-level", "", "debug, info, warn or error, over the configuration's")
	f.BoolVar(&o.json, "json", false, "print data as JSON")
	root.AddCommand(newServe(&o), newCheck(&o), newKeys(&o), newUsers(&o), newPanels(&o), newLevels(&o),
		newPolicy(&o), newModes(&o), newCommand(&o), newSigning(&o), newAudit(&o), newImport(&o), newBackup(&o), newMigrate(&o))
	return root
}

// load reads the configuration and puts the flags over it.
func (o *options) load() (central.Config, error) {
	c := central.DefaultConfig()
	if o.config != "" {
		var err error
		if c, err = central.LoadConfig(o.config); err != nil {
			return c, usageError{err}
		}
	}
	if err := c.Override(os.Environ()); err != nil {
		return c, usageError{err}
	}
	set(&c.Database, o.database)
	set(&c.SecretKeyFile, o.secretKey)
	set(&c.SigningKeyFile, o.signing)
	set(&c.LogLevel, o.logLevel)
	return c, nil
}

func set(to *string, flag string) {
	if flag != "" {
		*to = flag
	}
}

// noArgs and exactArgs are cobra's, as usage errors.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command or argument %.40q (see %s --help)", args[0], cmd.CommandPath())}
	}
	return nil
}

func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usageError{fmt.Errorf("%s wants %d argument(s): %v", cmd.CommandPath(), len(names), names)}
		}
		return nil
	}
}

// rangeArgs is exactArgs for commands whose last arguments may be left out.
func rangeArgs(least, most int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return usageError{fmt.Errorf("%s wants %d to %d arguments: %v", cmd.CommandPath(), least, most, names)}
		}
		return nil
	}
}

// group is a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		_ = cmd.Help()
		return usageError{errors.New("name a command")}
	}}
	g.AddCommand(commands...)
	return g
}

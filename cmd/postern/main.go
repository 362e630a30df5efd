// Command postern is the installer's tool at the panel: it asks the running
// daemon, over its unix socket, how things are, and shows what readers send.
//
//	postern status             what is wrong, and what to do about it
//	postern watch              reads with their raw bits, doors and events, live
//	postern keys list
//	postern unlock front
//	postern lockdown           every door, until postern lockdown --end
//	postern explain …          what would come of a card, and why
//	postern identify front     which of the readers it is
//	postern commission FILE    prove each door before you leave
//	postern output bell on
//	postern demo               a whole site on this machine, without hardware
//
// With --json, data is one JSON object a line. Exit codes: 0 done, 1 refused or
// failed, 2 usage, 3 the daemon can't be reached.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"postern/api"
)

// version is set by the linker in released builds.
var version = ""

const defaultSocket = "/run/postern/postern.sock"

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal does what it does without us.
	context.AfterFunc(ctx, stop)
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// usageError is a call that is wrong.
type usageError struct{ error }

// Unwrap gives what is wrong.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// execute is the whole program but the process: it gives the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := &options{out: stdout, err: stderr}
	root := newRoot(o)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	text, code := err.Error(), exitFailed
	var usage usageError
	switch {
	case errors.As(err, &usage):
		code = exitUsage
	case errors.Is(err, api.ErrUnreachable):
		text, code = unreachable(o.socket, err), exitUnreachable
	}
	fmt.Fprintln(printable{stderr}, "postern:", strings.ReplaceAll(text, "\n", "; "))
	return code
}

// unreachable says what to do about a daemon that can't be reached.
func unreachable(socket string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("there is no socket at %s: start the daemon (systemctl start posternd), or name its socket with --socket or POSTERN_SOCKET", socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("this user may not open %s: run as root, or as a member of the socket's group (ls -l %s)", socket, socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing answers on %s: start the daemon (systemctl start posternd), and see why it ended (journalctl -u posternd)", socket)
	}
	return fmt.Sprintf("%v (socket %s); see the daemon's state with systemctl status posternd", err, socket)
}

// options are the flags that every command has, and where it writes.
type options struct {
	socket   string
	json     bool
	out, err io.Writer
}

// client gives the daemon.
func (o *options) client() (*api.Client, error) {
	if err := api.CheckSocketPath(o.socket); err != nil {
		return nil, usageError{err}
	}
	return api.NewClient(o.socket), nil
}

func newRoot(o *options) *cobra.Command {
	root := group("postern", "The installer's tool at an access-control panel",
		newStatus(o), newDoors(o), newWatch(o), newEvents(o), newKeys(o), newUnlock(o), newMode(o), newLockdown(o),
		newExplain(o), newPolicy(o), newInside(o), newForgive(o), newIdentify(o), newOutput(o), newDecode(o),
		newDoctor(o), newBackup(o), newRestore(o), newSupportBundle(o), newCommission(o), newWiring(o), newSim(o), newDemo(o))
	root.Version = versionText()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetVersionTemplate("postern {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w (see %s --help)", err, cmd.CommandPath())
	})
	socket := os.Getenv("POSTERN_SOCKET")
	if socket == "" {
		socket = defaultSocket
	}
	root.PersistentFlags().StringVar(&o.socket, "socket", socket, "the daemon's unix socket, also POSTERN_SOCKET")
	root.PersistentFlags().BoolVar(&o.json, "json", false, "print data as JSON, one object a line")
	return root
}

// group is a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return usagef("name a command (see %s --help)", cmd.CommandPath())
	}}
	g.AddCommand(commands...)
	return g
}

// noArgs and exactArgs are cobra's, as errors of usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unknown command or argument %.40q (see %s --help)", args[0], cmd.CommandPath())
	}
	return nil
}

func exactArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usagef("%s wants %s (see %s --help)", cmd.CommandPath(), strings.Join(names, " "), cmd.CommandPath())
		}
		for i, a := range args {
			if a == "" {
				return usagef("%s is empty (see %s --help)", names[i], cmd.CommandPath())
			}
		}
		return nil
	}
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"postern/store"
)

// Bounds of the boot check. A damaged file can make its reader loop or allocate
// without end, so the check runs in a child process that can be killed.
const (
	checkTimeout = 2 * time.Minute
	checkMemory  = 512 << 20
)

// newCheckStore is what the daemon runs of itself to check a database file.
func newCheckStore() *cobra.Command {
	return &cobra.Command{
		Use:    "check-store FILE",
		Short:  "Check a database file of a stopped daemon",
		Hidden: true,
		Args:   usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			limit := unix.Rlimit{Cur: checkMemory, Max: checkMemory}
			if err := unix.Setrlimit(unix.RLIMIT_DATA, &limit); err != nil {
				return fmt.Errorf("%w: limit memory: %w", store.ErrUnchecked, err)
			}
			return store.CheckFile(args[0])
		},
	}
}

// Exit codes of the child, besides 0 and 1 for damage.
const (
	exitUnchecked = 75 // nothing could be checked; EX_TEMPFAIL of sysexits.h
	exitNewer     = 76 // the file is of a later program
)

// checkInChild runs the boot check of one file in a process of its own. A child
// that could not run says nothing about the file: store.ErrUnchecked. A file of a
// later program is store.ErrNewer.
func checkInChild(ctx context.Context, path string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%w: find own program: %w", store.ErrUnchecked, err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "check-store", path)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: start the check: %w", store.ErrUnchecked, err)
	}
	err = cmd.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("check of %s did not end within %v", path, checkTimeout)
	case cmd.ProcessState.ExitCode() == exitUnchecked, killed(cmd.ProcessState):
		return fmt.Errorf("%w: %s", store.ErrUnchecked, childSays(out.String(), err))
	case cmd.ProcessState.ExitCode() == exitNewer:
		return fmt.Errorf("%w: %s", store.ErrNewer, strings.Replace(childSays(out.String(), err), store.ErrNewer.Error()+": ", "", 1))
	}
	return errors.New(childSays(out.String(), err))
}

// killed reports whether somebody ended the child: the kernel out of memory, or
// systemd at a stop. That says nothing about the file, as a crash of its own
// would.
func killed(s *os.ProcessState) bool {
	ws, ok := s.Sys().(syscall.WaitStatus)
	if !ok || !ws.Signaled() {
		return false
	}
	switch ws.Signal() {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP:
		return true
	}
	return false
}

// childSays gives the first line of what the child printed, which names the
// damage; a crash's trace is of no use to anybody at the panel.
func childSays(out string, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	line = strings.TrimPrefix(line, "posternd: ")
	if line == "" {
		return err.Error()
	}
	if len(line) > 300 {
		line = line[:300]
	}
	return line
}

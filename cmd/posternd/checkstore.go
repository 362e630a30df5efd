package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
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
				return fmt.Errorf("limit memory: %w", err)
			}
			return store.CheckFile(args[0])
		},
	}
}

// checkInChild runs the boot check of one file in a process of its own.
func checkInChild(ctx context.Context, path string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "check-store", path)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("check of %s did not end within %v", path, checkTimeout)
	}
	return errors.New(childSays(string(out), err))
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

package machine

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// Step does one step and tells, on one line of out, what it was, how long it took
// and whether it went well. The error says which step it was.
func Step(out io.Writer, what string, f func() error) error {
	began := time.Now()
	err := f()
	state := "done"
	if err != nil {
		state = "failed"
	}
	fmt.Fprintf(out, "  %-58s %6.1f s %s\n", what, time.Since(began).Seconds(), state)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Root returns the folder of the project, where its Makefile is.
func Root(ctx context.Context) (string, error) {
	out, err := run(ctx, "", "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	mod := strings.TrimSpace(out)
	if filepath.Base(mod) != "go.mod" {
		return "", fmt.Errorf("find the project: run this inside of it")
	}
	return filepath.Dir(mod), nil
}

// Build makes the daemon for an architecture as releases have it, by the project's
// Makefile, and returns its path.
func Build(ctx context.Context, root, arch string) (string, error) {
	if _, err := run(ctx, root, "make", "-s", "build-"+arch, "PROGRAMS=posternd"); err != nil {
		return "", err
	}
	return filepath.Join(root, "dist", arch, "posternd"), nil
}

// BuildTest makes a program of the tests, given by its folder below root, for an
// architecture: static, so that a guest needs nothing else.
func BuildTest(ctx context.Context, root, arch, folder, into string) error {
	_, err := run(ctx, root, "env", "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch,
		"go", "build", "-trimpath", "-ldflags", "-s -w", "-o", into, "./"+folder)
	return err
}

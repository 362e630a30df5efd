// Package module finds the source of this program.
package module

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Root is the folder of the module that is worked in.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module's folder: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

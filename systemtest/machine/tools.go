package machine

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
)

// MissingError is a tool that is not installed.
type MissingError struct {
	// Tool is the program, Package the Debian package that has it.
	Tool, Package string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: apt-get install %s", e.Tool, e.Package)
}

// Need returns a *MissingError for the first program, of pairs of program and
// Debian package, that is not there.
func Need(pairs ...[2]string) error {
	for _, p := range pairs {
		if _, err := exec.LookPath(p[0]); err != nil {
			return &MissingError{Tool: p[0], Package: p[1]}
		}
	}
	return nil
}

// triplets are GNU's names of the architectures.
var triplets = map[string]string{"arm64": "aarch64-linux-gnu", "amd64": "x86_64-linux-gnu"}

// needTools checks what fetching and building for an architecture takes.
func needTools(arch string) error {
	triplet, ok := triplets[arch]
	if !ok {
		return fmt.Errorf("there is no guest of architecture %q", arch)
	}
	err := Need([2]string{"apt-get", "apt"}, [2]string{"dpkg-deb", "dpkg"}, [2]string{"tar", "tar"}, [2]string{"xz", "xz-utils"}, [2]string{"make", "make"})
	if err != nil {
		return err
	}
	if !crosses(arch) {
		return Need([2]string{"gcc-12", "gcc-12"}, [2]string{"ld", "binutils"})
	}
	pkg := strings.ReplaceAll(triplet, "_", "-")
	return Need([2]string{triplet + "-gcc-12", "gcc-12-" + pkg}, [2]string{triplet + "-ld", "binutils-" + pkg})
}

func crosses(arch string) bool { return arch != runtime.GOARCH }

// run runs a program in a directory and returns its output; an error has the end
// of what it said.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(out.String() + "\n" + errs.String())
		if len(said) > 2000 {
			said = "… " + said[len(said)-2000:]
		}
		return "", fmt.Errorf("%s: %w: %s", name, err, said)
	}
	return out.String(), nil
}

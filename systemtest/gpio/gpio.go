// Package gpio tests the daemon through the kernel's GPIO character device: the
// shipped arm64 program runs in a machine whose simulated chip has the lines of a
// Raspberry Pi's header, with the shipped configurations, and the program in
// folder guest moves the lines.
//
// The machine's clock counts instructions, so that times are the guest's own and
// results repeat whatever else this host does.
package gpio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"postern/systemtest/gpio/plan"
	"postern/systemtest/machine"
)

const (
	part = "gpio"
	arch = "arm64"
)

// plans are how much is done, in short and in full.
func plans(full bool) plan.Plan {
	p := plan.Plan{
		Frames: 12, Badges: 60, Changes: 10_000,
		Lengths: []int{26, 34, 37, 40, 48},
		Periods: []time.Duration{2 * time.Millisecond, time.Millisecond, 500 * time.Microsecond, 200 * time.Microsecond},
	}
	if full {
		p.Frames, p.Badges, p.Changes = 200, 200, 100_000
	}
	return p
}

// Options are what a run is told.
type Options struct {
	Full     bool
	Progress io.Writer // gets what is done, and how long each step takes
	Work     string    // a folder for the run's own files; made when it is not there
}

// Run builds what is needed, runs the machine, and returns a row for each check.
// An error is a machine that did not get to its end; the rows until then are
// there too. A tool that is not installed is a *machine.MissingError.
func Run(ctx context.Context, o Options) (rows []machine.Row, err error) {
	program, err := machine.Program(arch)
	if err != nil {
		return nil, err
	}
	if err := machine.Need([2]string{program, "qemu-system-arm"}, [2]string{"make", "make"}); err != nil {
		return nil, err
	}
	root, err := machine.Root(ctx)
	if err != nil {
		return nil, err
	}
	kernel, err := machine.FetchKernel(ctx, arch, o.Progress)
	if err != nil {
		return nil, err
	}
	work := o.Work
	if err := os.MkdirAll(work, 0o755); err != nil {
		return nil, err
	}
	initrd := filepath.Join(work, "initrd")
	err = errors.Join(
		machine.Step(o.Progress, "build the daemon for "+arch, func() error {
			_, err := machine.Build(ctx, root, arch)
			return err
		}),
		machine.Step(o.Progress, "build the guest's program", func() error {
			return machine.BuildTest(ctx, root, arch, "systemtest/guest", filepath.Join(work, "guest"))
		}),
	)
	if err != nil {
		return nil, err
	}
	err = machine.Step(o.Progress, "write the first file system", func() error {
		return writeInitrd(initrd, root, work, kernel, plans(o.Full))
	})
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(report(root), "test-system-gpio.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	err = machine.Step(o.Progress, "the GPIO machine", func() error {
		rows, err = follow(ctx, machine.Options{
			Arch: arch, Kernel: kernel.Image, Initrd: initrd, Append: "quiet", Icount: true, Memory: 512, Log: log,
		}, maxRun(o.Full), o.Progress)
		return err
	})
	return rows, err
}

// report is where logs and tables go.
func report(root string) string {
	dir := filepath.Join(root, "build", "report")
	_ = os.MkdirAll(dir, 0o755) // creating a file in it tells
	return dir
}

// writeInitrd writes the guest's first and only file system.
func writeInitrd(to, root, work string, kernel machine.Kernel, p plan.Plan) error {
	files := map[string]machine.File{
		"/init":       {Path: filepath.Join(work, "guest"), Mode: 0o755},
		plan.Posternd: {Path: filepath.Join(root, "dist", arch, "posternd"), Mode: 0o755},
	}
	modules, err := kernel.Needs("configfs", "gpio-sim")
	if err != nil {
		return err
	}
	for _, name := range modules {
		raw, err := kernel.Module(name)
		if err != nil {
			return err
		}
		file := path.Join("/modules", name+".ko")
		files[file] = machine.File{Data: raw}
		p.Modules = append(p.Modules, file)
	}
	configs, err := panels(root)
	if err != nil {
		return err
	}
	for file, text := range configs {
		files[file] = machine.File{Data: []byte(text)}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	files[plan.Path] = machine.File{Data: raw}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(machine.Initramfs(f, files), f.Close())
}

// line is what the guest's program writes; other lines are the kernel's.
var line = regexp.MustCompile(`^(RESULT|NOTE|LOG|FATAL|DONE)(?: (.*))?$`)

// follow runs the machine and gathers what the guest tells.
func follow(ctx context.Context, o machine.Options, limit time.Duration, progress io.Writer) (rows []machine.Row, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the machine has not come to its end within %v", limit))
	defer cancel()
	vm, err := machine.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	defer vm.Kill()
	began := time.Now()
	for {
		m, err := vm.Expect(ctx, line)
		if err != nil {
			return rows, err
		}
		switch m[1] + " " {
		case plan.ResultLine:
			var r plan.Result
			if err := json.Unmarshal([]byte(m[2]), &r); err != nil {
				return rows, fmt.Errorf("the guest told %q: %w", m[2], err)
			}
			row := rowOf(r, time.Since(began))
			began = time.Now()
			rows = append(rows, row)
			fmt.Fprintf(progress, "    %-82s %s\n", row.Check, row.Result)
			if r.Detail != "" {
				fmt.Fprintf(progress, "      %s\n", r.Detail)
			}
		case plan.FatalLine:
			return rows, errors.New("the guest gave up: " + m[2])
		case plan.DoneLine + " ":
			return rows, nil
		default:
			fmt.Fprintf(progress, "    %s\n", strings.TrimSpace(m[2]))
		}
	}
}

// maxRun bounds a machine that hangs. On two busy processors, the short form takes
// 5 minutes, and the full one, with 17 times as many frames, an hour or more.
func maxRun(full bool) time.Duration {
	if full {
		return 4 * time.Hour
	}
	return 40 * time.Minute
}

func rowOf(r plan.Result, took time.Duration) machine.Row {
	detail := fmt.Sprintf("%.1f s of guest time", r.Guest.Seconds())
	if r.Detail != "" {
		detail += "; " + r.Detail
	}
	return machine.Row{Part: part, Check: r.Check, Result: r.Result, Detail: detail, OK: r.OK, Took: took}
}

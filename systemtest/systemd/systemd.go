// Package systemd boots a Debian with a real systemd in an emulated machine and
// takes the units of the project's packages through their life: start and readiness, a
// badge through the kernel's GPIO under the unit's sandbox, kill -9, a hang that
// the watchdog ends, a reboot, and a search of all logs for secrets.
//
// The machine is amd64 without KVM. Its clock counts instructions, so times are
// of the guest and repeat whatever else the host does. Under such a clock an idle
// machine's time leaps to the next timer, even while it waits for a disk, and all
// of systemd's time-outs strike: the root is therefore memory that persists (an
// NVDIMM), which nothing has to wait for. What is checked happens inside (see the
// program guest); this side makes the disk, boots it, and collects rows.
//
// The root is a minimal Debian 12, made once by mmdebstrap and kept in
// machine.Cache; each run copies it and puts the project's packages in, which the
// first boot installs.
package systemd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"postern/systemtest/machine"
	"postern/systemtest/module"
)

// Part is the name of the rows' part.
const Part = "systemd"

// Options are what a run is told.
type Options struct {
	Full     bool      // the daemon is killed 20 times in place of 3
	Progress io.Writer // gets what is done, and how long each step takes
	Work     string    // a folder for the run's own files; made when it is not there
}

// bootPatience bounds one boot with all its checks, on a busy host.
const bootPatience = 15 * time.Minute

// instruction makes a processor of 500 million instructions a second: less than
// the smallest panel has, a Raspberry Pi Zero with 1 GHz.
const instruction = 2 * time.Nanosecond

// errMachine marks a failure of the machine itself, which says nothing about the
// product: the run is made once more.
var errMachine = errors.New("the machine")

// Run makes the test and returns its rows. A tool that is not installed is a
// *machine.MissingError.
func Run(ctx context.Context, o Options) ([]machine.Row, error) {
	if err := missing(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Work, 0o755); err != nil {
		return nil, err
	}
	g, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	rows, err := g.run(ctx)
	if errors.Is(err, errMachine) && ctx.Err() == nil {
		fmt.Fprintf(o.Progress, "  systemd: %v\n  systemd: once more\n", err)
		rows, err = g.run(ctx)
	}
	return rows, err
}

// guest is what a run boots.
type guest struct {
	o      Options
	kernel machine.Kernel
	root   string // the cached image
	initrd string
	tree   string // the project's folder
	bin    string // the folder of the packages and the program inside
	logs   string // the folder for what the machine says
}

// prepare gets kernel and root, and makes the packages.
func prepare(ctx context.Context, o Options) (*guest, error) {
	g := &guest{o: o, initrd: filepath.Join(o.Work, "systemd.cpio"), bin: filepath.Join(o.Work, "bin")}
	var err error
	if g.tree, err = module.Root(ctx); err != nil {
		return nil, err
	}
	g.logs = filepath.Join(g.tree, "build", "report")
	if err := os.MkdirAll(g.logs, 0o755); err != nil {
		return nil, err
	}
	if g.kernel, err = machine.FetchKernel(ctx, "amd64", o.Progress); err != nil {
		return nil, err
	}
	if g.root, err = fetchRoot(ctx, o.Progress); err != nil {
		return nil, err
	}
	if err := g.step("make the packages", func() error { return build(ctx, g.tree, g.bin) }); err != nil {
		return nil, err
	}
	if err := g.step("make the initramfs", func() error { return g.makeInitrd() }); err != nil {
		return nil, err
	}
	return g, nil
}

// step runs f and tells how long it took.
func (g *guest) step(what string, f func() error) error { return step(g.o.Progress, what, f) }

func step(progress io.Writer, what string, f func() error) error {
	start := time.Now()
	err := f()
	fmt.Fprintf(progress, "  systemd: %s, %.1f s\n", what, time.Since(start).Seconds())
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// run makes a fresh disk and boots it twice.
func (g *guest) run(ctx context.Context) ([]machine.Row, error) {
	disk := filepath.Join(g.o.Work, "systemd.img")
	defer os.Remove(disk)
	err := g.step("install into a fresh disk", func() error {
		if err := machine.CopyDisk(ctx, g.root, disk); err != nil {
			return err
		}
		return install(ctx, g.tree, disk, g.bin)
	})
	if err != nil {
		return nil, err
	}
	var rows []machine.Row
	for boot := 1; boot <= 2; boot++ {
		err := g.step(fmt.Sprintf("boot %d and its checks", boot), func() error { return g.boot(ctx, disk, boot, &rows) })
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// said matches what the guest says (see the program guest).
var said = regexp.MustCompile(`^(BOOT|ROW|END|FATAL) ?(.*)$`)

// boot boots the disk and collects the rows of its checks.
func (g *guest) boot(ctx context.Context, disk string, number int, rows *[]machine.Row) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bootPatience, fmt.Errorf("not done after %s", bootPatience))
	defer cancel()
	log, err := os.Create(filepath.Join(g.logs, fmt.Sprintf("test-system-systemd-boot%d.log", number)))
	if err != nil {
		return err
	}
	defer log.Close()
	kills := 3
	if g.o.Full {
		kills = 20
	}
	vm, err := machine.Start(ctx, machine.Options{
		Arch: "amd64", Kernel: g.kernel.Image, Initrd: g.initrd, Memory: 512, Log: log,
		Icount: true, Instruction: instruction,
		Drives: []machine.Drive{{File: disk, Memory: true}},
		Append: fmt.Sprintf("quiet mitigations=off systemd.show_status=0 postern.boot=%d postern.kills=%d", number, kills),
	})
	if err != nil {
		return err
	}
	defer vm.Kill()
	return g.collect(ctx, vm, number, rows)
}

// collect takes the rows of a boot until its end.
func (g *guest) collect(ctx context.Context, vm *machine.VM, number int, rows *[]machine.Row) error {
	for {
		m, err := vm.Expect(ctx, said)
		if err != nil {
			return fmt.Errorf("%w in boot %d: %w", errMachine, number, err)
		}
		switch m[1] {
		case "BOOT":
			fmt.Fprintf(g.o.Progress, "  systemd: boot %d: %s\n", number, m[2])
		case "ROW":
			var r machine.Row
			if err := json.Unmarshal([]byte(m[2]), &r); err != nil {
				return fmt.Errorf("%w in boot %d said %q: %w", errMachine, number, m[2], err)
			}
			*rows = append(*rows, r)
			fmt.Fprintf(g.o.Progress, "  systemd: %s: %s\n", r.Check, r.Result)
		case "FATAL":
			*rows = append(*rows, machine.Row{Part: Part, Check: fmt.Sprintf("boot %d can be taken to its end", number), Result: "no", Detail: m[2]})
			return fmt.Errorf("boot %d: %s", number, m[2])
		case "END":
			if err := vm.Wait(ctx); err != nil {
				return fmt.Errorf("%w in boot %d: %w", errMachine, number, err)
			}
			return nil
		}
	}
}

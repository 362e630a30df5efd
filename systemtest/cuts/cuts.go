// Package cuts takes the power from a panel, again and again.
//
// A machine with Debian's arm64 kernel, an ext4 on a virtio disk and nothing else
// runs the shipped posternd. In it, central's side of the protocol sends changes
// without a pause and cards are presented; everything that the panel acknowledges
// (a position reported, a result, an event) is told to the host. QEMU is killed
// at a moment that a seed decides, while the panel works or while it starts.
// A copy of the disk as it was left is looked over by e2fsck, and the machine
// boots on the disk itself: what was acknowledged must be there, digest and keys
// must be those of the log of changes, no file may have been put aside, and what
// had not come up yet must come up.
//
// The guest's flushes reach the host's disk, and killing QEMU loses what the
// guest still held. It tears no write: such states are what package crash makes.
package cuts

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"postern/systemtest/cuts/history"
	"postern/systemtest/machine"
)

// Options say how much to cut.
type Options struct {
	Full     bool      // 100 cuts in place of 20, where Cuts is not set
	Cuts     int       // how many
	Seed     uint64    // decides the moments; 0 takes one from the clock, and prints it
	Progress io.Writer // gets steps, and how long they take
	Work     string    // directory for the image and what is built; made when it is not there
}

//go:embed panel.toml
var panelConfig []byte

// Bounds of the disk and of waiting; a busy host is slow.
const (
	arch     = "arm64"
	diskMiB  = 64
	patience = 8 * time.Minute
)

// site is the machine's parts, and what the host remembers.
type site struct {
	o      *Options
	rand   *rand.Rand
	kernel machine.Kernel
	initrd string
	image  string
	log    io.Writer

	memory memory
	tally
}

// tally is what is told at the end.
type tally struct {
	cuts, working, starting int
	replayed                int // boots that played the file system's journal back
	boot                    []time.Duration
	faults                  []fault
}

// Run takes the power so often, and tells what was lost. An error is a machine
// with which nothing can be told.
func Run(ctx context.Context, o Options) ([]machine.Row, error) {
	if o.Cuts == 0 {
		o.Cuts = 20
		if o.Full {
			o.Cuts = 100
		}
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	program, err := machine.Program(arch)
	if err != nil {
		return nil, err
	}
	if err := machine.Need(append(machine.DiskTools(), [2]string{program, "qemu-system-arm"}, [2]string{"make", "make"})...); err != nil {
		return nil, err
	}
	root, err := machine.Root(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	fmt.Fprintf(o.Progress, "  %d cuts, seed %d\n", o.Cuts, o.Seed)
	s := &site{o: &o, rand: rand.New(rand.NewPCG(o.Seed, 1)), memory: newMemory()}
	if err := s.prepare(ctx, root); err != nil {
		return nil, err
	}
	report := filepath.Join(root, "build", "report")
	if err := os.MkdirAll(report, 0o755); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(report, "test-system-cuts.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.log = log
	for s.cuts < o.Cuts {
		if err := s.cut(ctx); err != nil {
			return nil, fmt.Errorf("after %d cuts (%s has all that the machine said): %w", s.cuts, log.Name(), err)
		}
	}
	if err := s.last(ctx); err != nil {
		return nil, fmt.Errorf("after the last cut (%s has all that the machine said): %w", log.Name(), err)
	}
	return s.rows(time.Since(began)), nil
}

// prepare makes all that the machine boots from.
func (s *site) prepare(ctx context.Context, root string) (err error) {
	if err := os.MkdirAll(s.o.Work, 0o755); err != nil {
		return err
	}
	if s.kernel, err = machine.FetchKernel(ctx, arch, s.o.Progress); err != nil {
		return err
	}
	var posternd string
	guest := filepath.Join(s.o.Work, "guest")
	s.initrd, s.image = filepath.Join(s.o.Work, "initrd"), filepath.Join(s.o.Work, "disk.img")
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"build the daemon for " + arch, func() (err error) {
			posternd, err = machine.Build(ctx, root, arch)
			return err
		}},
		{"build the guest's program", func() error {
			return machine.BuildTest(ctx, root, arch, "systemtest/cuts/guest", guest)
		}},
		{"write the first file system", func() error { return s.writeInitrd(guest, posternd) }},
		{"make the disk", func() error {
			return errors.Join(os.RemoveAll(s.image), machine.MakeDisk(ctx, s.image, diskMiB, ""))
		}},
	} {
		if err := machine.Step(s.o.Progress, step.what, step.do); err != nil {
			return err
		}
	}
	return nil
}

// writeInitrd writes what the machine boots from, before it has its disk.
func (s *site) writeInitrd(guest, posternd string) error {
	files := map[string]machine.File{
		"/init":          {Path: guest, Mode: 0o755},
		history.Posternd: {Path: posternd, Mode: 0o755},
		history.Config:   {Data: panelConfig},
	}
	// ext4 asks for its checksum by another name than the module's.
	modules, err := s.kernel.Needs("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
	if err != nil {
		return err
	}
	for i, name := range modules {
		data, err := s.kernel.Module(name)
		if err != nil {
			return err
		}
		files[fmt.Sprintf("%s%03d-%s.ko", history.Modules, i, name)] = machine.File{Data: data}
	}
	f, err := os.Create(s.initrd)
	if err != nil {
		return err
	}
	return errors.Join(machine.Initramfs(f, files), f.Close())
}

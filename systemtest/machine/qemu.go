package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrEnded tells that the machine ended while something was waited for; the
// error that wraps it carries the last lines of the machine.
var ErrEnded = errors.New("the machine has ended")

// Options describe one machine.
type Options struct {
	Arch   string // arm64 or amd64
	Kernel string // file of the kernel
	Initrd string // file of the initial file system; may be empty
	Append string // the kernel's command line, without a console: Start adds it
	// Icount has the guest's clock count instructions, so that results repeat
	// whatever else the host does. Without it the guest's clock is the host's.
	Icount bool
	// Instruction is the guest's time for one, under Icount: 1, 2, 4 or 8 ns; 4
	// where not set, which is slower than any board that is supported.
	Instruction time.Duration
	Memory      int       // MiB; 256 where not set
	Drives      []Drive   // in the order of /dev/vda, /dev/vdb
	Log         io.Writer // gets every line the machine says; may be nil
}

// Drive is a disk of the machine.
//
// Its cache is the host's page cache, and the guest is told so: what the guest
// flushed is on the host's disk, the rest is where a write-back cache would
// have it. Killing QEMU therefore loses what the guest still held, and nothing
// that reached the drive.
type Drive struct {
	File     string // a raw image
	ReadOnly bool
	Snapshot bool // writes go to a scratch file that ends with the machine
	// Memory makes it memory that outlives the machine (an NVDIMM, /dev/pmem0),
	// in place of a disk, and leaves the cache out. With Icount an idle guest's
	// clock leaps to its next timer, even while it waits for a disk, so that every
	// time-out would strike; here there is nothing to wait for. For amd64; one
	// such drive, of whole MiB, neither ReadOnly nor Snapshot.
	Memory bool
}

// VM is a running machine. Its test line is one that no login prompt disturbs:
// the only serial port of an arm64 machine (ttyAMA0), the second of an amd64
// machine (ttyS1), whose first is the console. Its methods may be called from
// several goroutines.
type VM struct {
	log  *lockedWriter
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *lines // of the test line
	last *tail  // of everything, for errors
	done chan struct{}
	err  error // how QEMU ended; to be read after done
}

// Program returns the name of the QEMU that runs machines of arch (arm64,
// amd64).
func Program(arch string) (string, error) {
	switch arch {
	case "arm64":
		return "qemu-system-aarch64", nil
	case "amd64":
		return "qemu-system-x86_64", nil
	}
	return "", fmt.Errorf("no machine for %q: name arm64 or amd64", arch)
}

// arguments returns QEMU's arguments; console is the file that the console of
// an amd64 machine is written to.
func (o Options) arguments(console string) ([]string, error) {
	memory := o.Memory
	if memory == 0 {
		memory = 256
	}
	size := strconv.Itoa(memory)
	board := "q35"
	nvdimm, err := o.nvdimm()
	if err != nil {
		return nil, err
	}
	if nvdimm != nil {
		board += ",nvdimm=on"
		size += ",slots=1,maxmem=8G"
	}
	var args []string
	var tty string
	switch o.Arch {
	case "arm64":
		args = []string{"-M", "virt", "-cpu", "cortex-a53", "-serial", "stdio"}
		tty = "ttyAMA0"
	case "amd64":
		args = []string{"-M", board, "-cpu", "max", "-serial", "file:" + console, "-serial", "stdio"}
		tty = "ttyS0"
	default:
		_, err := Program(o.Arch)
		return nil, err
	}
	args = append(args,
		"-accel", "tcg", "-smp", "1", "-m", size,
		"-display", "none", "-nodefaults", "-no-reboot", "-kernel", o.Kernel)
	if o.Icount {
		shift := bits.Len64(uint64(max(o.Instruction, 0))) - 1
		if o.Instruction == 0 {
			shift = 2
		}
		if shift < 0 || shift > 3 || o.Instruction != 0 && o.Instruction != 1<<shift {
			return nil, fmt.Errorf("%s an instruction: want 1, 2, 4 or 8 ns", o.Instruction)
		}
		args = append(args, "-icount", fmt.Sprintf("shift=%d,sleep=off", shift))
	}
	if o.Initrd != "" {
		args = append(args, "-initrd", o.Initrd)
	}
	args = append(args, nvdimm...)
	for i, d := range o.Drives {
		if d.Memory {
			continue
		}
		id := "disk" + strconv.Itoa(i)
		drive := "if=none,id=" + id + ",format=raw,cache.direct=off,cache.no-flush=off,file=" + strings.ReplaceAll(d.File, ",", ",,")
		if d.ReadOnly {
			drive += ",readonly=on"
		}
		if d.Snapshot {
			drive += ",snapshot=on"
		}
		args = append(args, "-drive", drive, "-device", "virtio-blk-pci,write-cache=on,drive="+id)
	}
	return append(args, "-append", strings.TrimSpace("console="+tty+" panic=-1 "+o.Append)), nil
}

// nvdimm returns the arguments of the drive that is memory, nil without one.
func (o Options) nvdimm() ([]string, error) {
	i := slices.IndexFunc(o.Drives, func(d Drive) bool { return d.Memory })
	if i < 0 {
		return nil, nil
	}
	d := o.Drives[i]
	if o.Arch != "amd64" || d.ReadOnly || d.Snapshot {
		return nil, errors.New("a drive that is memory is for amd64, and for reading and writing")
	}
	info, err := os.Stat(d.File)
	if err != nil {
		return nil, fmt.Errorf("make memory of a file: %w", err)
	}
	return []string{
		"-object", fmt.Sprintf("memory-backend-file,id=pmem,share=on,size=%d,mem-path=%s", info.Size(), strings.ReplaceAll(d.File, ",", ",,")),
		"-device", "nvdimm,id=nvdimm,memdev=pmem",
	}, nil
}

// Start starts a machine. It is killed when ctx ends, and with the process
// that called Start.
func Start(ctx context.Context, o Options) (*VM, error) {
	name, err := Program(o.Arch)
	if err != nil {
		return nil, err
	}
	program, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	consoleRead, consoleWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make console: %w", err)
	}
	args, err := o.arguments("/dev/fd/3")
	if err != nil {
		return nil, errors.Join(err, consoleRead.Close(), consoleWrite.Close())
	}
	vm := &VM{
		log: &lockedWriter{w: o.Log}, out: newLines(), last: &tail{}, done: make(chan struct{}),
		cmd: exec.CommandContext(ctx, program, args...),
	}
	vm.cmd.ExtraFiles = []*os.File{consoleWrite}
	vm.cmd.SysProcAttr = endsWithUs()
	if o.Initrd != "" {
		vm.cmd.Dir = filepath.Dir(o.Initrd)
	}
	in, inErr := vm.cmd.StdinPipe()
	stdout, outErr := vm.cmd.StdoutPipe()
	stderr, errErr := vm.cmd.StderrPipe()
	if err := errors.Join(inErr, outErr, errErr); err != nil {
		return nil, errors.Join(err, consoleRead.Close(), consoleWrite.Close())
	}
	vm.in = in

	started := make(chan error)
	go func() {
		// The child dies with the thread that started it, so that one must live
		// as long as the machine.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := vm.cmd.Start()
		_ = consoleWrite.Close()
		started <- err
		if err != nil {
			return
		}
		var readers sync.WaitGroup
		readers.Go(func() { vm.read(stdout, "", vm.out) })
		readers.Go(func() { vm.read(stderr, "qemu: ", nil) })
		readers.Go(func() { vm.read(consoleRead, "console: ", nil) })
		readers.Wait()
		_ = consoleRead.Close()
		vm.err = vm.cmd.Wait()
		vm.out.close()
		close(vm.done)
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), consoleRead.Close())
	}
	return vm, nil
}

// maxLine is the longest line that is taken from a machine; the rest of a
// longer one is a line of its own.
const maxLine = 1 << 20

// read takes lines until r ends, and hands them to the log, and to out where
// it is not nil.
func (vm *VM) read(r io.Reader, prefix string, out *lines) {
	var rest []byte
	buf := make([]byte, 32<<10)
	say := func(b []byte) {
		line := strings.TrimRight(string(b), "\r")
		vm.log.line(prefix + line)
		vm.last.add(prefix + line)
		if out != nil {
			out.add(line)
		}
	}
	for {
		n, err := r.Read(buf)
		rest = append(rest, buf[:n]...)
		for {
			i := bytes.IndexByte(rest, '\n')
			if i > maxLine || i < 0 && len(rest) > maxLine {
				i = maxLine
				rest = slices.Insert(rest, i, '\n')
			}
			if i < 0 {
				break
			}
			say(rest[:i])
			rest = rest[i+1:]
		}
		if err != nil {
			if len(rest) > 0 {
				say(rest)
			}
			return
		}
	}
}

// Expect waits for a line of the test line that matches re, and returns the
// match and its groups. Lines before it are gone. It returns ErrEnded, with
// the machine's last words, when the machine ends first.
func (vm *VM) Expect(ctx context.Context, re *regexp.Regexp) ([]string, error) {
	for {
		line, err := vm.out.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("wait for %q: %w; the last lines:\n%s", re, err, vm.last)
		}
		if m := re.FindStringSubmatch(line); m != nil {
			return m, nil
		}
	}
}

// Send writes a line to the test line.
func (vm *VM) Send(line string) error {
	if _, err := io.WriteString(vm.in, line+"\n"); err != nil {
		return fmt.Errorf("write to the machine: %w", err)
	}
	return nil
}

// Kill ends the machine as a lost supply does, and waits until it is gone.
func (vm *VM) Kill() {
	_ = vm.cmd.Process.Kill() // it may have ended by itself
	<-vm.done
}

// Wait waits until the machine has switched itself off, and returns how QEMU
// ended. When ctx ends first, the machine is killed.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.done:
		if vm.err != nil {
			return fmt.Errorf("qemu: %w; the last lines:\n%s", vm.err, vm.last)
		}
		return nil
	case <-ctx.Done():
		vm.Kill()
		return fmt.Errorf("wait for the machine's end: %w; the last lines:\n%s", context.Cause(ctx), vm.last)
	}
}

// Last returns the last lines the machine said, its console and QEMU's own
// messages among them.
func (vm *VM) Last() string { return vm.last.String() }

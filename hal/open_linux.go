package hal

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"syscall"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/host/v3/gpioioctl"
)

// Open takes the lines of a wiring on this machine's GPIO chips and starts
// reading. It is called once, before the program opens other files (see the
// package comment). The error names the line at fault and what to do.
func Open(w Wiring, log *slog.Logger) (*Board, error) {
	if err := w.Validate(); err != nil {
		return nil, fmt.Errorf("open board: %w", err)
	}
	chips, err := openChips()
	if err != nil {
		return nil, fmt.Errorf("open board: %w", err)
	}
	b, err := newBoard(chips, w, log)
	if err != nil {
		return nil, fmt.Errorf("open board: %w", err)
	}
	return b, nil
}

// Rest puts every output of a wiring at rest and releases it, for a program that
// runs after the daemon has died: a Raspberry Pi keeps the level of a lock's line
// when nobody drives it any more. It touches no input, may be called again and
// again, and needs lines that nobody holds. The error joins one for each line
// that could not be driven; the others are at rest all the same.
func Rest(w Wiring, log *slog.Logger) error {
	chips, err := openChips()
	if err != nil {
		return fmt.Errorf("put outputs at rest: %w", err)
	}
	return restChips(chips, w, log)
}

// openChips loads periph's driver, once in a process, and returns its chips.
func openChips() ([]chip, error) {
	// Before, so that no chip gets descriptor 0, which periph takes for none;
	// after, since the driver closes 0 when two paths lead to one chip.
	if err := keepStdin(); err != nil {
		return nil, err
	}
	_, err := driverreg.Init()
	if err := errors.Join(err, keepStdin()); err != nil {
		return nil, fmt.Errorf("load the GPIO driver: %w", err)
	}
	if len(gpioioctl.Chips) == 0 {
		if paths, _ := filepath.Glob("/dev/gpiochip*"); len(paths) > 0 {
			return nil, fmt.Errorf("none of %d GPIO chips can be opened: the daemon's user needs to be in the group of %s", len(paths), paths[0])
		}
		return nil, errors.New("there is no GPIO chip in /dev: run on a panel, or with simulated readers")
	}
	var chips []chip
	for _, c := range gpioioctl.Chips {
		chips = append(chips, newPeriphChip(c))
	}
	return chips, nil
}

// keepStdin puts /dev/null at file descriptor 0 if nothing is there.
func keepStdin() error {
	var stat syscall.Stat_t
	if !errors.Is(syscall.Fstat(0, &stat), syscall.EBADF) {
		return nil
	}
	fd, err := syscall.Open("/dev/null", syscall.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null as standard input: %w", err)
	}
	if fd == 0 {
		return nil
	}
	defer syscall.Close(fd)
	if err := syscall.Dup3(fd, 0, 0); err != nil {
		return fmt.Errorf("make /dev/null standard input: %w", err)
	}
	return nil
}

// periphChip is a chip of periph.
type periphChip struct {
	*gpioioctl.GPIOChip
	names   []string
	holders []string
}

func newPeriphChip(c *gpioioctl.GPIOChip) *periphChip {
	p := &periphChip{GPIOChip: c}
	for _, l := range c.Lines() {
		p.names = append(p.names, l.Name())
		p.holders = append(p.holders, l.Consumer())
	}
	return p
}

func (p *periphChip) LineNames() []string { return p.names }

// Holder asks the kernel, since what periph knows is from the program's start.
func (p *periphChip) Holder(number int) string {
	if holder, err := consumer(p.Path(), number); err == nil {
		return holder
	}
	return p.holders[number]
}

func (p *periphChip) Line(number int) line { return p.ByNumber(number) }

func (p *periphChip) LineSet(spec lineSetSpec) (lineSet, error) {
	config := gpioioctl.LineSetConfig{
		Lines:            spec.lines,
		DefaultDirection: gpioioctl.LineInput,
		DefaultEdge:      spec.edge,
		DefaultPull:      spec.pull,
	}
	if len(spec.spare) > 0 {
		if err := config.AddOverrides(gpioioctl.LineInput, gpio.NoEdge, spec.pull, spec.spare...); err != nil {
			return nil, err
		}
	}
	set, err := p.LineSetFromConfig(&config)
	if err != nil {
		// A nil *LineSet must not become a lineSet that isn't nil.
		return nil, err
	}
	return set, nil
}

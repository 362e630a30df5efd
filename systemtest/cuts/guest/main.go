//go:build linux

// Command guest is the first process of a machine that will lose its power. It
// mounts a disk, runs posternd on it, and is central: it sends changes and takes
// what comes up, and presents cards meanwhile. Each acknowledgement is a line on
// the console, for the host, whose memory outlives the cut.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern/api"
	"postern/systemtest/cuts/history"
)

const daemonLog = "/tmp/posternd.log"

func main() {
	if err := run(context.Background()); err != nil {
		tellLog()
		say(history.LineFatal, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if os.Getpid() == 1 {
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

// say writes a line at once, in one piece.
func say(format string, args ...any) {
	_, _ = os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n")
}

func run(ctx context.Context) error {
	if err := setUp(); err != nil {
		return err
	}
	say(history.LineMounted)
	c, err := startCentral()
	if err != nil {
		return err
	}
	died := make(chan error, 1)
	if err := startDaemon(died); err != nil {
		return err
	}
	client := api.NewClient(history.Socket)
	if err := c.waitReport(ctx, died); err != nil {
		return err
	}
	say(history.LineReady)
	upTo, err := readCheck()
	if err != nil {
		return err
	}
	if err := tellCheck(ctx, c, client, upTo); err != nil {
		return err
	}
	go c.send(ctx)
	go badge(ctx, client)
	return <-died
}

// setUp makes a machine of the kernel alone: what it offers, its drivers, the
// disk, the loopback interface, and the time.
func setUp() error {
	for _, m := range []struct{ dir, kind string }{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}} {
		if err := mount(m.kind, m.dir, m.kind); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(history.Modules + "*")
	if err != nil {
		return err
	}
	for _, path := range files { // sorted, by the numbers before their names
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("load %s: %w", path, err)
		}
	}
	for _, dir := range []string{"/tmp", filepath.Dir(history.Socket)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := setClock(); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return err
	}
	if err := until(10*time.Second, func() error { _, err := os.Stat("/dev/vda"); return err }); err != nil {
		return err
	}
	return mount("/dev/vda", history.Data, "ext4")
}

func mount(source, dir, kind string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, dir, kind, 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

// setClock takes the time from the kernel's command line: the machine has no
// clock of its own.
func setClock() error {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(string(line)) {
		text, ok := strings.CutPrefix(word, "now=")
		if !ok {
			continue
		}
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("read time: %w", err)
		}
		now := unix.NsecToTimeval(seconds * int64(time.Second))
		return unix.Settimeofday(&now)
	}
	return nil
}

// loopback takes the loopback interface up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("take loopback up: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("take loopback up: %w", err)
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("take loopback up: %w", err)
	}
	return nil
}

// startDaemon starts posternd as the unit does. When it ends, which it must not,
// died says so.
func startDaemon(died chan<- error) error {
	log, err := os.Create(daemonLog)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(history.Posternd, "run", "--config", history.Config)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { died <- fmt.Errorf("posternd ended: %w", cmd.Wait()) }()
	return nil
}

// tellLog tells the end of the daemon's log.
func tellLog() {
	b, _ := os.ReadFile(daemonLog)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, line := range lines[max(0, len(lines)-20):] {
		say(history.LineLog, line)
	}
}

// readCheck waits for the host's question.
func readCheck() (upTo uint64, err error) {
	sc := bufio.NewScanner(os.Stdin)
	for sc.Scan() {
		if _, err := fmt.Sscanf(sc.Text(), history.LineCheck, &upTo); err == nil {
			return upTo, nil
		}
	}
	return 0, fmt.Errorf("the host asked nothing: %w", sc.Err())
}

// until asks f every few milliseconds until it is content, or gives its last
// complaint when the time is over.
func until(limit time.Duration, f func() error) error {
	end := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("after %v: %w", limit, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

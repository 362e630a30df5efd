package machine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		name        string
		o           Options
		want, never string
	}{
		{
			"arm64",
			Options{Arch: "arm64", Kernel: "k", Initrd: "i", Append: "a=b", Icount: true},
			"-M virt -cpu cortex-a53 -serial stdio -accel tcg -smp 1 -m 256 -display none -nodefaults -no-reboot -kernel k -icount shift=2,sleep=off -initrd i -append console=ttyAMA0 panic=-1 a=b", "if=none",
		},
		{
			"amd64 with a disk",
			Options{Arch: "amd64", Kernel: "k", Memory: 512, Drives: []Drive{{File: "a,b"}, {File: "c", Snapshot: true, ReadOnly: true}}},
			"-serial file:C -serial stdio -accel tcg -smp 1 -m 512 -display none -nodefaults -no-reboot -kernel k " +
				"-drive if=none,id=disk0,format=raw,cache.direct=off,cache.no-flush=off,file=a,,b -device virtio-blk-pci,write-cache=on,drive=disk0 " +
				"-drive if=none,id=disk1,format=raw,cache.direct=off,cache.no-flush=off,file=c,readonly=on,snapshot=on -device virtio-blk-pci,write-cache=on,drive=disk1 " +
				"-append console=ttyS0 panic=-1", "icount",
		},
	} {
		args, err := tt.o.arguments("C")
		got := strings.Join(args, " ")
		if err != nil || !strings.HasSuffix(got, tt.want) || strings.Contains(got, tt.never) {
			t.Errorf("%s: %v, %s\nwant the end %s", tt.name, err, got, tt.want)
		}
	}
	for of, want := range map[time.Duration]string{0: "shift=2,", 1: "shift=0,", 2: "shift=1,", 8: "shift=3,"} {
		args, err := (Options{Arch: "arm64", Icount: true, Instruction: of}).arguments("")
		if err != nil || !strings.Contains(strings.Join(args, " "), want) {
			t.Errorf("%v an instruction: %v, %q, want %s", of, err, args, want)
		}
	}
	for _, of := range []time.Duration{-1, 3, 16, time.Second} {
		if args, err := (Options{Arch: "arm64", Icount: true, Instruction: of}).arguments(""); err == nil {
			t.Errorf("%v an instruction: %q, want an error", of, args)
		}
	}
	memory := Options{Arch: "amd64", Drives: []Drive{{File: os.Args[0], Memory: true}, {File: "b"}}}
	args, err := memory.arguments("")
	if got := strings.Join(args, " "); err != nil || !strings.Contains(got, "-M q35,nvdimm=on") || !strings.Contains(got, "-device nvdimm,") ||
		strings.Contains(got, "disk0") || !strings.Contains(got, "id=disk1,") {
		t.Errorf("a drive that is memory: %v, %s", err, got)
	}
	memory.Arch = "arm64"
	if _, err := memory.arguments(""); err == nil {
		t.Error("an arm64 machine has a drive that is memory")
	}
	if _, err := (Options{Arch: "riscv64"}).arguments(""); err == nil {
		t.Error("an unknown architecture has arguments")
	}
	if _, err := Start(t.Context(), Options{Arch: "riscv64"}); err == nil {
		t.Error("a machine of an unknown architecture starts")
	}
}

// standIn puts a script in the place of QEMU.
func standIn(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "qemu-system-aarch64"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func start(t *testing.T, log io.Writer) *VM {
	t.Helper()
	vm, err := Start(t.Context(), Options{Arch: "arm64", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vm.Kill)
	return vm
}

func TestExpectAndSend(t *testing.T) {
	standIn(t, `printf 'noise\r\nready 7\r\n'; echo trouble >&2; echo boot >&3; read line; echo "got $line"; printf 'half'`)
	var log bytes.Buffer
	vm := start(t, &log)
	m, err := vm.Expect(t.Context(), regexp.MustCompile(`^ready (\d)$`))
	if err != nil || !slices.Equal(m, []string{"ready 7", "7"}) {
		t.Fatalf("%q, %v", m, err)
	}
	if err := vm.Send("hello"); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Expect(t.Context(), regexp.MustCompile(`^got hello$`)); err != nil {
		t.Fatal(err)
	}
	_, err = vm.Expect(t.Context(), regexp.MustCompile(`never`))
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "got hello") {
		t.Errorf("after the end: %v, want ErrEnded with the last lines", err)
	}
	if err := vm.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	for _, want := range []string{"noise\n", "qemu: trouble\n", "console: boot\n", "half\n"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log %q lacks %q", log.String(), want)
		}
	}
}

func TestWaitTellsAFailure(t *testing.T) {
	standIn(t, `echo "no such kernel" >&2; exit 3`)
	err := start(t, nil).Wait(t.Context())
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "no such kernel") {
		t.Errorf("%v, want exit status 3 and what QEMU said", err)
	}
}

func TestEndsOfASilentMachine(t *testing.T) {
	standIn(t, `exec sleep 1000`)
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	vm := start(t, nil)
	if _, err := vm.Expect(short, regexp.MustCompile(`x`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Expect: %v", err)
	}
	if err := vm.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	<-vm.done // Wait has killed it

	ctx, end := context.WithCancel(t.Context())
	vm, err := Start(ctx, Options{Arch: "arm64"})
	if err != nil {
		t.Fatal(err)
	}
	end()
	<-vm.done
}

func TestLinesAreBounded(t *testing.T) {
	l := newLines()
	for range maxWaiting + 1 {
		l.add("old")
	}
	l.add("new")
	if n := len(l.queue); n != maxWaiting || l.queue[n-1] != "new" {
		t.Errorf("%d lines wait, the last %q", n, l.queue[n-1])
	}
	var last tail
	for range 2 * tailLines {
		last.add(strings.Repeat("x", 10_000))
	}
	if n := len(last.String()); n > tailLines*600 {
		t.Errorf("the last lines have %d bytes", n)
	}
}

func TestLongLineIsCut(t *testing.T) {
	vm := &VM{log: &lockedWriter{}, last: &tail{}}
	out := newLines()
	vm.read(strings.NewReader(strings.Repeat("x", 2*maxLine+5)+"\nend\n"), "", out)
	var got []int
	for _, line := range out.queue {
		got = append(got, len(line))
	}
	if !slices.Equal(got, []int{maxLine, maxLine, 5, 3}) {
		t.Errorf("lines of %v bytes", got)
	}
}

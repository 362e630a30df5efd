package hal

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestKeepStdin(t *testing.T) {
	saved, err := syscall.Dup(0)
	if err != nil {
		t.Skipf("no standard input to try with: %v", err)
	}
	defer func() {
		_ = syscall.Dup3(saved, 0, 0)
		_ = syscall.Close(saved)
	}()
	where := func() string {
		name, _ := os.Readlink("/proc/self/fd/0")
		return name
	}
	before := where()
	must(t, keepStdin())
	if where() != before {
		t.Errorf("an open standard input became %s", where())
	}
	must(t, syscall.Close(0))
	must(t, keepStdin())
	if where() != "/dev/null" {
		t.Errorf("a closed standard input became %q, want /dev/null", where())
	}
}

func TestOpenRefusesBadWiring(t *testing.T) {
	_, err := Open(Wiring{Doors: []DoorWiring{{ID: "main"}}}, quietLog())
	if err == nil || !strings.Contains(err.Error(), `open board: door "main": lock has no line`) {
		t.Errorf("Open = %v", err)
	}
}

func TestOpenWithoutChips(t *testing.T) {
	if chips, _ := filepath.Glob("/dev/gpiochip*"); len(chips) > 0 {
		t.Skip("this machine has GPIO chips")
	}
	_, err := Open(Wiring{Doors: []DoorWiring{{ID: "main", Lock: "GPIO17"}}}, quietLog())
	if err == nil || !strings.Contains(err.Error(), "no GPIO chip in /dev") {
		t.Errorf("Open = %v", err)
	}
}

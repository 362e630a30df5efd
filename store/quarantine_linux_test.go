package store

import (
	"bytes"
	"regexp"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestQuarantineSteps holds the directory's changes in a quarantine to the order
// that TestQuarantineCut cuts.
func TestQuarantineSteps(t *testing.T) {
	_, journal := sampleFiles(t)
	dir := damagedDir(t, map[string][]byte{"journal.db": journal})
	for _, old := range []string{"1", "2", "3"} {
		putFile(t, dir+"/journal.db.bad-000"+old+"-20260201T120000Z", []byte("older"))
	}
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		t.Skipf("can't watch: %v", err)
	}
	defer syscall.Close(fd)
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_MOVE|syscall.IN_DELETE|syscall.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, func(o *Options) { o.Dir = dir })
	h.stop()
	verbs := map[uint32]string{
		syscall.IN_MOVED_FROM: "move", syscall.IN_MOVED_TO: "to", syscall.IN_DELETE: "delete", syscall.IN_CREATE: "create",
	}
	var got []string
	buf := make([]byte, 64<<10)
	n, err := syscall.Read(fd, buf)
	if err != nil {
		t.Fatal(err)
	}
	for b := buf[:n]; len(b) >= syscall.SizeofInotifyEvent; {
		size := syscall.SizeofInotifyEvent + int(le.Uint32(b[12:]))
		name := string(bytes.TrimRight(b[syscall.SizeofInotifyEvent:size], "\x00"))
		if regexp.MustCompile(`^journal\.db`).MatchString(name) {
			got = append(got, verbs[le.Uint32(b[4:])]+" "+name)
		}
		b = b[size:]
	}
	want := []string{
		"move journal.db", "to journal.db.bad-0004-20260301T120000Z",
		"delete journal.db.damaged",
		"delete journal.db.bad-0001-20260201T120000Z",
		"create journal.db.new", "move journal.db.new", "to journal.db",
		"create journal.db.replaced.new", "move journal.db.replaced.new", "to journal.db.replaced",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}

package hal

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"postern/wiegand"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logBuffer is a log that a test can look into.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newLog() (*slog.Logger, *logBuffer) {
	var l logBuffer
	return slog.New(slog.NewTextHandler(&l, nil)), &l
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// openSim makes a simulated board that the test closes.
func openSim(t *testing.T, w Wiring) (*Board, *Sim) {
	t.Helper()
	b, s := OpenSim(w, quietLog())
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b, s
}

// twoReaders is a wiring with a reader of each queue length.
func twoReaders() Wiring {
	return Wiring{
		Readers: []ReaderWiring{
			{ID: "front", Spare: []string{"a", "b"}, LED: "led", Buzzer: "buzzer"},
			{ID: "bare"},
		},
		Doors: []DoorWiring{{ID: "main", Contact: "contact", REX: "rex"}, {ID: "plain"}},
	}
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func reader(t fataler, b *Board, id string) *Reader {
	t.Helper()
	r, ok := b.Reader(id)
	if !ok {
		t.Fatalf("there is no reader %s", id)
	}
	return r
}

func read(t fataler, r *Reader) wiegand.Frame {
	t.Helper()
	f, err := r.Read(context.Background())
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return f
}

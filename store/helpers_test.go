package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"postern/access"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashDir) != "" {
		crashChild()
		return
	}
	goleak.VerifyTestMain(m)
}

var (
	deviceKey = []byte("0123456789abcdef0123456789abcdef")
	boot1     = testID(0xb1)
	boot2     = testID(0xb2)
	levelA    = testID(0xa1)
	levelB    = testID(0xa2)
	unknown   = testID(0xaf)
	start     = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	full      = []access.Matcher{{Technology: access.EM, Match: access.Full}}
	low24     = []access.Matcher{{Technology: access.EM, Match: access.Low24}}
)

// testID is an id whose last bytes are n.
func testID(n uint64) (id access.ID) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func testPolicy(tb testing.TB, codeSize int, levels ...access.ID) *access.Policy {
	tb.Helper()
	return mustPolicy(codeSize, levels...)
}

func mustPolicy(codeSize int, levels ...access.ID) *access.Policy {
	p := &access.Policy{Codes: access.CodePolicy{Enabled: codeSize > 0, Size: codeSize}}
	for _, l := range levels {
		p.Levels = append(p.Levels, access.Level{ID: l, Name: "level " + l.String()})
	}
	if f := p.Compile(); len(f) > 0 {
		panic(fmt.Sprint(f))
	}
	return p
}

// failer is what testing.T and rapid.T have in common.
type failer interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

// harness is a store that runs, and can be stopped and opened again.
type harness struct {
	tb       failer
	o        Options
	s        *Store
	rec      Recovery
	stopping context.CancelFunc
	ended    chan struct{}
}

func testOptions(tb testing.TB, dir string) Options {
	return Options{
		Dir: dir, DeviceKey: deviceKey, BootID: boot1, Policy: testPolicy(tb, 4, levelA), Matchers: full,
		Keep: 100, Cap: 1000, Now: func() time.Time { return start }, Log: slog.New(slog.DiscardHandler), Decode: decodeLine,
	}
}

func newHarness(tb testing.TB, change ...func(*Options)) *harness {
	tb.Helper()
	h := &harness{tb: tb, o: testOptions(tb, tb.TempDir())}
	for _, c := range change {
		c(&h.o)
	}
	h.open()
	tb.Cleanup(h.stop)
	return h
}

func (h *harness) open() {
	h.tb.Helper()
	s, rec, err := Open(context.Background(), h.o)
	if err != nil {
		h.tb.Fatalf("Open: %v", err)
	}
	h.run(s, rec)
}

func (h *harness) run(s *Store, rec Recovery) {
	ctx, stop := context.WithCancel(context.Background())
	h.s, h.rec, h.stopping, h.ended = s, rec, stop, make(chan struct{})
	go func() {
		defer close(h.ended)
		_ = s.Run(ctx)
	}()
}

func (h *harness) stop() {
	if h.s == nil {
		return
	}
	h.stopping()
	<-h.ended
	if err := h.s.Close(); err != nil {
		h.tb.Errorf("Close: %v", err)
	}
	h.s = nil
}

func (h *harness) reopen() {
	h.tb.Helper()
	h.stop()
	h.open()
}

func (h *harness) ctx() context.Context { return context.Background() }

func (h *harness) path(name string) string { return filepath.Join(h.o.Dir, name) }

func (h *harness) apply(up ...access.Update) access.Position {
	h.tb.Helper()
	pos, err := h.s.Apply(context.Background(), access.Batch{Epoch: 1, Updates: up})
	if err != nil {
		h.tb.Fatalf("Apply: %v", err)
	}
	return pos
}

// statuses gives all rows of the outbox.
func (h *harness) statuses() (rows []access.StatusRow) {
	h.tb.Helper()
	for after := uint64(0); ; {
		row, ok, err := h.s.NextStatus(after)
		if err != nil {
			h.tb.Fatalf("NextStatus: %v", err)
		}
		if !ok {
			return rows
		}
		rows = append(rows, row)
		after = row.Seq
	}
}

// results gives what is in the outbox, and empties it.
func (h *harness) results() (out []access.Result) {
	h.tb.Helper()
	for _, row := range h.confirm() {
		out = append(out, row.Results...)
	}
	return out
}

// confirm gives the rows of the outbox, and empties it.
func (h *harness) confirm() []access.StatusRow {
	h.tb.Helper()
	rows := h.statuses()
	for _, row := range rows {
		if err := h.s.AckStatus(context.Background(), row.BootID, row.Seq); err != nil {
			h.tb.Fatalf("AckStatus: %v", err)
		}
	}
	return rows
}

// opening gives the ids that open with a credential.
func (h *harness) opening(c access.Credential) []access.ID {
	h.tb.Helper()
	keys, err := h.s.Lookup(c)
	if err != nil {
		h.tb.Fatalf("Lookup: %v", err)
	}
	ids := []access.ID{}
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func (h *harness) wantOpening(c access.Credential, want ...uint64) {
	h.tb.Helper()
	ids := []access.ID{}
	for _, n := range want {
		ids = append(ids, testID(n))
	}
	if got := h.opening(c); !slices.Equal(got, ids) {
		h.tb.Errorf("%v opens with %v, want %v", c, got, ids)
	}
}

func em(n uint64) access.Credential { return access.CardCredential(access.EM, 40, n) }

func emLow(n uint64) access.Credential { return access.CardCredential(access.EM, 24, n) }

func ident(t access.Type, s string) access.Identification {
	id, err := access.ParseIdentification(t, s)
	if err != nil {
		panic(err)
	}
	return id
}

// put is a revision that puts a card with level A; its claim is its id.
func put(rev, id, card uint64, change ...func(*access.Update)) access.Update {
	u := access.Update{Revision: rev, Op: access.Put, ID: testID(id), Claim: id, Key: access.Key{
		ID: testID(id), Type: access.Proximity, Identification: ident(access.Proximity, fmt.Sprintf("EM:%d", card)),
		State: access.Enabled, Levels: []access.ID{levelA},
	}}
	for _, c := range change {
		c(&u)
	}
	return u
}

func code(digits string) func(*access.Update) {
	return func(u *access.Update) {
		u.Key.Type, u.Key.Identification = access.Code, ident(access.Code, digits)
	}
}

func claim(n uint64) func(*access.Update) { return func(u *access.Update) { u.Claim = n } }

func levels(ids ...access.ID) func(*access.Update) {
	return func(u *access.Update) { u.Key.Levels = ids }
}

func fault(text string) func(*access.Update) {
	return func(u *access.Update) { u.Fault, u.Key = text, access.Key{} }
}

func remove(rev, id uint64) access.Update {
	return access.Update{Revision: rev, Op: access.Remove, ID: testID(id)}
}

// brief is a result without what varies.
type brief struct {
	Rev, ID uint64
	Err     access.ErrorType
}

func briefs(rs []access.Result) (out []brief) {
	for _, r := range rs {
		out = append(out, brief{r.Revision, binary.BigEndian.Uint64(r.ID[8:]), r.Error})
	}
	return out
}

package sync

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postern/access"
	"postern/wire"
)

func TestBroker(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"tcp://mqtt.example:1883", "tcp://mqtt.example:1883"},
		{"mqtt://mqtt.example", "tcp://mqtt.example:1883"},
		{"ssl://mqtt.example", "ssl://mqtt.example:8883"},
		{"mqtts://[::1]:9/", "ssl://[::1]:9"},
		{"tls://10.0.0.1:8883", "ssl://10.0.0.1:8883"},
	} {
		b, err := parseBroker(c.text)
		if err != nil || b.String() != c.want {
			t.Errorf("%s is read as %s (%v), want %s", c.text, b, err, c.want)
		}
	}
	for _, text := range []string{
		"", "mqtt.example:1883", "ws://mqtt.example", "tcp://", "tcp://:1883", "tcp://sesame@mqtt.example", "tcp://u:sesame@mqtt.example:1883",
		"tcp://mqtt.example/path", "tcp://mqtt.example?sesame", "tcp://mqtt.example:sesame", "tcp://u:sesame@[", "\x00",
	} {
		if b, err := parseBroker(text); err == nil {
			t.Errorf("%q was read as %s", text, b)
		} else if strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error repeats what may be a password: %v", err)
		}
	}
}

func TestOptions(t *testing.T) {
	good := Options{
		SystemID: system, Broker: "tcp://localhost", BootID: boot, Replica: newMemory(),
		Clock: func() string { return "trusted" }, Panel: func() wire.Panel { return wire.Panel{} },
	}
	c, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if c.o.ClientID != system || c.o.ResendAfter != 30*time.Second || c.o.NeedAfter != 10*time.Second || c.o.KeepAlive != 4*time.Second {
		t.Errorf("defaults are %+v", c.o)
	}
	for want, spoil := range map[string]func(*Options){
		"boot id is missing":                                      func(o *Options) { o.BootID = access.ID{} },
		"replica, panel and clock are required":                   func(o *Options) { o.Replica = nil },
		"keep alive has to be whole seconds":                      func(o *Options) { o.KeepAlive = 1500 * time.Millisecond },
		"a system id has 1 to 64 characters":                      func(o *Options) { o.SystemID = "" },
		"broker has the unknown scheme \"ftp\" (want tcp or ssl)": func(o *Options) { o.Broker = "ftp://x" },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{min: time.Second, max: time.Minute}
	for range 2 {
		for _, most := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			if d := b.next(); d < most*time.Second/2 || d > most*time.Second {
				t.Errorf("pause is %v, want %v to %v", d, most*time.Second/2, most*time.Second)
			}
		}
		b.reset()
	}
}

func TestThrottle(t *testing.T) {
	var th throttle
	now := time.Unix(1600000000, 0)
	count := func() (n int) {
		for range 100 {
			if ok, _ := th.take(now); ok {
				n++
			}
		}
		return n
	}
	if n := count(); n != throttleBurst {
		t.Errorf("%d let through at once, want %d", n, throttleBurst)
	}
	now = now.Add(throttleEvery)
	ok, left := th.take(now)
	if !ok || left != 100-throttleBurst {
		t.Errorf("after a pause: %v with %d held back, want one with %d", ok, left, 100-throttleBurst)
	}
	if n := count(); n != 0 {
		t.Errorf("%d more let through, want none", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != throttleBurst {
		t.Errorf("%d let through after an hour, want %d", n, throttleBurst)
	}
}

// The deadlines at which a panel asks, for what it has seen.
func TestGapDeadlines(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	pos := func(epoch, revision uint64) access.Position { return access.Position{Epoch: epoch, Revision: revision} }
	for _, c := range []struct {
		name string
		do   func(*gap)
		ask  time.Time // zero is not at all
		to   uint64
	}{
		{"nothing seen", func(*gap) {}, time.Time{}, 0},
		{"a gap", func(g *gap) { g.seen(3, 9, at(10)) }, at(10), 9},
		{"more of it", func(g *gap) { g.seen(3, 9, at(10)); g.seen(3, 8, at(20)) }, at(10), 9},
		{"progress", func(g *gap) { g.seen(3, 9, at(10)); g.moved(pos(3, 6), at(20)) }, at(20), 9},
		{"no progress", func(g *gap) { g.seen(3, 9, at(10)); g.moved(pos(3, 5), at(20)) }, at(10), 9},
		{"closed", func(g *gap) { g.seen(3, 9, at(10)); g.moved(pos(3, 9), at(20)) }, time.Time{}, 0},
		{"another epoch", func(g *gap) { g.seen(3, 9, at(10)); g.moved(pos(4, 6), at(20)) }, time.Time{}, 0},
		{"a gap in another epoch", func(g *gap) { g.seen(3, 9, at(10)); g.seen(4, 2, at(20)) }, at(10), 2},
		{"a full queue", func(g *gap) { g.askOnce(at(10)) }, at(10), 0},
		{"a full queue, then progress", func(g *gap) { g.askOnce(at(10)); g.moved(pos(3, 6), at(20)) }, at(20), 0},
		{"a full queue at first contact", func(g *gap) { g.have = pos(0, 0); g.askOnce(at(10)); g.moved(pos(3, 6), at(20)) }, at(20), 0},
	} {
		g := gap{have: pos(3, 5)}
		c.do(&g)
		if g.askAt != c.ask || g.to != c.to {
			t.Errorf("%s: asks at %v for up to %d, want %v and %d", c.name, g.askAt, g.to, c.ask, c.to)
		}
	}
}

// What is kept before its turn comes out in order, once, and is bounded.
func TestAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a ahead
		at := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			first := at + rapid.Uint64Range(1, 1500).Draw(t, "first")
			b := batch{access.Batch{Epoch: rapid.Uint64Range(1, 2).Draw(t, "epoch")}, rapid.IntRange(1, 256<<10).Draw(t, "bytes")}
			for r := range rapid.Uint64Range(1, 100).Draw(t, "length") {
				b.Updates = append(b.Updates, access.Update{Revision: first + r})
			}
			a.keep(b)
			if rapid.Bool().Draw(t, "waits") {
				continue
			}
			at += rapid.Uint64Range(0, 1500).Draw(t, "goes on by")
			for _, b := range a.turn(access.Position{Epoch: 1, Revision: at}) {
				if b.Epoch != 1 || b.first() > at+1 || b.last() <= at {
					t.Fatalf("at %d comes %d to %d of epoch %d", at, b.first(), b.last(), b.Epoch)
				}
				at = b.last()
			}
			for _, b := range a.kept {
				if b.Epoch != 1 || b.first() <= at+1 {
					t.Fatalf("at %d stays %d of epoch %d", at, b.first(), b.Epoch)
				}
			}
		}
		revisions, bytes := 0, 0
		for _, b := range a.kept {
			revisions += len(b.Updates)
			bytes += b.bytes
		}
		if revisions != a.revisions || bytes != a.bytes || revisions > maxAhead || bytes > maxAheadLen {
			t.Fatalf("%d revisions of %d bytes are kept, counted as %d and %d", revisions, bytes, a.revisions, a.bytes)
		}
	})
}

// reading is a connection that gives bytes, as many at once as it likes.
type reading struct {
	net.Conn
	io.Reader
}

func (r reading) Read(p []byte) (int, error) { return r.Reader.Read(p) }

func packet(first byte, body []byte) []byte {
	out := []byte{first}
	n := len(body)
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, b|0x80)
			continue
		}
		return append(append(out, b), body...)
	}
}

// Packets come out as they went in, but for those that are too long, however
// the reads fall.
func TestBoundedConn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in, want bytes.Buffer
		long := uint64(0)
		for i := range rapid.IntRange(0, 6).Draw(t, "packets") {
			n := rapid.SampledFrom([]int{0, 1, 127, 128, 4096, maxPacket - 1, maxPacket, maxPacket + 1, 2 * maxPacket}).Draw(t, "length")
			p := packet(byte(i<<4), bytes.Repeat([]byte{byte(i)}, n))
			in.Write(p)
			if n <= maxPacket {
				want.Write(p)
			} else {
				long++
			}
		}
		var dropped atomic.Uint64
		c := wire.NewBoundedConn(reading{Reader: &in}, &dropped)
		var got bytes.Buffer
		buf := make([]byte, rapid.SampledFrom([]int{1, 2, 7, 4096, 1 << 20}).Draw(t, "read"))
		for {
			n, err := c.Read(buf)
			got.Write(buf[:n])
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d bytes came out, want %d", got.Len(), want.Len())
		}
		if dropped.Load() != long {
			t.Errorf("%d packets counted, want %d", dropped.Load(), long)
		}
	})
}

func FuzzBoundedConn(f *testing.F) {
	f.Add(packet(0x30, []byte("hello")), 3)
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Add([]byte{0x30, 0x80}, 9)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		var dropped atomic.Uint64
		c := wire.NewBoundedConn(reading{Reader: bytes.NewReader(data)}, &dropped)
		buf, total := make([]byte, 1+size&0xff), 0
		for {
			n, err := c.Read(buf)
			if total += n; total > len(data) {
				t.Fatalf("%d bytes from %d", total, len(data))
			}
			if err != nil {
				return
			}
		}
	})
}

// Whatever the journal holds, central takes it, and the batch has its bounds.
func TestEncodeEvents(t *testing.T) {
	text := rapid.OneOf(rapid.StringN(0, 40, -1), rapid.Just(strings.Repeat("\x00é", 700)), rapid.Just("\xff\xfe"))
	rapid.Check(t, func(t *rapid.T) {
		run := access.EventRun{BootID: boot, After: 6, Oldest: 3}
		e := access.Event{
			At: time.Unix(rapid.Int64().Draw(t, "at"), 0), Type: access.Denied, Reason: access.Reason(text.Draw(t, "reason")),
			Door: text.Draw(t, "door"), Point: text.Draw(t, "point"), Credential: text.Draw(t, "credential"), Detail: text.Draw(t, "detail"),
		}
		for i := range rapid.IntRange(1, 600).Draw(t, "n") {
			e.Seq = 7 + uint64(i)
			run.Events = append(run.Events, e)
		}
		payload, last := encodeEvents(run)
		if len(payload) > wire.MaxBatch {
			t.Errorf("batch of %d bytes, more than %d", len(payload), wire.MaxBatch)
		}
		w, err := wire.Decode[wire.Events](payload)
		if err != nil {
			t.Fatalf("central refuses it: %v", err)
		}
		if w.After != 6 || w.Oldest != 3 || w.Entries[0].Seq != 7 || last != 6+uint64(len(w.Entries)) {
			t.Errorf("batch of %d entries from %d after %d, last %d", len(w.Entries), w.Entries[0].Seq, w.After, last)
		}
		left := run.Events[len(w.Entries):]
		if len(left) > 0 && len(w.Entries) < wire.MaxEntries && len(payload)+len(wire.Encode(entryOf(left[0]))) < wire.MaxBatch {
			t.Errorf("only %d entries in %d bytes", len(w.Entries), len(payload))
		}
	})
}

// A full row of long details fits into a message.
func TestEncodeStatus(t *testing.T) {
	row := access.StatusRow{BootID: boot, Seq: 4, After: 3, Oldest: 2, Epoch: 1}
	for i := range access.MaxRowResults {
		row.Results = append(row.Results, access.Result{
			Revision: 1 << 60, ID: keyID(uint64(i)), Error: access.AccessLevelNotFound, Detail: strings.Repeat("\x01", 600), At: time.Unix(0, 1),
		})
	}
	payload := encodeStatus(row)
	w, err := wire.Decode[wire.Statuses](payload)
	if err != nil || len(w.Results) != access.MaxRowResults {
		t.Fatalf("central gets %d results (%v)", len(w.Results), err)
	}
	if len(payload) > wire.MaxBatch {
		t.Errorf("%d bytes, more than %d", len(payload), wire.MaxBatch)
	}
	row.Results = row.Results[:1]
	row.Results[0].Detail = "no such level"
	w, err = wire.Decode[wire.Statuses](encodeStatus(row))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(row.Results[0], w.Results[0].Access()); d != "" {
		t.Errorf("result (-want +got):\n%s", d)
	}
}

func TestClip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, n := rapid.String().Draw(t, "s"), rapid.IntRange(0, 50).Draw(t, "n")
		got := clip(s, n)
		if len(got) > n || !utf8.ValidString(got) || !strings.HasPrefix(strings.ToValidUTF8(s, "?"), got) {
			t.Errorf("clip(%q, %d) = %q", s, n, got)
		}
		if len(s) <= n && utf8.ValidString(s) && got != s {
			t.Errorf("clip(%q, %d) = %q, want all of it", s, n, got)
		}
	})
}

// What the store still holds decides what counts as confirmed.
func TestSettle(t *testing.T) {
	later := time.Unix(99, 0)
	for _, c := range []struct {
		oldest uint64
		ok     bool
		sent   []uint64
		moved  bool
	}{
		{1, true, []uint64{5, 9, 12}, false},
		{3, true, []uint64{5, 9, 12}, true},
		{6, true, []uint64{9, 12}, true},
		{10, true, []uint64{12}, true},
		{20, true, []uint64{}, true},
		{0, false, []uint64{}, true},
	} {
		o := outbox{sent: []uint64{5, 9, 12}, oldest: 1, resendAt: time.Unix(50, 0)}
		if moved := o.settle(c.oldest, c.ok, later); moved != c.moved {
			t.Errorf("oldest %d: progress %v, want %v", c.oldest, moved, c.moved)
		}
		want := time.Unix(50, 0)
		switch {
		case len(c.sent) == 0:
			want = time.Time{}
		case c.moved:
			want = later
		}
		if fmt.Sprint(o.sent) != fmt.Sprint(c.sent) || o.more != c.moved || o.resendAt != want {
			t.Errorf("oldest %d: out %v, more %v, again at %v; want %v, %v, %v", c.oldest, o.sent, o.more, o.resendAt, c.sent, c.moved, want)
		}
	}
}

package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

func TestApplyRules(t *testing.T) {
	type step struct {
		epoch   uint64
		updates []access.Update
		err     error
		rev     uint64 // after
		count   uint64
		results []brief
	}
	one := func(u ...access.Update) []access.Update { return u }
	const (
		inUse   = access.AccessKeyInUse
		invalid = access.InvalidKey
		noLevel = access.AccessLevelNotFound
	)
	for name, steps := range map[string][]step{
		"in order": {
			{1, one(put(1, 1, 11), put(2, 2, 12)), nil, 2, 2, []brief{{1, 1, ""}, {2, 2, ""}}},
			{1, one(remove(3, 1)), nil, 3, 1, []brief{{3, 1, ""}}},
		},
		"fresh panel wants revision 1": {
			{7, one(put(2, 1, 11)), access.ErrGap, 0, 0, nil},
			{7, one(put(1, 1, 11)), nil, 1, 1, []brief{{1, 1, ""}}},
		},
		"what a fresh panel can't take leaves it fresh": {
			{7, one(put(2, 1, 11)), access.ErrGap, 0, 0, nil},
			{3, one(put(1, 1, 11)), nil, 1, 1, []brief{{1, 1, ""}}},
		},
		"the newest again, with another content": {
			{1, one(put(1, 1, 11)), nil, 1, 1, []brief{{1, 1, ""}}},
			{1, one(put(1, 1, 11, levels(unknown))), nil, 1, 1, []brief{{1, 1, ""}}},
		},
		"epochs": {
			{0, one(put(1, 1, 11)), access.ErrOldEpoch, 0, 0, nil},
			{3, one(put(1, 1, 11)), nil, 1, 1, []brief{{1, 1, ""}}},
			{2, one(put(2, 2, 12)), access.ErrOldEpoch, 1, 1, nil},
			{4, one(put(2, 2, 12)), access.ErrNewEpoch, 1, 1, nil},
			{4, one(put(1, 2, 12)), access.ErrNewEpoch, 1, 1, nil},
			{3, one(put(2, 2, 12)), nil, 2, 2, []brief{{2, 2, ""}}},
		},
		"gap keeps what came before": {
			{1, one(put(1, 1, 11), put(3, 3, 13)), access.ErrGap, 1, 1, []brief{{1, 1, ""}}},
			{1, one(put(3, 3, 13)), access.ErrGap, 1, 1, nil},
		},
		"duplicates are answered": {
			{1, one(put(1, 1, 11, levels(unknown)), put(2, 2, 12)), nil, 2, 2, []brief{{1, 1, noLevel}, {2, 2, ""}}},
			{1, one(put(1, 1, 11, levels(unknown))), nil, 2, 2, []brief{{1, 1, noLevel}}},
			{1, one(put(3, 1, 11)), nil, 3, 2, []brief{{3, 1, ""}}},
			{1, one(put(1, 1, 99, levels(unknown)), remove(2, 2)), nil, 3, 2, []brief{{1, 1, ""}, {2, 2, ""}}},
		},
		"remove of an unknown id": {
			{1, one(remove(1, 9)), nil, 1, 0, []brief{{1, 9, ""}}},
		},
		"a fault is consumed": {
			{1, one(put(1, 1, 11), put(2, 1, 0, fault("bad PIN")), put(3, 2, 11)), nil, 3, 2, []brief{{1, 1, ""}, {2, 1, invalid}, {3, 2, ""}}},
		},
		"unknown op": {
			{1, one(access.Update{Revision: 1, ID: testID(1), Op: 9}), nil, 1, 1, []brief{{1, 1, invalid}}},
		},
		"codes": {
			{
				1, one(put(1, 1, 0, code("1234")), put(2, 2, 0, code("12345")), put(3, 3, 0, code("1234"))), nil, 3, 3,
				[]brief{{1, 1, ""}, {2, 2, access.InvalidCodeSize}, {3, 3, inUse}},
			},
		},
		"lower claim takes over, both told": {
			{1, one(put(1, 5, 11)), nil, 1, 1, []brief{{1, 5, ""}}},
			{1, one(put(2, 3, 11)), nil, 2, 2, []brief{{2, 3, ""}, {1, 5, inUse}}},
			{1, one(put(3, 4, 11)), nil, 3, 3, []brief{{3, 4, inUse}}},
			{1, one(put(4, 3, 12)), nil, 4, 3, []brief{{4, 3, ""}, {3, 4, ""}}},
			{1, one(remove(5, 4)), nil, 5, 2, []brief{{5, 4, ""}, {1, 5, ""}}},
		},
		"equal claims: lower id": {
			{1, one(put(1, 5, 11, claim(1)), put(2, 4, 11, claim(1))), nil, 2, 2, []brief{{1, 5, ""}, {2, 4, ""}, {1, 5, inUse}}},
		},
		"a failed put claims all the same": {
			{1, one(put(1, 1, 11, levels(unknown)), put(2, 2, 11)), nil, 2, 2, []brief{{1, 1, noLevel}, {2, 2, inUse}}},
		},
		"nothing": {{1, nil, nil, 0, 0, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			for i, st := range steps {
				pos, err := h.s.Apply(t.Context(), access.Batch{Epoch: st.epoch, Updates: st.updates})
				if !errors.Is(err, st.err) || st.err == nil && err != nil {
					t.Errorf("step %d: error %v, want %v", i, err, st.err)
				}
				if pos.Revision != st.rev || pos.Count != st.count || pos != h.s.Position() {
					t.Errorf("step %d: position %+v, want revision %d, count %d", i, pos, st.rev, st.count)
				}
				if diff := cmp.Diff(st.results, briefs(h.results())); diff != "" {
					t.Errorf("step %d: results (-want +got)\n%s", i, diff)
				}
			}
			h.stop()
			for _, n := range []string{"keys.db", "journal.db"} {
				if err := CheckFile(h.path(n)); err != nil {
					t.Errorf("CheckFile %s: %v", n, err)
				}
			}
		})
	}
}

func TestOpensByLevelAndClaim(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11, levels(levelA, unknown)), put(2, 2, 11, levels(unknown)), put(3, 3, 12))
	h.wantOpening(em(11), 1) // with those of its levels that the policy has
	h.wantOpening(em(12), 3)
	h.wantOpening(em(13))
	h.apply(remove(4, 1))
	h.wantOpening(em(11), 2)
	h.apply(put(5, 2, 0, fault("no")))
	h.wantOpening(em(11))
}

func TestCompositeIsClaimedInParts(t *testing.T) {
	h := newHarness(t)
	both := func(u *access.Update) {
		u.Key.Identification = ident(access.Proximity, "EM:1|MC:2")
	}
	h.apply(put(1, 1, 0, both), put(2, 2, 1), put(3, 3, 0, func(u *access.Update) {
		u.Key.Identification = ident(access.Proximity, "MC:2")
	}))
	want := []brief{{1, 1, ""}, {2, 2, access.AccessKeyInUse}, {3, 3, access.AccessKeyInUse}}
	if diff := cmp.Diff(want, briefs(h.results())); diff != "" {
		t.Error(diff)
	}
	mc := access.CardCredential(access.MC, 32, 2)
	h.wantOpening(em(1), 1)
	h.wantOpening(mc, 1)
	h.apply(remove(4, 1))
	h.wantOpening(em(1), 2)
	h.wantOpening(mc, 3)
}

func TestKeyIsKeptWhole(t *testing.T) {
	h := newHarness(t)
	u := put(1, 1, 11, levels(levelA, levelB))
	u.Key.State, u.Key.Options, u.Key.Person = access.Blacklisted, access.Extended|access.Escort, testID(77)
	u.Key.ValidFrom, u.Key.ValidTo = time.Date(1999, 1, 2, 3, 4, 5, 6, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	u.PIN = "4711"
	h.apply(u, put(2, 2, 0, code("8642")))
	h.reopen()
	want := u.Key
	want.HasPIN = true
	keys, err := h.s.Lookup(em(11))
	if err != nil || len(keys) != 1 {
		t.Fatalf("Lookup: %v, %v", keys, err)
	}
	same := cmp.Comparer(func(a, b access.Identification) bool { return a == b })
	if diff := cmp.Diff(want, keys[0], same); diff != "" {
		t.Errorf("Lookup (-want +got)\n%s", diff)
	}
	info, ok, err := h.s.Key(testID(1))
	if err != nil || !ok || info.Revision != 1 || info.Claim != 1 || info.Result.Error != access.AccessLevelNotFound {
		t.Errorf("Key: %+v, %v, %v", info, ok, err)
	}
	if diff := cmp.Diff(want, info.Key, same); diff != "" {
		t.Errorf("Key (-want +got)\n%s", diff)
	}
	keys, err = h.s.Lookup(access.CodeCredential("8642"))
	if err != nil || len(keys) != 1 || !keys[0].Identification.IsZero() || keys[0].Type != access.Code {
		t.Errorf("Lookup of a code: %+v, %v", keys, err)
	}
	if _, ok, err := h.s.Key(testID(3)); ok || err != nil {
		t.Errorf("Key of an unknown id: %v, %v", ok, err)
	}
}

// What can be spelled short and not in full must not come back as damage.
func TestIdentificationAtItsLimit(t *testing.T) {
	h := newHarness(t)
	text := "ABCDEFGHIJKLMNOP:18446744073709551615-18446744073709551615|ABC:18446744073709551"
	long := ident(access.Proximity, text)
	if len(long.Canonical()) <= len(text) {
		t.Fatal("the canonical spelling is no longer than the text")
	}
	h.apply(put(1, 1, 0, func(u *access.Update) { u.Key.Identification = long }))
	info, ok, err := h.s.Key(testID(1))
	if err != nil || !ok || info.Result.Error != access.InvalidKey {
		t.Errorf("Key: %+v, %v, %v", info, ok, err)
	}
}

func TestPINs(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11, func(u *access.Update) { u.PIN = "4711" }), put(2, 2, 12),
		put(3, 3, 13, func(u *access.Update) { u.PIN = "47x1" }))
	for _, c := range []struct {
		id   uint64
		pin  string
		want bool
	}{{1, "4711", true}, {1, "4712", false}, {1, "", false}, {2, "4711", false}, {2, "", false}, {3, "47x1", false}, {9, "4711", false}} {
		got, err := h.s.PINMatches(access.Key{ID: testID(c.id)}, c.pin)
		if err != nil || got != c.want {
			t.Errorf("PINMatches(%d, %q) = %v, %v, want %v", c.id, c.pin, got, err, c.want)
		}
	}
	info, _, _ := h.s.Key(testID(3))
	if info.Result.Error != access.InvalidKey || strings.Contains(info.Result.Detail, "47x1") {
		t.Errorf("a bad PIN: %+v", info.Result)
	}
}

func TestKeysPages(t *testing.T) {
	h := newHarness(t)
	var ups []access.Update
	for i := range uint64(10) {
		ups = append(ups, put(i+1, 10-i, 100+i))
	}
	h.apply(ups...)
	var got []uint64
	for after := (access.ID{}); ; {
		page, err := h.s.Keys(after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, k := range page {
			got = append(got, briefs([]access.Result{k.Result})[0].ID)
			after = k.Key.ID
		}
	}
	if diff := cmp.Diff([]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStatusOutbox(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 11))
	<-h.s.StatusReady()
	h.stop()
	h.o.BootID = boot2
	h.open()
	<-h.s.StatusReady() // there are rows at the start
	h.apply(put(2, 2, 12))
	h.apply(put(3, 3, 13))
	rows := h.statuses()
	if len(rows) != 3 || rows[0].BootID != boot1 || rows[2].BootID != boot2 {
		t.Fatalf("rows %+v", rows)
	}
	for i, r := range rows {
		if r.Seq != uint64(i+1) || r.After != uint64(i) || r.Oldest != 1 || r.Epoch != 1 || len(r.Results) != 1 || !r.Results[0].At.Equal(start) {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	ctx := t.Context()
	for _, c := range []struct {
		boot     access.ID
		seq      uint64
		left     int
		lastBoot access.ID
		last     uint64
	}{
		{boot1, 3, 3, access.ID{}, 0}, // another boot wrote row 3
		{boot2, 9, 3, access.ID{}, 0}, // not there
		{boot2, 0, 3, access.ID{}, 0},
		{boot1, 1, 2, boot1, 1},
		{boot2, 2, 1, boot2, 2},
		{boot1, 1, 1, boot2, 2}, // gone
		{boot2, 3, 0, boot2, 3},
	} {
		if err := h.s.AckStatus(ctx, c.boot, c.seq); err != nil {
			t.Fatal(err)
		}
		if rows := h.statuses(); len(rows) != c.left {
			t.Errorf("after ack of %d: %d rows, want %d", c.seq, len(rows), c.left)
		}
		if boot, seq := h.s.Confirmed(); boot != c.lastBoot || seq != c.last {
			t.Errorf("after ack of %d: row %d of %v was confirmed last, want %d of %v", c.seq, seq, boot, c.last, c.lastBoot)
		}
	}
	h.apply(put(4, 4, 14))
	if rows := h.statuses(); len(rows) != 1 || rows[0].Seq != 4 || rows[0].Oldest != 4 {
		t.Errorf("the sequence does not go on: %+v", rows)
	}
	if _, ok, err := h.s.NextStatus(^uint64(0)); ok || err != nil {
		t.Errorf("NextStatus at the end of numbers: %v, %v", ok, err)
	}
}

func TestManyResultsAreSplit(t *testing.T) {
	h := newHarness(t)
	var ups []access.Update
	for i := range uint64(2*access.MaxRowResults + 1) {
		ups = append(ups, put(i+1, i+1, i))
	}
	h.apply(ups...)
	var sizes []int
	for _, r := range h.statuses() {
		sizes = append(sizes, len(r.Results))
	}
	if diff := cmp.Diff([]int{access.MaxRowResults, access.MaxRowResults, 1}, sizes); diff != "" {
		t.Error(diff)
	}
}

func TestSetPolicy(t *testing.T) {
	h := newHarness(t)
	h.apply(put(1, 1, 0x0100_00aa), put(2, 2, 0x0200_00aa), put(3, 3, 5, levels(levelB)), put(4, 4, 0, code("1234")), put(5, 5, 0, fault("x")))
	h.results()
	set := func(p *access.Policy, m []access.Matcher, want ...brief) {
		t.Helper()
		n, err := h.s.SetPolicy(t.Context(), p, m)
		if err != nil || n != len(want) {
			t.Errorf("SetPolicy: %d changed, %v, want %d", n, err, len(want))
		}
		if diff := cmp.Diff(want, briefs(h.results())); diff != "" {
			t.Errorf("results (-want +got)\n%s", diff)
		}
	}
	set(testPolicy(t, 4, levelA), full)
	set(testPolicy(t, 4, levelA, levelB), full, brief{3, 3, ""})
	set(testPolicy(t, 5, levelA, levelB), full, brief{4, 4, access.InvalidCodeSize})
	set(testPolicy(t, 0, levelA, levelB), full, brief{4, 4, access.CodeNotEnabled})
	h.wantOpening(access.CodeCredential("1234"))
	set(testPolicy(t, 0, levelA, levelB), low24, brief{2, 2, access.AccessKeyInUse})
	h.wantOpening(emLow(0xaa), 1)
	h.wantOpening(em(0x0100_00aa))
	set(testPolicy(t, 0, levelA, levelB), append(full, low24...))
	h.wantOpening(em(0x0200_00aa)) // its low bits belong to another
	set(testPolicy(t, 4, levelA), full, brief{2, 2, ""}, brief{3, 3, access.AccessLevelNotFound}, brief{4, 4, ""})
	h.wantOpening(em(0x0200_00aa), 2)

	// At the next start under another policy, the same.
	h.o.Policy, h.o.Matchers = testPolicy(t, 4), low24
	h.reopen()
	want := []brief{{1, 1, access.AccessLevelNotFound}, {2, 2, access.AccessLevelNotFound}, {4, 4, access.AccessLevelNotFound}}
	if diff := cmp.Diff(want, briefs(h.results())); diff != "" {
		t.Errorf("after Open (-want +got)\n%s", diff)
	}
	h.wantOpening(emLow(0xaa), 1)
	h.apply(put(6, 6, 0x0300_00aa)) // the matchers in force are those of Open
	h.wantOpening(emLow(0xaa), 1)
	h.stop()
	if err := CheckFile(h.path("keys.db")); err != nil {
		t.Error(err)
	}
}

// A bulk on one credential must not visit all its holders for each.
func TestManyHoldersOfOneCredential(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.Matchers = low24 })
	const n = 3000
	var ups []access.Update
	for i := range uint64(n) {
		ups = append(ups, put(i+1, n-i, i<<24|7)) // each takes over from the one before
	}
	h.apply(ups...)
	h.wantOpening(emLow(7), 1)
	failed := map[uint64]access.ErrorType{}
	total := 0
	for _, b := range briefs(h.results()) {
		failed[b.ID] = b.Err
		total++
	}
	if total != 2*n-1 {
		t.Errorf("%d results, want %d: one each, and one for each that lost it", total, 2*n-1)
	}
	for id, e := range failed {
		if want := id != 1; (e == access.AccessKeyInUse) != want {
			t.Fatalf("key %d: %q", id, e)
		}
	}
}

func TestLockoutsAndLastGood(t *testing.T) {
	h := newHarness(t)
	ctx := t.Context()
	l := access.Lockout{Failures: 2, Level: 1, Last: start, Until: start.Add(time.Minute)}
	if err := h.s.SetLockout(ctx, "point:front", l); err != nil {
		t.Fatal(err)
	}
	if !h.s.LastGood().IsZero() {
		t.Errorf("LastGood of a new store: %v", h.s.LastGood())
	}
	if err := h.s.SetLastGood(ctx, start); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if got, err := h.s.Lockout("point:front"); err != nil || got != l {
		t.Errorf("Lockout: %+v, %v", got, err)
	}
	if got := h.s.LastGood(); !got.Equal(start) {
		t.Errorf("LastGood: %v", got)
	}
	if err := h.s.SetLockout(ctx, "point:front", access.Lockout{}); err != nil {
		t.Fatal(err)
	}
	if got, err := h.s.Lockout("point:front"); err != nil || !got.IsZero() {
		t.Errorf("Lockout after it was forgotten: %+v, %v", got, err)
	}
	key, pad := access.Lockout{Failures: 1, Last: start}, access.Lockout{Failures: 4, Last: start}
	if err := h.s.SetLockouts(ctx, map[string]access.Lockout{"key:1": key, "point:lab": pad}); err != nil {
		t.Fatal(err)
	}
	if err := h.s.SetLockouts(ctx, map[string]access.Lockout{"key:1": {}, "point:lab": pad, "": pad}); err == nil {
		t.Error("a subject without a name is taken")
	}
	for subject, want := range map[string]access.Lockout{"key:1": key, "point:lab": pad} {
		if got, err := h.s.Lockout(subject); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", subject, got, err, want)
		}
	}
	for _, subject := range []string{"", strings.Repeat("x", 300)} {
		if err := h.s.SetLockout(ctx, subject, l); err == nil {
			t.Errorf("a subject of %d bytes is taken", len(subject))
		}
	}
}

func TestRunCommitsWhatWasQueued(t *testing.T) {
	o := testOptions(t, t.TempDir())
	s, _, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	// What a caller gave up on is still committed, and nothing after the end.
	for i := range uint64(3) {
		_, err := s.Apply(ctx, access.Batch{Epoch: 1, Updates: []access.Update{put(i+1, i+1, i)}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Apply: %v", err)
		}
	}
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if pos := s.Position(); pos.Revision != 3 {
		t.Errorf("revision %d, want 3", pos.Revision)
	}
	if _, err := s.Record(t.Context(), access.Event{Type: access.PanelStarted}); !errors.Is(err, ErrStopped) {
		t.Errorf("Record after the end: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"dir":    func(o *Options) { o.Dir = "" },
		"key":    func(o *Options) { o.DeviceKey = o.DeviceKey[:31] },
		"boot":   func(o *Options) { o.BootID = access.ID{} },
		"policy": func(o *Options) { o.Policy = nil },
		"keep":   func(o *Options) { o.Keep = -1 },
		"cap":    func(o *Options) { o.Cap = 1 },
	} {
		o := testOptions(t, t.TempDir())
		change(&o)
		if s, _, err := Open(t.Context(), o); err == nil {
			t.Errorf("%s: taken", name)
			s.Close()
		}
	}
}

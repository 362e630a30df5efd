package central

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"postern/access"
	"postern/wire"
)

var sameUpdate = cmp.Options{cmpopts.IgnoreFields(access.Update{}, "Revision"), cmp.Comparer(func(a, b access.Identification) bool { return a == b })}

// TestReplayRevivesNothing has a fresh panel take a log whose early batches hold
// a key that was removed much later, and one that was changed.
func TestReplayRevivesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		r := newRig(k)
		r.panel("p1", 6, level(1))
		body := fmt.Sprintf(`{"key":{"identification":"4711","type":"code"},"pin":"7351","access_levels":[%q]}`, level(1))
		stolen := r.add(body).ID
		changed := r.addCard(2, level(1))
		r.addCard(3, level(1))
		r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,"state":"blacklisted","pin":"1111"}`, changed))
		r.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, stolen))
		p := newFakePanel(r, "p1")
		p.connect()
		batch, err := wire.DecodeChanges(r.take("p1", wire.TopicChange)[0])
		if err != nil {
			t.Fatal(err)
		}
		if u := batch.Updates[0]; u.ID != stolen || u.Op != access.Put || u.Fault == "" || !cmp.Equal(u.Key, access.Key{}, sameUpdate) || u.PIN != "" {
			t.Errorf("the removed key's put: got %+v, want one that can't be a key", u)
		}
		if d := cmp.Diff(batch.Updates[3], batch.Updates[1], sameUpdate); d != "" {
			t.Errorf("the changed key's first put is not its latest:\n%s", d)
		}
		// What the panel makes of superseded revisions says nothing about a key.
		boot := newBoot()
		give := func(seq, revision uint64, id access.ID, result, errorType string) {
			r.give("p1", wire.TopicStatus, wire.Statuses{
				BootID: boot, Seq: seq, After: seq - 1, Oldest: 1, Epoch: r.head("p1").epoch,
				Results: []wire.Result{{Revision: revision, ID: id, Result: result, ErrorType: errorType, At: r.clock.now()}},
			})
		}
		give(1, 1, stolen, wire.ResultFailed, "InvalidKey")
		give(2, 2, changed, wire.ResultApplied, "")
		for _, id := range []access.ID{stolen, changed} {
			if s := r.status(id); s.Status != statusPending {
				t.Errorf("after results of superseded revisions: got %+v, want pending", s)
			}
		}
		give(3, 5, stolen, wire.ResultApplied, "")
		if s := r.status(stolen); s.Status != statusApplied {
			t.Errorf("after the removal was applied: got %+v", s)
		}
		// The secrets of what is superseded are gone.
		var kept int
		const query = "SELECT COUNT(*) FROM panel_log WHERE payload IS NOT NULL AND revision IN (1, 2)"
		if err := r.store.read.QueryRowContext(t.Context(), query).Scan(&kept); err != nil || kept != 0 {
			t.Errorf("%d superseded revisions have their payload (%v), want none", kept, err)
		}
	})
}

// TestReplayIsNeverOld: whatever was done to keys, a panel that takes the log
// from any revision on never holds of a key what it was before its latest put.
func TestReplayIsNeverOld(t *testing.T) {
	k, n := newKit(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		system, l := fmt.Sprintf("p%d", n), level(n)
		k.secret = k.key(system)
		k.panel(system, 6, l)
		ids := map[int]access.ID{}
		for number := range rapid.IntRange(1, 25).Draw(rt, "changes") {
			card := rapid.IntRange(1, 4).Draw(rt, "card")
			id, live := ids[card]
			switch what := rapid.SampledFrom([]string{"add", "pin", "card", "leave", "remove"}).Draw(rt, "change"); {
			case what == "add" || !live:
				ids[card] = k.addCard(card, l)
			case what == "pin":
				k.add(fmt.Sprintf(`{"id":%q,"pin":"%04d"}`, id, rapid.IntRange(0, 9999).Draw(rt, "pin")))
			case what == "card":
				k.add(fmt.Sprintf(`{"id":%q,"key":{"identification":"MC:%d","type":"proximity"}}`, id, number+1))
				delete(ids, card)
			case what == "leave":
				k.add(fmt.Sprintf(`{"id":%q,"access_levels":[]}`, id))
			case what == "remove":
				k.post(http.StatusNoContent, "/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id))
				delete(ids, card)
			}
		}
		log := k.log(system)
		latest, digest := map[access.ID]access.Update{}, access.Digest{}
		for _, u := range log {
			latest[u.ID] = u.Update
		}
		for i, u := range log {
			final := latest[u.ID]
			if u.Revision != uint64(i)+1 {
				rt.Fatalf("revision %d at place %d", u.Revision, i)
			}
			if u.Op == access.Remove || u.Fault != "" && final.Op == access.Remove {
				continue
			}
			if d := cmp.Diff(final, u.Update, sameUpdate); d != "" {
				rt.Errorf("revision %d of key %s is not its latest:\n%s", u.Revision, u.ID, d)
			}
		}
		for id, u := range latest {
			if u.Op == access.Put {
				digest = digest.Add(id, u.Revision)
			}
		}
		if digest != k.head(system).digest {
			rt.Error("the digest of what is sent is not that of the log")
		}
	})
}

// TestRestoredCentral: a panel that is ahead of its log stays out of it until an
// operator acts, however far the log grows.
func TestRestoredCentral(t *testing.T) {
	k := newKit(t)
	r := newRig(k)
	r.panel("p1", 6, level(1))
	p := newFakePanel(r, "p1")
	p.connect()
	id := r.addCard(1, level(1)) // revision 1
	r.tick()
	p.settle()
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := r.store.write.ExecContext(t.Context(), "VACUUM INTO '"+backup+"'"); err != nil {
		t.Fatal(err)
	}
	update := func(body string) {
		t.Helper()
		r.post(http.StatusOK, "/v1/accesskeys/add", fmt.Sprintf(`{"id":%q,%s}`, id, body))
	}
	update(`"pin":"1111"`) // revision 2
	r.tick()
	for _, payload := range r.take("p1", wire.TopicChange) {
		p.apply(payload)
	}
	if p.revision != 2 || len(p.status) != 1 {
		t.Fatalf("the panel stands at %d with %d results, want 2 and 1", p.revision, len(p.status))
	}

	o := k.opts
	o.Database = backup
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	_ = r.store.Close()
	r.store, r.api = s, NewAPI(s, APIOptions{RateLimit: 1_000_000})
	alarm := func(want string) {
		t.Helper()
		panels, err := r.store.Panels(t.Context())
		if err != nil || panels[0].Alarm != want || panels[0].AlarmSince.IsZero() != (want == "") {
			t.Errorf("alarm: got %+v, %v; want %q", panels, err, want)
		}
	}
	silent := func() {
		t.Helper()
		for range 3 {
			r.clock.pass(DefaultResend)
			r.tick()
			if got := r.revisions("p1"); len(got) != 0 {
				t.Errorf("central sends revisions %v", got)
			}
		}
	}
	r.restart()
	p.connect()
	alarm(alarmAhead)
	update(`"state":"blacklisted"`) // revision 2 again
	silent()
	p.connect()
	alarm(alarmAhead)
	p.settle()
	if len(p.status) != 0 {
		t.Error("a result that does not count is not confirmed")
	}
	if s := r.status(id); s.Status != statusPending {
		t.Errorf("the result of another revision 2 counted: %+v", s)
	}
	r.restart()
	p.connect()
	alarm(alarmAhead)
	update(`"pin":"2222"`) // revision 3
	silent()
	r.give("p1", wire.TopicNeed, wire.Need{Epoch: p.epoch, HaveRevision: 2, Want: wire.WantDelta})
	silent()
	if s := r.status(id); s.Status != statusPending {
		t.Errorf("got %+v, want pending", s)
	}

	// A store that was put aside has nothing of the other history.
	p.card = card{keys: map[access.ID]access.Update{}, statusSeq: p.statusSeq, statusOldest: p.statusOldest, eventOldest: 1}
	p.reboot()
	p.connect()
	alarm("")
	p.settle()
	if s := r.status(id); s.Status != statusApplied || p.keys[id].PIN != "2222" {
		t.Errorf("after the panel began anew: got %+v", s)
	}
}

// TestAlarmEndsWithEpoch: opening another epoch is how an operator says that the
// log counts.
func TestAlarmEndsWithEpoch(t *testing.T) {
	r := newRig(newKit(t))
	r.panel("p1", 6, level(1))
	r.addCard(1, level(1))
	p := newFakePanel(r, "p1")
	p.epoch = r.head("p1").epoch + 1
	p.connect()
	alarm := func() string {
		t.Helper()
		panels, err := r.store.Panels(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return panels[0].Alarm
	}
	if got := alarm(); got != alarmNewEpoch {
		t.Fatalf("got alarm %q, want %q", got, alarmNewEpoch)
	}
	if _, err := r.store.write.ExecContext(t.Context(), "UPDATE panels SET epoch = epoch + 1"); err != nil {
		t.Fatal(err)
	}
	if err := r.store.update(t.Context(), func(x *tx) error { return x.changed(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	r.tick()
	if got := alarm(); got != "" {
		t.Errorf("got alarm %q in another epoch, want none", got)
	}
}

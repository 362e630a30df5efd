package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"postern/access"
	"postern/systemtest/faults/site"
	"postern/wire"
)

// bench is what the measurements run with.
type bench struct {
	site   *site.Site
	disk   *disk
	l      *listener
	hand   *hand
	trial  *trial
	keys   int
	deltas int
	dir    string
	report report
}

func measure(ctx context.Context, dir, bin string, keys, deltas int) (*report, error) {
	d, done, err := newDisk(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	h, trust, err := newHand()
	if err != nil {
		return nil, err
	}
	s, err := site.New(ctx, site.Options{Dir: dir, Bin: bin, Doors: doors, PanelDir: d.dir, Trust: trust, Limits: true})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	b := &bench{site: s, disk: d, hand: h, keys: keys, deltas: deltas, dir: dir}
	b.report = report{Keys: keys, Deltas: deltas, Counted: d.how()}
	// What an earlier run in this folder left says nothing of this one.
	if err := errors.Join(s.WipeBroker(), s.Start(ctx)); err != nil {
		return nil, err
	}
	if b.l, err = listen(s.MQTT); err != nil {
		return nil, err
	}
	defer b.l.client.Disconnect(100)
	h.l = b.l
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"keys into central", b.fill},
		{"a snapshot onto an empty panel", b.firstSnapshot},
		{"decisions while nothing else happens", b.idle},
		{"changes one at a time", b.alone},
		{"snapshots in place of all keys", b.nextSnapshots},
		{"changes that have piled up at central", b.backlog},
		{"single changes", b.single},
	} {
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w\npanel:\n%s\ncentral:\n%s", step.what, err, s.Panel.LogTail(10), s.CentralProcess.LogTail(10))
		}
		fmt.Printf("  %-40s %6.1f s\n", step.what, time.Since(began).Seconds())
	}
	return &b.report, nil
}

// adders put keys into central at the same time.
const adders = 8

// fill adds what central lacks of the keys, while the panel is away.
func (b *bench) fill(ctx context.Context) error {
	b.site.Panel.Stop()
	p, err := b.site.PanelInfo(ctx)
	if err != nil {
		return err
	}
	if int(p.Keys) < b.keys {
		if _, err := b.add(ctx, int(p.Keys)+1, b.keys); err != nil {
			return err
		}
	}
	if p, err = b.site.PanelInfo(ctx); err != nil {
		return err
	}
	b.keys = int(p.Keys)
	b.report.Keys = b.keys
	b.trial = &trial{site: b.site, keys: b.keys}
	return nil
}

// add has central make keys for cards, and gives their ids.
func (b *bench) add(ctx context.Context, first, last int) ([]access.ID, error) {
	ids := make([]access.ID, last-first+1)
	err := b.each(ctx, len(ids), func(ctx context.Context, i int) (err error) {
		ids[i], err = b.site.Central.Add(ctx, "", site.Key{
			Key: &site.Ident{Identification: cardOf(first + i), Type: string(access.Proximity)}, PIN: pin(first + i),
			ValidFrom: &validFrom, ValidTo: &validTo, Levels: []string{site.LevelAll},
		})
		return err
	})
	return ids, err
}

// each does n requests, some at a time.
func (b *bench) each(ctx context.Context, n int, request func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(adders)
	for i := 0; i < n && ctx.Err() == nil; i++ {
		g.Go(func() error { return request(ctx, i) })
		if i%10_000 == 9_999 {
			fmt.Printf("    %d requests\n", i+1)
		}
	}
	return g.Wait()
}

// snapshot waits for one that brings the panel to central's head, which begin
// brings about.
func (b *bench) snapshot(ctx context.Context, begin func() error) (time.Duration, error) {
	b.l.reset()
	if err := begin(); err != nil {
		return 0, err
	}
	p, err := b.site.PanelInfo(ctx)
	if err != nil {
		return 0, err
	}
	end, err := b.l.until(ctx, "the snapshot", func(r wire.Reported) bool { return r.Epoch == p.Epoch && r.Revision >= p.Revision })
	if err != nil {
		return 0, err
	}
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	if b.l.asked.IsZero() {
		return 0, errors.New("the panel asked for no chunks")
	}
	return end.Sub(b.l.asked), nil
}

func (b *bench) firstSnapshot(ctx context.Context) error {
	before, err := b.disk.written(0)
	if b.disk.device == "" {
		before, err = 0, nil // of a process that is to be started
	}
	if err != nil {
		return err
	}
	took, err := b.snapshot(ctx, b.site.Panel.Start)
	if err != nil {
		return err
	}
	after, err := b.disk.written(b.site.Panel.PID())
	if err != nil {
		return err
	}
	b.report.SnapshotBytes = float64(after-before) / float64(b.keys)
	b.site.Panel.Stop()
	path := filepath.Join(b.disk.dir, "copy.db")
	if err := copyKeys(b.disk.dir, path); err != nil {
		return err
	}
	rows, err := readRows(path)
	if err != nil {
		return err
	}
	plain, err := plainLoad(b.disk.dir, rows)
	if err != nil {
		return err
	}
	b.report.Snapshot = newRatio(took, plain)
	b.report.plainSnapshot = plain
	return errors.Join(b.site.Panel.Start(), b.site.WaitLocal(ctx))
}

// idleTime is how long decisions are measured while nothing else happens.
const idleTime = 20 * time.Second

func (b *bench) idle(ctx context.Context) (err error) {
	if err := b.linked(ctx); err != nil {
		return err
	}
	b.report.Idle, err = b.trial.during(ctx, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-time.After(idleTime):
		}
		return nil
	})
	return err
}

// linked waits until panel and central are in step and have nothing to do.
func (b *bench) linked(ctx context.Context) error {
	defer time.Sleep(settleTime)
	return site.Eventually(ctx, "panel and central are in step", patience, 300*time.Millisecond, func() error {
		p, err := b.site.PanelInfo(ctx)
		if err != nil {
			return err
		}
		st, err := b.site.Local.Status(ctx)
		switch {
		case err != nil:
			return err
		case !st.Link.Connected || st.Journal.Unconfirmed > 0 || st.Keys.Epoch != p.Epoch || st.Keys.Revision != p.Revision:
			return fmt.Errorf("link %+v, journal %+v, keys %+v", st.Link, st.Journal, st.Keys)
		case p.ReportedEpoch != p.Epoch || p.ReportedRevision != p.Revision || p.Alarm != "":
			return fmt.Errorf("central has %+v", p)
		}
		return nil
	})
}

// settleTime is for confirmations that are still on their way.
const settleTime = 2 * time.Second

// lone is how many changes are made one at a time.
const lone = 100

// alone makes changes one after the other, each confirmed before the next.
func (b *bench) alone(ctx context.Context) error {
	time.Sleep(settleTime) // the doors of before come to rest
	before, err := b.disk.written(b.site.Panel.PID())
	if err != nil {
		return err
	}
	for i := range lone {
		n := b.keys + i + 1
		if _, err := b.add(ctx, n, n); err != nil {
			return err
		}
		if err := b.caughtUp(ctx); err != nil {
			return err
		}
	}
	time.Sleep(settleTime)
	after, err := b.disk.written(b.site.Panel.PID())
	if err != nil {
		return err
	}
	b.keys += lone
	b.report.AloneBytes = float64(after-before) / lone
	return nil
}

func (b *bench) caughtUp(ctx context.Context) error {
	p, err := b.site.PanelInfo(ctx)
	if err != nil {
		return err
	}
	_, err = b.l.until(ctx, "a change", func(r wire.Reported) bool { return r.Revision >= p.Revision })
	return err
}

// again is how often a snapshot takes the place of all keys.
const again = 3

// nextSnapshots brings snapshots to a panel that works.
func (b *bench) nextSnapshots(ctx context.Context) error {
	for range again {
		var took time.Duration
		l, err := b.trial.during(ctx, func(ctx context.Context) (err error) {
			took, err = b.snapshot(ctx, func() error { return b.site.Resync(ctx) })
			return err
		})
		if err != nil {
			return err
		}
		b.report.InPlace = append(b.report.InPlace, inPlace{newRatio(took, b.report.plainSnapshot), l})
		if err := b.linked(ctx); err != nil {
			return err
		}
	}
	return nil
}

// base stops the panel, if it runs, and copies its key file.
func (b *bench) base(ctx context.Context, name string) ([]row, string, error) {
	if b.site.Panel.PID() != 0 {
		if err := b.memory(ctx); err != nil {
			return nil, "", err
		}
		b.site.Panel.Stop()
	}
	path := filepath.Join(b.disk.dir, name)
	if err := copyKeys(b.disk.dir, path); err != nil {
		return nil, "", err
	}
	rows, err := readRows(path)
	return rows, path, err
}

// perCommit is how many changes the plain measurement commits at once.
const perCommit = 100

// compare holds how long changes took against the plain measurement.
func (b *bench) compare(ctx context.Context, took time.Duration, before []row, path string) (ratio, error) {
	after, _, err := b.base(ctx, "after.db")
	if err != nil {
		return ratio{}, err
	}
	plain, err := plainChanges(path, changed(before, after), b.deltas, perCommit)
	return newRatio(took, plain), err
}

// backlog has central send what has piled up while the panel was away.
func (b *bench) backlog(ctx context.Context) error {
	rows, path, err := b.base(ctx, "before.db")
	if err != nil {
		return err
	}
	added, err := b.add(ctx, b.keys+1, b.keys+b.deltas)
	if err != nil {
		return err
	}
	b.l.reset()
	if err := errors.Join(b.site.Panel.Start(), b.site.WaitLocal(ctx)); err != nil {
		return err
	}
	var took time.Duration
	b.report.Backlog.During, err = b.trial.during(ctx, func(ctx context.Context) error {
		p, err := b.site.PanelInfo(ctx)
		if err != nil {
			return err
		}
		end, err := b.l.until(ctx, "the changes", func(r wire.Reported) bool { return r.Epoch == p.Epoch && r.Revision >= p.Revision })
		b.l.mu.Lock()
		defer b.l.mu.Unlock()
		took = end.Sub(b.l.changed)
		b.report.Backlog.Messages = b.l.messages
		return err
	})
	if err != nil {
		return err
	}
	if err := b.linked(ctx); err != nil {
		return err
	}
	if b.report.Backlog.ratio, err = b.compare(ctx, took, rows, path); err != nil {
		return err
	}
	// The next is measured with as many keys.
	if err := errors.Join(b.site.Panel.Start(), b.site.WaitLocal(ctx)); err != nil {
		return err
	}
	err = b.each(ctx, len(added), func(ctx context.Context, i int) error { return b.site.Central.Remove(ctx, added[i]) })
	return errors.Join(err, b.linked(ctx))
}

// restart starts the panel and waits for its word.
func (b *bench) restart(ctx context.Context) error {
	boot := b.l.position().BootID
	if err := errors.Join(b.site.Panel.Start(), b.site.WaitLocal(ctx)); err != nil {
		return err
	}
	_, err := b.l.until(ctx, "the panel's report", func(r wire.Reported) bool { return r.BootID != boot })
	return err
}

// single sends changes one by one, in central's place: its HTTP side would be
// what is measured.
func (b *bench) single(ctx context.Context) error {
	b.site.CentralProcess.Stop()
	for i := range 2 { // first without, then with cards at the doors
		rows, path, err := b.base(ctx, "before.db")
		if err != nil {
			return err
		}
		if err := b.restart(ctx); err != nil {
			return err
		}
		var added []access.ID
		var took time.Duration
		send := func(ctx context.Context) error {
			added, took, err = b.hand.put(ctx, b.deltas, b.keys+1)
			return err
		}
		if i == 0 {
			err = send(ctx)
		} else {
			b.report.SingleDuring, err = b.trial.during(ctx, send)
		}
		if err != nil {
			return err
		}
		r, err := b.compare(ctx, took, rows, path)
		if err != nil {
			return err
		}
		b.report.Single = append(b.report.Single, r)
		if err := errors.Join(b.restart(ctx), b.hand.remove(ctx, added)); err != nil {
			return err
		}
	}
	return b.memory(ctx)
}

// memory takes note of the panel's, after each kind of work that it did.
func (b *bench) memory(ctx context.Context) error {
	st, err := b.site.Local.Status(ctx)
	if err != nil {
		return err
	}
	n, err := anonymous(b.site.Panel.PID())
	b.report.Memory = append(b.report.Memory, memory{int(st.Keys.Count), n})
	return err
}

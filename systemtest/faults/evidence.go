package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "modernc.org/sqlite" // central's database

	"postern/access"
	"postern/api"
	"postern/systemtest/faults/site"
)

// evidence is what both ends say when all is over.
type evidence struct {
	panel    api.Status
	keys     []api.Key   // on the panel
	journal  []api.Event // of the panel, oldest first
	info     site.PanelInfo
	listed   []site.Event // what central's callers see
	stored   []storedEvent
	digest   access.Digest // central's
	statuses map[access.ID]site.Status
	witness  map[eventID]access.EventType
	ended    []string // programs that ended by themselves
}

// storedEvent is an event in central's database, with the identity that its
// callers don't see.
type storedEvent struct {
	id    eventID
	kind  access.EventType
	point string
	at    int64 // µs since 1970
}

// centralDB reads central's database beside the server.
type centralDB struct{ db *sql.DB }

func openCentral(path string) (*centralDB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, fmt.Errorf("open central's database: %w", err)
	}
	return &centralDB{db}, nil
}

func (c *centralDB) close() { _ = c.db.Close() }

// standing is where central's log stands, and what it has not been told yet.
type standing struct {
	epoch, revision, reportedEpoch, reportedRevision uint64
	digest                                           access.Digest
	alarm                                            string
	pending                                          int // keys whose latest change has no result
}

func (c *centralDB) standing(ctx context.Context) (s standing, err error) {
	var digest []byte
	err = c.db.QueryRowContext(ctx, `SELECT epoch, revision, reported_epoch, reported_revision, digest, alarm,
			(SELECT COUNT(*) FROM panel_keys k WHERE k.system_id = p.system_id AND k.result NOT IN ('applied', 'failed'))
		FROM panels p WHERE system_id = $1`, site.SystemID).
		Scan(&s.epoch, &s.revision, &s.reportedEpoch, &s.reportedRevision, &digest, &s.alarm, &s.pending)
	copy(s.digest[:], digest)
	return s, err
}

func (c *centralDB) events(ctx context.Context) (out []storedEvent, err error) {
	rows, err := c.db.QueryContext(ctx, "SELECT boot_id, seq, event_type, access_point, event_time FROM events WHERE system_id = $1", site.SystemID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var e storedEvent
		var boot string
		if err := rows.Scan(&boot, &e.id.Seq, &e.kind, &e.point, &e.at); err != nil {
			return nil, err
		}
		if e.id.Boot, err = access.ParseID(boot); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// inStep says what still keeps the ends apart, nil when nothing does.
func inStep(ctx context.Context, s *site.Site, db *centralDB) error {
	c, err := db.standing(ctx)
	if err != nil {
		return err
	}
	p, err := s.Local.Status(ctx)
	if err != nil {
		return err
	}
	switch {
	case p.Keys.Epoch != c.epoch || p.Keys.Revision != c.revision:
		return fmt.Errorf("the panel is at %d/%d, central's log at %d/%d (alarm %q)", p.Keys.Epoch, p.Keys.Revision, c.epoch, c.revision, c.alarm)
	case c.reportedEpoch != c.epoch || c.reportedRevision != c.revision:
		return fmt.Errorf("central was told %d/%d, its log is at %d/%d", c.reportedEpoch, c.reportedRevision, c.epoch, c.revision)
	case c.pending > 0:
		return fmt.Errorf("%d keys are pending", c.pending)
	case p.Journal.Unconfirmed > 0:
		return fmt.Errorf("%d events are not confirmed", p.Journal.Unconfirmed)
	}
	return nil
}

// collect asks both ends for all they have.
func collect(ctx context.Context, h *harness, db *centralDB) (e evidence, err error) {
	if e.panel, err = h.site.Local.Status(ctx); err != nil {
		return e, fmt.Errorf("ask the panel: %w", err)
	}
	if e.keys, err = panelKeys(ctx, h.site.Local); err != nil {
		return e, fmt.Errorf("list the panel's keys: %w", err)
	}
	if e.info, err = h.site.PanelInfo(ctx); err != nil {
		return e, err
	}
	st, err := db.standing(ctx)
	if err != nil {
		return e, err
	}
	e.digest = st.digest
	if e.stored, err = db.events(ctx); err != nil {
		return e, err
	}
	if e.listed, err = h.site.Central.Events(ctx); err != nil {
		return e, fmt.Errorf("list central's events: %w", err)
	}
	if e.journal, err = panelJournal(ctx, h.site.Local); err != nil {
		return e, fmt.Errorf("list the panel's events: %w", err)
	}
	h.witness.mu.Lock()
	e.witness = h.witness.seen
	h.witness.mu.Unlock()
	for _, p := range []*site.Process{h.site.Panel, h.site.CentralProcess, h.site.Broker} {
		e.ended = append(e.ended, p.Ended()...)
	}
	return e, nil
}

const pageSize = 1000

func panelKeys(ctx context.Context, c *api.Client) (all []api.Key, err error) {
	after := access.ID{}
	for {
		page, err := c.Keys(ctx, after, pageSize)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
}

func panelJournal(ctx context.Context, c *api.Client) (all []api.Event, err error) {
	before := uint64(0)
	for {
		page, err := c.Events(ctx, before, pageSize)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		if before = page[len(page)-1].Seq; before == 1 {
			return all, nil
		}
	}
}

// askStatuses asks central for the status of every key until each is as the
// model says, or patience has run out; those that are not are given as they are.
// A result that was judged again may arrive last of all.
func askStatuses(ctx context.Context, h *harness, patience time.Duration) (map[access.ID]site.Status, error) {
	out := map[access.ID]site.Status{}
	var open []*modelKey
	for _, m := range h.models {
		open = append(open, m.all...)
	}
	for deadline := time.Now().Add(patience); ; {
		var wrong []*modelKey
		for _, k := range open {
			st, err := h.site.Central.Status(ctx, k.id)
			if err != nil {
				return nil, fmt.Errorf("ask for the status of key %s: %w", k.id, err)
			}
			out[k.id] = st
			if wrongStatus(k, st) != "" {
				wrong = append(wrong, k)
			}
		}
		if open = wrong; len(open) == 0 || time.Now().After(deadline) {
			return out, nil
		}
		wait(ctx, time.Second)
	}
}

package central

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postern/access"
	"postern/wire"
)

// PanelInfo is a panel as operators see it.
type PanelInfo struct {
	SystemID         string    `json:"system_id"`
	Name             string    `json:"name"`
	Online           bool      `json:"online"`
	Version          string    `json:"version"`
	Clock            string    `json:"clock"`
	Seen             time.Time `json:"seen_at,omitzero"`
	Epoch            uint64    `json:"epoch"`             // of its log here
	Revision         uint64    `json:"revision"`          // newest of its log here
	ReportedEpoch    uint64    `json:"reported_epoch"`    // where it says that it stands
	ReportedRevision uint64    `json:"reported_revision"` // where it says that it stands
	Keys             uint64    `json:"keys"`              // on it once it has its whole log
	Alarm            string    `json:"alarm"`             // why it can't be brought into step, "" when all is well
	AlarmSince       time.Time `json:"alarm_since,omitzero"`
	LostEvents       uint64    `json:"lost_events"` // that it no longer held when it could send them
	Snapshot         string    `json:"snapshot"`    // "offered" or "under way" while one waits for it, "" for none
	Unsigned         bool      `json:"unsigned"`    // it takes messages that nobody signed
	PINKeyLost       bool      `json:"pin_key_lost"`
	// The newest policy and door modes here, and those in force there; zeros are none.
	Policy         wire.Version `json:"policy"`
	ReportedPolicy wire.Version `json:"reported_policy"`
	Modes          wire.Version `json:"modes"`
	ReportedModes  wire.Version `json:"reported_modes"`
	// Warnings are what an operator should know besides the alarm.
	Warnings []string `json:"warnings"`
}

// warnings says in words what of a panel is not as it should be.
func (p PanelInfo) warnings() []string {
	out := []string{}
	if p.Unsigned {
		out = append(out, "takes unsigned messages: whoever has the broker opens its doors")
	}
	if p.PINKeyLost {
		out = append(out, "its device key was changed; its keys come back with a snapshot")
	}
	if p.ReportedPolicy.Above(p.Policy) && p.ReportedPolicy.Epoch > 0 {
		out = append(out, "has a newer policy than central: apply one again, or resync")
	}
	if p.ReportedModes.Above(p.Modes) && p.ReportedModes.Epoch > 0 {
		out = append(out, "has newer door modes than central: set them again, or resync")
	}
	return out
}

// AddPanel makes a panel known, so that it takes part. Its log starts in an
// epoch made of the present time, so that a server set up anew never continues
// a history that an earlier one wrote.
func (s *Store) AddPanel(ctx context.Context, systemID string) error {
	if err := wire.CheckSystemID(systemID); err != nil {
		return err
	}
	err := s.update(ctx, func(t *tx) error {
		const insert = `INSERT INTO panels (system_id, epoch, revision, digest, key_count, next_claim, added_at)
			VALUES ($1, $2, 0, $3, 0, 1, $4) ON CONFLICT (system_id) DO NOTHING`
		r, err := t.ExecContext(ctx, insert, systemID, t.now.Unix(), make([]byte, len(access.Digest{})), t.now.UnixMicro())
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return errors.Join(err, t.changed(ctx))
		}
		return fmt.Errorf("%s is known already", systemID)
	})
	if err != nil {
		return fmt.Errorf("add panel: %w", err)
	}
	return nil
}

// Panels lists the known panels by system id.
func (s *Store) Panels(ctx context.Context) ([]PanelInfo, error) {
	const query = `SELECT system_id, announcement, online, version, clock, seen_at, epoch, revision, reported_epoch,
			reported_revision, key_count, alarm, alarm_at, unsigned, pin_key_lost, policy_epoch, policy_revision,
			reported_policy_epoch, reported_policy_revision, modes_epoch, modes_revision, reported_modes_epoch, reported_modes_revision,
			COALESCE((SELECT MAX(CASE WHEN asked_at = 0 THEN 'offered' ELSE 'under way' END) FROM snapshots s
				WHERE s.system_id = p.system_id AND s.state = 'ready'), ''),
			(SELECT CAST(COALESCE(SUM(to_seq - from_seq + 1), 0) AS BIGINT) FROM losses l
				WHERE l.system_id = p.system_id AND l.stream = 'events')
		FROM panels p ORDER BY system_id`
	return all(ctx, s.read, func(scan func(...any) error) (PanelInfo, error) {
		var p PanelInfo
		var announcement string
		var seen, alarm int64
		err := scan(&p.SystemID, &announcement, &p.Online, &p.Version, &p.Clock, &seen, &p.Epoch, &p.Revision, &p.ReportedEpoch,
			&p.ReportedRevision, &p.Keys, &p.Alarm, &alarm, &p.Unsigned, &p.PINKeyLost, &p.Policy.Epoch, &p.Policy.Revision,
			&p.ReportedPolicy.Epoch, &p.ReportedPolicy.Revision, &p.Modes.Epoch, &p.Modes.Revision, &p.ReportedModes.Epoch,
			&p.ReportedModes.Revision, &p.Snapshot, &p.LostEvents)
		p.Name = announced(announcement).Name
		p.Seen, p.AlarmSince = fromMicros0(seen), fromMicros0(alarm)
		p.Warnings = p.warnings()
		return p, err
	}, query)
}

// announced reads a stored announcement; none, or one that an older version
// wrote and this can't read, is the empty one.
func announced(text string) wire.Panel {
	var p wire.Panel
	if text == "" || json.Unmarshal([]byte(text), &p) != nil {
		return wire.Panel{}
	}
	return p
}

// panelHead is the newest end of a panel's log.
type panelHead struct {
	system    string
	epoch     uint64
	revision  uint64
	digest    access.Digest
	count     uint64
	nextClaim uint64
	pruned    uint64 // revisions below it may be missing
	codes     wire.Codes

	// Of heads alone.
	alarm  string
	tookAt time.Time // when the panel took a snapshot, zero once it was in step after that
	newest [documentKinds]wire.Version
}

func (s *Store) heads(ctx context.Context) ([]panelHead, error) {
	return all(ctx, s.read, func(scan func(...any) error) (panelHead, error) {
		var h panelHead
		var digest []byte
		var took int64
		p, m := &h.newest[policyDocument], &h.newest[modesDocument]
		err := scan(&h.system, &h.epoch, &h.revision, &digest, &h.count, &h.pruned, &h.alarm, &took, &p.Epoch, &p.Revision, &m.Epoch, &m.Revision)
		copy(h.digest[:], digest)
		h.tookAt = fromMicros0(took)
		return h, err
	}, `SELECT system_id, epoch, revision, digest, key_count, pruned, alarm, snapshot_taken_at,
		policy_epoch, policy_revision, modes_epoch, modes_revision FROM panels`)
}

func (t *tx) head(ctx context.Context, system string) (*panelHead, error) {
	h := panelHead{system: system}
	var digest []byte
	var announcement string
	err := t.QueryRowContext(ctx, "SELECT epoch, revision, digest, key_count, next_claim, pruned, announcement FROM panels WHERE system_id = $1", system).
		Scan(&h.epoch, &h.revision, &digest, &h.count, &h.nextClaim, &h.pruned, &announcement)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("panel %.64q: %w", system, ErrNotFound)
	}
	copy(h.digest[:], digest)
	h.codes = announced(announcement).Codes
	return &h, err
}

func (t *tx) saveHead(ctx context.Context, h *panelHead) error {
	return t.exec(ctx, "UPDATE panels SET revision = $1, digest = $2, key_count = $3, next_claim = $4 WHERE system_id = $5",
		int64(h.revision), h.digest[:], int64(h.count), int64(h.nextClaim), h.system)
}

// saveState keeps what a panel's state message said.
func (s *Store) saveState(ctx context.Context, system string, st wire.State) error {
	return s.update(ctx, func(t *tx) error {
		return t.exec(ctx, `UPDATE panels SET online = $1, boot_id = $2, conn_seq = $3, version = $4, clock = $5, seen_at = $6
			WHERE system_id = $7`, st.Online, st.BootID.String(), int64(st.ConnSeq), clean(st.Version), clean(st.Clock), t.now.UnixMicro(), system)
	})
}

// allOffline forgets who is online, for when the link can't know.
func (s *Store) allOffline(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, "UPDATE panels SET online = FALSE WHERE online")
	return err
}

// errOtherEpoch is a log that an operator began anew meanwhile.
var errOtherEpoch = errors.New("the log has another epoch by now")

// saveReported, unless the log has another epoch (errOtherEpoch), keeps where a panel stands and why it is sent nothing, if so:
// that is alarm, found in an epoch of the log, unless an earlier one stands.
func (s *Store) saveReported(ctx context.Context, system string, epoch uint64, r wire.Reported, alarm string) (string, error) {
	err := s.update(ctx, func(t *tx) error {
		standing, err := t.standing(ctx, system)
		if err != nil {
			return err
		}
		// Without an epoch the panel has nothing of any history.
		if standing != "" && r.Epoch != 0 {
			alarm = standing
		}
		done, err := t.ExecContext(ctx, `UPDATE panels SET reported_epoch = $1, reported_revision = $2, seen_at = $3,
			alarm_at = CASE WHEN CAST($4 AS TEXT) = '' THEN 0 WHEN alarm = $4 THEN alarm_at ELSE $3 END, alarm = $4, alarm_epoch = $6,
			unsigned = $7, pin_key_lost = $8, reported_policy_epoch = $9, reported_policy_revision = $10,
			reported_modes_epoch = $11, reported_modes_revision = $12
			WHERE system_id = $5 AND epoch = $6`, int64(r.Epoch), int64(r.Revision), t.now.UnixMicro(), alarm, system, int64(epoch), r.Unsigned, r.PINKeyLost,
			int64(r.Policy.Epoch), int64(r.Policy.Revision), int64(r.Modes.Epoch), int64(r.Modes.Revision))
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errOtherEpoch)
		}
		if alarm != "" {
			return nil
		}
		return t.lacksStatuses(ctx, system, r)
	})
	return alarm, err
}

// standing gives the alarm of a panel that has seen more than its log holds, ""
// when it has none. The log was restored from a backup and may grow past where
// the panel stands, with other revisions under the same numbers: that they match
// says nothing then. So the alarm stands until an operator opens another epoch
// of the log, or the panel begins anew.
func (t *tx) standing(ctx context.Context, system string) (alarm string, err error) {
	const query = "SELECT alarm FROM panels WHERE system_id = $1 AND alarm_epoch = epoch AND alarm IN ($2, $3)"
	err = t.QueryRowContext(ctx, query, system, alarmAhead, alarmNewEpoch).Scan(&alarm)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return alarm, err
}

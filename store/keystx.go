package store

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"postern/access"
)

// keysTx is one write transaction of keys.db.
type keysTx struct {
	s       *Store
	keys    *bbolt.Bucket
	creds   *bbolt.Bucket
	status  *bbolt.Bucket
	lockout *bbolt.Bucket
	meta    *bbolt.Bucket

	local   localKeys
	kept    *bbolt.Bucket // nil when nothing is kept
	keeping keeping

	st       keysState
	was      keysState // as read, to see whether it changed
	policy   *access.Policy
	matchers []access.Matcher
	now      time.Time
	results  []access.Result // for the status outbox
	touched  bool
	rows     bool      // status rows were added
	gaveUp   access.ID // the snapshot that is not to stay staged
}

func (s *Store) beginKeys(tx *bbolt.Tx) (*keysTx, error) { return s.keysTx(tx, s.policy, s.matchers) }

// keysTx is for a transaction of any keys.db, the one in use or one in the making.
func (s *Store) keysTx(tx *bbolt.Tx, p *access.Policy, m []access.Matcher) (*keysTx, error) {
	st, err := readKeysState(tx)
	if err != nil {
		return nil, err
	}
	b, err := buckets(tx, bucketKeys, bucketCreds, bucketStatus, bucketLockout, bucketMeta)
	if err != nil {
		return nil, err
	}
	b[2].FillPercent = 0.95 // rows are only appended
	u := &keysTx{
		s: s, keys: b[0], creds: b[1], status: b[2], lockout: b[3], meta: b[4],
		st: st, was: st, policy: p, matchers: m, now: s.now().Round(0).UTC(),
	}
	if u.local, err = s.readLocal(tx, p, m); err != nil {
		return nil, err
	}
	u.kept, u.keeping, err = readKeeping(tx)
	return u, err
}

// finish turns the results into status rows, trims those that were confirmed and
// writes the meta row.
func (u *keysTx) finish() (bool, error) {
	for part := range slices.Chunk(u.results, access.MaxRowResults) {
		if err := u.addRow(access.StatusRow{Epoch: u.st.epoch, Results: part}); err != nil {
			return false, err
		}
	}
	if !u.touched && u.st == u.was {
		return false, nil
	}
	if err := u.trimStatus(); err != nil {
		return false, err
	}
	return true, writeMeta(u.meta, u.st.encode())
}

// addRow appends a row to the status outbox, under this start's boot id.
func (u *keysTx) addRow(row access.StatusRow) error {
	u.st.statusSeq++
	u.rows, row.BootID = true, u.s.boot
	key := seqKey(u.st.statusSeq)
	return u.put(u.status, key, seal(tagStatus, key, encodeStatus(row)))
}

func (u *keysTx) committed() {
	u.s.policy, u.s.matchers = u.policy, u.matchers
	u.s.local.Store(&u.local)
	u.s.published(u.st)
	if u.rows {
		signal(u.s.statusReady)
	}
	if !u.gaveUp.IsZero() {
		u.s.stage.forget(u.gaveUp)
	}
}

func (u *keysTx) put(b *bbolt.Bucket, key, value []byte) error {
	u.touched = true
	return b.Put(key, value)
}

func (u *keysTx) remove(b *bbolt.Bucket, key []byte) error {
	u.touched = true
	return b.Delete(key)
}

// load reads a key's latest put.
func (u *keysTx) load(id access.ID) (r keyRow, v decision, ok bool, err error) {
	return loadKey(u.keys, u.creds, id)
}

// loadKey reads a key's latest put; the decision of one without credentials has
// the outcome alone.
func loadKey(keys, creds *bbolt.Bucket, id access.ID) (r keyRow, v decision, ok bool, err error) {
	value := keys.Get(id[:])
	if value == nil {
		return r, v, false, nil
	}
	payload, err := unseal(tagKey, id[:], value)
	if err == nil {
		r, err = decodeKeyRow(payload)
	}
	if err != nil {
		return r, v, false, err
	}
	if len(r.creds) == 0 {
		return r, decision{outcome: r.outcome, key: access.Key{ID: id}}, true, nil
	}
	k := credKey(r.creds[0], r.claim, id)
	if payload, err = unseal(tagCred, k, creds.Get(k)); err == nil {
		v, err = decodeDecision(id, payload)
	}
	return r, v, err == nil, err
}

// save writes a key's latest put: its credentials, and its row if that changes.
func (u *keysTx) save(id access.ID, r *keyRow, v *decision) error {
	for i, c := range r.creds {
		v.first = i == 0
		if err := u.putCred(credKey(c, r.claim, id), v); err != nil {
			return err
		}
	}
	r.outcome = v.outcome
	return u.putRow(id, r)
}

func (u *keysTx) putCred(k []byte, v *decision) error {
	if u.creds.Get(k) == nil {
		u.st.creds++
	}
	return u.put(u.creds, k, seal(tagCred, k, v.encode()))
}

func (u *keysTx) putRow(id access.ID, r *keyRow) error {
	row := seal(tagKey, id[:], r.encode())
	if bytes.Equal(row, u.keys.Get(id[:])) {
		return nil
	}
	return u.put(u.keys, id[:], row)
}

// unindex removes the credentials of old that are not among those of next. It comes before judging: a key is not in its own way.
func (u *keysTx) unindex(id access.ID, old, next *keyRow) error {
	for _, c := range old.creds {
		if old.claim == next.claim && hasPrefix(next.creds, c) {
			continue
		}
		k := credKey(c, old.claim, id)
		if u.creds.Get(k) == nil {
			return fmt.Errorf("%w: a credential of key %s is missing", ErrDamaged, id)
		}
		u.st.creds--
		if err := u.remove(u.creds, k); err != nil {
			return err
		}
	}
	return nil
}

func hasPrefix(list [][]byte, p []byte) bool {
	return slices.ContainsFunc(list, func(q []byte) bool { return bytes.Equal(p, q) })
}

// owner is the key that a credential belongs to: of those that have it, the one
// with the lowest claim, then id. The zero ID when there is none.
func (u *keysTx) owner(prefix []byte) access.ID {
	k, _ := u.creds.Cursor().Seek(prefix)
	if !bytes.HasPrefix(k, prefix) {
		return access.ID{}
	}
	return credID(k)
}

// inUse reports whether one of a key's credentials belongs to another; the key
// itself may be in the index or not.
func (u *keysTx) inUse(id access.ID, r *keyRow) bool {
	return slices.ContainsFunc(r.creds, func(c []byte) bool {
		if u.local.has(c) {
			return true
		}
		k, _ := u.creds.Cursor().Seek(c)
		return bytes.HasPrefix(k, c) && bytes.Compare(k, credKey(c, r.claim, id)) < 0
	})
}

// judge fills in the result of a key's latest put and whether it opens, from the
// index as it stands.
func (u *keysTx) judge(id access.ID, r *keyRow, v *decision) (changed bool) {
	return v.judge(u.policy, u.inUse(id, r), u.now)
}

// judge fills in the result and whether the key opens.
func (v *decision) judge(p *access.Policy, inUse bool, now time.Time) (changed bool) {
	j := access.Judge(claimOf(v), p, inUse)
	j.Detail = clip(j.Detail, maxDetail)
	v.opens = j.Opens
	if v.err == j.Error && v.detail == j.Detail {
		return false
	}
	v.err, v.detail, v.at = j.Error, j.Detail, now
	return true
}

// rejudge judges a key again and reports a result that changed.
func (u *keysTx) rejudge(id access.ID) (changed bool, err error) {
	r, v, ok, err := u.load(id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: key %s is in the index alone", ErrDamaged, id)
	}
	if err != nil || len(r.creds) == 0 {
		return false, err
	}
	opened := v.opens
	changed = u.judge(id, &r, &v)
	if changed {
		u.results = append(u.results, v.result(id))
	}
	if changed || v.opens != opened {
		err = u.save(id, &r, &v)
	}
	return changed, err
}

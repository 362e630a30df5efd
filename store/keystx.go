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
	status  *bbolt.Bucket
	lockout *bbolt.Bucket
	meta    *bbolt.Bucket

	index *index
	gone  map[entry]struct{} // by what keys are found no more

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

func (s *Store) beginKeys(tx *bbolt.Tx) (*keysTx, error) {
	return s.keysTx(tx, s.index.Load(), s.policy, s.matchers)
}

// keysTx is for a transaction of any keys.db, the one in use or one in the making.
func (s *Store) keysTx(tx *bbolt.Tx, x *index, p *access.Policy, m []access.Matcher) (*keysTx, error) {
	st, err := readKeysState(tx)
	if err != nil {
		return nil, err
	}
	b, err := buckets(tx, bucketKeys, bucketStatus, bucketLockout, bucketMeta)
	if err != nil {
		return nil, err
	}
	b[1].FillPercent = 0.95 // rows are only appended
	u := &keysTx{
		s: s, keys: b[0], status: b[1], lockout: b[2], meta: b[3], index: x, gone: map[entry]struct{}{},
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
	u.index.forget(u.gone)
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
	return loadKey(u.keys, id)
}

// loadKey reads a key's latest put; the decision of one without credentials has
// the outcome alone.
func loadKey(keys *bbolt.Bucket, id access.ID) (r keyRow, v decision, ok bool, err error) {
	value := keys.Get(id[:])
	if value == nil {
		return r, v, false, nil
	}
	payload, err := unseal(tagKey, id[:], value)
	if err != nil {
		return r, v, false, err
	}
	var rec record
	if payload[0] < wholeVersion {
		rec, err = loadSplit(keys.Tx(), id, payload)
	} else {
		rec, err = decodeRecord(id, payload)
	}
	return rec.row, rec.dec, err == nil, err
}

// save writes a key's latest put, unless it stands there.
func (u *keysTx) save(id access.ID, r *keyRow, v *decision) error {
	row := sealKey(id, r, v)
	if bytes.Equal(row, u.keys.Get(id[:])) {
		return nil
	}
	return u.put(u.keys, id[:], row)
}

// sealKey is a key's latest put as it is kept.
func sealKey(id access.ID, r *keyRow, v *decision) []byte {
	r.outcome = v.outcome
	return seal(tagKey, id[:], (&record{*r, *v}).encode(wholeVersion))
}

// move counts a key's credentials and sees to it that the key is found by those
// of next, and no more by those of old once that is committed.
func (u *keysTx) move(id access.ID, old, next *keyRow) {
	u.st.creds = u.st.creds - uint64(len(old.creds)) + uint64(len(next.creds))
	for _, c := range old.creds {
		u.gone[u.index.entry(c, claimed{old.claim, id})] = struct{}{}
	}
	for _, c := range next.creds {
		e := u.index.entry(c, claimed{next.claim, id})
		u.index.add(e)
		delete(u.gone, e)
	}
}

func hasPrefix(list [][]byte, p []byte) bool {
	return slices.ContainsFunc(list, func(q []byte) bool { return bytes.Equal(p, q) })
}

// has reports whether a key has a credential by a claim, as the index has it.
func (u *keysTx) has(c claimed, cred []byte) (bool, error) {
	r, _, ok, err := u.load(c.id)
	return ok && r.claim == c.claim && hasPrefix(r.creds, cred), err
}

// owner is the key that a credential belongs to: of those that have it, the one
// with the lowest claim, then id. The zero ID when there is none.
func (u *keysTx) owner(cred []byte) (access.ID, error) {
	for _, c := range u.index.find(cred) {
		if has, err := u.has(c, cred); has || err != nil {
			return c.id, err
		}
	}
	return access.ID{}, nil
}

// inUse reports whether one of a key's credentials belongs to another; the key
// itself may be stored or not.
func (u *keysTx) inUse(id access.ID, r *keyRow) (bool, error) {
	self := claimed{r.claim, id}
	for _, cred := range r.creds {
		if u.local.has(cred) {
			return true, nil
		}
		for _, c := range u.index.find(cred) {
			if c.compare(self) >= 0 {
				break
			}
			if c.id == id {
				continue
			}
			if has, err := u.has(c, cred); has || err != nil {
				return has, err
			}
		}
	}
	return false, nil
}

// judge fills in the result of a key's latest put and whether it opens, from the
// keys as they stand.
func (u *keysTx) judge(id access.ID, r *keyRow, v *decision) (changed bool, err error) {
	inUse, err := u.inUse(id, r)
	if err != nil {
		return false, err
	}
	return v.judge(u.policy, inUse, u.now), nil
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
		err = fmt.Errorf("%w: key %s is missing", ErrDamaged, id)
	}
	if err != nil || len(r.creds) == 0 {
		return false, err
	}
	opened := v.opens
	if changed, err = u.judge(id, &r, &v); err != nil {
		return false, err
	}
	if changed {
		u.results = append(u.results, v.result(id))
	}
	if changed || v.opens != opened {
		err = u.save(id, &r, &v)
	}
	return changed, err
}

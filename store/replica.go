package store

import (
	"context"
	"errors"
	"slices"

	"postern/access"
)

// Apply consumes a batch of revisions and gives the position after it. Changes,
// revision, digest and results are committed together before it returns.
//
// A revision that the panel has changes nothing and is answered again; the next
// one is applied; beyond it is access.ErrGap, and what came before in the batch
// stays applied. A fresh panel adopts the epoch of a batch that starts at
// revision 1; afterwards a lower epoch is access.ErrOldEpoch, a higher one
// access.ErrNewEpoch. A key that can't be one is consumed and fails.
func (s *Store) Apply(ctx context.Context, b access.Batch) (access.Position, error) {
	return s.Queue(b)(ctx)
}

// Queue is Apply for a caller that goes on meanwhile: it returns at once, and
// wait gives what Apply gives. Batches are applied in the order in which they
// were queued, and those that queue up share a commit.
func (s *Store) Queue(b access.Batch) (wait func(context.Context) (access.Position, error)) {
	var pos access.Position
	var refused error
	done, err := s.keysC.enqueue(&job[*keysTx]{done: make(chan error, 1), do: func(u *keysTx) (err error) {
		refused, err = u.apply(b)
		pos = u.st.position()
		return err
	}})
	return func(ctx context.Context) (access.Position, error) {
		if err == nil {
			err = await(ctx, done)
		}
		if err != nil {
			return s.Position(), err
		}
		return pos, refused
	}
}

// Position is how far the panel has come, as committed.
func (s *Store) Position() access.Position { return *s.pos.Load() }

func (u *keysTx) apply(b access.Batch) (refused, err error) {
	switch {
	case len(b.Updates) == 0:
		return nil, nil
	case b.Epoch < max(u.st.epoch, 1):
		return access.ErrOldEpoch, nil
	case u.st.epoch == 0 && b.Updates[0].Revision != 1:
		return access.ErrGap, nil
	case u.st.epoch == 0:
		u.st.epoch = b.Epoch
	case b.Epoch > u.st.epoch:
		return access.ErrNewEpoch, nil
	}
	for _, up := range b.Updates {
		switch {
		case up.Revision <= u.st.revision:
			err = u.repeat(up)
		case up.Revision == u.st.revision+1:
			err = u.take(up)
		default:
			return access.ErrGap, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// repeat answers a revision that was consumed before: with its result while it
// is its key's latest put, otherwise as applied, since it no longer matters.
func (u *keysTx) repeat(up access.Update) error {
	_, v, ok, err := u.load(up.ID)
	if err != nil {
		return err
	}
	res := access.Result{Revision: up.Revision, ID: up.ID, At: u.now}
	if ok && v.revision == up.Revision {
		res = v.result(up.ID)
	}
	u.results = append(u.results, res)
	return nil
}

// take consumes the next revision: the key's earlier put goes, the new one
// comes, and whoever gained or lost a credential by that is judged again.
func (u *keysTx) take(up access.Update) error {
	if err := u.keep(up.Revision, up.ID); err != nil {
		return err
	}
	if up.Op == access.Remove {
		return u.consume(up.Revision, up.ID, nil, nil)
	}
	row, dec := u.s.latest(up, u.matchers)
	return u.consume(up.Revision, up.ID, &row, &dec)
}

// consume puts a key as latest makes it, or removes it when row is nil.
func (u *keysTx) consume(revision uint64, id access.ID, row *keyRow, dec *decision) error {
	u.st.revision = revision
	old, was, had, err := u.load(id)
	if err != nil {
		return err
	}
	put := row != nil
	if !put {
		row = &keyRow{}
	}
	touched := union(old.creds, row.creds)
	owners := make([]access.ID, len(touched))
	for i, c := range touched {
		if owners[i], err = u.owner(c); err != nil {
			return err
		}
	}
	if had {
		u.st.digest = u.st.digest.Sub(id, was.revision)
		u.st.count--
	}
	u.move(id, &old, row)
	res := access.Result{Revision: revision, ID: id, At: u.now}
	switch {
	case put:
		u.st.digest = u.st.digest.Add(id, revision)
		u.st.count++
		dec.at = u.now
		if _, err = u.judge(id, row, dec); err != nil {
			return err
		}
		res = dec.result(id)
		err = u.save(id, row, dec)
	case had:
		err = u.remove(u.keys, id[:])
	}
	if err != nil {
		return err
	}
	u.results = append(u.results, res)
	return u.rejudgeOwners(id, touched, owners)
}

// rejudgeOwners judges again whom a change of key id concerns. Only the owner of
// a credential is not told "in use" for it; so nobody's judgement changes but
// that of an owner before or after.
func (u *keysTx) rejudgeOwners(id access.ID, touched [][]byte, before []access.ID) error {
	for i, c := range touched {
		now, err := u.owner(c)
		if err != nil {
			return err
		}
		if now == before[i] {
			continue
		}
		for _, o := range []access.ID{before[i], now} {
			if o.IsZero() || o == id {
				continue
			}
			if _, err := u.rejudge(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// latest is what is kept of a put. One that can't be a key keeps its fault
// alone: it has no credential and opens nothing.
func (s *Store) latest(up access.Update, m []access.Matcher) (keyRow, decision) {
	r, v := keyRow{claim: up.Claim}, decision{outcome: outcome{revision: up.Revision}, key: up.Key}
	if err := putFault(up); err != nil {
		v.fault, v.key = clip(err.Error(), maxDetail), access.Key{}
		return r, v
	}
	v.key.ID, v.key.HasPIN = up.ID, up.PIN != ""
	if up.PIN != "" {
		v.pin = s.secrets.pin(up.ID, up.PIN)
	}
	r.creds = s.secrets.prefixes(up.Key.Identification, m)
	if up.Key.Type == access.Code {
		v.codeSize, v.key.Identification = up.Key.Identification.CodeSize(), access.Identification{}
	}
	return r, v
}

// putFault says why a put can't be a key. The decoder of messages finds these
// too; the store can't hold what breaks them.
func putFault(up access.Update) error {
	k := up.Key
	switch {
	case up.Fault != "":
		return errors.New(up.Fault)
	case up.Op != access.Put:
		return errors.New("unknown op (want put or remove)")
	case k.Type != access.Proximity && k.Type != access.Code:
		return errors.New("type: want proximity or code")
	case k.Identification.IsZero() || k.Identification.IsCode() != (k.Type == access.Code):
		return errors.New("identification: is missing or of another type")
	case !readable(k):
		return errors.New("identification: is too long when spelled in full")
	case k.State < access.Enabled || k.State > access.Blacklisted:
		return errors.New("state: want enabled, disabled or blacklisted")
	case len(k.Levels) > access.MaxLevels:
		return errors.New("access_levels: too many")
	case up.PIN != "" && access.CheckPIN(up.PIN) != nil:
		return access.CheckPIN(up.PIN)
	}
	return access.CheckWindow(k.ValidFrom, k.ValidTo)
}

// readable reports whether an identification can be read again from its canonical
// spelling, which may be longer than the one that came and is what is stored.
func readable(k access.Key) bool {
	again, err := access.ParseIdentification(k.Type, k.Identification.Canonical())
	return err == nil && again == k.Identification
}

// union is every prefix of a and b once.
func union(a, b [][]byte) [][]byte {
	out := slices.Clone(a)
	for _, p := range b {
		if !hasPrefix(out, p) {
			out = append(out, p)
		}
	}
	return out
}

package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"postern/access"
)

// rejudgeChunk is how many keys are collected before any of them is changed: a
// bucket must not change under its cursor.
const rejudgeChunk = 1024

// SetPolicy puts a policy and the readers' matchers in force: every key is
// indexed and judged again, and every result that changed goes into the status
// outbox. It returns how many did, after the commit; on an error the policy
// before stays in force. p must have been compiled without faults. Policies
// that differ only in what no key's result depends on cost nothing.
func (s *Store) SetPolicy(ctx context.Context, p *access.Policy, m []access.Matcher) (changed int, err error) {
	m = slices.Clone(m)
	var n int // not the result itself: the committer may count on after ctx has ended
	err = s.keysC.submit(ctx, func(u *keysTx) (err error) {
		n, err = u.setPolicy(p, m)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

func (u *keysTx) setPolicy(p *access.Policy, m []access.Matcher) (changed int, err error) {
	u.policy, u.matchers = p, m
	u.s.fitLocal(u.local, p, m)
	matchers, policy := hashMatchers(m), hashPolicy(p)
	if matchers == u.st.matchers && policy == u.st.policy {
		return 0, nil
	}
	if matchers != u.st.matchers {
		if err := u.reindex(); err != nil {
			return 0, err
		}
	}
	u.st.matchers, u.st.policy = matchers, policy
	err = u.eachKey(func(id access.ID) error {
		c, err := u.rejudge(id)
		if c {
			changed++
		}
		return err
	})
	return changed, err
}

// eachKey calls do for every key, which may change the key's rows but neither
// add nor remove a key.
func (u *keysTx) eachKey(do func(access.ID) error) error {
	for from := []byte{0}; from != nil; {
		var ids []access.ID
		ids, from = u.idsFrom(from, rejudgeChunk)
		for _, id := range ids {
			if err := do(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// idsFrom gives at most so many ids of keys, from one on, and where to go on; nil
// at the end.
func (u *keysTx) idsFrom(from []byte, most int) (ids []access.ID, next []byte) {
	c := u.keys.Cursor()
	k, _ := c.Seek(from)
	for ; k != nil && len(ids) < most; k, _ = c.Next() {
		ids = append(ids, access.ID(k))
	}
	return ids, bytes.Clone(k)
}

// reindex has every card found by the credentials that the readers now make of
// it; a code is one whatever the readers. The keys are judged afterwards.
func (u *keysTx) reindex() error {
	return u.eachKey(func(id access.ID) error {
		r, v, _, err := u.load(id)
		if err != nil {
			return err
		}
		creds := u.credsNow(&r, &v)
		if slices.EqualFunc(creds, r.creds, bytes.Equal) {
			return nil
		}
		next := r
		next.creds = creds
		u.move(id, &r, &next)
		return u.save(id, &next, &v)
	})
}

// credsNow are the credentials of a key under the matchers now in force.
func (u *keysTx) credsNow(r *keyRow, v *decision) [][]byte {
	if v.key.Identification.IsZero() {
		return r.creds
	}
	return u.s.secrets.prefixes(v.key.Identification, u.matchers)
}

// hashMatchers stands for everything that a key's credentials depend on.
func hashMatchers(m []access.Matcher) hash16 {
	var texts []string
	for _, v := range m {
		texts = append(texts, string([]byte{byte(v.Technology), byte(v.Match)}))
	}
	slices.Sort(texts)
	h := sha256.New()
	for _, t := range slices.Compact(texts) {
		h.Write([]byte(t))
	}
	return hash16(h.Sum(nil)[:digestSize])
}

// hashPolicy stands for everything that access.Judge reads of a policy.
func hashPolicy(p *access.Policy) hash16 {
	b := []byte{0}
	if p.Codes.Enabled {
		b[0] = 1
		b = binary.BigEndian.AppendUint64(b, uint64(p.Codes.Size))
	}
	ids := make([]access.ID, len(p.Levels))
	for i, l := range p.Levels {
		ids[i] = l.ID
	}
	slices.SortFunc(ids, compareIDs)
	for _, id := range ids {
		b = append(b, id[:]...)
	}
	sum := sha256.Sum256(b)
	return hash16(sum[:digestSize])
}

package central

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"postern/access"
)

// Two access levels that exclude each other are held by no person at once. What
// follows judges access keys by that; requests are judged when they are made and
// voted on. A person is known by their id, by any number on their card, and as a
// user. A rule binds what comes after it: nobody loses what they had.

// gives are the levels that a key gives to whoever has it: none when it is
// barred or has run out.
func (t *tx) gives(k *key) []access.ID {
	over := !k.ValidTo.IsZero() && !k.ValidTo.After(t.now)
	if !k.removed.IsZero() || k.State == access.Blacklisted || over {
		return nil
	}
	return k.Levels
}

// gained are the levels that a key gives now and did not when it was like that;
// for another card all of them.
func (t *tx) gained(was, k *key) []access.ID {
	gives := slices.Clone(t.gives(k))
	if was == nil || !sameKey(was.Identification, k.Identification) {
		return gives
	}
	before := t.gives(was)
	return slices.DeleteFunc(gives, func(l access.ID) bool { return slices.Contains(before, l) })
}

// separate refuses a change by which the key's person would hold two levels that
// exclude each other. Was is the key before, nil for a new one.
func (t *tx) separate(ctx context.Context, was, k *key) error {
	gained := t.gained(was, k)
	if len(gained) == 0 {
		return nil
	}
	pairs, err := t.exclusions(ctx)
	if err != nil || len(pairs) == 0 {
		return err
	}
	held, err := t.heldBeside(ctx, k)
	if err != nil {
		return err
	}
	return collide(pairs, gained, append(held, texts(t.gives(k))...))
}

func texts(levels []access.ID) []string {
	out := make([]string, len(levels))
	for i, l := range levels {
		out[i] = l.String()
	}
	return out
}

// collide refuses the first of the gained levels that excludes one that is held.
func collide(pairs []Exclusion, gained []access.ID, held []string) error {
	for _, l := range gained {
		for _, x := range pairs {
			if x.Left == l && slices.Contains(held, x.Right.String()) || x.Right == l && slices.Contains(held, x.Left.String()) {
				return problem(409, separated, "access_levels", "access_levels: the person would hold two access levels that exclude each other (%s)", x.Name)
			}
		}
	}
	return nil
}

func (t *tx) exclusions(ctx context.Context) ([]Exclusion, error) {
	pairs, err := all(ctx, t, scanExclusion, "SELECT id, name, left_level, right_level FROM exclusions ORDER BY name, id")
	if err != nil {
		return nil, fmt.Errorf("read exclusions: %w", err)
	}
	return pairs, nil
}

// heldBeside are the levels that a key's person holds by other keys, of whatever
// integration, and by what they were granted.
func (t *tx) heldBeside(ctx context.Context, k *key) ([]string, error) {
	var p params
	now, id, person := p.add(t.now.UnixMicro()), p.add(k.ID.String()), p.add(k.person.id)
	parts := addList(&p, t.s.parts(k.Identification))
	held, err := all(ctx, t, scanText, `SELECT DISTINCT l.level_id FROM keys k JOIN key_levels l ON l.key_id = k.id
		WHERE k.id <> `+id+` AND k.removed_at = 0 AND k.state <> 'blacklisted' AND (k.valid_to IS NULL OR k.valid_to > `+now+`)
			AND (k.person_id = `+person+` OR k.id IN (SELECT key_id FROM key_parts WHERE part IN `+parts+`))
		UNION
		SELECT r.level_id FROM access_requests r JOIN users u ON u.id = r.user_id
		WHERE r.state = 'granted' AND r.expires_at > `+now+`
			AND (u.person_id = `+person+` OR u.id IN (SELECT user_id FROM user_cards WHERE part IN `+parts+`))`, p...)
	if err != nil {
		return nil, fmt.Errorf("read what the person holds: %w", err)
	}
	return held, nil
}

// importJudge judges the lines of an import with those before them, which are not
// in the database yet.
type importJudge struct {
	pairs []Exclusion
	given map[string][]string // by person: what earlier lines give
}

// knownPeople finds whose the lines are that name a person in words, by those of
// their keys that are there.
func (t *tx) knownPeople(ctx context.Context, c *caller, lines []importLine, people map[string]access.ID) error {
	for _, l := range lines {
		if l.person == "" || !people[l.person].IsZero() {
			continue
		}
		k, err := t.target(ctx, c, l.change)
		if _, ok := errors.AsType[*Problem](err); ok {
			continue // it is listed later
		}
		if err != nil {
			return err
		}
		if k != nil {
			people[l.person] = k.Person
		}
	}
	return nil
}

// line judges the key that a line makes, or makes of another one.
func (j *importJudge) line(t *tx, l importLine, was, k *key) error {
	who := k.person.id
	if who == "" && l.person != "" {
		who = "named " + l.person
	}
	if len(j.pairs) == 0 || who == "" {
		return nil
	}
	gives := texts(t.gives(k))
	if err := collide(j.pairs, t.gained(was, k), slices.Concat(j.given[who], gives)); err != nil {
		return err
	}
	j.given[who] = append(j.given[who], gives...)
	return nil
}

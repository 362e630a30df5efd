package scenarios

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"postern/access"
	"postern/wiegand"
)

// number is a card's facility and number by a named format.
type number struct {
	format   string
	fac, num uint64
}

func (n number) String() string {
	if n.format == "H10302" {
		return fmt.Sprintf("H10302:%d", n.num)
	}
	return fmt.Sprintf("%s:%d-%d", n.format, n.fac, n.num)
}

// card is what lies in somebody's pocket; zero members are not on it.
type card struct {
	em  uint64
	num number
}

// identification spells a card.
func (c card) identification() string {
	switch {
	case c.em != 0 && c.num.format != "":
		return fmt.Sprintf("%013d|%s", c.em, c.num)
	case c.em != 0:
		return fmt.Sprintf("%013d", c.em)
	}
	return c.num.String()
}

// key is an access key as central put it last.
type key struct {
	id       access.ID
	state    access.State
	from, to time.Time
	levels   []int
	person   access.ID
	options  access.Options
	pin      string
	card     card
	code     string // in place of a card
	claim    uint64
	fault    bool // can't be a key
	revision uint64
}

// The cards: 0x…1 and 0x2…1 are alike in their low 24 bits, and the first two
// numbers give the same 37 bits.
var (
	ems     = []uint64{0x0100200001, 0x0200200001, 0x0100200002, 0x0100200003, 0x0100200004}
	numbers = []number{{"H10304", 5, 1000}, {"H10302", 0, 5<<19 | 1000}, {"H10304", 5, 1001}}
	codes   = []string{"1111", "2222", "33333", "44444"}
	pins    = []string{"1234", "1235", "9990", "0009"}
)

const people = 10

func (k *key) update(op access.Op) access.Update {
	u := access.Update{Revision: k.revision, Op: op, ID: k.id, Claim: k.claim, PIN: k.pin}
	if op == access.Remove {
		return access.Update{Revision: k.revision, Op: op, ID: k.id}
	}
	if k.fault {
		u.Fault = "name: is too long"
		u.PIN = ""
		return u
	}
	typ, text := access.Proximity, k.card.identification()
	if k.code != "" {
		typ, text = access.Code, k.code
	}
	id, err := access.ParseIdentification(typ, text)
	if err != nil {
		panic(err)
	}
	u.Key = access.Key{ID: k.id, Type: typ, Identification: id, State: k.state, ValidFrom: k.from, ValidTo: k.to, Person: k.person, Options: k.options, HasPIN: k.pin != ""}
	for _, l := range k.levels {
		u.Key.Levels = append(u.Key.Levels, levelID(l))
	}
	return u
}

// newKey draws a key; its window begins or ends near now.
func newKey(r *rand.Rand, n int, now time.Time) *key {
	k := &key{id: access.ID{0xAA, byte(n + 1)}, state: access.Enabled}
	switch {
	case n >= 7:
		k.code = one(r, codes...)
	case n >= 5:
		k.card.num = one(r, numbers...)
	default:
		k.card.em = ems[n]
		if chance(r, 20) {
			k.card.em = one(r, ems...)
		}
		if chance(r, 20) {
			k.card.num = one(r, numbers...)
		}
	}
	if chance(r, 8) {
		k.state = one(r, access.Disabled, access.Blacklisted)
	}
	near := func() time.Time {
		return now.Truncate(time.Second).Add(one(r, -time.Hour, -time.Minute, -5*time.Second, 5*time.Second, 20*time.Second, time.Minute, 48*time.Hour, 60*24*time.Hour))
	}
	if chance(r, 12) {
		k.from = near()
	}
	if chance(r, 12) {
		k.to = near()
	}
	if !k.from.IsZero() && !k.to.IsZero() && !k.from.Before(k.to) {
		k.to = k.from.Add(time.Minute)
	}
	for l := range 3 {
		if chance(r, 70) {
			k.levels = append(k.levels, l)
		}
	}
	if chance(r, 70) {
		k.person = access.ID{0xBB, byte(r.IntN(3) + 1)}
	}
	for _, o := range []access.Options{access.Extended, access.FirstCard, access.APBExempt, access.Escort, access.PINExempt, access.Escorted, access.Common, access.NeedsCentral} {
		percent := 12
		if o == access.FirstCard {
			percent = 35
		}
		if chance(r, percent) {
			k.options |= o
		}
	}
	if k.code == "" && chance(r, 80) {
		k.pin = one(r, pins...)
	}
	k.fault = chance(r, 4)
	return k
}

// alike reports whether no reader of the panel could tell two keys apart
// somewhere: the low 24 bits of a card, a number, or a code.
func alike(a, b *key) bool {
	if a.fault || b.fault {
		return false
	}
	if a.code != "" || b.code != "" {
		return a.code == b.code
	}
	return a.card.em != 0 && b.card.em != 0 && a.card.em&0xFFFFFF == b.card.em&0xFFFFFF ||
		a.card.num.format != "" && a.card.num == b.card.num
}

// result is what becomes of a key under a policy, and whether it counts at doors.
func (m *model) result(k *key) (access.ErrorType, bool) {
	if k.fault {
		return access.InvalidKey, false
	}
	if k.code != "" {
		switch {
		case m.site.codes == 0:
			return access.CodeNotEnabled, false
		case len(k.code) != m.site.codes:
			return access.InvalidCodeSize, false
		}
	}
	inUse := false
	for _, o := range m.keys {
		inUse = inUse || o != k && alike(o, k) && o.claim < k.claim
	}
	for _, l := range k.levels {
		if l >= len(m.site.levels) {
			return access.AccessLevelNotFound, !inUse
		}
	}
	if inUse {
		return access.AccessKeyInUse, false
	}
	return access.Applied, true
}

// found gives the keys that count for what a reader read.
func (m *model) found(reader int, c shown) []*key {
	var out []*key
	for _, id := range slices.SortedFunc(maps.Keys(m.keys), func(a, b access.ID) int { return slices.Compare(a[:], b[:]) }) {
		k := m.keys[id]
		if k.fault || !c.is(reader, k) {
			continue
		}
		if _, counts := m.result(k); counts {
			out = append(out, k)
		}
	}
	return out
}

// shown is what was presented to a reader: a card or a code.
type shown struct {
	card card
	code string
}

func (c shown) is(reader int, k *key) bool {
	switch {
	case c.code != "" || k.code != "":
		return c.code == k.code
	case reader == 1: // sends the low 24 bits
		return k.card.em != 0 && k.card.em&0xFFFFFF == c.card.em&0xFFFFFF
	case reader == 2: // sends 37 bits, which may be read in two ways
		n, o := k.card.num, c.card.num
		return n.format != "" && n.fac<<19|n.num == o.fac<<19|o.num
	}
	return k.card.em != 0 && k.card.em == c.card.em
}

// bits are what a reader sends for a card.
func (c card) bits(reader int) wiegand.Bits {
	var b wiegand.Bits
	var err error
	switch reader {
	case 1:
		b, err = format("H10301").Encode(c.em>>16&0xFF, c.em&0xFFFF)
	case 2:
		b, err = format(c.num.format).Encode(c.num.fac, c.num.num)
	default:
		b = wiegand.NewBits(c.em, 40)
	}
	if err != nil {
		panic(err)
	}
	return b
}

func format(name string) wiegand.Format {
	f, ok := wiegand.Lookup(name)
	if !ok {
		panic("no format " + name)
	}
	return f
}

var keypads = [readers]wiegand.Encoding{wiegand.FourBit, wiegand.EightBit, "", wiegand.FourBit}

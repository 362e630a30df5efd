package wire

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"postern/access"
)

// plain reads the plainest JSON, which is what central writes: no spaces, no
// escapes, ASCII, no null. It knows nothing about errors: whatever it does not
// take goes to Strict, which judges it. What it takes, Strict takes, with the
// same outcome; a snapshot of 100,000 keys is read several times faster for it.
type plain struct {
	s string
	i int // of the next byte
}

func (p *plain) lit(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

// text reads a string; it is a part of s.
func (p *plain) text() (string, bool) {
	if !p.lit('"') {
		return "", false
	}
	for j := p.i; j < len(p.s); j++ {
		switch c := p.s[j]; {
		case c == '"':
			v := p.s[p.i:j]
			p.i = j + 1
			return v, true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// number reads a whole number of at most 19 digits, which uint64 can hold.
func (p *plain) number() (v uint64, ok bool) {
	start := p.i
	for ; p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9'; p.i++ {
		v = 10*v + uint64(p.s[p.i]-'0')
	}
	n := p.i - start
	return v, n > 0 && n <= 19 && (n == 1 || p.s[start] != '0')
}

// id reads a UUID.
func (p *plain) id() (access.ID, bool) {
	v, ok := p.text()
	if !ok {
		return access.ID{}, false
	}
	id, err := parseID(v)
	return id, err == nil
}

// parseID is access.ParseID without its allocations.
func parseID(s string) (id access.ID, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return access.ParseID(s)
	}
	at := 0
	for i := range id {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		high, low := digit(s[at]), digit(s[at+1])
		if high|low > 15 {
			return access.ParseID(s)
		}
		id[i] = high<<4 | low
		at += 2
	}
	return id, nil
}

// digit is the value of a hexadecimal digit, 255 of anything else.
func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// texts reads an array of strings.
func (p *plain) texts() (list []string, ok bool) {
	ok = p.array(func() bool {
		v, ok := p.text()
		list = append(list, v)
		return ok
	})
	return list, ok
}

// object reads an object; member reads the value of one that it knows and gives
// its number, below 16. Each may be there once.
func (p *plain) object(member func(name string) (number int, ok bool)) bool {
	if !p.lit('{') {
		return false
	}
	if p.lit('}') {
		return true
	}
	var seen uint16
	for {
		name, ok := p.text()
		if !ok || !p.lit(':') {
			return false
		}
		n, ok := member(name)
		if !ok || seen&(1<<n) != 0 {
			return false
		}
		seen |= 1 << n
		if p.lit('}') {
			return true
		}
		if !p.lit(',') {
			return false
		}
	}
}

// array reads an array whose elements element reads.
func (p *plain) array(element func() bool) bool {
	if !p.lit('[') {
		return false
	}
	if p.lit(']') {
		return true
	}
	for element() {
		if p.lit(']') {
			return true
		}
		if !p.lit(',') {
			return false
		}
	}
	return false
}

func (p *plain) key(w *Key) bool {
	return p.object(func(name string) (n int, ok bool) {
		switch name {
		case "identification":
			w.Identification, ok = p.text()
			return 0, ok
		case "type":
			w.Type, ok = p.text()
			return 1, ok
		case "state":
			w.State, ok = p.text()
			return 2, ok
		case "pin":
			v, ok := p.text()
			w.PIN = &v
			return 3, ok
		case "valid_from_date":
			w.ValidFrom, ok = p.text()
			return 4, ok
		case "valid_to_date":
			w.ValidTo, ok = p.text()
			return 5, ok
		case "access_levels":
			w.AccessLevels, ok = p.texts()
			return 6, ok
		case "person_id":
			w.PersonID, ok = p.text()
			return 7, ok
		case "options":
			w.Options, ok = p.texts()
			return 8, ok
		}
		return 0, false
	})
}

// plainKey reads a whole key, false when Strict has to.
func plainKey(data []byte) (w Key, ok bool) {
	p := plain{s: string(data)}
	ok = p.key(&w) && p.i == len(p.s)
	return w.own(), ok
}

// own frees what outlives the decoding from the text that it is a part of.
func (w Key) own() Key {
	w.Identification = strings.Clone(w.Identification)
	if w.PIN != nil {
		pin := strings.Clone(*w.PIN)
		w.PIN = &pin
	}
	return w
}

// plainLine reads a whole line of a snapshot but for its Key.Key, which is w;
// false when Strict has to.
func plainLine(line []byte) (k SnapshotKey, w Key, ok bool) {
	p := plain{s: string(line)}
	length := 0
	ok = p.object(func(name string) (n int, ok bool) {
		switch name {
		case "revision":
			k.Revision, ok = p.number()
			return 0, ok
		case "id":
			k.ID, ok = p.id()
			return 1, ok
		case "claim":
			k.Claim, ok = p.number()
			return 2, ok
		case "key":
			start := p.i
			ok = p.key(&w)
			length = p.i - start
			return 3, ok
		}
		return 0, false
	})
	return k, w.own(), ok && p.i == len(p.s) && length > 0 && length <= MaxKey
}

// plainChanges reads a batch whose keys are plain, false when Strict has to.
func plainChanges(payload []byte) (c Changes, ok bool) {
	p := plain{s: string(payload)}
	ok = p.object(func(name string) (n int, ok bool) {
		switch name {
		case "epoch":
			c.Epoch, ok = p.number()
			return 0, ok
		case "changes":
			return 1, p.array(func() bool {
				m, ok := p.change(payload)
				c.Changes = append(c.Changes, m)
				return ok
			})
		}
		return 0, false
	})
	return c, ok && p.i == len(p.s)
}

// change reads one change of the text in data.
func (p *plain) change(data []byte) (m Change, ok bool) {
	ok = p.object(func(name string) (n int, ok bool) {
		switch name {
		case "revision":
			m.Revision, ok = p.number()
			return 0, ok
		case "op":
			v, ok := p.text()
			m.Op = strings.Clone(v)
			return 1, ok
		case "id":
			m.ID, ok = p.id()
			return 2, ok
		case "claim":
			m.Claim, ok = p.number()
			return 3, ok
		case "key":
			var w Key // read again by whoever judges it
			start := p.i
			ok = p.key(&w)
			m.Key = json.RawMessage(data[start:p.i:p.i])
			return 4, ok
		}
		return 0, false
	})
	return m, ok
}

// plainSigned reads a signed message, false when Strict has to.
func plainSigned(message []byte) (m Signed, ok bool) {
	p := plain{s: string(message)}
	bytes := func() ([]byte, bool) {
		v, ok := p.text()
		if !ok {
			return nil, false
		}
		b, err := base64.StdEncoding.DecodeString(v)
		return b, err == nil
	}
	ok = p.object(func(name string) (n int, ok bool) {
		switch name {
		case "kid":
			v, ok := p.text()
			m.KID = strings.Clone(v)
			return 0, ok
		case "payload":
			m.Payload, ok = bytes()
			return 1, ok
		case "sig":
			m.Sig, ok = bytes()
			return 2, ok
		}
		return 0, false
	})
	return m, ok && p.i == len(p.s)
}

package store

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"postern/access"
)

// Bounds of what a record may hold, for writing and for decoding.
const (
	maxDetail  = 200      // bytes of a result's or an event's detail
	maxText    = 128      // bytes of any other text
	maxPrefix  = 64       // bytes of a credential in the index
	maxCreds   = 16       // credentials of one key
	maxRecord  = 16 << 10 // bytes of either part of a key's record
	macSize    = 32
	idSize     = 16
	maxSubject = 256 // bytes of a lockout's subject
)

// record is a key's latest put as it is kept, under its id.
type record struct {
	row keyRow
	dec decision
}

// encode is the payload of a record in the given version.
func (r *record) encode(version byte) []byte {
	b := []byte{version}
	for _, part := range [][]byte{r.row.encode(), r.dec.encode()} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}

func decodeRecord(id access.ID, payload []byte) (r record, err error) {
	d := decoder{b: payload}
	d.u8()
	row, dec := d.bytes(d.size(maxRecord)), d.bytes(d.size(maxRecord))
	if err := d.done("key"); err != nil {
		return r, err
	}
	if r.row, err = decodeKeyRow(row); err != nil {
		return r, err
	}
	if r.dec = r.row.bare(id); len(r.row.creds) > 0 {
		r.dec, err = decodeDecision(id, dec)
	}
	return r, err
}

// bare is the decision of a key without credentials: the outcome alone.
func (r *keyRow) bare(id access.ID) decision {
	return decision{outcome: r.outcome, key: access.Key{ID: id}}
}

// keyRow is by what a key is found.
type keyRow struct {
	claim uint64
	creds [][]byte // in the form of the index; none when it has a fault
	// Of a key that has no credential, the put itself.
	outcome
}

// outcome is a put's revision and what became of it.
type outcome struct {
	revision uint64
	fault    string
	err      access.ErrorType
	detail   string
	at       time.Time // of the result
}

func (o *outcome) append(b []byte) []byte {
	b = append(b, byte(slices.Index(access.ErrorTypes(), o.err)+1))
	b = binary.AppendUvarint(b, o.revision)
	b = appendTime(b, o.at)
	b = appendString(b, o.fault)
	return appendString(b, o.detail)
}

func (d *decoder) errorType() access.ErrorType {
	types := access.ErrorTypes()
	switch e := int(d.u8()); {
	case e > len(types):
		d.fail(fmt.Errorf("has an unknown result %d", e))
	case e > 0:
		return types[e-1]
	}
	return access.Applied
}

func (d *decoder) outcome() outcome {
	return outcome{err: d.errorType(), revision: d.uvarint(), at: d.time(), fault: d.str(maxDetail), detail: d.str(maxDetail)}
}

func (o *outcome) result(id access.ID) access.Result {
	return access.Result{Revision: o.revision, ID: id, Error: o.err, Detail: o.detail, At: o.at}
}

func (r *keyRow) encode() []byte {
	b := binary.AppendUvarint([]byte{recordVersion}, r.claim)
	b = append(b, byte(len(r.creds)))
	for _, c := range r.creds {
		b = appendString(b, string(c))
	}
	if len(r.creds) == 0 {
		b = r.outcome.append(b)
	}
	return b
}

func decodeKeyRow(payload []byte) (r keyRow, err error) {
	d := decoder{b: payload}
	d.u8()
	r.claim = d.uvarint()
	for range d.size(maxCreds) {
		r.creds = append(r.creds, []byte(d.str(maxPrefix)))
	}
	if len(r.creds) == 0 {
		r.outcome = d.outcome()
	}
	return r, d.done("key")
}

// The flags of a decision. Files of before have one more, which meant nothing to
// a door.
const (
	flagOpens = 1 << iota
	flagFrom
	flagTo
	flagPerson
	flagPIN
	flagCode
)

// decision is what a door needs to know of a key's latest put, and what became of
// it. For a code key.Identification is zero and codeSize set.
type decision struct {
	outcome
	opens    bool
	key      access.Key
	codeSize int
	pin      []byte // HMAC, nil when it has none
}

func (v *decision) encode() []byte {
	k := &v.key
	flags := 0
	for _, f := range []struct {
		set  bool
		flag int
	}{
		{v.opens, flagOpens},
		{!k.ValidFrom.IsZero(), flagFrom},
		{!k.ValidTo.IsZero(), flagTo},
		{!k.Person.IsZero(), flagPerson},
		{v.pin != nil, flagPIN},
		{k.Type == access.Code, flagCode},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	b := []byte{recordVersion, byte(flags), byte(k.State), byte(k.Options)}
	if flags&flagCode != 0 {
		b = append(b, byte(v.codeSize))
	} else {
		b = appendString(b, k.Identification.Canonical())
	}
	if flags&flagFrom != 0 {
		b = appendTime(b, k.ValidFrom)
	}
	if flags&flagTo != 0 {
		b = appendTime(b, k.ValidTo)
	}
	if flags&flagPerson != 0 {
		b = append(b, k.Person[:]...)
	}
	b = append(b, v.pin...)
	b = binary.AppendUvarint(b, uint64(len(k.Levels)))
	for _, l := range k.Levels {
		b = append(b, l[:]...)
	}
	return v.outcome.append(b)
}

func decodeDecision(id access.ID, payload []byte) (decision, error) {
	d := decoder{b: payload}
	d.u8()
	flags := d.u8()
	v := decision{opens: flags&flagOpens != 0, key: access.Key{ID: id, Type: access.Proximity}}
	v.key.State, v.key.Options = access.State(d.u8()), access.Options(d.u8())
	if flags&flagCode != 0 {
		v.key.Type, v.codeSize = access.Code, int(d.u8())
	} else {
		ident, err := access.ParseIdentification(access.Proximity, d.str(maxText))
		if err != nil {
			d.fail(fmt.Errorf("identification %w", err))
		}
		v.key.Identification = ident
	}
	if flags&flagFrom != 0 {
		v.key.ValidFrom = d.time()
	}
	if flags&flagTo != 0 {
		v.key.ValidTo = d.time()
	}
	if flags&flagPerson != 0 {
		v.key.Person = d.id()
	}
	if flags&flagPIN != 0 {
		v.key.HasPIN, v.pin = true, slices.Clone(d.bytes(macSize))
	}
	if n := d.size(access.MaxLevels); n > 0 && n*idSize <= len(d.b) {
		v.key.Levels = make([]access.ID, n)
		for i := range v.key.Levels {
			v.key.Levels[i] = d.id()
		}
	} else if n > 0 {
		d.fail(errShort)
	}
	v.outcome = d.outcome()
	return v, d.done("credential")
}

// claimOf is what Judge needs of a key's latest put.
func claimOf(v *decision) access.Claim {
	return access.Claim{Fault: v.fault, Type: v.key.Type, CodeSize: v.codeSize, Levels: v.key.Levels}
}

func encodeLockout(l access.Lockout) []byte {
	b := binary.AppendVarint([]byte{recordVersion}, int64(l.Failures))
	b = binary.AppendVarint(b, int64(l.Level))
	return appendTime(appendTime(b, l.Last), l.Until)
}

func decodeLockout(payload []byte) (l access.Lockout, err error) {
	d := decoder{b: payload}
	d.u8()
	l.Failures, l.Level = int(d.varint()), int(d.varint())
	l.Last, l.Until = d.time(), d.time()
	return l, d.done("lockout")
}

func encodeStatus(row access.StatusRow) []byte {
	snapshot := !row.Snapshot.IsZero()
	b := append([]byte{recordVersion}, row.BootID[:]...)
	if snapshot {
		b[0] = snapshotVersion
	}
	b = binary.AppendUvarint(b, row.Epoch)
	b = binary.AppendUvarint(b, uint64(len(row.Results)))
	for _, r := range row.Results {
		b = append(b, r.ID[:]...)
		b = append(b, byte(slices.Index(access.ErrorTypes(), r.Error)+1))
		b = binary.AppendUvarint(b, r.Revision)
		b = appendString(b, r.Detail)
		b = appendTime(b, r.At)
	}
	if snapshot {
		b = append(b, row.Snapshot[:]...)
		for _, v := range []uint64{row.Revision, row.Part, row.Of} {
			b = binary.AppendUvarint(b, v)
		}
	}
	return b
}

// decodeStatus gives the row without its sequence numbers, which are the key's.
func decodeStatus(payload []byte) (row access.StatusRow, err error) {
	d := decoder{b: payload}
	version := d.u8()
	row.BootID, row.Epoch = d.id(), d.uvarint()
	for range d.size(access.MaxRowResults) {
		r := access.Result{ID: d.id(), Error: d.errorType()}
		r.Revision, r.Detail, r.At = d.uvarint(), d.str(maxDetail), d.time()
		row.Results = append(row.Results, r)
	}
	if version == snapshotVersion {
		row.Snapshot = d.id()
		row.Revision, row.Part, row.Of = d.uvarint(), d.uvarint(), d.uvarint()
	}
	return row, d.done("status row")
}

func encodeEvent(e access.Event) []byte {
	b := append([]byte{recordVersion}, e.BootID[:]...)
	b = appendTime(b, e.At)
	b = binary.AppendVarint(b, int64(e.Mono))
	b = append(b, byte(e.Clock))
	b = binary.BigEndian.AppendUint16(b, uint16(e.Type))
	flags := byte(0)
	if !e.Key.IsZero() {
		flags |= 1
	}
	if !e.Person.IsZero() {
		flags |= 2
	}
	b = append(b, flags)
	if !e.Key.IsZero() {
		b = append(b, e.Key[:]...)
	}
	if !e.Person.IsZero() {
		b = append(b, e.Person[:]...)
	}
	for _, s := range []string{string(e.Reason), e.Door, e.Point, string(e.KeyType), e.Credential} {
		b = appendString(b, clip(s, maxText))
	}
	b = appendString(b, clip(e.Detail, maxDetail))
	if e.Why != "" && len(e.Why) <= access.MaxWhy {
		b[0] = explainedVersion
		b = appendString(b, e.Why)
	}
	return b
}

func decodeEvent(seq uint64, payload []byte) (access.Event, error) {
	d := decoder{b: payload}
	version := d.u8()
	e := access.Event{Seq: seq, BootID: d.id(), At: d.time(), Mono: time.Duration(d.varint()), Clock: access.ClockState(d.u8())}
	if b := d.bytes(2); b != nil {
		e.Type = access.EventType(binary.BigEndian.Uint16(b))
	}
	flags := d.u8()
	if flags&1 != 0 {
		e.Key = d.id()
	}
	if flags&2 != 0 {
		e.Person = d.id()
	}
	e.Reason, e.Door, e.Point = access.Reason(d.str(maxText)), d.str(maxText), d.str(maxText)
	e.KeyType, e.Credential, e.Detail = access.Type(d.str(maxText)), d.str(maxText), d.str(maxDetail)
	if version == explainedVersion {
		e.Why = d.str(access.MaxWhy)
	}
	return e, d.done("event")
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// seqOf is the sequence number of a row's key, 0 for what isn't one.
func seqOf(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

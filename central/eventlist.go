package central

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/access"
	"postern/wire"
)

const (
	maxEvents     = 1000 // in one answer
	maxFilter     = 200  // systems in a filter, which must fit into a continuation key
	defaultEvents = 7 * 24 * time.Hour
)

type eventsRequest struct {
	From         optional[string]   `json:"from_date"`
	To           optional[string]   `json:"to_date"`
	Systems      optional[[]string] `json:"systems"`
	Granted      optional[bool]     `json:"include_access_granted"`
	Denied       optional[bool]     `json:"include_access_denied"`
	System       optional[bool]     `json:"include_system"`
	Limit        optional[int]      `json:"limit"`
	Continuation optional[string]   `json:"continuation_key"`
}

// eventFilter is what a list of events is about. It travels in the continuation
// key, so that every page of a list is of the same one.
type eventFilter struct {
	After   int64    `json:"a"` // sequence id of the last event given
	From    int64    `json:"f"`
	To      int64    `json:"t,omitempty"`
	Systems []string `json:"s,omitempty"`
	Granted bool     `json:"g,omitempty"`
	Denied  bool     `json:"d,omitempty"`
	System  bool     `json:"y,omitempty"`
}

type eventsAnswer struct {
	LeastSyncTime *string       `json:"least_sync_time"`
	HasMore       bool          `json:"has_more"`
	Continuation  string        `json:"continuation_key"`
	Events        []eventAnswer `json:"events"`
}

type eventAnswer struct {
	Time        string       `json:"event_time"`
	Sequence    int64        `json:"sequence_id"`
	Category    string       `json:"category"`
	Type        int          `json:"type"`
	SystemID    string       `json:"system_id"`
	DoorName    *string      `json:"door_name"`
	KeyID       *string      `json:"key_id"`
	Key         *eventKeyRef `json:"key"`
	Person      *personRef   `json:"person"`
	Subject     *string      `json:"subject"`
	Reason      string       `json:"reason,omitempty"`
	AccessPoint string       `json:"access_point,omitempty"`
	Detail      string       `json:"detail,omitempty"`
}

type eventKeyRef struct {
	Identification *string `json:"identification"` // null for a code
	Type           string  `json:"type"`
}

type personRef struct {
	ID        string `json:"id"`
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
}

// check gives the filter and the most events wanted.
func (r eventsRequest) check(now time.Time) (f eventFilter, limit int, err error) {
	limit = maxEvents
	if r.Limit.Has() {
		if limit = r.Limit.Value; limit < 1 || limit > maxEvents {
			return f, 0, badRequest("InvalidLimit", "limit", "limit: want 1 to %d", maxEvents)
		}
	}
	from, err := readDate(r.From, "from_date")
	if err != nil {
		return f, 0, err
	}
	to, err := readDate(r.To, "to_date")
	if err != nil {
		return f, 0, err
	}
	f = eventFilter{From: now.Add(-defaultEvents).UnixMicro(), Granted: r.Granted.Value, Denied: r.Denied.Value, System: r.System.Value}
	if from.Has() {
		f.From = from.Value.UnixMicro()
	}
	if to.Has() {
		f.To = to.Value.UnixMicro()
	}
	if len(r.Systems.Value) > maxFilter {
		return f, 0, badRequest("InvalidSystems", "systems", "systems: more than %d", maxFilter)
	}
	f.Systems = slices.Compact(slices.Sorted(slices.Values(r.Systems.Value)))
	if r.Continuation.Value != "" { // "" is where a list begins
		f, err = r.resume(f)
	}
	return f, limit, err
}

// resume takes the filter from the continuation key. Members that were given
// beside it must say the same: nobody is to believe that they changed it.
func (r eventsRequest) resume(given eventFilter) (f eventFilter, err error) {
	bad := badRequest("InvalidContinuationKey", "continuation_key", "continuation_key: not one that this server gave")
	text, err := base64.RawURLEncoding.DecodeString(r.Continuation.Value)
	if err != nil || len(text) == 0 {
		return f, bad
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if dec.Decode(&f) != nil || dec.More() || f.After < 0 || len(f.Systems) > maxFilter {
		return f, bad
	}
	for _, m := range []struct {
		name  string
		given bool
		same  bool
	}{
		{"from_date", r.From.Has(), f.From == given.From},
		{"to_date", r.To.Has(), f.To == given.To},
		{"systems", r.Systems.Has(), slices.Equal(f.Systems, given.Systems)},
		{"include_access_granted", r.Granted.Has(), f.Granted == given.Granted},
		{"include_access_denied", r.Denied.Has(), f.Denied == given.Denied},
		{"include_system", r.System.Has(), f.System == given.System},
	} {
		if m.given && !m.same {
			return f, badRequest("InvalidContinuationKey", m.name, "%s: is not what the list was begun with; leave it out, or begin anew", m.name)
		}
	}
	return f, nil
}

func (f eventFilter) key() string {
	text, err := json.Marshal(f)
	if err != nil {
		panic("central: continuation key can't be encoded: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (f eventFilter) categories() []string {
	var out []string
	if f.Granted || !f.Denied {
		out = append(out, "accessgranted")
	}
	if f.Denied || !f.Granted {
		out = append(out, "accessdenied")
	}
	if f.System {
		out = append(out, "system")
	}
	return out
}

// params numbers the placeholders of a query that is put together.
type params []any

func (p *params) add(v any) string {
	*p = append(*p, v)
	return "$" + strconv.Itoa(len(*p))
}

func addList[T any](p *params, values []T) string {
	marks := make([]string, len(values))
	for i, v := range values {
		marks[i] = p.add(v)
	}
	return "(" + strings.Join(marks, ", ") + ")"
}

// eventWhen is the time by which an event is found, as in its index. A clock
// that is not trusted may say 1970: such an event is of when it came.
const eventWhen = "(CASE WHEN e.clock IN ('trusted', 'holdover') THEN e.event_time ELSE e.received_at END)"

// listEvents gives a page of the events that a caller may see, in the order in
// which they arrived: what arrives later comes on a later page.
func (t *tx) listEvents(ctx context.Context, c *caller, f eventFilter, limit int) (*eventsAnswer, error) {
	systems, err := t.scope(ctx, c, f.Systems)
	if err != nil {
		return nil, err
	}
	out := &eventsAnswer{Events: []eventAnswer{}}
	if out.LeastSyncTime = leastSync(systems); len(systems) == 0 {
		out.Continuation = f.key()
		return out, nil
	}
	var p params
	query := `SELECT e.sequence_id, e.event_time, e.category, e.event_type, e.system_id, e.door, e.key_id, e.key_type, e.identification,
			e.credential, e.reason, e.access_point, e.detail, e.owner_id, COALESCE(p.id, ''), COALESCE(p.first_name, ''), COALESCE(p.last_name, '')
		FROM events e LEFT JOIN persons p ON p.id = e.person_id AND p.integration_id = ` + p.add(c.integration) + `
		WHERE e.sequence_id > ` + p.add(f.After) + ` AND ` + eventWhen + ` >= ` + p.add(f.From)
	if f.To != 0 {
		query += " AND " + eventWhen + " < " + p.add(f.To)
	}
	if !c.everything || len(f.Systems) > 0 {
		query += " AND e.system_id IN " + addList(&p, sortedIDs(systems))
	}
	query += " AND e.category IN " + addList(&p, f.categories()) + " ORDER BY e.sequence_id LIMIT " + p.add(limit+1)
	out.Events, err = all(ctx, t, func(scan func(...any) error) (eventAnswer, error) { return scanEvent(scan, c, systems) }, query, p...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	if len(out.Events) > limit {
		out.Events, out.HasMore = out.Events[:limit], true
	}
	if n := len(out.Events); n > 0 {
		f.After = out.Events[n-1].Sequence
	} else {
		out.Events = []eventAnswer{}
	}
	out.Continuation = f.key()
	return out, nil
}

// systemInfo is what a list of events needs of a panel.
type systemInfo struct {
	id      string
	through int64
	doors   map[string]string
}

func sortedIDs(systems map[string]systemInfo) []string {
	var ids []string
	for id := range systems {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// scope gives the systems that a caller sees, or those of them that it names.
func (t *tx) scope(ctx context.Context, c *caller, named []string) (map[string]systemInfo, error) {
	rows, err := all(ctx, t, func(scan func(...any) error) (systemInfo, error) {
		var s systemInfo
		var announcement string
		err := scan(&s.id, &s.through, &announcement)
		s.doors = doorNames(announced(announcement))
		return s, err
	}, "SELECT system_id, events_through, announcement FROM panels")
	if err != nil {
		return nil, fmt.Errorf("read panels: %w", err)
	}
	out := map[string]systemInfo{}
	for _, s := range rows {
		if c.sees(s.id) && (len(named) == 0 || slices.Contains(named, s.id)) {
			out[s.id] = s
		}
	}
	for _, id := range named {
		if _, ok := out[id]; !ok {
			return nil, forbidden("systems", "systems: this API key does not reach all of them")
		}
	}
	return out, nil
}

func doorNames(p wire.Panel) map[string]string {
	names := make(map[string]string, len(p.Doors))
	for _, d := range p.Doors {
		names[d.ID] = d.Name
	}
	return names
}

// leastSync is the time up to which the events of every system are here; null
// when one has never sent any.
func leastSync(systems map[string]systemInfo) *string {
	least := int64(0)
	for _, s := range systems {
		if s.through == 0 {
			return nil
		}
		if least == 0 || s.through < least {
			least = s.through
		}
	}
	if least == 0 {
		return nil
	}
	text := rfc3339(fromMicros0(least))
	return &text
}

func scanEvent(scan func(...any) error, c *caller, systems map[string]systemInfo) (eventAnswer, error) {
	var e eventAnswer
	var p personRef
	var at int64
	var door, keyID, keyType, identification, credential, owner string
	err := scan(&e.Sequence, &at, &e.Category, &e.Type, &e.SystemID, &door, &keyID, &keyType, &identification, &credential,
		&e.Reason, &e.AccessPoint, &e.Detail, &owner, &p.ID, &p.FirstName, &p.LastName)
	if err != nil {
		return e, err
	}
	e.Time = rfc3339(time.UnixMicro(at))
	if door != "" {
		if name := systems[e.SystemID].doors[door]; name != "" {
			door = name
		}
		e.DoorName = &door
	}
	if keyID == "" {
		if credential != "" && keyType != string(access.Code) {
			e.Subject = &credential
		}
		return e, nil
	}
	if owner != "" && owner != c.integration {
		return e, nil // whose key it was is another integration's business
	}
	e.KeyID, e.Key = &keyID, &eventKeyRef{Type: keyType}
	if identification != "" && keyType != string(access.Code) {
		e.Key.Identification = &identification
	}
	if p.ID != "" {
		e.Person = &p
	}
	return e, nil
}

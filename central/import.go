package central

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"postern/access"
)

// MaxImport is the most lines of one import.
const MaxImport = 100_000

// importChunk is how many keys one transaction takes in: the server goes on
// between two.
const importChunk = 200

// ImportSpec is an import of keys and people from CSV.
//
// The first line names the columns, in any order: identification and type are
// required; pin, valid_from_date, valid_to_date, state, first_name, last_name,
// person_id, person and access_levels are not. access_levels are ids or names
// of levels, separated by semicolons. Lines that have the same text in person
// are of one person. A key that is there already is changed: a column that is
// missing stays as it was, an empty field clears.
type ImportSpec struct {
	Integration string // whose keys they are; it must be there
	DryRun      bool   // only check
	// Progress is told how many keys are done, now and then; nil for none.
	Progress func(done, all int)
}

// ImportFault is what is wrong with a line.
type ImportFault struct {
	Line    int    `json:"line"` // from 1, the header's
	Column  string `json:"column"`
	Message string `json:"message"` // never has a code or a PIN
}

// Error gives line, column and message.
func (f ImportFault) Error() string {
	return fmt.Sprintf("line %d: %s: %s", f.Line, f.Column, f.Message)
}

// ImportResult says what an import did, or would do.
type ImportResult struct {
	Added   int           `json:"added"`
	Changed int           `json:"changed"`
	Faults  []ImportFault `json:"faults"`
}

// importLine is one line that makes sense by itself.
type importLine struct {
	number int
	change change
	person string // the same text is the same person
}

// Import checks every line and then, if none has a fault and it is no dry run,
// takes all in, some hundred keys a transaction. Where one of them fails it gives
// how many keys are in; the same file may be given again, as what is in is then
// only found to be there. Faults come in the result, not as error.
func (s *Store) Import(ctx context.Context, in io.Reader, spec ImportSpec) (ImportResult, error) {
	out := ImportResult{Faults: []ImportFault{}}
	c, err := s.importer(ctx, spec.Integration)
	if err != nil {
		return out, err
	}
	levels, err := s.levelNames(ctx)
	if err != nil {
		return out, err
	}
	lines, faults, err := readImport(in, levels)
	if err != nil {
		return out, err
	}
	out.Faults = append(out.Faults, faults...)
	people, judge := map[string]access.ID{}, importJudge{given: map[string][]string{}}
	for chunk := range slices.Chunk(lines, importChunk) {
		if err := s.stable(ctx, func(t *tx) error { return t.knownPeople(ctx, c, chunk, people) }); err != nil {
			return out, fmt.Errorf("find people: %w", err)
		}
	}
	for chunk := range slices.Chunk(lines, importChunk) {
		err := s.stable(ctx, func(t *tx) (err error) {
			if judge.pairs, err = t.exclusions(ctx); err != nil {
				return err
			}
			for _, l := range chunk {
				if l.person != "" && l.change.personID.IsZero() {
					l.change.personID = people[l.person]
				}
				was, k, err := t.checkImport(ctx, c, l.change)
				if err == nil {
					err = judge.line(t, l, was, k)
				}
				if err := importFault(&out.Faults, l.number, err); err != nil {
					return err
				}
				if was == nil {
					out.Added++
				} else {
					out.Changed++
				}
			}
			return nil
		})
		if err != nil {
			return out, fmt.Errorf("check import: %w", err)
		}
	}
	slices.SortStableFunc(out.Faults, func(a, b ImportFault) int { return a.Line - b.Line })
	if len(out.Faults) > 0 || spec.DryRun {
		return out, nil
	}
	return s.takeIn(ctx, c, lines, people, spec.Progress)
}

// importFault files a Problem under its line; any other error stops.
func importFault(faults *[]ImportFault, line int, err error) error {
	var p *Problem
	if err == nil || !errors.As(err, &p) {
		return err
	}
	field := strings.TrimPrefix(strings.TrimPrefix(p.Field, "key."), "person.")
	if field == "id" {
		field = "person_id"
	}
	*faults = append(*faults, ImportFault{line, field, p.Message})
	return nil
}

// takeIn writes the lines, which were checked.
func (s *Store) takeIn(ctx context.Context, c *caller, lines []importLine, people map[string]access.ID, progress func(int, int)) (ImportResult, error) {
	out := ImportResult{Faults: []ImportFault{}}
	done := 0
	for chunk := range slices.Chunk(lines, importChunk) {
		added, made := 0, map[string]access.ID{}
		err := s.update(partOfDeed(ctx, "lines %d to %d of an import", chunk[0].number, chunk[len(chunk)-1].number), func(t *tx) error {
			for _, l := range chunk {
				if l.person != "" && l.change.personID.IsZero() {
					if l.change.personID = people[l.person]; l.change.personID.IsZero() {
						l.change.personID = made[l.person]
					}
				}
				was, err := t.target(ctx, c, l.change)
				if err != nil {
					return importError(l.number, err)
				}
				k, err := t.addKey(ctx, c, l.change)
				if err != nil {
					return importError(l.number, err)
				}
				if was == nil {
					added++
				}
				if l.person != "" {
					made[l.person] = k.Person
				}
			}
			return nil
		})
		if err != nil {
			return out, fmt.Errorf("import stopped after %d keys: %w", done, err)
		}
		done += len(chunk)
		out.Added, out.Changed = out.Added+added, out.Changed+len(chunk)-added
		maps.Copy(people, made)
		if progress != nil {
			progress(done, len(lines))
		}
	}
	return out, nil
}

func importError(line int, err error) error { return fmt.Errorf("line %d: %w", line, err) }

// partOfDeed gives each part of a long deed an entry of its own in the audit
// trail.
func partOfDeed(ctx context.Context, format string, args ...any) context.Context {
	d := deedOf(ctx)
	if d == nil {
		return ctx
	}
	ctx = WithDeed(ctx, d.actor, d.action, d.subject)
	detail(ctx, format, args...)
	return ctx
}

// importer is an integration as the caller that imports its keys.
func (s *Store) importer(ctx context.Context, integration string) (*caller, error) {
	c := &caller{name: integration, everything: true}
	ids, err := all(ctx, s.read, scanText, "SELECT id FROM integrations WHERE name = $1", integration)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find integration: %w", err)
	case len(ids) == 0:
		return nil, fmt.Errorf("integration %.64q: %w (postern-central keys create --integration makes one)", integration, ErrNotFound)
	}
	c.integration = ids[0]
	return c, nil
}

// levelNames gives the ids of the levels of each name.
func (s *Store) levelNames(ctx context.Context) (map[string][]string, error) {
	levels, err := s.Levels(ctx)
	if err != nil {
		return nil, fmt.Errorf("list access levels: %w", err)
	}
	out := map[string][]string{}
	for _, l := range levels {
		if id := l.ID.String(); l.Owned && !slices.Contains(out[l.Name], id) {
			out[l.Name] = append(out[l.Name], id)
		}
	}
	return out, nil
}

// checkImport is what of addKey can be known without writing: it gives the key
// that is there already, nil for a new one, and the one that it would be.
func (t *tx) checkImport(ctx context.Context, c *caller, ch change) (was, k *key, err error) {
	if was, err = t.target(ctx, c, ch); err != nil {
		return nil, nil, err
	}
	k = &key{integration: c.integration}
	if was != nil {
		same := *was
		k = &same
	} else {
		if ch.badPerson != nil {
			return nil, nil, ch.badPerson
		}
		if !ch.personID.IsZero() {
			if k.person, err = t.findPerson(ctx, c, ch); err != nil {
				return nil, nil, err
			}
		}
		if err := t.reidentify(ctx, k, ch); err != nil {
			return nil, nil, err
		}
	}
	if err := t.apply(ctx, c, k, ch); err != nil {
		return was, k, err
	}
	return was, k, t.separate(ctx, was, k)
}

func importColumns() []string {
	return []string{
		"identification", "type", "pin", "valid_from_date", "valid_to_date", "state", "first_name", "last_name", "person_id", "person", "access_levels",
	}
}

// readImport reads the lines and gives what is wrong with them by themselves. An
// error is a file that is no such CSV at all.
func readImport(in io.Reader, levels map[string][]string) ([]importLine, []ImportFault, error) {
	r := csv.NewReader(in)
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("read header: %w", err)
	}
	columns := slices.Clone(header)
	columns[0] = strings.TrimPrefix(columns[0], "\ufeff") // as spreadsheets begin a file
	for i, name := range columns {
		switch {
		case !slices.Contains(importColumns(), name):
			return nil, nil, fmt.Errorf("line 1: column %.40q is not known (known: %s)", name, strings.Join(importColumns(), ", "))
		case slices.Contains(columns[:i], name):
			return nil, nil, fmt.Errorf("line 1: column %s is there twice", name)
		}
	}
	for _, name := range importColumns()[:2] {
		if !slices.Contains(columns, name) {
			return nil, nil, fmt.Errorf("line 1: column %s is missing", name)
		}
	}
	var out []importLine
	var faults []ImportFault
	seen := map[string]int{}
	for n := 0; ; n++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, faults, nil
		}
		if n >= MaxImport {
			return nil, nil, fmt.Errorf("more than %d lines: divide the file", MaxImport)
		}
		line, _ := r.FieldPos(0)
		var bad *csv.ParseError
		switch {
		case errors.As(err, &bad) && errors.Is(err, csv.ErrFieldCount):
			faults = append(faults, ImportFault{bad.Line, "", fmt.Sprintf("has %d fields, the header %d", len(record), len(columns))})
			continue
		case errors.As(err, &bad): // quotes: where the next line begins is not known
			return nil, nil, fmt.Errorf("line %d: %w", bad.Line, bad.Err)
		case err != nil:
			return nil, nil, fmt.Errorf("read: %w", err)
		}
		l, wrong := readImportLine(columns, record, levels)
		l.number = line
		if !l.change.ident.IsZero() {
			if err := twice(seen, l); err != nil {
				wrong = append(wrong, err)
			}
		}
		for _, err := range wrong {
			if err := importFault(&faults, line, err); err != nil {
				return nil, nil, err
			}
		}
		if len(wrong) == 0 {
			out = append(out, l)
		}
	}
}

// twice says when a part of the identification was in an earlier line.
func twice(seen map[string]int, l importLine) error {
	for part := range strings.SplitSeq(l.change.ident.Canonical(), "|") {
		part = string(l.change.kind) + " " + part
		if was := seen[part]; was != 0 {
			return badRequest("Duplicate", "identification", "is in line %d too", was)
		}
		seen[part] = l.number
	}
	return nil
}

// readImportLine reads one line as the access keys API reads a request, and gives
// everything that is wrong with it.
func readImportLine(columns, record []string, levels map[string][]string) (l importLine, wrong []error) {
	var r addRequest
	var k keySpec
	text := func(v string) optional[string] { return optional[string]{Set: true, Null: v == "", Value: v} }
	var p personSpec
	for i, name := range columns {
		v := strings.TrimSpace(record[i])
		switch name {
		case "identification":
			k.Identification = text(v)
		case "type":
			k.Type = v
		case "pin":
			r.PIN = text(v)
		case "valid_from_date":
			r.ValidFrom = text(v)
		case "valid_to_date":
			r.ValidTo = text(v)
		case "state":
			r.State = text(v)
		case "first_name":
			p.FirstName = text(v)
		case "last_name":
			p.LastName = text(v)
		case "person_id":
			p.ID = text(v)
		case "person":
			l.person = v
		case "access_levels":
			var err error
			if r.Levels, err = importLevels(v, levels); err != nil {
				wrong, r.Levels = append(wrong, err), optional[[]string]{}
			}
		}
	}
	// Each part of the request by itself, so that one fault does not hide another.
	// An identification is needed of a code, too: the file given again would make
	// another one.
	key, err := k.parse(false)
	if err != nil {
		wrong = append(wrong, err)
	}
	for _, part := range []addRequest{{PIN: r.PIN}, {ValidFrom: r.ValidFrom}, {ValidTo: r.ValidTo}, {Levels: r.Levels}, {State: r.State}} {
		part.ID = optional[string]{Set: true, Value: anyKey} // any: what it is of is not looked at
		if _, err := part.check(); err != nil {
			wrong = append(wrong, err)
		}
	}
	for _, part := range []personSpec{{ID: p.ID}, {FirstName: p.FirstName}, {LastName: p.LastName}} {
		if err := new(change).readNames(part); err != nil {
			wrong = append(wrong, err)
		}
	}
	if len(wrong) > 0 {
		l.change.kind, l.change.ident = access.Type(k.Type), key
		return l, wrong
	}
	r.Key = optional[keySpec]{Set: true, Value: k}
	if l.change, err = r.check(); err == nil {
		err = l.change.readNames(p)
	}
	if err != nil {
		wrong = append(wrong, err)
	}
	return l, wrong
}

// anyKey is the id of no key in particular.
const anyKey = "00000000-0000-4000-8000-000000000001"

func importLevels(text string, levels map[string][]string) (optional[[]string], error) {
	out := optional[[]string]{Set: true, Value: []string{}}
	for name := range strings.SplitSeq(text, ";") {
		name = strings.TrimSpace(name)
		ids := levels[name]
		switch {
		case name == "":
			continue
		case len(ids) == 1:
			name = ids[0]
		case len(ids) > 1:
			return out, badRequest("InvalidAccessLevels", "access_levels", "several access levels are named %.64q: use the id", name)
		default:
			if _, err := access.ParseID(name); err != nil {
				return out, badRequest("AccessLevelNotFound", "access_levels", "no access level is named %.64q, and it is no id", name)
			}
		}
		out.Value = append(out.Value, name)
	}
	return out, nil
}

package central

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/access"
)

// The samples are what the documents of the three APIs print, letter by letter:
// whoever built a system after them has sent and received just that.

var (
	sampleLevel = access.MustParseID("ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b")
	otherLevel  = access.MustParseID("a5129f41-ed44-4f3b-95a2-bec53dd3e1e3")
	uuids       = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// sample reads a file of testdata/samples.
func sample(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decoded reads JSON as it is, without any type of ours.
func decoded(t testing.TB, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestSampleAdd(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.panel("abc123-001", 6, sampleLevel)
		k.panel("tqok23-001", 6, otherLevel)
		r := k.post(http.StatusOK, "/v1/accesskeys/add", sample(t, "add-create.json"))
		got := uuids.ReplaceAllStringFunc(r.body, func(id string) string {
			if id == sampleLevel.String() {
				return id
			}
			return "uuid"
		})
		want := `{"id":"uuid","key":{"identification":"0001234567890","type":"proximity"},` +
			`"valid_from_date":"2020-09-01T00:00:00Z","valid_to_date":"2020-10-01T14:00:00Z","state":"enabled",` +
			`"access_levels":["ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b"],` +
			`"person":{"id":"uuid","first_name":"firstname","last_name":"lastname"}}` + "\n"
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("create (-want +got):\n%s", d)
		}
		id := uuids.FindString(r.body)

		update := strings.Replace(sample(t, "add-update.json"), "ae40a59c-8d52-4f2f-bb01-efa30325882c", id, 1)
		r = k.post(http.StatusOK, "/v1/accesskeys/add", update)
		if !strings.Contains(r.body, `"valid_from_date":"2020-11-01T00:00:00Z","valid_to_date":"2020-12-01T14:00:00Z","state":"enabled",`+
			`"access_levels":["a5129f41-ed44-4f3b-95a2-bec53dd3e1e3"]`) {
			t.Errorf("update: got %s", r.body)
		}
		if p := k.lastPut("tqok23-001"); p.pin != "" || p.key.HasPIN {
			t.Errorf("update: the PIN is still %q", p.pin)
		}
		if r := k.send(k.secret, "/v1/accesskeys/add", sample(t, "add-update.json")); r.status != http.StatusNotFound {
			t.Errorf("update of an unknown id: got %d, want 404", r.status)
		}
	})
}

// mended is the sample answer of add with its two slips put right.
func mended(t testing.TB) (comma, both string) {
	t.Helper()
	comma = strings.Replace(sample(t, "add-answer-as-printed.json"), "\"proximity\",\n}", "\"proximity\"\n}", 1)
	return comma, strings.Replace(comma, `"last_name:" "s2mp6z"`, `"last_name": "s2mp6z"`, 1)
}

// TestSampleMalformed: the slips that the documents themselves print are refused,
// and the answer says where.
func TestSampleMalformed(t *testing.T) {
	k := newKit(t)
	k.panel("abc123-001", 6, sampleLevel)
	printed := sample(t, "add-answer-as-printed.json")
	comma, both := mended(t)
	before := k.dump()
	for name, c := range map[string]struct{ body, where string }{
		"a comma too many":           {printed, "line 7"},
		"a quote in the wrong place": {comma, "line 18"},
		"only the comma":             {strings.Replace(both, "\"proximity\"\n}", "\"proximity\",\n}", 1), "line 7"},
		"in one line":                {`{"key":{"identification":"EM:1","type":"proximity",}}`, "line 1"},
		"cut off":                    {both[:len(both)-3], "line "},
		"two of them":                {both + both, "line "},
		"no colon":                   {`{"key" {}}`, "line 1"},
		"single quotes":              {`{'key':1}`, "line 1"},
		"twice the same":             {`{"pin":"1234","pin":"4321"}`, "pin"},
	} {
		r := k.post(http.StatusBadRequest, "/v1/accesskeys/add", c.body)
		if code, _ := r.code(t); code != "InvalidJSON" && code != "InvalidField" || !strings.Contains(r.body, c.where) {
			t.Errorf("%s: got %s, want it to say %s", name, r.body, c.where)
		}
	}
	// Put right it can be read, and is about a key that is not there.
	if r := k.send(k.secret, "/v1/accesskeys/add", both); r.status != http.StatusNotFound {
		t.Errorf("put right: got %d %s, want 404", r.status, r.body)
	}
	if k.dump() != before {
		t.Error("a refused request changed the database")
	}
}

// TestSampleAnswer: an answer has the members of the sample, of the same kinds,
// and state besides; people made up have names such as the sample's.
func TestSampleAnswer(t *testing.T) {
	k := newKit(t)
	k.panel("abc123-001", 6, sampleLevel)
	_, both := mended(t)
	request := regexp.MustCompile(`(?s)"id": "d698c2a4[^,]*,|,\s*"person":.*`).ReplaceAllString(both, "") + "}"
	r := k.post(http.StatusOK, "/v1/accesskeys/add", request)
	want, got := map[string]string{}, map[string]string{}
	shape(decoded(t, both), "", want, map[string][]string{})
	values := map[string][]string{}
	shape(decoded(t, r.body), "", got, values)
	want["state"] = "string"
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-sample +got):\n%s", d)
	}
	name := regexp.MustCompile(`^[a-z0-9]{7}$`)
	for _, path := range []string{"person.first_name", "person.last_name"} {
		if !name.MatchString(values[path][0]) {
			t.Errorf("%s: got %q, want seven letters and digits", path, values[path])
		}
	}
	for path, want := range map[string]string{
		"key.identification": "0001234567890", "key.type": "proximity", "valid_from_date": "2020-09-01T00:00:00Z", "valid_to_date": "2020-10-01T14:00:00Z",
	} {
		if values[path][0] != want {
			t.Errorf("%s: got %v, want %s", path, values[path], want)
		}
	}
}

// TestSampleStatus makes what the sample shows happen. Only its overall status is
// another: one system failed, so that the key is not Applied.
func TestSampleStatus(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		k.clock.pass(time.Date(2020, 9, 1, 14, 0, 12, 0, time.UTC).Sub(k.clock.now()))
		k.secret = k.key("of the day")
		r := newRig(k)
		systems := []string{"abc123-001", "tqok23-001", "hy64qw-002"}
		for i, system := range systems {
			r.panel(system, 6, level(i+1))
		}
		id := r.add(`{"key":{"type":"code"},"access_levels":` + jsonText([]access.ID{level(1), level(2), level(3)}) + `}`).ID
		for i, system := range systems {
			p := newFakePanel(r, system)
			p.fails = map[access.ID]string{}
			if i == 2 {
				p.fails[id] = "CodeNotEnabled"
			}
			if i != 1 {
				p.connect()
				p.settle()
			}
		}
		want := decoded(t, sample(t, "status-answer.json")).(map[string]any)
		want["id"], want["status"] = id.String(), statusFailed
		got := decoded(t, r.post(http.StatusOK, "/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, id)).body)
		if d := cmp.Diff(any(want), got); d != "" {
			t.Errorf("(-sample +got):\n%s", d)
		}
	})
}

// TestSampleRequests sends the samples of the access requests API.
func TestSampleRequests(t *testing.T) {
	s := newStaff(newKit(t))
	id := s.ask(s.ann, immediateBody(level(1), 2))
	success := decoded(t, sample(t, "success.json"))
	vote := s.want(200, s.bob, "POST", requestPath+"/"+id+"/vote", sample(t, "vote.json"), nil)
	if d := cmp.Diff(success, decoded(t, vote.body)); d != "" {
		t.Errorf("vote (-sample +got):\n%s", d)
	}
	revoke := s.want(200, s.bob, "POST", requestPath+"/"+id+"/revoke", sample(t, "revoke.json"), nil)
	if d := cmp.Diff(success, decoded(t, revoke.body)); d != "" {
		t.Errorf("revoke (-sample +got):\n%s", d)
	}
	if got := s.request(s.ann, id); *got.RevokeReason != "AD maintenance." || got.Status != stateRevoked || len(got.Votes) != 1 {
		t.Errorf("got %+v", got)
	}
	list := decoded(t, s.want(200, s.ann, "GET", requestPath, "", nil).body).(map[string]any)
	if list["result"] != "success" || len(list["access_request"].([]any)) != 1 {
		t.Errorf("list: got %v", list)
	}
}

// TestSampleItems: both versions' samples of the access request status API say
// what its shape is, which the answers are held to; where they differ, one is
// taken.
func TestSampleItems(t *testing.T) {
	shapes := golden[statusShape](t, "access_request_status.json")
	seen := map[string]bool{}
	for _, name := range []string{"access-request-status.json", "access-request-status-v2024.json"} {
		kinds := map[string]string{}
		for _, item := range decoded(t, sample(t, name)).([]any) {
			shape(item, "", kinds, map[string][]string{})
		}
		for path, kind := range kinds {
			seen[path] = true
			switch {
			case strings.HasPrefix(path, "sodViolationContext.violationCheckResult.message"), // an object, or an array of them
				strings.HasPrefix(path, "sodViolationContext.violationCheckResult.violatedPolicies[][]"), // an array, or one of arrays
				path == "sodViolationContext.violationCheckResult.violatedPolicies[]",
				regexp.MustCompile(`[cC]lientMetadata\.`).MatchString(path): // the caller's own
			case shapes.Item[path] != kind:
				t.Errorf("%s: %s is a %s, the shape says %q", name, path, kind, shapes.Item[path])
			}
		}
	}
	for path := range shapes.Item {
		if !seen[path] {
			t.Errorf("no sample has %s", path)
		}
	}
}

// TestSampleErrors: each refusal has the members of its sample and its
// detailCode.
func TestSampleErrors(t *testing.T) {
	k := newKit(t)
	s := newStaff(k)
	samples := decoded(t, sample(t, "access-request-status-errors.json")).(map[string]any)
	const path = "/v2024/access-request-status"
	got := map[string]reply{
		"400": s.callAs(s.ann.token, "GET", path+"?limit=x", ""),
		"401": s.callAs("", "GET", path, ""),
		"403": s.callAs(s.ann.token, "GET", path+"?requested-for="+s.bea.id, ""),
	}
	k.api = NewAPI(k.store, APIOptions{RateLimit: 1})
	for range 50 {
		if r := s.callAs(s.ann.token, "GET", path, ""); r.status == http.StatusTooManyRequests {
			got["429"] = r
			break
		}
	}
	k.api = NewAPI(k.store, APIOptions{RateLimit: 1000})
	if _, err := k.store.write.ExecContext(t.Context(), "ALTER TABLE access_requests RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	got["500"] = s.callAs(s.ann.token, "GET", path, "")
	for _, status := range slices.Sorted(maps.Keys(samples)) {
		r := got[status]
		if fmt.Sprint(r.status) != status {
			t.Errorf("got %d %s, want %s", r.status, r.body, status)
			continue
		}
		want, have := map[string]string{}, map[string]string{}
		shape(samples[status], "", want, map[string][]string{})
		texts := map[string][]string{}
		shape(decoded(t, r.body), "", have, texts)
		for p, kind := range want {
			if have[p] != kind && !strings.HasPrefix(p, "causes[]") {
				t.Errorf("%s: %s is %q, want %s", status, p, have[p], kind)
			}
		}
		if code, ok := samples[status].(map[string]any)["detailCode"]; ok && texts["detailCode"][0] != code {
			t.Errorf("%s: detailCode %v, want %v", status, texts["detailCode"], code)
		}
		if (r.header.Get("Retry-After") != "") != (status == "429") {
			t.Errorf("%s: Retry-After %q", status, r.header.Get("Retry-After"))
		}
	}
}

// TestSamplesStandAlone: what the samples say can be read, except where the
// document itself has slips.
func TestSamplesStandAlone(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "samples", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text := sample(t, filepath.Base(f))
		if json.Valid([]byte(text)) == strings.Contains(f, "as-printed") {
			t.Errorf("%s: valid JSON is %v", f, json.Valid([]byte(text)))
		}
		if !bytes.HasSuffix([]byte(text), []byte("}\n")) && !bytes.HasSuffix([]byte(text), []byte("]\n")) {
			t.Errorf("%s is cut off", f)
		}
	}
}

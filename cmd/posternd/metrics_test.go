package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"postern/access"
	"postern/controller"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md's table")

// scrape gives the metrics as text.
func (s *site) scrape(addr string) (string, error) {
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, b)
	}
	return string(b), err
}

// value is one sample, by its name and labels as they are written.
func value(text, sample string) (float64, bool) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, sample+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return v, err == nil
		}
	}
	return 0, false
}

func (s *site) wantSamples(addr string, want map[string]float64) string {
	s.t.Helper()
	var text string
	s.eventually("metrics", func() (err error) {
		if text, err = s.scrape(addr); err != nil {
			return err
		}
		for _, sample := range slices.Sorted(maps.Keys(want)) {
			if got, ok := value(text, sample); !ok || got != want[sample] {
				return fmt.Errorf("%s: got %v (%v), want %v", sample, got, ok, want[sample])
			}
		}
		return nil
	})
	return text
}

// Metrics are off until they are asked for, and come and go with a reload while
// the doors run. They count what happened, hold no secret and nobody's name, and
// do not give away that a PIN was typed under duress.
func TestEndToEndMetrics(t *testing.T) {
	s := newSite(t)
	addr, other := freeAddr(t), freeAddr(t)
	s.panel.end(t, 15)
	quiet := s.panelConfig() + "[rules]\nduress = true\n"
	listen := func(at string) string {
		return strings.Replace(quiet, "[clock]", "[metrics]\nlisten = \""+at+"\"\n[clock]", 1)
	}
	s.write("panel.toml", quiet)
	s.startPanel()
	if _, err := s.scrape(addr); err == nil {
		t.Fatal("metrics are served unasked")
	}

	pin := s.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"pin":"7301","access_levels":[%q]}`, card, levelAlways))
	s.wantStatus(pin.ID, "Applied")
	code := s.add(fmt.Sprintf(`{"key":{"identification":"482915","type":"code"},"access_levels":[%q]}`, levelAlways))
	s.wantStatus(code.ID, "Applied")
	s.write("panel.toml", listen(addr))
	s.hup()
	s.wantSamples(addr, map[string]float64{"postern_store_open": 1})

	n := 0
	enter := func(digits string, want int) {
		t.Helper()
		n++
		s.do("sim", "badge", "--reader", "lab", "--identification", card)
		s.do("sim", "keys", "--reader", "lab", digits)
		s.wantLocal(n, want)
	}
	enter("7301", 103)
	shown := map[string]float64{
		`postern_grants_total{by="card_and_pin",door="lab"}`: 1, "postern_journal_unconfirmed_events": 0, "postern_journal_uncommitted_events": 0,
	}
	before := s.wantSamples(addr, shown)
	enter("7302", 103) // under duress
	shown[`postern_grants_total{by="card_and_pin",door="lab"}`] = 2
	after := s.wantSamples(addr, shown)
	held, _ := value(after, "postern_journal_events")
	if was, _ := value(before, "postern_journal_events"); int(held) != len(s.journal()) || held <= was {
		t.Errorf("the journal holds %v events, before %v; it shows %d", held, was, len(s.journal()))
	}
	enter("0000", 200)
	s.do("sim", "keys", "--reader", "front", "482915#")
	n++
	s.wantLocal(n, 101)
	s.badge("front", "EM:123456789", 201)
	s.do("sim", "badge", "--reader", "front", "--bits", "1011010")
	s.do("sim", "badge", "--reader", "gate", "--bits", "10")

	text := s.wantSamples(addr, map[string]float64{
		`postern_grants_total{by="card_and_pin",door="lab"}`:      2,
		`postern_grants_total{by="code",door="front"}`:            1,
		`postern_denials_total{door="lab",reason="WrongPIN"}`:     1,
		`postern_denials_total{door="front",reason="Unknown"}`:    1,
		`postern_reader_frames_total{kind="card",reader="lab"}`:   3,
		`postern_reader_frames_total{kind="bad",reader="front"}`:  1,
		`postern_reader_frames_total{kind="stray",reader="gate"}`: 1,
		`postern_reader_health{reader="lab",state="ok"}`:          1,
		`postern_door_mode{door="front",mode="Locked"}`:           1,
		`postern_door_alarm{alarm="Normal",door="front"}`:         1,
		`postern_door_open{door="front"}`:                         0,
		`postern_clock_state{state="trusted"}`:                    1,
		`postern_link_connected`:                                  1,
		`postern_access_keys`:                                     2,
		`postern_status_outbox_rows`:                              0,
		`postern_journal_dropped_events_total`:                    0,
		`postern_store_read_only`:                                 0,
		`postern_input_active{input="fire",kind="fire"}`:          0,
	})
	if v, ok := value(text, `postern_store_commit_seconds_count{file="journal"}`); !ok || v == 0 {
		t.Errorf("no commit of the journal was timed: %v", v)
	}
	if v, ok := value(text, "postern_central_last_contact_timestamp_seconds"); !ok || v < 1e9 {
		t.Errorf("central was last heard of at %v", v)
	}
	for _, secret := range []string{"482915", "7301", "7302", "0000", "123456789", card, strings.TrimPrefix(card, "EM:"), pin.ID, code.ID, s.key, "site-001", "duress"} {
		if strings.Contains(strings.ToLower(withoutValues(text)), strings.ToLower(secret)) {
			t.Errorf("the metrics have %q in them", secret)
		}
	}
	lint(t, text)
	documented(t, text)

	for path, want := range map[string]int{"/": 404, "/metrics/x": 404} {
		if resp, err := http.Get("http://" + addr + path); err != nil || resp.StatusCode != want {
			t.Errorf("GET %s: %v, %v; want %d", path, resp, err, want)
		}
	}
	if resp, err := http.Post("http://"+addr+"/metrics", "text/plain", strings.NewReader("x")); err != nil || resp.StatusCode != 405 {
		t.Errorf("POST: %v, %v", resp, err)
	}

	// An address that is taken stops no door, is told, and is left by a reload.
	busy, err := net.Listen("tcp", other)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	s.write("panel.toml", listen(other))
	s.hup()
	s.eventually("the fault is told", func() error {
		if out := s.do("status"); !strings.Contains(out, "The metrics are not served: ") {
			return fmt.Errorf("status %s", out)
		}
		return nil
	})
	if _, err := s.scrape(addr); err == nil {
		t.Error("metrics are still served at the address before")
	}
	s.badge("gate", card, 102)
	s.write("panel.toml", listen(addr))
	s.hup()
	s.wantSamples(addr, map[string]float64{`postern_grants_total{by="card_and_pin",door="lab"}`: 2}) // the panel did not start anew
	s.write("panel.toml", quiet)
	s.hup()
	s.eventually("metrics end", func() error {
		if _, err := s.scrape(addr); err == nil {
			return fmt.Errorf("still served")
		}
		if out := s.do("status"); strings.Contains(out, "metrics") {
			return fmt.Errorf("status %s", out)
		}
		return nil
	})
}

// withoutValues leaves names and labels: four digits are in many a number.
func withoutValues(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			line = line[:strings.LastIndex(line, " ")]
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

func lint(t *testing.T, text string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

var (
	helpLine   = regexp.MustCompile(`^# (HELP|TYPE) (\S+) (.*)`)
	sampleLine = regexp.MustCompile(`^([a-z_]+)\{([^}]*)\}`)
	labelName  = regexp.MustCompile(`([a-z_]+)="`)
)

// documented holds docs/metrics.md to what is served.
func documented(t *testing.T, text string) {
	t.Helper()
	const encrypted = "postern_" + certificateExpiry // not served where the link is not
	help, kind, labels := map[string]string{encrypted: certificateHelp}, map[string]string{encrypted: "gauge"}, map[string]string{encrypted: "use"}
	for line := range strings.Lines(text) {
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if !strings.HasPrefix(m[2], "postern_") {
				continue
			}
			if m[1] == "HELP" {
				help[m[2]] = m[3]
			} else {
				kind[m[2]] = m[3]
			}
		} else if m := sampleLine.FindStringSubmatch(line); m != nil {
			var names []string
			for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
				if l[1] != "le" {
					names = append(names, l[1])
				}
			}
			name := m[1]
			for _, end := range []string{"_bucket", "_sum", "_count"} {
				if cut := strings.TrimSuffix(name, end); kind[cut] == "histogram" {
					name = cut
				}
			}
			labels[name] = strings.Join(names, ", ")
		}
	}
	var table strings.Builder
	table.WriteString("| name | labels | kind | meaning |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(help)) {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, cmp.Or(labels[name], "–"), kind[name], help[name])
	}
	const path, begin, end = "../../docs/metrics.md", "<!-- made by go test ./cmd/posternd -run Metrics -update -->\n", "<!-- end -->"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	was, foot, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between its marks", path)
	}
	if was == table.String() {
		return
	}
	if !*update {
		t.Errorf("%s is not what is served; run with -update. Served:\n%s", path, table.String())
		return
	}
	if err := os.WriteFile(path, []byte(head+begin+table.String()+end+foot), 0o644); err != nil {
		t.Fatal(err)
	}
}

// samples are the counts of a collector by their labels.
func samples(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += l.GetName() + "=" + l.GetValue() + ","
			}
			out[labels] = m.GetCounter().GetValue()
		}
	}
	return out
}

// Labels stay those of the wiring, whatever a policy or an event names.
func TestMetricsLabelsAreBounded(t *testing.T) {
	p := newPanel(parse(t, small), slog.New(slog.DiscardHandler))
	for i := range 50 {
		p.metrics.recorded(access.Event{Type: access.GrantedCard, Door: fmt.Sprintf("door-%d", i)})
		p.metrics.recorded(access.Event{Type: access.EventType(200 + i), Door: "front"})
	}
	if n := len(samples(t, p.metrics.grants)); n != 1 {
		t.Errorf("%d series of grants, want 1", n)
	}
	if n := len(samples(t, p.metrics.denials)); n != 8 {
		t.Errorf("%d series of denials, want 8", n)
	}
	o := observer{p.hub, p.metrics}
	o.Recorded(access.Event{Seq: 1, Type: access.Duress, Door: "front"})
	if n := len(samples(t, p.metrics.grants)); n != 1 {
		t.Errorf("an event for central alone is counted: %d series", n)
	}
}

func TestMetricsOfFrames(t *testing.T) {
	p := newPanel(parse(t, small), slog.New(slog.DiscardHandler))
	for _, s := range []controller.Sighting{
		{Kind: "card"},
		{Kind: "card", Problem: "D0 and D1 may be swapped: present another card"},
		{Kind: "key"},
		{Kind: "key", Problem: "parity"},
		{Kind: "noise", Problem: "parity"},
		{Kind: "noise", Stray: true},
		{Kind: "hint", Problem: "the card would be known with another match"},
	} {
		s.Reader = "r"
		p.metrics.saw(s)
	}
	got := samples(t, p.metrics.frames)
	for kind, want := range map[string]float64{frameCard: 2, frameKey: 1, frameBad: 2, frameStray: 1} {
		if sample := "kind=" + kind + ",reader=r,"; got[sample] != want {
			t.Errorf("%v frames of kind %s, want %v", got[sample], kind, want)
		}
	}
}

// One who holds connections open leaves the others' unserved, and no more.
func TestMetricsTurnsManyAway(t *testing.T) {
	l, err := listenMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	var open []net.Conn
	for range scrapers {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("one too many is let in")
	}
	c.Close()
	for _, c := range open {
		c.Close()
	}
	for range scrapers { // their places come free
		if resp, err := http.Get(srv.URL); err == nil {
			resp.Body.Close()
			return
		}
	}
	t.Error("nobody is served any more")
}

// The document and the shipped drop-in say the same about who may ask.
func TestMetricsDropIn(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	dropIn, err := os.ReadFile(filepath.Join("../../systemd/drop-ins", "network.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []string{string(doc), string(dropIn)} {
		if !strings.Contains(b, "IPAddressAllow=192.0.2.60") {
			t.Error("docs/metrics.md and network.conf do not both say how a Prometheus is let in")
		}
	}
}

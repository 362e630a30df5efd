package central

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are figures about central in the format of Prometheus. They name
// panels, never persons, keys or integrations.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

// scrapeTime is how long the database may take for one reading of the metrics.
const scrapeTime = 5 * time.Second

// NewMetrics makes the metrics of a store and of what an API and a link over it
// do; linked says whether the link has its broker.
func NewMetrics(s *Store, linked func() bool) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "postern_central_http_requests_total", Help: "HTTP requests by endpoint, method and status.",
		}, []string{"endpoint", "method", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_central_http_request_seconds", Help: "How long HTTP requests took.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 20},
		}, []string{"endpoint"}),
	}
	m.registry.MustRegister(m.requests, m.took, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&storeMetrics{store: s, linked: linked})
	return m
}

// ServeHTTP answers /metrics.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/metrics" {
		http.NotFound(w, r)
		return
	}
	promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 2 * scrapeTime}).ServeHTTP(w, r)
}

// observe counts a request. Endpoint is the pattern that it matched, as paths
// and methods are the caller's to choose and without end.
func (m *Metrics) observe(r *http.Request, status int, took time.Duration) {
	endpoint, method := r.Pattern, r.Method
	if endpoint == "/" || endpoint == "" {
		endpoint = "other"
	}
	if !oneOf(method, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete) {
		method = "other"
	}
	m.requests.WithLabelValues(endpoint, method, strconv.Itoa(status)).Inc()
	m.took.WithLabelValues(endpoint).Observe(took.Seconds())
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("postern_central_"+name, help, labels, nil)
}

// storeMetrics are read from the database when they are asked for.
type storeMetrics struct {
	store  *Store
	linked func() bool
}

// Describe says nothing, which makes the collector an unchecked one: its
// descriptions lie with the figures.
func (c *storeMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures.
func (c *storeMetrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	linked := 0.0
	if c.linked() {
		linked = 1
	}
	gauge(out, linked, describe("link_connected", "1 while the link has its broker."))
	if err := c.panels(ctx, out); err != nil {
		out <- prometheus.NewInvalidMetric(describe("panels", ""), fmt.Errorf("read panels: %w", err))
	}
	if err := c.counts(ctx, out); err != nil {
		out <- prometheus.NewInvalidMetric(describe("access_keys", ""), fmt.Errorf("count: %w", err))
	}
}

func gauge(out chan<- prometheus.Metric, value float64, d *prometheus.Desc, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (c *storeMetrics) panels(ctx context.Context, out chan<- prometheus.Metric) error {
	panels, err := c.store.Panels(ctx)
	if err != nil {
		return err
	}
	var (
		online   = describe("panel_online", "1 while the panel says that it is online.", "system_id")
		seen     = describe("panel_seen_timestamp_seconds", "When the panel was last heard of, 0 for never.", "system_id")
		behind   = describe("panel_revisions_behind", "Revisions of its log that the panel has not reported.", "system_id")
		keys     = describe("panel_access_keys", "Access keys on the panel once it has its whole log.", "system_id")
		alarm    = describe("panel_alarm", "1 while the panel can't be brought into step.", "system_id")
		snapshot = describe("panel_snapshot", "1 while a snapshot is offered to the panel or under way.", "system_id")
		warnings = describe("panel_warnings", "What an operator should know of the panel besides the alarm.", "system_id")
		lost     = describe("panel_events_lost_total", "Events that the panel no longer held when it could send them.", "system_id")
	)
	for _, p := range panels {
		var at float64
		if !p.Seen.IsZero() {
			at = float64(p.Seen.UnixMilli()) / 1000
		}
		var open uint64
		switch {
		case p.ReportedEpoch != p.Epoch:
			open = p.Revision
		case p.Revision > p.ReportedRevision:
			open = p.Revision - p.ReportedRevision
		}
		gauge(out, truth(p.Online), online, p.SystemID)
		gauge(out, at, seen, p.SystemID)
		gauge(out, float64(open), behind, p.SystemID)
		gauge(out, float64(p.Keys), keys, p.SystemID)
		gauge(out, truth(p.Alarm != ""), alarm, p.SystemID)
		gauge(out, truth(p.Snapshot != ""), snapshot, p.SystemID)
		gauge(out, float64(len(p.Warnings)), warnings, p.SystemID)
		out <- prometheus.MustNewConstMetric(lost, prometheus.CounterValue, float64(p.LostEvents), p.SystemID)
	}
	return nil
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (c *storeMetrics) counts(ctx context.Context, out chan<- prometheus.Metric) error {
	var live, events float64
	if err := c.store.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM keys WHERE removed_at = 0").Scan(&live); err != nil {
		return err
	}
	if err := c.store.read.QueryRowContext(ctx, "SELECT value FROM counters WHERE name = 'event_sequence'").Scan(&events); err != nil {
		return err
	}
	gauge(out, live, describe("access_keys", "Access keys that are not removed."))
	out <- prometheus.MustNewConstMetric(describe("events_total", "Events that came from panels."), prometheus.CounterValue, events)
	byName := func(d *prometheus.Desc, names []string, query string) error {
		have := map[string]float64{}
		_, err := all(ctx, c.store.read, func(scan func(...any) error) (struct{}, error) {
			var name string
			var n float64
			err := scan(&name, &n)
			have[name] = n
			return struct{}{}, err
		}, query)
		for _, name := range names {
			gauge(out, have[name], d, name)
		}
		return err
	}
	err := byName(describe("key_updates", "Latest updates of access keys on panels by where they stand.", "status"), []string{"pending", "applied", "failed"},
		"SELECT CASE WHEN result = '' THEN 'pending' ELSE result END, COUNT(*) FROM panel_keys GROUP BY 1")
	if err != nil {
		return err
	}
	return byName(describe("access_requests_open", "Access requests that wait for votes, and granted ones that are not over.", "state"), []string{"pending", "granted"},
		"SELECT state, COUNT(*) FROM access_requests WHERE state IN ('pending', 'granted') GROUP BY state")
}

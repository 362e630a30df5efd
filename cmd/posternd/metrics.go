package main

import (
	"log"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"postern/access"
	"postern/controller"
)

// metrics are figures about one running panel for Prometheus. They name doors,
// readers and inputs, never persons, cards or keys; and what is for central alone
// is in no figure, as somebody who makes people type their PIN under duress may
// read them.
type metrics struct {
	registry *prometheus.Registry
	doors    map[string]bool // that events are counted for

	grants, denials *prometheus.CounterVec
	frames          *prometheus.CounterVec
	decision        prometheus.Histogram
	commit          *prometheus.HistogramVec
	fed, missed     prometheus.Counter
	log             *log.Logger
}

// The kinds of frames that are counted.
const (
	frameCard  = "card"
	frameKey   = "key"
	frameBad   = "bad"
	frameStray = "stray"
)

// The files of the store that commits are counted for.
const (
	fileKeys    = "keys"
	fileJournal = "journal"
)

func newMetrics(p *panel) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "postern_" + name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "postern_" + name, Help: help}, labels)
	}
	m := &metrics{
		registry: prometheus.NewRegistry(), doors: map[string]bool{},
		grants:  counters("grants_total", "Access granted, by door and what was presented; an exit button is rex.", "door", "by"),
		denials: counters("denials_total", "Access denied, by door and reason.", "door", "reason"),
		frames:  counters("reader_frames_total", "What readers sent: cards, keys of a keypad, bad frames, and stray pulses.", "reader", "kind"),
		decision: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "postern_decision_seconds", Help: "From a frame's end to the decision about it.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}),
		commit: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "postern_store_commit_seconds", Help: "How long changes waited until they were on the card, by file.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}, []string{"file"}),
		fed:    counter("watchdog_fed_total", "Times that systemd's watchdog was fed: every door had answered."),
		log:    slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
		missed: counter("watchdog_missed_total", "Times that it was not, as a door did not answer."),
	}
	for _, d := range p.cfg.Doors {
		m.doors[d.ID] = true
	}
	for _, r := range p.cfg.Readers {
		for _, kind := range []string{frameCard, frameKey, frameBad, frameStray} {
			m.frames.WithLabelValues(r.ID, kind)
		}
	}
	for _, file := range []string{fileKeys, fileJournal} {
		m.commit.WithLabelValues(file)
	}
	m.registry.MustRegister(m.grants, m.denials, m.frames, m.decision, m.commit, m.fed, m.missed, &panelMetrics{p},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// decided takes how long a decision took.
func (m *metrics) decided(took time.Duration) { m.decision.Observe(took.Seconds()) }

// committed takes how long a change of a file took.
func (m *metrics) committed(file string, took time.Duration) {
	m.commit.WithLabelValues(file).Observe(took.Seconds())
}

// recorded counts an event that was committed.
func (m *metrics) recorded(e access.Event) {
	door := e.Door
	if !m.doors[door] {
		door = "" // of a policy that names another; labels stay those of the wiring
	}
	switch e.Type.Category() {
	case "accessgranted":
		m.grants.WithLabelValues(door, grantWord(e)).Inc()
	case "accessdenied":
		m.denials.WithLabelValues(door, denialWord(e)).Inc()
	}
}

// grantWord is what an event of a grant was for.
func grantWord(e access.Event) string {
	switch e.Type {
	case access.GrantedCode:
		return "code"
	case access.GrantedCard:
		return "card"
	case access.GrantedCardPIN:
		return "card_and_pin"
	case access.GrantedREX:
		return "rex"
	case access.GrantedCommonCode:
		return "common_code"
	}
	if e.Reason == access.ReasonOperator {
		return "operator"
	}
	return "other"
}

// denialWord is why an event denies.
func denialWord(e access.Event) string {
	switch e.Type {
	case access.DeniedUnknown:
		return "Unknown"
	case access.DeniedOutside:
		return "OutsideValidity"
	case access.DeniedBlacklisted:
		return "Blacklisted"
	case access.DeniedDisabled:
		return "Disabled"
	case access.DeniedNoPIN:
		return "NoPIN"
	case access.DeniedNoLevel:
		return "NoLevel"
	case access.DeniedSchedule:
		return "OutsideSchedule"
	}
	if e.Reason != "" {
		return string(e.Reason)
	}
	return "Other"
}

// saw counts what a reader sent.
func (m *metrics) saw(s controller.Sighting) {
	kind := ""
	switch {
	case s.Stray:
		kind = frameStray
	case s.Kind == "noise", s.Kind == "key" && s.Problem != "":
		kind = frameBad
	case s.Kind == "card":
		kind = frameCard
	case s.Kind == "key":
		kind = frameKey
	default:
		return // a hint is no frame
	}
	m.frames.WithLabelValues(s.Reader, kind).Inc()
}

// observer counts what happens before it hands it on.
type observer struct {
	*hub
	m *metrics
}

// Saw counts a frame.
func (o observer) Saw(s controller.Sighting) {
	o.m.saw(s)
	o.hub.Saw(s)
}

// Recorded counts an event, unless it is for central alone.
func (o observer) Recorded(e access.Event) {
	if !centralOnly(e.Type) {
		o.m.recorded(e)
	}
	o.hub.Recorded(e)
}

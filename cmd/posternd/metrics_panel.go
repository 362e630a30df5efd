package main

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postern/access"
	"postern/wiegand"
)

// panelMetrics are read from the panel when they are asked for.
type panelMetrics struct{ p *panel }

// Describe says nothing, which makes the collector an unchecked one: its
// descriptions lie with the figures.
func (c *panelMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads the figures. It waits for no door and no commit.
func (c *panelMetrics) Collect(out chan<- prometheus.Metric) {
	g := gauges{out}
	c.itself(g)
	c.link(g)
	c.store(g)
	c.doors(g)
	c.readers(g)
}

// gauges are where figures go.
type gauges struct{ out chan<- prometheus.Metric }

func (g gauges) send(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
	names, values := make([]string, 0, len(labels)/2), make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	g.out <- prometheus.MustNewConstMetric(prometheus.NewDesc("postern_"+name, help, names, nil), kind, value, values...)
}

// gauge sends one figure; labels are names and values in turn.
func (g gauges) gauge(name, help string, value float64, labels ...string) {
	g.send(prometheus.GaugeValue, name, help, value, labels...)
}

func (g gauges) counter(name, help string, value uint64, labels ...string) {
	g.send(prometheus.CounterValue, name, help, float64(value), labels...)
}

func (g gauges) truth(name, help string, is bool, labels ...string) {
	value := 0.0
	if is {
		value = 1
	}
	g.gauge(name, help, value, labels...)
}

// oneOf sends 1 for the word that is, and 0 for all others.
func (g gauges) oneOf(name, help, label, is string, words []string, labels ...string) {
	for _, w := range words {
		g.truth(name, help, w == is, append([]string{label, w}, labels...)...)
	}
}

func (g gauges) moment(name, help string, t time.Time, labels ...string) {
	at := 0.0
	if !t.IsZero() {
		at = float64(t.UnixMilli()) / 1000
	}
	g.gauge(name, help, at, labels...)
}

func (c *panelMetrics) itself(g gauges) {
	p := c.p
	g.gauge("build_info", "Always 1; which program it is.", 1, "version", buildVersion(), "goversion", runtime.Version())
	g.moment("start_timestamp_seconds", "When the panel started, anew inside its process too.", p.start)
	g.oneOf("clock_state", "1 for the state that the clock is in.", "state", p.clock.now().State.String(),
		words(access.ClockTrusted, access.ClockHoldover, access.ClockUntrusted))
	g.gauge("problems", "What postern status calls wrong.", float64(len(p.problems())))
	g.truth("watchdog_enabled", "1 where systemd wants to hear of the daemon.", watched() > 0)
}

// The figure that only a panel with an encrypted link has.
const (
	certificateExpiry = "certificate_expiry_timestamp_seconds"
	certificateHelp   = "When the first certificate in a file of an encrypted link expires, 0 for a file that can't be used."
)

func (c *panelMetrics) link(g gauges) {
	p := c.p
	for _, cert := range p.certs.list(p.config().MQTT) {
		g.moment(certificateExpiry, certificateHelp, cert.NotAfter, "use", cert.Use)
	}
	p.mu.Lock()
	link := p.link
	p.mu.Unlock()
	if link == nil {
		g.truth("link_connected", "1 while the panel has its broker.", false)
		return
	}
	st := link.Status()
	g.truth("link_connected", "1 while the panel has its broker.", st.Connected)
	g.moment("central_last_contact_timestamp_seconds", "When central last said something, 0 for not since the start.", st.Heard)
	g.counter("link_connections_total", "Connections to the broker.", st.ConnSeq)
	g.truth("link_snapshot", "1 while a snapshot of all keys comes in.", st.Fetching || st.Installing)
	const refused, why = "link_messages_refused_total", "Messages that were not taken, by reason."
	g.counter(refused, why, st.BadEnvelopes, "reason", "undecodable")
	g.counter(refused, why, st.BadSignatures, "reason", "unsigned")
	g.counter(refused, why, st.Dropped, "reason", "queue_full")
	g.counter(refused, why, st.Gaps, "reason", "gap")
	g.counter(refused, why, st.WrongEpochs, "reason", "wrong_epoch")
	g.counter(refused, why, st.ApplyErrors, "reason", "store")
}

func (c *panelMetrics) store(g gauges) {
	p := c.p
	p.mu.Lock()
	rec := p.recovery
	p.mu.Unlock()
	s := p.late.get()
	g.truth("store_open", "1 while the key store is open; no key opens a door before.", s != nil)
	g.truth("store_read_only", "1 while the card can't be written.", rec.ReadOnly)
	g.gauge("store_quarantined_files", "Damaged files that the start put aside.", float64(len(rec.Quarantined)))
	g.gauge("journal_uncommitted_events", "Events that wait to be written to the card.", float64(p.ctl.Pending()))
	if s == nil {
		return
	}
	keys := p.keyStore()
	g.gauge("epoch", "Epoch of the keys.", float64(keys.Epoch))
	g.gauge("revision", "Revision of the keys within the epoch.", float64(keys.Revision))
	g.gauge("access_keys", "Access keys from central.", float64(keys.Count))
	g.gauge("local_access_keys", "Access keys of this panel alone.", float64(keys.Local))
	const dropped = "journal_dropped_events_total"
	f, err := s.Figures()
	if err != nil {
		g.out <- prometheus.NewInvalidMetric(prometheus.NewDesc("postern_"+dropped, "", nil, nil), err)
		return
	}
	_, unconfirmed := p.hub.journal.state(s)
	g.gauge("status_outbox_rows", "Statuses of changes that central has not confirmed.", float64(f.Statuses))
	g.gauge("journal_events", "Events that the journal holds.", float64(f.Events-min(f.Events, p.hub.journal.hiddenFrom(f.Oldest))))
	g.gauge("journal_unconfirmed_events", "Events that central has not confirmed.", float64(unconfirmed))
	g.counter(dropped, "Events that were lost since the start: too many, or the card took none.", f.Dropped+p.ctl.Dropped())
}

func (c *panelMetrics) doors(g gauges) {
	p := c.p
	modes := words(access.Locked, access.Unlocked, access.Accessed, access.Blocked, access.LockedDown, access.LockedOpen)
	alarms := words(access.Normal, access.ForcedOpen, access.OpenTooLong)
	for _, d := range p.config().Doors {
		s, ok := p.ctl.Door(d.ID)
		if !ok {
			continue
		}
		g.oneOf("door_mode", "1 for the mode that the door is in.", "mode", s.Mode.String(), modes, "door", d.ID)
		g.oneOf("door_alarm", "1 for the door's alarm, Normal for none.", "alarm", s.Alarm.String(), alarms, "door", d.ID)
		g.truth("door_released", "1 while the lock is released.", s.Released, "door", d.ID)
		g.truth("door_lock_fault", "1 while the lock's line can't be driven.", lockFault(p.board, d.ID) != "", "door", d.ID)
		g.truth("door_rex_stuck", "1 while the exit button has been held for too long.", s.REXStuck, "door", d.ID)
		g.truth("door_fire", "1 while a fire input is active for the door.", s.Fire, "door", d.ID)
		if s.HasContact {
			g.truth("door_open", "1 while the door is open; doors without a contact are left out.", s.Open, "door", d.ID)
		}
	}
}

func (c *panelMetrics) readers(g gauges) {
	p := c.p
	states := []string{
		string(wiegand.HealthTampered), string(wiegand.HealthStuck), string(wiegand.HealthLost), string(wiegand.HealthSwapped),
		string(wiegand.HealthFaulty), string(wiegand.HealthDegraded), string(wiegand.HealthOK), string(wiegand.HealthNotSupervised),
	}
	cfg := p.config()
	for i := range cfg.Readers {
		id := cfg.Readers[i].ID
		g.oneOf("reader_health", "1 for the state that the reader is in.", "state", string(p.ctl.Health(id).State), states, "reader", id)
	}
	for _, in := range cfg.Inputs {
		g.truth("input_active", "1 while an auxiliary input is active.", p.ctl.Active(in.ID), "input", in.ID, "kind", string(in.Kind))
	}
}

func words[T interface{ String() string }](all ...T) []string {
	out := make([]string, 0, len(all))
	for _, w := range all {
		out = append(out, w.String())
	}
	return out
}

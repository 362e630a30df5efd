package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/api"
	"postern/config"
)

const defaultConfig = "/etc/postern/panel.toml"

// finding is what doctor found about one thing. Name is what docs/troubleshooting.md
// has a heading for; it is empty where nothing is to be done.
type finding struct {
	Topic string `json:"topic"`
	State string `json:"state"` // ok, advice or wrong
	Name  string `json:"name,omitempty"`
	What  string `json:"what"`
	Do    string `json:"do,omitempty"`
}

// The states of a finding.
const (
	stateOK     = "ok"
	stateAdvice = "advice" // the panel works, and should be better
	stateWrong  = "wrong"
)

func newDoctor(o *options) *cobra.Command {
	x := &examiner{root: "/", now: now, statfs: statfs, systemctl: systemctl}
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look at all of the panel: what is wrong, and what to do about it", Args: noArgs,
		Long: "doctor asks the daemon, and looks at what the daemon does not see: the configuration, certificates and their\n" +
			"expiry, the SD card, the real-time clock, the watchdog and the board. Each finding has a name, under which\n" +
			"/usr/share/doc/postern/troubleshooting.md says more.\n\n" +
			"It exits with 1 when something is wrong. Run it as root: without, some things can't be seen, which it says.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			st, statusErr := c.Status(cmd.Context())
			all := x.examine(cmd.Context(), st, unreachableText(o.socket, statusErr))
			if err := o.printFindings(st, all); err != nil {
				return err
			}
			if n := wrong(all); n > 0 {
				return fmt.Errorf("%s found; see troubleshooting.md by the names in brackets", count(n, "fault"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&x.config, "config", defaultConfig, "the daemon's configuration `file`")
	return cmd
}

// unreachableText is why there is no status, "" when there is one.
func unreachableText(socket string, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, api.ErrUnreachable):
		return unreachable(socket, err)
	}
	return err.Error()
}

func wrong(all []finding) (n int) {
	for _, f := range all {
		if f.State == stateWrong {
			n++
		}
	}
	return n
}

// printFindings has what is well first and what is wrong last: it stays on the
// screen.
func (o *options) printFindings(st api.Status, all []finding) error {
	rank := []string{stateOK, stateAdvice, stateWrong}
	slices.SortStableFunc(all, func(a, b finding) int {
		return cmp.Compare(slices.Index(rank, a.State), slices.Index(rank, b.State))
	})
	if o.json {
		for _, f := range all {
			if err := o.printJSON(f); err != nil {
				return err
			}
		}
		return nil
	}
	if st.SystemID != "" {
		if err := o.printf("%s\n\n", strings.TrimSuffix(st.SystemID+", "+st.Name, ", ")); err != nil {
			return err
		}
	}
	for _, f := range all {
		text := fmt.Sprintf("%-7s %-13s %s\n", f.State, f.Topic, f.What)
		if f.State != stateOK {
			text += fmt.Sprintf("%21s -> %s [%s]\n", "", f.Do, f.Name)
		}
		if err := o.printf("%s", text); err != nil {
			return err
		}
	}
	return nil
}

// examine looks at everything. st is the daemon's status unless down says why
// there is none.
func (x *examiner) examine(ctx context.Context, st api.Status, down string) []finding {
	x.found = nil
	cfg := x.configuration()
	if down != "" {
		x.wrong("daemon", "daemon-down", "The daemon does not answer: "+down, "See journalctl -u posternd -n 50 for why it ended.")
	} else {
		x.ok("daemon", "posternd %s, up %s", st.Version, ago(st.Now.Sub(st.Started)))
		x.status(st, cfg != nil)
	}
	if cfg != nil {
		x.doors(cfg)
		x.certificates(cfg, st.Certificates)
		x.disk(cfg.Panel.DataDir)
	}
	x.fileSystem()
	if cfg != nil && cfg.Board.Driver == config.Periph {
		x.board()
		x.service(ctx)
	}
	return x.found
}

// problems are how what the daemon says of itself begins, with the topic and the
// name of each.
var problems = []struct{ begins, topic, name string }{
	{"The key store can't be opened", "store", "store-closed"},
	{"The key store is of a later version", "store", "store-newer"},
	{"The key store is still", "store", "store-opening"},
	{"The SD card can't be written", "disk", "card-read-only"},
	{"The SD card is nearly full", "disk", "disk-full"},
	{"The certificate ", "certificates", "certificate-faulty"},
	{"A damaged file was put aside", "store", "store-damaged"},
	{"The lock of door", "doors", "lock-fault"},
	{"Door ", "doors", "door-alarm"},
	{"Reader ", "readers", "reader-unwell"},
	{"No link to central", "link", "link-down"},
	{"The local ", "daemon", "api-not-served"},
	{"The metrics are not served", "daemon", "metrics-not-served"},
	{"The clock can't be trusted", "clock", "clock-untrusted"},
	{"The last change of the configuration", "configuration", "configuration-refused"},
	{"Changes from central are taken unsigned", "trust", "unsigned"},
	{"Codes can be guessed", "codes", "codes-guessable"},
}

// nameOf is the topic and name of one of the daemon's problems.
func nameOf(what string) (topic, name string) {
	for _, p := range problems {
		if strings.HasPrefix(what, p.begins) {
			return p.topic, p.name
		}
	}
	if strings.Contains(what, "events wait to be written") {
		return "store", "journal-behind"
	}
	return "panel", "panel-problem"
}

// status takes what the daemon says: its problems, and of the rest that it is well.
// Where the configuration is known, certificates and disk are looked at anyway.
func (x *examiner) status(st api.Status, known bool) {
	said := map[string]bool{}
	for _, p := range st.Problems {
		topic, name := nameOf(p.What)
		if known && (name == "certificate-faulty" || name == "disk-full") {
			continue
		}
		said[topic] = true
		switch name {
		case "unsigned", "store-opening", "store-damaged", "codes-guessable", "metrics-not-served":
			x.advice(topic, name, p.What, p.Do)
		default:
			x.wrong(topic, name, p.What, p.Do)
		}
	}
	well := func(topic, format string, args ...any) {
		if !said[topic] {
			x.ok(topic, format, args...)
		}
	}
	well("doors", "%s", count(len(st.Doors), "door"))
	well("readers", "%s", count(len(st.Readers), "reader"))
	well("link", "connected to %s", st.Link.Broker)
	well("store", "%s", keyStore(st.Keys))
	if st.Keys.Codes > 0 {
		well("codes", "%s of %d digits, hard to guess", count(st.Keys.Codes, "code"), st.Keys.CodeSize)
	}
	well("trust", "changes from central are signed")
	if st.Clock == "holdover" {
		x.advice("clock", "clock-holdover", "The clock was right when the panel last saw a time server, and runs on by itself.",
			"See timedatectl timesync-status for why no server answers.")
	} else {
		well("clock", "%s, %s", st.Clock, stamp(st.Now))
	}
	if st.Simulated {
		x.advice("board", "simulated", "The board is simulated: no lock moves.", `Leave driver = "simulated" out of panel.toml.`)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"postern/access"
	"postern/config"
)

// collectAt is at how many percent more memory garbage is collected: earlier than by
// default, since the index of the keys is most of it and costs nothing to go through.
const collectAt = 50

func newRun() *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the panel",
		Long: "run reads the configuration, opens the board and the store, and runs the doors until SIGTERM or SIGINT.\n" +
			"SIGHUP reads the configuration again; a faulty one leaves the running one in force.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var l slog.Level
			if err := l.UnmarshalText([]byte(level)); err != nil {
				return fmt.Errorf("%w: --log-level is one of debug, info, warn, error", errUsage)
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(collectAt)
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
			return runPanel(cmd.Context(), path, log)
		},
	}
	cmd.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// errAgain ends a panel that is to be started again at once, with next when it
// is not nil.
type errAgain struct {
	why  string
	next *config.Config
}

func (e *errAgain) Error() string { return e.why }

// loadConfig reads a configuration and prints its faults to stderr.
func loadConfig(path string) (*config.Config, error) {
	cfg, faults, err := config.Load(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	for _, f := range faults {
		fmt.Fprintln(os.Stderr, f)
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%w: %s in %s", errUsage, count(len(faults), "fault"), path)
	}
	return cfg, nil
}

// runPanel runs the panel until a signal ends it.
func runPanel(ctx context.Context, path string, log *slog.Logger) error {
	cfg, err := loadConfig(path)
	if err != nil {
		return err
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	// A start anew inside the process is no stop, so the panel does not say it.
	context.AfterFunc(ctx, func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) })
	s := &supervisor{path: path, log: log, hup: hup}
	return s.run(ctx, cfg)
}

// supervisor starts the panel, and starts it again where a new configuration
// moves wires, or where the store was damaged while it ran.
type supervisor struct {
	path string
	log  *slog.Logger
	hup  <-chan os.Signal
}

// againFirst and againMost bound the pauses between starts of a panel that
// fails; a panel that ran for a while starts again at once.
const (
	againFirst = time.Second
	againMost  = 30 * time.Second
)

func (s *supervisor) run(ctx context.Context, cfg *config.Config) error {
	var good *config.Config // the last that came up
	wait := againFirst
	var first []access.Event
	for {
		p := newPanel(cfg, s.log)
		p.first = first
		first = nil
		err := p.run(ctx, func(ctx context.Context) error { return s.reloads(ctx, p) })
		if ctx.Err() != nil {
			return nil
		}
		if p.ready.Load() {
			good = cfg
			if time.Since(p.start) > againMost {
				wait = againFirst
			}
		}
		var again *errAgain
		switch {
		case errors.As(err, &again) && again.next != nil:
			s.log.Warn("start again", "why", again.why)
			cfg = again.next
			first = []access.Event{{Type: access.PolicyReloaded}}
			continue
		case good == nil:
			return err
		case good != cfg:
			s.log.Error("the new configuration does not run; back to the one before", "error", err)
			first = []access.Event{{Type: access.PolicyRefused, Detail: access.Clip(err.Error())}}
			cfg = good
			continue
		}
		s.log.Error("panel failed; starting again", "error", err, "after", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
			wait = min(2*wait, againMost)
		}
	}
}

// reloads takes new configurations until ctx ends or one moves wires.
func (s *supervisor) reloads(ctx context.Context, p *panel) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.hup:
		}
		next, why := s.load()
		switch {
		case next == nil:
			p.refused(why)
		case sameWiring(p.cfg, next):
			if err := p.setPolicy(ctx, next); err != nil {
				p.refused(err.Error())
			}
		default:
			return &errAgain{why: "the new configuration changes more than the policy", next: next}
		}
	}
}

func (s *supervisor) load() (*config.Config, string) {
	cfg, faults, err := config.Load(s.path)
	if err != nil {
		s.log.Error("configuration not read again; the running one stays in force", "error", err)
		return nil, err.Error()
	}
	for _, f := range faults {
		s.log.Error("configuration fault; the running one stays in force", "fault", f.String())
	}
	if len(faults) > 0 {
		return nil, fmt.Sprintf("%s; the first: %s", count(len(faults), "fault"), faults[0])
	}
	return cfg, ""
}

// sameWiring reports whether two configurations differ in their policy at most,
// so that the doors need not stop for the change.
func sameWiring(a, b *config.Config) bool {
	strip := func(c *config.Config) config.Config {
		w := config.Config{
			Panel: c.Panel, MQTT: c.MQTT, Trust: c.Trust, API: c.API, Clock: c.Clock, Journal: c.Journal, Board: c.Board, Readers: c.Readers,
			Inputs: c.Inputs, Outputs: c.Outputs, Formats: c.Formats, Indication: c.Indication,
		}
		w.Panel.Timezone = "" // schedules only
		for _, d := range c.Doors {
			d.Times, d.Name = config.DoorTimes{}, ""
			w.Doors = append(w.Doors, d)
		}
		return w
	}
	return reflect.DeepEqual(strip(a), strip(b))
}

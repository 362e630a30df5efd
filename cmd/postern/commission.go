package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"postern/api"
	"postern/config"
)

const (
	maxCommission = 1 << 20 // bytes of the file
	lookEvery     = time.Second
	doctorEvery   = 10 // looks
)

func newCommission(o *options) *cobra.Command {
	c := &commission{o: o, every: lookEvery}
	var show bool
	cmd := &cobra.Command{
		Use: "commission FILE", Short: "Prove each door before you leave, and keep what was proved in a file", Args: exactArgs("FILE"),
		Long: "commission lists what has to be seen on this panel, and ticks it off as it happens: present cards, press buttons, open\n" +
			"doors, pull the network cable. It ends when all is proved, or with Ctrl-C; the same file goes on where it was left.\n" +
			"What only people can see, above all the way out with the panel off, is confirmed by name:\n\n" +
			"  postern commission FILE --confirm door.front.egress --confirm door.front.dead\n\n" +
			"The file has no card numbers, codes or other secrets in it: hand it over with the site's papers. It exits with 1 while\n" +
			"something is open.",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := o.client()
			if err != nil {
				return err
			}
			c.client, c.file = client, args[0]
			x := &examiner{root: "/", now: now, statfs: statfs, systemctl: systemctl, config: c.config}
			c.doctor = func(ctx context.Context, st api.Status) int { return wrong(x.examine(ctx, st, "")) }
			return c.run(cmd.Context(), show)
		},
	}
	cmd.Flags().StringVar(&c.config, "config", defaultConfig, "the daemon's configuration `file`")
	cmd.Flags().StringSliceVar(&c.confirmed, "confirm", nil, "an `item` that you have seen; may be repeated")
	cmd.Flags().BoolVar(&show, "show", false, "show what is proved and what is open, and end")
	return cmd
}

// commission is one panel being proved.
type commission struct {
	o         *options
	client    *api.Client
	file      string
	config    string
	confirmed []string
	doctor    func(context.Context, api.Status) int // how much is wrong
	every     time.Duration

	state commissioned
}

// commissioned is what the file holds.
type commissioned struct {
	SystemID string    `json:"system_id"`
	Name     string    `json:"name,omitempty"`
	Version  string    `json:"version"`
	Began    time.Time `json:"began"`
	Proofs   []proof   `json:"proofs"`
}

func (c *commissioned) open() (n int) {
	for _, p := range c.Proofs {
		if p.Proved.IsZero() {
			n++
		}
	}
	return n
}

func (c *commission) run(ctx context.Context, show bool) error {
	st, err := c.client.Status(ctx)
	if err != nil {
		return err
	}
	if err := c.load(st); err != nil {
		return err
	}
	if err := c.confirm(st.Now); err != nil {
		return err
	}
	seen := newEvidence()
	if err := c.take(st.Now, seen.status(st)); err != nil {
		return err
	}
	if err := c.print(); err != nil {
		return err
	}
	if !show && len(c.confirmed) == 0 && c.state.open() > 0 {
		if err := c.follow(ctx, seen); err != nil {
			return err
		}
		if err := c.print(); err != nil {
			return err
		}
	}
	if n := c.state.open(); n > 0 {
		return fmt.Errorf("%s of %d not proved yet; go on with postern commission %s", count(n, "item"), len(c.state.Proofs), c.file)
	}
	return nil
}

// load reads what was proved before, if anything was, and works out what there is
// to prove now.
func (c *commission) load(st api.Status) error {
	cfg, faults, err := config.Load(c.config)
	if err != nil || len(faults) > 0 || cfg.Panel.SystemID != st.SystemID {
		cfg = nil
	}
	before, err := readCommission(c.file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		before = commissioned{SystemID: st.SystemID, Began: st.Now}
	case err != nil:
		return fmt.Errorf("%s: %w", c.file, err)
	case before.SystemID != st.SystemID:
		return fmt.Errorf("%s is of panel %s, and this is %s: choose another file", c.file, before.SystemID, st.SystemID)
	}
	c.state = commissioned{
		SystemID: st.SystemID, Name: st.Name, Version: st.Version, Began: before.Began, Proofs: merge(proofs(st, cfg), before.Proofs),
	}
	return c.keep()
}

func readCommission(path string) (c commissioned, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxCommission))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil || c.SystemID == "" {
		return c, errors.New("this is no file of postern commission; choose another name")
	}
	return c, nil
}

// keep writes the file whole: a session that ends in the middle loses nothing.
func (c *commission) keep() error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	if err := enc.Encode(c.state); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.file), ".commission-*")
	if err != nil {
		return fmt.Errorf("keep what was proved: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b.Bytes())
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), c.file)
	}
	if err != nil {
		return fmt.Errorf("keep what was proved: %w", err)
	}
	return nil
}

// confirm takes what people have seen.
func (c *commission) confirm(now time.Time) error {
	var signs []sign
	for _, item := range c.confirmed {
		i := slices.IndexFunc(c.state.Proofs, func(p proof) bool { return p.Item == item })
		switch {
		case i < 0:
			return usagef("there is no item %.60q; postern commission %s --show lists them", item, c.file)
		case !c.state.Proofs[i].ByHand:
			return usagef("%s is not taken on trust: run postern commission %s, and have it happen", item, c.file)
		}
		signs = append(signs, sign{item, "confirmed by the installer"})
	}
	return c.take(now, signs)
}

// take ticks items off, and tells of those that are new.
func (c *commission) take(now time.Time, signs []sign) error {
	changed := false
	for _, s := range signs {
		i := slices.IndexFunc(c.state.Proofs, func(p proof) bool { return p.Item == s.item && p.Proved.IsZero() })
		if i < 0 {
			continue
		}
		p := &c.state.Proofs[i]
		p.Proved, p.How, changed = now, s.how, true
		var err error
		if c.o.json {
			err = c.o.printJSON(p)
		} else {
			err = c.o.printf("%s  proved: %s (%s)\n", now.Format(time.TimeOnly), p.What, s.how)
		}
		if err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	return c.keep()
}

// follow watches, and waits for a daemon that goes away: to switch the panel's
// daemon off and on is a part of it.
func (c *commission) follow(ctx context.Context, seen *evidence) error {
	for told := false; ; {
		err := c.watch(ctx, seen)
		if !errors.Is(err, api.ErrUnreachable) {
			return err
		}
		if !told {
			fmt.Fprintln(printable{c.o.err}, "postern: the daemon does not answer; waiting for it")
			told = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(c.every):
		}
	}
}

// watch ticks items off as they happen, until all that can happen has, or ctx ends.
func (c *commission) watch(ctx context.Context, seen *evidence) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	messages, err := c.client.Watch(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	happened, ended := make(chan api.Message), make(chan error, 1)
	var reader sync.WaitGroup
	reader.Go(func() {
		for m, err := range messages {
			if err != nil {
				ended <- err
				return
			}
			select {
			case happened <- m:
			case <-ctx.Done():
			}
		}
	})
	defer func() { stop(); reader.Wait() }()
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for look := 0; !c.onlyByHand(); {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return interrupted(ctx, err)
		case m := <-happened:
			if m.Event != nil { // whether central was there is asked now, not up to a second ago
				if err := c.look(ctx, seen); err != nil {
					return interrupted(ctx, err)
				}
			}
			if err := c.take(m.At, seen.message(m)); err != nil {
				return err
			}
		case <-tick.C:
			if err := c.look(ctx, seen); err != nil {
				return interrupted(ctx, err)
			}
			if look++; look%doctorEvery == 1 {
				if err := c.examine(ctx); err != nil {
					return interrupted(ctx, err)
				}
			}
		}
	}
	return nil
}

func (c *commission) look(ctx context.Context, seen *evidence) error {
	st, err := c.client.Status(ctx)
	if err != nil {
		return err
	}
	return c.take(st.Now, seen.status(st))
}

func (c *commission) examine(ctx context.Context) error {
	if slices.ContainsFunc(c.state.Proofs, func(p proof) bool { return p.Item == itemDoctor && !p.Proved.IsZero() }) {
		return nil
	}
	st, err := c.client.Status(ctx)
	if err != nil || c.doctor(ctx, st) > 0 {
		return err
	}
	return c.take(st.Now, []sign{{itemDoctor, "nothing wrong"}})
}

// onlyByHand reports whether what is still open only people can see.
func (c *commission) onlyByHand() bool {
	return !slices.ContainsFunc(c.state.Proofs, func(p proof) bool { return p.Proved.IsZero() && !p.ByHand })
}

func (c *commission) print() error {
	if c.o.json {
		return nil
	}
	title := strings.TrimSuffix(c.state.SystemID+", "+c.state.Name, ", ")
	n := len(c.state.Proofs)
	err := c.o.printf("\n%s: %d of %d proved\n\n", title, n-c.state.open(), n)
	if err != nil {
		return err
	}
	err = c.o.table(func(w io.Writer) {
		for _, p := range c.state.Proofs {
			mark, when := "[ ]", ""
			if !p.Proved.IsZero() {
				mark, when = "[x]", stamp(p.Proved)
			} else if p.ByHand {
				when = "by hand: --confirm"
			}
			fmt.Fprintf(w, "%s %s\t%s\t%s\n", mark, p.Item, p.What, when)
		}
	})
	if err != nil {
		return err
	}
	return c.o.printf("\n")
}

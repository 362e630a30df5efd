package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/api"
)

func newWatch(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "watch", Short: "Reads with their raw bits, doors and events, as they happen", Args: noArgs,
		Long: "watch shows what happens until Ctrl-C: each read with its raw bits and what they may mean, each event,\n" +
			"each change of a door, of the link to central, and of the keys. What is typed on a keypad is never shown.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			return o.watch(cmd.Context(), c)
		},
	}
}

func (o *options) watch(ctx context.Context, c *api.Client) error {
	messages, err := c.Watch(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	for m, err := range messages {
		if err != nil {
			return err
		}
		if o.json {
			err = o.printJSON(m)
		} else {
			err = o.printMessage(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// interrupted makes nothing of an error that Ctrl-C brought about.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func (o *options) printMessage(m api.Message) error {
	if m.Lost > 0 {
		if err := o.printf("              (%s lost: this terminal was too slow)\n", count(m.Lost, "message")); err != nil {
			return err
		}
	}
	subject, lines := describe(m)
	for i, l := range lines {
		head := fmt.Sprintf("%-12s  %-5s  %-12s", m.At.Local().Format("15:04:05.000"), m.Kind, subject)
		if i > 0 {
			head = strings.Repeat(" ", len("15:04:05.000"+"  read   ")+12)
		}
		if err := o.printf("%s  %s\n", head, l); err != nil {
			return err
		}
	}
	return nil
}

// describe gives what a message is about and says, in lines.
func describe(m api.Message) (subject string, lines []string) {
	switch {
	case m.Read != nil:
		return m.Read.Reader, readLines(*m.Read)
	case m.Event != nil:
		return dash(m.Event.Door), []string{eventText(*m.Event)}
	case m.Door != nil:
		text := m.Door.State()
		if m.Door.Mode != "Locked" && m.Door.Mode != "Accessed" {
			text += ", mode " + modeText(*m.Door)
		}
		return m.Door.ID, []string{text}
	case m.Link != nil:
		return "central", []string{link(*m.Link)}
	case m.Keys != nil:
		return "-", []string{keyStore(*m.Keys)}
	}
	return "", nil
}

func readLines(r api.Read) []string {
	first := what(r)
	if r.Bits != "" {
		first += ": " + api.GroupBits(r.Bits)
	}
	lines := []string{first}
	if r.Error != "" {
		lines = append(lines, r.Error)
	}
	for _, c := range r.Candidates {
		text := fmt.Sprintf("%s %d", c.Format, c.Number)
		if c.HasFacility {
			text = fmt.Sprintf("%s %d/%d", c.Format, c.Facility, c.Number)
		}
		if c.Identification != "" {
			text += ", identification " + c.Identification
		}
		lines = append(lines, text)
	}
	return lines
}

// eventText is an event without its time and door.
func eventText(e api.Event) string {
	text := e.Text
	for _, more := range []string{e.Credential, e.Reason, e.Detail} {
		if more != "" {
			text += ", " + more
		}
	}
	return text
}

func newEvents(o *options) *cobra.Command {
	var limit int
	var before uint64
	var follow bool
	var explain uint64
	cmd := &cobra.Command{
		Use: "events", Short: "The journal, newest last", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 || limit > api.MaxLimit {
				return usagef("--limit must be 1 to %d (see postern events --help)", api.MaxLimit)
			}
			if cmd.Flags().Changed("before") && before == 0 {
				return usagef("--before must be a sequence number, 1 or more (see postern events --help)")
			}
			if follow && before > 0 {
				return usagef("--follow and --before can't go together (see postern events --help)")
			}
			if cmd.Flags().Changed("explain") && (explain == 0 || follow || before > 0) {
				return usagef("--explain wants a sequence number, 1 or more, and no other flag of the list (see postern events --help)")
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if explain > 0 {
				return o.explainEntry(cmd, c, explain)
			}
			if follow {
				return o.follow(cmd.Context(), c, limit)
			}
			events, err := c.Events(cmd.Context(), before, limit)
			if err != nil {
				return err
			}
			_, err = o.printEvents(events, 0)
			return err
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this many")
	cmd.Flags().Uint64Var(&before, "before", 0, "those with a sequence number below this")
	cmd.Flags().Uint64Var(&explain, "explain", 0, "one entry alone, with how it came about")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with those that come, until Ctrl-C")
	return cmd
}

// follow prints the last events and those that come. It watches before it
// lists, and lists again what a slow terminal lost, so that none is missing.
func (o *options) follow(ctx context.Context, c *api.Client, limit int) error {
	messages, err := c.Watch(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	events, err := c.Events(ctx, 0, limit)
	if err != nil {
		return interrupted(ctx, err)
	}
	last, err := o.printEvents(events, 0)
	if err != nil {
		return err
	}
	for m, err := range messages {
		if err != nil {
			return err
		}
		if m.Event == nil && m.Lost == 0 || m.Event != nil && m.Event.Seq <= last {
			continue
		}
		next := []api.Event{}
		if m.Event != nil && m.Lost == 0 && m.Event.Seq == last+1 {
			next = append(next, *m.Event)
		} else if next, err = c.Events(ctx, 0, api.MaxLimit); err != nil {
			return interrupted(ctx, err)
		}
		if last, err = o.printEvents(next, last); err != nil {
			return err
		}
	}
	return nil
}

// printEvents prints those above after, which come newest first, in the order
// in which they happened, and gives the highest sequence number.
func (o *options) printEvents(events []api.Event, after uint64) (last uint64, err error) {
	last = after
	for _, e := range slices.Backward(events) {
		if e.Seq <= after {
			continue
		}
		last = e.Seq
		if o.json {
			err = o.printJSON(e)
		} else {
			err = o.printf("%8d  %s  %-12s  %s\n", e.Seq, e.At.Local().Format(time.DateTime), dash(e.Door), eventText(e))
		}
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

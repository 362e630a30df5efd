package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/api"
)

// modeWords are the modes that a door can be set to, as they are typed here.
var modeWords = map[string]string{
	"locked": "Locked", "unlocked": "Unlocked", "blocked": "Blocked",
	"lockdown": "LockedDown", "locked-open": "LockedOpen", "clear": api.ClearMode,
}

// modeFlags are when a mode ends.
type modeFlags struct {
	until string
	lasts time.Duration
}

func (f *modeFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.until, "until", "", "when it ends by itself (17:00, 2026-03-02 17:00, or with a zone 2026-03-02T17:00:00Z)")
	cmd.Flags().DurationVar(&f.lasts, "for", 0, "how long it lasts (30m, 2h)")
}

// end is when the mode ends, zero for until further notice.
func (f *modeFlags) end(cmd *cobra.Command, now time.Time) (time.Time, error) {
	lasts, until := cmd.Flags().Changed("for"), cmd.Flags().Changed("until")
	switch {
	case lasts && until:
		return time.Time{}, usagef("give --until or --for, not both")
	case lasts && (f.lasts < time.Second || f.lasts > 366*24*time.Hour):
		return time.Time{}, usagef("--for must be 1s to 366 days")
	case lasts:
		return now.Add(f.lasts).Truncate(time.Second), nil
	case until:
		t, err := parseTime("--until", f.until, now)
		if err == nil && !t.After(now) && len(f.until) <= len("15:04:05") {
			t = t.AddDate(0, 0, 1) // a time of day alone is the next one
		}
		return t, err
	}
	return time.Time{}, nil
}

// parseTime reads a time: with a zone, or in this machine's, and of today without a
// date.
func parseTime(flag, s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if t, err := time.Parse(layout, s); err == nil {
			return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location()), nil
		}
	}
	return time.Time{}, usagef("%s %.30q is no time (17:00, 2026-03-02 17:00, or with a zone 2026-03-02T17:00:00Z)", flag, s)
}

func newMode(o *options) *cobra.Command {
	var f modeFlags
	cmd := &cobra.Command{
		Use: "mode DOOR|all locked|unlocked|blocked|lockdown|locked-open|clear", Short: "Set a door's mode, or that of all, and take it back",
		Long: "mode sets a door's mode until it is taken back with clear, until the end that is given, or until central sends\n" +
			"other modes. It stands above central's and above schedules, and outlives a restart. Exit buttons and fire\n" +
			"stand above every mode: lockdown and blocked hold all else back.",
		Args: exactArgs("DOOR|all", "MODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			mode, ok := modeWords[args[1]]
			if !ok {
				return usagef("a mode is locked, unlocked, blocked, lockdown, locked-open or clear, not %.20q", args[1])
			}
			end, err := f.end(cmd, time.Now())
			if err != nil {
				return err
			}
			if mode == api.ClearMode && !end.IsZero() {
				return usagef("clear takes effect at once: leave --until and --for out")
			}
			door, what := args[0], args[0]
			if door == "all" {
				door, what = api.AllDoors, "all doors"
			}
			return o.setMode(cmd, door, what, mode, end)
		},
	}
	f.add(cmd)
	return cmd
}

func (o *options) setMode(cmd *cobra.Command, door, what, mode string, end time.Time) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	if err := c.SetMode(cmd.Context(), door, api.ModeOrder{Mode: mode, Until: end}); err != nil {
		return err
	}
	out := map[string]any{"door": door, "mode": mode}
	text := fmt.Sprintf("%s: %s, until it is taken back", what, mode)
	switch {
	case mode == api.ClearMode:
		text = what + ": the order of this panel is taken back"
	case !end.IsZero():
		out["until"] = end
		text = fmt.Sprintf("%s: %s, until %s", what, mode, stamp(end))
	}
	return o.report(out, "%s", text)
}

func newLockdown(o *options) *cobra.Command {
	var f modeFlags
	var end bool
	cmd := &cobra.Command{
		Use: "lockdown", Short: "Lock every door down at once, or end that", Args: noArgs,
		Long: "lockdown locks every door down: nothing but exit buttons and fire releases it. It outlives a restart, until\n" +
			"lockdown --end, until the end that is given, or until central sends other modes. --end takes back what was\n" +
			"ordered at this panel at doors that are locked down; what central or an input ordered stays.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			until, err := f.end(cmd, time.Now())
			if err != nil {
				return err
			}
			if !end {
				return o.setMode(cmd, api.AllDoors, "all doors", modeWords["lockdown"], until)
			}
			if !until.IsZero() {
				return usagef("--end takes effect at once: leave --until and --for out")
			}
			return o.endLockdown(cmd)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&end, "end", false, "end the lockdown")
	return cmd
}

// endLockdown takes back this panel's orders at doors that are locked down, and
// says which are so for another reason.
func (o *options) endLockdown(cmd *cobra.Command) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	doors, err := c.Doors(cmd.Context())
	if err != nil {
		return err
	}
	var ended []string
	for _, d := range doors {
		if d.Mode != modeWords["lockdown"] {
			continue
		}
		if err := c.SetMode(cmd.Context(), d.ID, api.ModeOrder{Mode: api.ClearMode}); err != nil {
			return err
		}
		ended = append(ended, d.ID)
	}
	if doors, err = c.Doors(cmd.Context()); err != nil {
		return err
	}
	stays := map[string]string{}
	var left []string
	for _, d := range doors {
		if slices.Contains(ended, d.ID) && d.Mode == modeWords["lockdown"] && (d.ModeBy == "central" || d.ModeBy == "input") {
			stays[d.ID] = d.ModeBy
			left = append(left, d.ID+" ("+d.ByWhom()+")")
		}
	}
	switch {
	case len(ended) == 0:
		return o.report(map[string]any{"ended": []string{}, "locked_down": stays}, "no door is locked down")
	case len(left) > 0:
		return o.report(map[string]any{"ended": ended, "locked_down": stays}, "ended here, and still locked down: %s", strings.Join(left, ", "))
	}
	return o.report(map[string]any{"ended": ended, "locked_down": stays}, "lockdown ended: %s", strings.Join(ended, ", "))
}

// modeText is a door's mode with who ordered it.
func modeText(d api.Door) string {
	var more []string
	if by := d.ByWhom(); by != "" {
		more = append(more, by)
	}
	if !d.ModeUntil.IsZero() {
		more = append(more, "until "+stamp(d.ModeUntil))
	}
	if text := d.FirstCardText(); text != "" {
		more = append(more, text)
	}
	if len(more) == 0 {
		return d.Mode
	}
	return d.Mode + " (" + strings.Join(more, ", ") + ")"
}

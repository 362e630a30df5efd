package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/api"
)

func newStatus(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "What the panel is doing, what is wrong and what to do about it", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			st, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if o.json {
				return o.printJSON(st)
			}
			return o.printStatus(st)
		},
	}
}

// printStatus ends with the problems: they stay on the screen however many
// doors there are.
func (o *options) printStatus(st api.Status) error {
	title := st.SystemID
	if st.Name != "" {
		title += ", " + st.Name
	}
	if err := o.printf("%s\n\n", title); err != nil {
		return err
	}
	err := o.table(func(w io.Writer) {
		board := ""
		if st.Simulated {
			board = ", simulated board"
		}
		fmt.Fprintf(w, "  daemon\tposternd %s, up %s%s\n", st.Version, ago(st.Now.Sub(st.Started)), board)
		fmt.Fprintf(w, "  central\t%s\n", link(st.Link))
		fmt.Fprintf(w, "  keys\t%s\n", keyStore(st.Keys))
		confirmed := "all confirmed by central"
		if st.Journal.Unconfirmed > 0 {
			confirmed = fmt.Sprintf("%d not yet confirmed by central", st.Journal.Unconfirmed)
		}
		fmt.Fprintf(w, "  journal\t%s, %s\n", count(st.Journal.Last, "entry"), confirmed)
		fmt.Fprintf(w, "  clock\t%s, %s\n", st.Clock, stamp(st.Now))
		for _, c := range st.Certificates {
			fmt.Fprintf(w, "  %s\t%s\n", certificateWord(c), certificateText(c))
		}
		if st.Disk.Size > 0 {
			fmt.Fprintf(w, "  disk\t%d MB of %d MB free\n", st.Disk.Free>>20, st.Disk.Size>>20)
		}
	})
	if err != nil {
		return err
	}
	if err := o.printf("\n"); err != nil {
		return err
	}
	if err := o.printDoors(st.Doors); err != nil {
		return err
	}
	if len(st.Readers) > 0 {
		if err := o.printf("\n"); err != nil {
			return err
		}
		if err := o.table(func(w io.Writer) { readerTable(w, st.Readers) }); err != nil {
			return err
		}
	}
	if err := o.printInputs(st.Inputs); err != nil {
		return err
	}
	if err := o.printOutputs(st.Outputs); err != nil {
		return err
	}
	return o.printProblems(st.Problems)
}

func (o *options) printInputs(inputs []api.Input) error {
	if len(inputs) == 0 {
		return nil
	}
	if err := o.printf("\n"); err != nil {
		return err
	}
	return o.table(func(w io.Writer) {
		fmt.Fprintln(w, "INPUT\tNAME\tKIND\tSTATE")
		for _, in := range inputs {
			state := "at rest"
			if in.Active {
				state = "active"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", in.ID, dash(in.Name), in.Kind, state)
		}
	})
}

func (o *options) printOutputs(outputs []api.Output) error {
	if len(outputs) == 0 {
		return nil
	}
	if err := o.printf("\n"); err != nil {
		return err
	}
	return o.table(func(w io.Writer) {
		fmt.Fprintln(w, "OUTPUT\tNAME\tSTATE")
		for _, out := range outputs {
			state := "off"
			if out.On {
				state = "on"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", out.ID, dash(out.Name), state)
		}
	})
}

func (o *options) printProblems(problems []api.Problem) error {
	if len(problems) == 0 {
		return o.printf("\nNothing is wrong.\n")
	}
	if err := o.printf("\n%s:\n", count(len(problems), "problem")); err != nil {
		return err
	}
	for i, p := range problems {
		if err := o.printf("  %d. %s\n     -> %s\n", i+1, p.What, p.Do); err != nil {
			return err
		}
	}
	return nil
}

func link(l api.Link) string {
	if l.Connected {
		return fmt.Sprintf("connected to %s since %s", l.Broker, stamp(l.Since))
	}
	s := "not connected to " + l.Broker
	if l.LastError != "" {
		s += ": " + l.LastError
	}
	return s
}

func certificateWord(c api.Certificate) string {
	if c.Use == api.CertificateOwn {
		return "certificate"
	}
	return "authorities"
}

func certificateText(c api.Certificate) string {
	if c.Error != "" {
		return c.Where() + ": " + c.Error
	}
	names := ""
	if len(c.Names) > 0 {
		names = ", " + strings.Join(c.Names, ", ")
	}
	return fmt.Sprintf("good until %s (%s%s)", c.NotAfter.Format(time.DateOnly), c.Where(), names)
}

func keyStore(k api.KeyStore) string {
	s := fmt.Sprintf("%s, epoch %d, revision %d", count(k.Count, "key"), k.Epoch, k.Revision)
	if k.Local > 0 {
		s += fmt.Sprintf(", and %d of this panel alone", k.Local)
	}
	if k.ReadOnly {
		s += ", READ-ONLY"
	}
	return s
}

func readerTable(w io.Writer, readers []api.Reader) {
	fmt.Fprintln(w, "READER\tDOOR\tMODE\tCARDS\tFORMATS\tKEYPAD\tHEALTH\tLAST READ")
	for _, r := range readers {
		last := "-"
		if r.LastRead != nil {
			last = stamp(r.LastRead.At) + ", " + what(*r.LastRead)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, dash(r.Door), dash(r.Mode), strings.TrimSpace(r.Technology+" "+r.Match),
			dash(strings.Join(r.Formats, ",")), dash(r.Keypad), dash(r.Health), last)
	}
}

// what is what was read, in a few words.
func what(r api.Read) string {
	switch r.Kind {
	case api.ReadKey:
		return "a key was pressed"
	case api.ReadHint:
		return "declared wrong?"
	case api.ReadNoise:
		return "noise, " + count(r.Pulses, "pulse")
	}
	return "card, " + count(r.Pulses, "bit")
}

func newDoors(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "doors", Short: "The doors and their state", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			doors, err := c.Doors(cmd.Context())
			if err != nil {
				return err
			}
			if !o.json {
				return o.printDoors(doors)
			}
			for _, d := range doors {
				if err := o.printJSON(d); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (o *options) printDoors(doors []api.Door) error {
	if len(doors) == 0 {
		return o.printf("no doors: add a [[door]] to the panel's configuration\n")
	}
	return o.table(func(w io.Writer) {
		fmt.Fprintln(w, "DOOR\tNAME\tSTATE\tMODE\tLOCK\tCONTACT\tALARM")
		for _, d := range doors {
			lock, alarms := "secured", d.Troubles()
			if d.Released {
				lock = "released"
			}
			if d.Alarm != "Normal" && d.Alarm != "" {
				alarms = slices.Insert(alarms, 0, d.Alarm)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, dash(d.Name), d.State(), modeText(d), lock, d.Contact(), dash(strings.Join(alarms, ", ")))
		}
	})
}

func newUnlock(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "unlock DOOR", Short: "Unlock a door once, for its strike time", Args: exactArgs("DOOR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.Unlock(cmd.Context(), args[0]); err != nil {
				return err
			}
			return o.report(map[string]any{"door": args[0], "unlocked": true}, "%s unlocked", args[0])
		},
	}
}

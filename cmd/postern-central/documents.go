package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"postern/central"
	"postern/wire"
)

func newPolicy(o *options) *cobra.Command {
	var version string
	get := &cobra.Command{
		Use: "get SYSTEM_ID", Short: "Print the newest policy that was applied for a panel, and what the panel says of it, or an older version",
		Args: exactArgs("SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if version != "" {
				return o.olderPolicy(cmd, args[0], version)
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				p, err := s.Policy(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), p, func(w io.Writer) { printPolicy(cmd, w, p) })
			})
		},
	}
	get.Flags().StringVar(&version, "version", "", "an older `version`, as policy history lists it")
	apply := &cobra.Command{
		Use: "apply SYSTEM_ID [FILE]", Short: "Make a JSON document a panel's policy (from FILE, or what comes in)",
		Args: rangeArgs(1, 2, "SYSTEM_ID", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := readDocument(cmd, args[1:])
			if err != nil {
				return err
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				v, err := s.ApplyPolicy(cmd.Context(), args[0], doc)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), v, func(w io.Writer) { fmt.Fprintln(w, versionOf(v)) })
			})
		},
	}
	check := &cobra.Command{
		Use: "check SYSTEM_ID [FILE]", Short: "Say everything that is wrong with a policy for a panel, and change nothing",
		Args: rangeArgs(1, 2, "SYSTEM_ID", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := readDocument(cmd, args[1:])
			if err != nil {
				return err
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				c, err := s.CheckPolicy(cmd.Context(), args[0], doc)
				if err != nil {
					return err
				}
				err = o.print(cmd.OutOrStdout(), c, func(w io.Writer) {
					for _, f := range c.Faults {
						fmt.Fprintf(w, "%s: %s\n", dash(f.Path), f.Message)
					}
					if !c.Complete {
						fmt.Fprintln(cmd.ErrOrStderr(), "note: the panel has not said yet which doors and access points it has")
					}
				})
				if err == nil && len(c.Faults) > 0 {
					err = fmt.Errorf("the policy has %d fault(s)", len(c.Faults))
				}
				return err
			})
		},
	}
	return group("policy", "Policies of panels", get, check, apply, newPolicyHistory(o))
}

func newPolicyHistory(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "history SYSTEM_ID", Short: "List the versions of a panel's policy that are kept, the newest first; audit says whose they are",
		Args: exactArgs("SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.open(cmd.Context(), func(s *central.Store) error {
				versions, err := s.PolicyHistory(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), orEmpty(versions), func(w io.Writer) {
					fmt.Fprintln(w, "VERSION\tAPPLIED")
					for _, v := range versions {
						fmt.Fprintf(w, "%s\t%s\n", versionOf(v.Version), when(v.Created))
					}
				})
			})
		},
	}
}

// olderPolicy prints one version, so that it can be applied again.
func (o *options) olderPolicy(cmd *cobra.Command, system, text string) error {
	v, err := central.ParseVersion(text, "/")
	if err != nil {
		return usageError{fmt.Errorf("--version: %w", err)}
	}
	return o.open(cmd.Context(), func(s *central.Store) error {
		p, err := s.PolicyAt(cmd.Context(), system, v)
		if err != nil {
			return err
		}
		return o.print(cmd.OutOrStdout(), p, func(w io.Writer) { printPolicyText(w, p.Policy) })
	})
}

// printPolicy prints the document alone to stdout, so that it can be changed and
// applied again, and the rest to stderr.
func printPolicy(cmd *cobra.Command, w io.Writer, p central.PolicyInfo) {
	e := cmd.ErrOrStderr()
	fmt.Fprintf(e, "newest %s, in force on the panel %s\n", versionOf(p.Version), versionOf(p.Reported))
	if st := p.Status; st != nil {
		said := "refused"
		if st.Applied {
			said = "applied"
		}
		fmt.Fprintf(e, "the panel says of %s: %s\n", versionOf(st.Version), said)
		for _, f := range st.Faults {
			fmt.Fprintf(e, "  %s: %s\n", f.Path, f.Message)
		}
	}
	printPolicyText(w, p.Policy)
}

func printPolicyText(w io.Writer, policy json.RawMessage) {
	var b bytes.Buffer
	if policy != nil && json.Indent(&b, policy, "", "  ") == nil {
		fmt.Fprintln(w, b.String())
	}
}

func versionOf(v wire.Version) string {
	if v == (wire.Version{}) {
		return "none"
	}
	return fmt.Sprintf("%d/%d", v.Epoch, v.Revision)
}

func readDocument(cmd *cobra.Command, file []string) ([]byte, error) {
	in := cmd.InOrStdin()
	if len(file) > 0 && file[0] != "-" {
		f, err := os.Open(file[0])
		if err != nil {
			return nil, fmt.Errorf("open policy: %w", err)
		}
		defer f.Close()
		in = f
	}
	doc, err := io.ReadAll(io.LimitReader(in, central.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	return doc, nil
}

func newModes(o *options) *cobra.Command {
	get := &cobra.Command{
		Use: "get SYSTEM_ID", Short: "Print the door modes that are wanted of a panel", Args: exactArgs("SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.open(cmd.Context(), func(s *central.Store) error {
				m, err := s.Modes(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), m, func(w io.Writer) {
					fmt.Fprintf(cmd.ErrOrStderr(), "newest %s, in force on the panel %s\n", versionOf(m.Version), versionOf(m.Reported))
					fmt.Fprintln(w, "DOOR\tMODE\tUNTIL")
					for _, d := range m.Doors {
						fmt.Fprintf(w, "%s\t%s\t%s\n", d.Door, d.Mode, when(d.Until))
					}
				})
			})
		},
	}
	var until string
	setMode := &cobra.Command{
		Use:   "set SYSTEM_ID DOOR MODE",
		Short: "Set a door's mode, or that of all doors (*): Locked, Unlocked, Blocked, LockedDown, LockedOpen, or Scheduled for none",
		Args:  exactArgs("SYSTEM_ID", "DOOR", "MODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			end, err := parseUntil("--until", until, time.Now())
			if err != nil {
				return usageError{err}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				v, err := s.SetMode(cmd.Context(), args[0], args[1], args[2], end)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), v, func(w io.Writer) { fmt.Fprintln(w, versionOf(v)) })
			})
		},
	}
	setMode.Flags().StringVar(&until, "until", "", "`when` it ends: a time such as 2030-01-01T00:00:00Z, or a duration such as 2h (default never)")
	var siteUntil string
	var systems []string
	site := &cobra.Command{
		Use: "site MODE", Short: "Set the mode of all doors of all panels at once, LockedDown for a lockdown, Scheduled to end it",
		Args: exactArgs("MODE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			end, err := parseUntil("--until", siteUntil, time.Now())
			if err != nil {
				return usageError{err}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				set, err := s.SetSiteMode(cmd.Context(), systems, args[0], end)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), set, func(w io.Writer) {
					for _, p := range set {
						fmt.Fprintf(w, "%s\t%s\n", p.SystemID, versionOf(p.Version))
					}
				})
			})
		},
	}
	site.Flags().StringVar(&siteUntil, "until", "", "`when` it ends: a time such as 2030-01-01T00:00:00Z, or a duration such as 2h (default never)")
	site.Flags().StringSliceVar(&systems, "systems", nil, "only these panels, comma between")
	return group("modes", "Door modes", get, setMode, site)
}

func newCommand(o *options) *cobra.Command {
	one := func(name, target, short string, args cobra.PositionalArgs) *cobra.Command {
		return &cobra.Command{Use: name + " SYSTEM_ID " + target, Short: short, Args: args, RunE: func(cmd *cobra.Command, args []string) error {
			of := ""
			if len(args) > 1 {
				of = args[1]
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				out, err := s.Command(cmd.Context(), args[0], name, of)
				if err != nil {
					return err
				}
				err = o.print(cmd.OutOrStdout(), out, func(w io.Writer) { fmt.Fprintln(w, out.Result) })
				if out.Result != central.CommandDone {
					err = errors.Join(err, fmt.Errorf("%s: %s: %s", name, out.Result, dash(out.Error)))
				}
				return err
			})
		}}
	}
	return group(
		"command", "Have a panel do something once, now",
		one(wire.CommandUnlock, "DOOR", "Release a door once", exactArgs("SYSTEM_ID", "DOOR")),
		one(wire.CommandIdentify, "ACCESS_POINT", "Let a reader show itself", exactArgs("SYSTEM_ID", "ACCESS_POINT")),
		one(wire.CommandForgive, "[PERSON_ID]", "Let anti-passback forget where a person is, or everybody", rangeArgs(1, 2, "SYSTEM_ID", "PERSON_ID")),
	)
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/central"
)

func newPanels(o *options) *cobra.Command {
	add := &cobra.Command{
		Use: "add SYSTEM_ID", Short: "Make a panel known, so that it takes part", Args: exactArgs("SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.open(cmd.Context(), func(s *central.Store) error { return s.AddPanel(cmd.Context(), args[0]) })
		},
	}
	list := &cobra.Command{Use: "list", Short: "List the panels and where they stand", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return o.open(cmd.Context(), func(s *central.Store) error {
			panels, err := s.Panels(cmd.Context())
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), orEmpty(panels), func(w io.Writer) {
				fmt.Fprintln(w, "SYSTEM\tNAME\tONLINE\tSEEN\tREVISION\tREPORTED\tKEYS\tSNAPSHOT\tALARM")
				for _, p := range panels {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%d/%d\t%d\t%s\t%s\n", p.SystemID, dash(p.Name), yesNo(p.Online), when(p.Seen),
						p.Epoch, p.Revision, p.ReportedEpoch, p.ReportedRevision, p.Keys, dash(p.Snapshot), dash(p.Alarm))
				}
				for _, p := range panels {
					for _, text := range p.Warnings {
						fmt.Fprintf(cmd.ErrOrStderr(), "warning: panel %s %s\n", p.SystemID, text)
					}
				}
			})
		})
	}}
	resync := &cobra.Command{
		Use: "resync SYSTEM_ID", Short: "Say that central's state counts, for a panel that has seen more (central was restored from a backup)",
		Args: exactArgs("SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.open(cmd.Context(), func(s *central.Store) error { return s.ResyncPanel(cmd.Context(), args[0]) })
		},
	}
	return group("panels", "Panels", add, list, resync)
}

func newLevels(o *options) *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List the access levels of all panels", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return o.open(cmd.Context(), func(s *central.Store) error {
			levels, err := s.Levels(cmd.Context())
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), orEmpty(levels), func(w io.Writer) {
				fmt.Fprintln(w, "ID\tNAME\tSYSTEM\tOWNED\tANNOUNCED")
				for _, l := range levels {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.ID, dash(l.Name), l.SystemID, yesNo(l.Owned), yesNo(l.Announced))
				}
			})
		})
	}}
	share := &cobra.Command{
		Use: "share LEVEL_ID SYSTEM_ID", Short: "Let a panel have an access level that another panel owns", Args: exactArgs("LEVEL_ID", "SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withLevel(cmd, args[0], func(s *central.Store, level access.ID) error {
				return s.ShareLevel(cmd.Context(), level, args[1])
			})
		},
	}
	drop := &cobra.Command{
		Use: "drop LEVEL_ID SYSTEM_ID", Short: "Take an access level from a panel; keys that have no other there leave it",
		Args: exactArgs("LEVEL_ID", "SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withLevel(cmd, args[0], func(s *central.Store, level access.ID) error {
				return s.DropLevel(cmd.Context(), level, args[1])
			})
		},
	}
	move := &cobra.Command{
		Use: "move LEVEL_ID FROM_SYSTEM_ID TO_SYSTEM_ID", Short: "Give an access level of one panel to another that has announced it",
		Args: exactArgs("LEVEL_ID", "FROM_SYSTEM_ID", "TO_SYSTEM_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withLevel(cmd, args[0], func(s *central.Store, level access.ID) error {
				return s.MoveLevel(cmd.Context(), level, args[1], args[2])
			})
		},
	}
	return group("levels", "Access levels", list, share, drop, move, newLevelsApprovers(o), newLevelsExclusive(o))
}

// withLevel opens the database for a command about one access level.
func (o *options) withLevel(cmd *cobra.Command, text string, fn func(*central.Store, access.ID) error) error {
	level, err := access.ParseID(text)
	if err != nil {
		return usageError{fmt.Errorf("LEVEL_ID: %w", err)}
	}
	return o.open(cmd.Context(), func(s *central.Store) error { return fn(s, level) })
}

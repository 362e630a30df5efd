package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/central"
)

func newImport(o *options) *cobra.Command {
	var spec central.ImportSpec
	cmd := &cobra.Command{
		Use:   "import FILE --integration NAME",
		Short: "Take in access keys and people from CSV",
		Long: `Takes in access keys and people from a CSV file, - for what comes in. Its first
line names the columns: identification and type (proximity or code) are required;
pin, valid_from_date, valid_to_date, state, first_name, last_name, person_id,
person and access_levels (ids or names, semicolons between) are not. Lines with
the same text in person are of one person. A key that is there already is
changed; a missing column leaves it as it was, an empty field clears.

All lines are checked first. With one fault nothing is taken in; every fault is
listed with its line.`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if spec.Integration == "" {
				return usageError{fmt.Errorf("--integration is required: it names whose access keys these are")}
			}
			in := cmd.InOrStdin()
			if args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("open import: %w", err)
				}
				defer f.Close()
				in = f
			}
			spec.Progress = func(done, all int) {
				if all > 1000 {
					fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d keys\n", done, all)
				}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				got, err := s.Import(cmd.Context(), in, spec)
				if err != nil {
					return err
				}
				err = o.print(cmd.OutOrStdout(), got, func(w io.Writer) { printImport(w, got, spec.DryRun) })
				if err == nil && len(got.Faults) > 0 {
					err = fmt.Errorf("%d line(s) have faults; nothing was taken in", len(got.Faults))
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&spec.Integration, "integration", "", "`name` of the integration whose access keys they are")
	cmd.Flags().BoolVar(&spec.DryRun, "dry-run", false, "only check, and list every fault by line")
	return cmd
}

func printImport(w io.Writer, got central.ImportResult, dry bool) {
	for _, f := range got.Faults {
		fmt.Fprintf(w, "line %d\t%s\t%s\n", f.Line, dash(f.Column), f.Message)
	}
	switch {
	case len(got.Faults) > 0:
	case dry:
		fmt.Fprintf(w, "would add %d and change %d keys\n", got.Added, got.Changed)
	default:
		fmt.Fprintf(w, "added %d and changed %d keys\n", got.Added, got.Changed)
	}
}

func newKeysReplace(o *options) *cobra.Command {
	var spec central.ReplaceSpec
	cmd := &cobra.Command{
		Use: "replace OLD NEW --integration NAME", Short: "Give a new card the rights of a lost one, which is blacklisted",
		Args: exactArgs("OLD", "NEW"), Annotations: map[string]string{secretArgs: "yes"},
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Old, spec.New = args[0], args[1]
			if spec.Integration == "" {
				return usageError{fmt.Errorf("--integration is required: it names whose access keys these are")}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				id, err := s.ReplaceKey(cmd.Context(), spec)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), map[string]access.ID{"id": id}, func(w io.Writer) { fmt.Fprintln(w, id) })
			})
		},
	}
	cmd.Flags().StringVar(&spec.Integration, "integration", "", "`name` of the integration whose access keys they are")
	cmd.Flags().StringVar(&spec.Type, "type", string(access.Proximity), "`type` of both: proximity or code")
	cmd.Flags().BoolVar(&spec.Remove, "remove", false, "remove the old key instead of blacklisting it")
	return cmd
}

func newKeysAdopt(o *options) *cobra.Command {
	var spec central.AdoptSpec
	cmd := &cobra.Command{
		Use: "adopt SYSTEM_ID ACCESS_POINT --integration NAME", Short: "Make a key of the last unknown card that was read at an access point",
		Args: exactArgs("SYSTEM_ID", "ACCESS_POINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.SystemID, spec.Point = args[0], args[1]
			if spec.Integration == "" {
				return usageError{fmt.Errorf("--integration is required: it names whose access key it is to be")}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				k, err := s.AdoptKey(cmd.Context(), spec)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), k, func(w io.Writer) { fmt.Fprintf(w, "%s\t%s\tread %s\n", k.ID, k.Identification, when(k.Read)) })
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&spec.Integration, "integration", "", "`name` of the integration whose access key it is to be")
	f.DurationVar(&spec.Within, "within", central.DefaultAdopt, "how long ago it may have been read")
	f.StringSliceVar(&spec.Levels, "levels", nil, "access levels, ids or names, comma between")
	f.StringVar(&spec.FirstName, "first-name", "", "`name` of the person (default made up)")
	f.StringVar(&spec.LastName, "last-name", "", "`name` of the person (default made up)")
	return cmd
}

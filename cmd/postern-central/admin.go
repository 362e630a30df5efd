package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"postern/central"
)

// open opens the database for one command.
func (o *options) open(ctx context.Context, fn func(*central.Store) error) (err error) {
	c, err := o.load()
	if err != nil {
		return err
	}
	if err := c.ValidateStore(); err != nil {
		return usageError{fmt.Errorf("%w\n(set them in the file that --config names, or by flags)", err)}
	}
	s, err := central.Open(ctx, central.StoreOptions{Database: c.Database, SecretKeyFile: c.SecretKeyFile})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return fn(s)
}

// print writes data as JSON, one object a line, or as a table of lines with tabs.
func (o *options) print(w io.Writer, v any, table func(io.Writer)) error {
	if o.json {
		e := json.NewEncoder(w)
		list := reflect.ValueOf(v)
		if list.Kind() != reflect.Slice {
			return e.Encode(v)
		}
		for i := range list.Len() {
			if err := e.Encode(list.Index(i).Interface()); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	table(t)
	return t.Flush()
}

func newKeys(o *options) *cobra.Command {
	return group("keys", "API keys of integrations, and their access keys", newKeysCreate(o), newKeysList(o), newKeysRotate(o), newKeysRevoke(o), newKeysReplace(o), newKeysAdopt(o))
}

func newKeysCreate(o *options) *cobra.Command {
	var spec central.APIKeySpec
	var expires string
	cmd := &cobra.Command{
		Use:   "create --integration NAME",
		Short: "Make an API key and print it, this once",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if spec.Integration == "" {
				return usageError{errors.New("--integration is required: it names whose access keys these are")}
			}
			if spec.Expires, err = parseUntil("--expires", expires, time.Now()); err != nil {
				return usageError{err}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				k, err := s.CreateAPIKey(cmd.Context(), spec)
				if err != nil {
					return err
				}
				if err := warnUnknown(cmd, s, spec.Systems); err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), k, func(w io.Writer) { fmt.Fprintln(w, k.Secret) })
			})
		},
	}
	cmd.Flags().StringVar(&spec.Integration, "integration", "", "`name` of the integration, made when it is new")
	cmd.Flags().StringSliceVar(&spec.Systems, "systems", nil, "panels that the key reaches, comma between (default all, later ones too)")
	cmd.Flags().StringVar(&expires, "expires", "", "`when`: a time such as 2030-01-01T00:00:00Z, or a duration such as 2160h (default never)")
	return cmd
}

// parseUntil reads a flag's time to come or duration; "" is the zero time.
func parseUntil(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !t.After(now) {
		return t, fmt.Errorf("%s %.40q is neither a time to come (2030-01-01T00:00:00Z) nor a duration (2160h)", flag, s)
	}
	return t, nil
}

// warnUnknown says which of the named panels are not known yet: that may be on
// purpose, or a slip.
func warnUnknown(cmd *cobra.Command, s *central.Store, systems []string) error {
	panels, err := s.Panels(cmd.Context())
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, p := range panels {
		known[p.SystemID] = true
	}
	for _, id := range systems {
		if !known[id] {
			fmt.Fprintf(cmd.ErrOrStderr(), "note: panel %s is not known yet (postern-central panels add %s)\n", id, id)
		}
	}
	return nil
}

func newKeysList(o *options) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the API keys", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return o.open(cmd.Context(), func(s *central.Store) error {
			keys, err := s.APIKeys(cmd.Context())
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), orEmpty(keys), func(w io.Writer) {
				fmt.Fprintln(w, "ID\tINTEGRATION\tSYSTEMS\tCREATED\tEXPIRES\tREVOKED")
				for _, k := range keys {
					systems := "all"
					if k.Systems != nil {
						systems = strings.Join(k.Systems, ",")
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Integration, systems, when(k.Created), when(k.Expires), when(k.Revoked))
				}
			})
		})
	}}
}

func newKeysRevoke(o *options) *cobra.Command {
	return &cobra.Command{Use: "revoke ID", Short: "Make an API key useless", Args: exactArgs("ID"), RunE: func(cmd *cobra.Command, args []string) error {
		return o.open(cmd.Context(), func(s *central.Store) error { return s.RevokeAPIKey(cmd.Context(), args[0]) })
	}}
}

func newKeysRotate(o *options) *cobra.Command {
	var spec central.RotateSpec
	var expires string
	cmd := &cobra.Command{
		Use: "rotate ID", Short: "Make an API key in place of another, print it, this once, and let the other end after a while",
		Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			spec.ID = args[0]
			if spec.Overlap < 0 {
				return usageError{errors.New("--overlap: a duration such as 24h is needed, or 0")}
			}
			if spec.Expires, err = parseUntil("--expires", expires, time.Now()); err != nil {
				return usageError{err}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				k, err := s.RotateAPIKey(cmd.Context(), spec)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), k, func(w io.Writer) { fmt.Fprintln(w, k.Secret) })
			})
		},
	}
	cmd.Flags().DurationVar(&spec.Overlap, "overlap", 24*time.Hour, "how long the other goes on, 0 for not at all")
	cmd.Flags().StringVar(&expires, "expires", "", "`when` the new one ends: a time such as 2030-01-01T00:00:00Z, or a duration such as 2160h (default as long as the other had)")
	return cmd
}

// orEmpty makes JSON of nothing an empty array.
func orEmpty[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

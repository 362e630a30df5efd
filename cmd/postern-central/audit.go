package main

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/central"
)

// secretArgs marks a command whose arguments may be codes: they are not in the
// audit trail.
const secretArgs = "secret-args"

// trail has what a command changes put into the audit trail, in the name of the
// account that runs it.
func trail(cmd *cobra.Command, args []string) {
	if cmd.Name() == "serve" {
		return
	}
	subject := strings.Join(args, " ")
	if cmd.Annotations[secretArgs] != "" {
		subject = ""
	}
	cmd.SetContext(central.WithDeed(cmd.Context(), central.Actor{Kind: central.ActorCommand, Name: account()}, cmd.CommandPath(), subject))
}

// account is who runs the program, and for whom.
func account() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" {
		name += " (sudo by " + by + ")"
	}
	return name
}

func newAudit(o *options) *cobra.Command {
	var f central.AuditFilter
	var since, actor string
	cmd := &cobra.Command{
		Use: "audit", Short: "List who changed what, newest last", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.Newest, f.Actor = f.After == 0, actor
			if since != "" {
				d, err := time.ParseDuration(since)
				if err != nil {
					if f.From, err = time.Parse(time.RFC3339, since); err != nil {
						return usageError{fmt.Errorf("--since %.40q is neither a time (2026-01-01T00:00:00Z) nor a duration (24h)", since)}
					}
				} else {
					f.From = time.Now().Add(-d)
				}
			}
			return o.open(cmd.Context(), func(s *central.Store) error {
				entries, err := s.Audit(cmd.Context(), f)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), orEmpty(entries), func(w io.Writer) {
					fmt.Fprintln(w, "NUMBER\tTIME\tBY\tACTION\tSUBJECT\tDETAIL")
					for _, e := range entries {
						fmt.Fprintf(w, "%d\t%s\t%s %s\t%s\t%s\t%s\n", e.Sequence, when(e.At), e.ActorKind, e.Actor, e.Action, dash(e.Subject), dash(e.Detail))
					}
				})
			})
		},
	}
	cmd.Flags().IntVar(&f.Limit, "limit", 100, "most entries, up to 1000")
	cmd.Flags().Int64Var(&f.After, "after", 0, "`number` of the entry after which to begin, instead of at the newest")
	cmd.Flags().StringVar(&since, "since", "", "`when` to begin: a time such as 2026-01-01T00:00:00Z, or a duration such as 24h")
	cmd.Flags().StringVar(&actor, "by", "", "`name` or id of who did it")
	return cmd
}

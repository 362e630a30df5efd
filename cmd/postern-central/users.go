package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/central"
)

func newUsers(o *options) *cobra.Command {
	return group("users", "People who ask for access and decide about it",
		newUsersAdd(o), newUsersList(o), newUsersToken(o), newUsersRole(o), newUsersCard(o), newUsersRemove(o))
}

func newUsersAdd(o *options) *cobra.Command {
	var spec central.UserSpec
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Make a user and print their id", Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Name = args[0]
			return o.open(cmd.Context(), func(s *central.Store) error {
				u, err := s.AddUser(cmd.Context(), spec)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), u, func(w io.Writer) { fmt.Fprintln(w, u.ID) })
			})
		},
	}
	cmd.Flags().StringVar(&spec.Domain, "domain", "", "`domain` of the name, such as a company's directory")
	cmd.Flags().StringSliceVar(&spec.Roles, "role", nil, "`roles`, comma between: ORG_ADMIN, approver, operator, auditor (default none: may ask for access)")
	cmd.Flags().StringVar(&spec.Card, "card", "", "`identification` of the user's card, such as EM:1234567890 (default none: a code is made for what is granted)")
	return cmd
}

func newUsersList(o *options) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the users", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return o.open(cmd.Context(), func(s *central.Store) error {
			users, err := s.Users(cmd.Context())
			if err != nil {
				return err
			}
			return o.print(cmd.OutOrStdout(), orEmpty(users), func(w io.Writer) {
				fmt.Fprintln(w, "ID\tNAME\tDOMAIN\tROLES\tCARD\tCREATED")
				for _, u := range users {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", u.ID, u.Name, dash(u.Domain), dash(strings.Join(u.Roles, ",")), dash(u.Card), when(u.Created))
				}
			})
		})
	}}
}

func newUsersToken(o *options) *cobra.Command {
	var expires, revoke string
	var list bool
	cmd := &cobra.Command{
		Use: "token USER", Short: "Make a token of a user and print it, this once; or list or revoke tokens", Args: exactArgs("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			until, err := parseUntil("--expires", expires, time.Now())
			if err != nil {
				return usageError{err}
			}
			if list && revoke != "" {
				return usageError{errors.New("--list and --revoke don't go together")}
			}
			return o.withUser(cmd, args[0], func(s *central.Store, u central.User) error {
				switch {
				case revoke != "":
					return s.RevokeToken(cmd.Context(), u.ID, revoke)
				case list:
					tokens, err := s.Tokens(cmd.Context(), u.ID)
					if err != nil {
						return err
					}
					return o.print(cmd.OutOrStdout(), orEmpty(tokens), func(w io.Writer) {
						fmt.Fprintln(w, "ID\tCREATED\tEXPIRES\tREVOKED")
						for _, k := range tokens {
							fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, when(k.Created), when(k.Expires), when(k.Revoked))
						}
					})
				}
				k, err := s.CreateToken(cmd.Context(), u.ID, until)
				if err != nil {
					return err
				}
				return o.print(cmd.OutOrStdout(), k, func(w io.Writer) { fmt.Fprintln(w, k.Secret) })
			})
		},
	}
	cmd.Flags().StringVar(&expires, "expires", "", "`when`: a time such as 2030-01-01T00:00:00Z, or a duration such as 720h (default 2160h)")
	cmd.Flags().StringVar(&revoke, "revoke", "", "`id` of a token that is to be useless from now on")
	cmd.Flags().BoolVar(&list, "list", false, "list the user's tokens instead")
	return cmd
}

func newUsersRole(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "role USER [ROLE...]", Short: "Give a user these roles and no others", Args: atLeast(1, "USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			roles := args[1:]
			return o.withUser(cmd, args[0], func(s *central.Store, u central.User) error {
				_, err := s.ChangeUser(cmd.Context(), u.ID, central.UserChange{Roles: &roles})
				return err
			})
		},
	}
}

func newUsersCard(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "card USER [IDENTIFICATION]", Short: "Give a user another card, or none; it takes over what was granted", Args: rangeArgs(1, 2, "USER", "IDENTIFICATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			card := strings.Join(args[1:], "")
			return o.withUser(cmd, args[0], func(s *central.Store, u central.User) error {
				_, err := s.ChangeUser(cmd.Context(), u.ID, central.UserChange{Card: &card})
				return err
			})
		},
	}
}

func newUsersRemove(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "remove USER", Short: "Remove a user, their tokens, and what they were granted", Args: exactArgs("USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.withUser(cmd, args[0], func(s *central.Store, u central.User) error { return s.RemoveUser(cmd.Context(), u.ID) })
		},
	}
}

func newLevelsApprovers(o *options) *cobra.Command {
	var votes int
	var none bool
	cmd := &cobra.Command{
		Use: "approvers LEVEL_ID [USER...]", Args: atLeast(1, "LEVEL_ID"),
		Short: "Name who votes on requests for an access level, or show them",
		RunE: func(cmd *cobra.Command, args []string) error {
			if none && len(args) > 1 {
				return usageError{errors.New("--none goes with no users")}
			}
			return o.withLevel(cmd, args[0], func(s *central.Store, level access.ID) error {
				if len(args) == 1 && !none {
					return o.showApprovers(cmd, s, level)
				}
				rule := central.LevelRule{LevelID: level}
				for _, who := range args[1:] {
					u, err := s.User(cmd.Context(), who)
					if err != nil {
						return err
					}
					rule.Approvers, rule.RequiredVotes = append(rule.Approvers, u.ID), votes
				}
				return s.SetApprovers(cmd.Context(), rule)
			})
		},
	}
	cmd.Flags().IntVar(&votes, "votes", 1, "how many have to accept")
	cmd.Flags().BoolVar(&none, "none", false, "let nobody ask for the level any more")
	return cmd
}

func (o *options) showApprovers(cmd *cobra.Command, s *central.Store, level access.ID) error {
	rule, err := s.Approvers(cmd.Context(), level)
	if err != nil {
		return err
	}
	return o.print(cmd.OutOrStdout(), rule, func(w io.Writer) {
		if len(rule.Approvers) == 0 {
			fmt.Fprintln(w, "nobody may ask for this level: it has no approvers")
			return
		}
		fmt.Fprintf(w, "%d of\n", rule.RequiredVotes)
		for _, id := range rule.Approvers {
			if u, err := s.User(cmd.Context(), id); err == nil {
				fmt.Fprintf(w, "%s\t%s\n", id, u.Name)
			}
		}
	})
}

func newLevelsExclusive(o *options) *cobra.Command {
	var name string
	var remove bool
	cmd := &cobra.Command{
		Use: "exclusive [LEVEL_ID LEVEL_ID]", Args: cobra.ArbitraryArgs,
		Short: "Let no person hold two access levels at once, by requests or by access keys, or list such pairs",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return o.open(cmd.Context(), func(s *central.Store) error {
					pairs, err := s.Exclusions(cmd.Context())
					if err != nil {
						return err
					}
					return o.print(cmd.OutOrStdout(), orEmpty(pairs), func(w io.Writer) {
						fmt.Fprintln(w, "NAME\tLEVEL\tLEVEL")
						for _, x := range pairs {
							fmt.Fprintf(w, "%s\t%s\t%s\n", x.Name, x.Left, x.Right)
						}
					})
				})
			}
			if len(args) != 2 {
				return usageError{fmt.Errorf("%s wants two LEVEL_IDs, or none", cmd.CommandPath())}
			}
			other, err := access.ParseID(args[1])
			if err != nil {
				return usageError{fmt.Errorf("LEVEL_ID: %w", err)}
			}
			return o.withLevel(cmd, args[0], func(s *central.Store, level access.ID) error {
				if remove {
					return s.RemoveExclusion(cmd.Context(), level, other)
				}
				_, err := s.AddExclusion(cmd.Context(), level, other, name)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`name` of the rule (default made of the levels')")
	cmd.Flags().BoolVar(&remove, "remove", false, "let them be held together again")
	return cmd
}

// withUser opens the database for a command about one user, named by id, name or
// DOMAIN\NAME.
func (o *options) withUser(cmd *cobra.Command, who string, fn func(*central.Store, central.User) error) error {
	return o.open(cmd.Context(), func(s *central.Store) error {
		u, err := s.User(cmd.Context(), who)
		if err != nil {
			return err
		}
		return fn(s, u)
	})
}

// atLeast is exactArgs for commands that take any number more.
func atLeast(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usageError{fmt.Errorf("%s wants at least %d argument(s): %v", cmd.CommandPath(), least, names)}
		}
		return nil
	}
}

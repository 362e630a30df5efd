package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postern/central"
)

func newBackup(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "backup FILE", Short: "Write the SQLite database into a new file, also while the server runs",
		Long: `Writes the whole SQLite database, as it is at one moment, into a new file of mode
0600, also while the server runs. Keep the secret key file too, elsewhere: without
it the backup is worthless, and with it whoever has both reads codes and PINs.
PostgreSQL is backed up with pg_dump.`,
		Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.open(cmd.Context(), func(s *central.Store) error { return s.Backup(cmd.Context(), args[0]) })
		},
	}
}

func newMigrate(o *options) *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring the database's tables up to date, for a server whose role may not",
		Long: `Brings the tables up to date. A server does so itself at its start if it may; on
PostgreSQL let it have a role that may not, and run this with one that may, before
a new version is started:

  postern-central migrate --database postgres://owner@db/postern --grant-to postern

--grant-to gives the server's role what it needs and no more.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			if c.Database == "" {
				return usageError{errors.New("database: is required (set it in the file that --config names, or --database)")}
			}
			if err := central.Migrate(cmd.Context(), c.Database, role); err != nil {
				return fmt.Errorf("migrate: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "grant-to", "", "`role` of the server, which gets the rights that it needs")
	return cmd
}

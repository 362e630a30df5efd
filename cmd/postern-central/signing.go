package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"postern/central"
)

// signingFile is the file that the configuration names.
func (o *options) signingFile() (string, error) {
	c, err := o.load()
	if err != nil {
		return "", err
	}
	if c.SigningKeyFile == "" {
		return "", usageError{errors.New("signing_key_file: is required (set it in the file that --config names, or --signing-key-file)")}
	}
	return c.SigningKeyFile, nil
}

// signingKey is a key as it is printed, without its secret.
type signingKey struct {
	KID   string    `json:"kid"`
	From  time.Time `json:"from"`
	Signs bool      `json:"signs"` // now
	Trust string    `json:"trust"` // as a panel's trust.keys takes it
}

func newSigning(o *options) *cobra.Command {
	return group("signing", "Keys that sign what goes to panels", newSigningNew(o), newSigningList(o), newSigningRetire(o))
}

func newSigningNew(o *options) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "new [NAME]",
		Short: "Make a signing key and print what panels have in trust.keys for it",
		Long: `Makes a signing key, in a file of mode 0600, and prints the text that every panel
needs in trust.keys of its panel.toml. A panel with keys there takes nothing else,
so to change keys: make one with --from some days ahead, add it to every panel,
and once it signs retire the old one. A running server takes notice by itself.`,
		Args: rangeArgs(0, 1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := o.signingFile()
			if err != nil {
				return err
			}
			now := time.Now()
			at, err := parseUntil("--from", from, now)
			if err != nil {
				return usageError{err}
			}
			if at.IsZero() {
				at = now
			}
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			k, err := central.NewSigningKey(path, name, at, now)
			if err != nil {
				return err
			}
			out := signingKey{KID: k.KID, From: k.From, Signs: !k.From.After(now), Trust: k.Public()}
			return o.print(cmd.OutOrStdout(), out, func(w io.Writer) {
				fmt.Fprintln(w, out.Trust)
				fmt.Fprintf(cmd.ErrOrStderr(), "signs from %s; add it to trust.keys in the panel.toml of every panel\n", when(out.From))
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`when` it begins to sign: a time such as 2030-01-01T00:00:00Z, or a duration such as 168h (default at once)")
	return cmd
}

func newSigningList(o *options) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the signing keys", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		keys, err := o.signingKeys()
		if err != nil {
			return err
		}
		return o.print(cmd.OutOrStdout(), keys, func(w io.Writer) {
			fmt.Fprintln(w, "NAME\tFROM\tSIGNS\tTRUST")
			for _, k := range keys {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.KID, when(k.From), yesNo(k.Signs), k.Trust)
			}
		})
	}}
}

func (o *options) signingKeys() ([]signingKey, error) {
	path, err := o.signingFile()
	if err != nil {
		return nil, err
	}
	keys, err := central.ReadSigningKeys(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	signs, _ := central.SigningAt(keys, time.Now())
	out := []signingKey{}
	for _, k := range keys {
		out = append(out, signingKey{KID: k.KID, From: k.From, Signs: k.KID == signs.KID, Trust: k.Public()})
	}
	return out, nil
}

func newSigningRetire(o *options) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "retire NAME", Short: "Forget a signing key", Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			keys, err := o.signingKeys()
			if err != nil {
				return err
			}
			for _, k := range keys {
				if k.KID == args[0] && k.Signs && !force {
					return fmt.Errorf("%s is the key that signs now: panels that trust no other would take nothing more (--force retires it all the same)", k.KID)
				}
			}
			path, err := o.signingFile()
			if err != nil {
				return err
			}
			return central.RetireSigningKey(path, args[0])
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also the key that signs now")
	return cmd
}

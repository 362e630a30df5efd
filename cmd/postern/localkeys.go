package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/api"
)

func newListLocal(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "list-local", Short: "The keys that are kept at this panel alone", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			keys, err := c.LocalKeys(cmd.Context())
			if err != nil {
				return err
			}
			if len(keys) == 0 && !o.json {
				return o.printf("no local keys\n")
			}
			return o.printKeys(keys, true)
		},
	}
}

func newAddLocal(o *options) *cobra.Command {
	var k api.NewKey
	var code bool
	var pin, levels, from, to string
	cmd := &cobra.Command{
		Use: "add-local (--identification ID | --code) --levels ID,…", Short: "Add a key that is kept at this panel alone",
		Long: "add-local adds a key for the installer or for emergencies. It is kept at this panel alone, whatever central\n" +
			"sends; central knows how many there are, and is told AccessKeyInUse for the same card or code.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 { // it may be a secret that slipped
				return usagef("add-local takes flags alone; a PIN is given as --pin=DIGITS, or asked for with --pin (see postern keys add-local --help)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case (k.Identification == "") == !code:
				return usagef("give --identification or --code, one of the two")
			case code && pin != "":
				return usagef("a PIN goes with a card, not with a code")
			case levels == "":
				return usagef("--levels is missing; postern policy show lists the access levels")
			}
			var err error
			if k.Levels, err = parseLevels(levels); err != nil {
				return err
			}
			now := time.Now()
			if from != "" {
				if k.ValidFrom, err = parseTime("--valid-from", from, now); err != nil {
					return err
				}
			}
			if to != "" {
				if k.ValidTo, err = parseTime("--valid-to", to, now); err != nil {
					return err
				}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if code {
				k.Code, err = o.askFor("code")
			} else {
				k.PIN, err = o.secretFlag("PIN", pin)
			}
			if err != nil {
				return err
			}
			added, err := c.AddLocal(cmd.Context(), k)
			if err != nil {
				return err
			}
			return o.report(added, "%s added, on this panel alone", added.ID)
		},
	}
	cmd.Flags().StringVar(&k.Identification, "identification", "", "the card's, in any form (0001234567890, EM:1234567890, H10301:14-40091)")
	cmd.Flags().BoolVar(&code, "code", false, "a code, which is asked for")
	cmd.Flags().StringVar(&pin, "pin", "", "with a PIN, which is asked for unless it follows after =")
	cmd.Flags().Lookup("pin").NoOptDefVal = asked
	cmd.Flags().StringVar(&levels, "levels", "", "ids of its access levels, comma between")
	cmd.Flags().StringVar(&from, "valid-from", "", "from when it is valid; without it at once")
	cmd.Flags().StringVar(&to, "valid-to", "", "until when it is valid; without it for ever")
	return cmd
}

func parseLevels(list string) (out []access.ID, err error) {
	for text := range strings.SplitSeq(list, ",") {
		id, err := access.ParseID(strings.TrimSpace(text))
		if err != nil {
			return nil, usagef("--levels: %w; postern policy show lists the access levels", err)
		}
		out = append(out, id)
	}
	return out, nil
}

func newRemoveLocal(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "remove-local ID", Short: "Remove a key that is kept at this panel alone", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := access.ParseID(args[0])
			if err != nil {
				return usagef("ID: %w; postern keys list-local shows them", err)
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.RemoveLocal(cmd.Context(), id); err != nil {
				return err
			}
			return o.report(map[string]any{"id": id, "removed": true}, "%s removed", id)
		},
	}
}

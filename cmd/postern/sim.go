package main

import (
	"github.com/spf13/cobra"

	"postern/api"
)

func newSim(o *options) *cobra.Command {
	return group("sim", "Hands and cards for a simulated board",
		newSimBadge(o), newSimKeys(o), newSimContact(o), newSimREX(o), newSimTamper(o), newSimInput(o))
}

func newSimBadge(o *options) *cobra.Command {
	var reader, identification, bits string
	cmd := &cobra.Command{
		Use: "badge --reader R (--identification ID | --bits 0101…)", Short: "Present a card to a reader", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reader == "" {
				return usagef("--reader is missing; postern status lists the readers")
			}
			if (identification == "") == (bits == "") {
				return usagef("give --identification or --bits, one of the two")
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			sent, err := c.Badge(cmd.Context(), reader, identification, bits)
			if err != nil {
				return err
			}
			return o.report(map[string]any{"reader": reader, "sent": sent}, "%s: sent %s: %s", reader, count(len(sent), "bit"), api.GroupBits(sent))
		},
	}
	cmd.Flags().StringVar(&reader, "reader", "", "the reader's id")
	cmd.Flags().StringVar(&identification, "identification", "", "the card's, in any form (0001234567890, EM:1234567890, H10301:14-40091)")
	cmd.Flags().StringVar(&bits, "bits", "", "raw bits instead, 0 and 1, the first sent first")
	return cmd
}

func newSimKeys(o *options) *cobra.Command {
	var reader string
	cmd := &cobra.Command{
		Use: "keys --reader R KEYS", Short: "Press keys on a reader's keypad (0-9, * and #)", Args: exactArgs("KEYS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reader == "" {
				return usagef("--reader is missing; postern status lists the readers")
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.PressKeys(cmd.Context(), reader, args[0]); err != nil {
				return err
			}
			return o.report(map[string]any{"reader": reader, "pressed": len(args[0])}, "%s: pressed %s", reader, count(len(args[0]), "key"))
		},
	}
	cmd.Flags().StringVar(&reader, "reader", "", "the reader's id")
	return cmd
}

func newSimContact(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "contact DOOR open|closed", Short: "Open or close a door", Args: exactArgs("DOOR", "open|closed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			open, err := either("a contact", args[1], "open", "closed")
			if err != nil {
				return err
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.Contact(cmd.Context(), args[0], open); err != nil {
				return err
			}
			return o.report(map[string]any{"door": args[0], "open": open}, "%s: contact %s", args[0], args[1])
		},
	}
}

func newSimREX(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "rex DOOR", Short: "Press a door's exit button once", Args: exactArgs("DOOR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.REX(cmd.Context(), args[0]); err != nil {
				return err
			}
			return o.report(map[string]any{"door": args[0], "pressed": true}, "%s: exit button pressed", args[0])
		},
	}
}

func newSimTamper(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "tamper READER open|closed", Short: "Open or close a reader's tamper contact", Args: exactArgs("READER", "open|closed"),
		RunE: func(cmd *cobra.Command, args []string) error {
			open, err := either("a tamper contact", args[1], "open", "closed")
			if err != nil {
				return err
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.Tamper(cmd.Context(), args[0], open); err != nil {
				return err
			}
			return o.report(map[string]any{"reader": args[0], "open": open}, "%s: tamper contact %s", args[0], args[1])
		},
	}
}

func newSimInput(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "input ID on|off", Short: "Make an auxiliary input active, or put it at rest", Args: exactArgs("ID", "on|off"),
		RunE: func(cmd *cobra.Command, args []string) error {
			active, err := either("an input", args[1], "on", "off")
			if err != nil {
				return err
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.Input(cmd.Context(), args[0], active); err != nil {
				return err
			}
			return o.report(map[string]any{"input": args[0], "active": active}, "%s: input %s", args[0], args[1])
		},
	}
}

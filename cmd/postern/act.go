package main

import (
	"github.com/spf13/cobra"
)

func newIdentify(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "identify READER", Short: "Show which reader it is: its lamp and beeper, for a few seconds", Args: exactArgs("READER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.Identify(cmd.Context(), args[0]); err != nil {
				return err
			}
			return o.report(map[string]any{"reader": args[0], "identified": true}, "%s shows itself: look for its lamp, listen for its beeper", args[0])
		},
	}
}

func newOutput(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "output ID on|off", Short: "Turn an auxiliary output on or off", Args: exactArgs("ID", "on|off"),
		RunE: func(cmd *cobra.Command, args []string) error {
			on, err := either("an output", args[1], "on", "off")
			if err != nil {
				return err
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			if err := c.SetOutput(cmd.Context(), args[0], on); err != nil {
				return err
			}
			return o.report(map[string]any{"output": args[0], "on": on}, "%s: output %s", args[0], args[1])
		},
	}
}

// either reads an argument that is one of two words: true for yes.
func either(what, arg, yes, no string) (bool, error) {
	if arg != yes && arg != no {
		return false, usagef("%s is %s or %s, not %.20q", what, yes, no, arg)
	}
	return arg == yes, nil
}

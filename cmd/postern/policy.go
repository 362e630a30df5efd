package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/api"
)

func newPolicy(o *options) *cobra.Command {
	show := &cobra.Command{
		Use: "show", Short: "The policy in force, as JSON", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			doc, err := c.PolicyDocument(cmd.Context())
			if err != nil {
				return err
			}
			if o.json {
				return o.printJSON(doc)
			}
			var b bytes.Buffer
			if err := json.Indent(&b, doc, "", "  "); err != nil {
				return fmt.Errorf("read the policy: %w", err)
			}
			return o.printf("%s\n", b.String())
		},
	}
	cmd := group("policy", "Which policy is in force, and what became of one that is not", show)
	cmd.Args = noArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := o.client()
		if err != nil {
			return err
		}
		p, err := c.Policy(cmd.Context())
		if err != nil {
			return err
		}
		if o.json {
			return o.printJSON(p)
		}
		return o.printPolicy(p)
	}
	return cmd
}

func (o *options) printPolicy(p api.Policy) error {
	text := "the first one, of panel.toml"
	if p.Source == api.PolicyOfCentral {
		text = fmt.Sprintf("central's, epoch %d, revision %d", p.Epoch, p.Revision)
	}
	if err := o.printf("in force: %s\n", text); err != nil || p.Refused == nil {
		return err
	}
	which := "one that could not be read"
	if p.Refused.Revision != 0 {
		which = fmt.Sprintf("epoch %d, revision %d", p.Refused.Epoch, p.Refused.Revision)
	}
	if err := o.printf("refused:  %s, with %s\n", which, count(len(p.Refused.Faults), "fault")); err != nil {
		return err
	}
	for _, f := range p.Refused.Faults {
		if err := o.printf("  %s: %s\n", f.Path, f.Message); err != nil {
			return err
		}
	}
	return nil
}

func newInside(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "inside [AREA]", Short: "Who is in an area, or in each",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] == "" {
				return usagef("postern inside wants an area, or none for all (see postern inside --help)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			area := ""
			if len(args) > 0 {
				area = args[0]
			}
			areas, err := c.Inside(cmd.Context(), area)
			if err != nil {
				return err
			}
			if !o.json {
				return o.printInside(areas)
			}
			for _, a := range areas {
				if err := o.printJSON(a); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (o *options) printInside(areas []api.Area) error {
	if len(areas) == 0 {
		return o.printf("no areas: the policy in force has none\n")
	}
	return o.table(func(w io.Writer) {
		fmt.Fprintln(w, "AREA\tNAME\tINSIDE")
		for _, a := range areas {
			fmt.Fprintf(w, "%s\t%s\t%d\n", a.ID, dash(a.Name), len(a.Inside))
			for _, id := range a.Inside {
				fmt.Fprintf(w, "\t\t%s\n", id)
			}
		}
	})
}

func newForgive(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "forgive PERSON|all", Short: "Have anti-passback forget where a person is, or everybody", Args: exactArgs("PERSON|all"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var who access.ID
			if args[0] != "all" {
				var err error
				if who, err = access.ParseID(args[0]); err != nil || who.IsZero() {
					return usagef("PERSON is all, or the id of a person or key; postern inside lists them")
				}
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			n, err := c.Forgive(cmd.Context(), who)
			if err != nil {
				return err
			}
			return o.report(map[string]any{"forgiven": n}, "%s forgiven", count(n, "person"))
		},
	}
}

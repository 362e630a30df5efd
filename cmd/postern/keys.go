package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/api"
)

// keyPage is how many keys are asked for at once.
const keyPage = 500

func newKeys(o *options) *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "All keys on the panel, by id", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.listKeys(cmd) },
	}
	show := &cobra.Command{
		Use: "show ID", Short: "One key, and what became of its latest change", Args: exactArgs("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := access.ParseID(args[0])
			if err != nil {
				return usagef("ID: %w; postern keys list shows them", err)
			}
			c, err := o.client()
			if err != nil {
				return err
			}
			k, err := c.Key(cmd.Context(), id)
			if err != nil {
				return err
			}
			if o.json {
				return o.printJSON(k)
			}
			return o.table(func(w io.Writer) { keyTable(w, k) })
		},
	}
	return group("keys", "The access keys on the panel", list, show, newListLocal(o), newAddLocal(o), newRemoveLocal(o))
}

func (o *options) listKeys(cmd *cobra.Command) error {
	c, err := o.client()
	if err != nil {
		return err
	}
	var after access.ID
	for first := true; ; first = false {
		keys, err := c.Keys(cmd.Context(), after, keyPage)
		if err != nil {
			return err
		}
		if first && !o.json && len(keys) == 0 {
			return o.printf("no keys: central has sent none to this panel yet\n")
		}
		if err := o.printKeys(keys, first); err != nil {
			return err
		}
		if len(keys) < keyPage {
			return nil
		}
		after = keys[len(keys)-1].ID
	}
}

// printKeys prints keys, with the heads of their columns first.
func (o *options) printKeys(keys []api.Key, first bool) error {
	if first && !o.json {
		if err := o.printf("%-36s  %-9s  %-11s  %-7s  %s\n", "ID", "TYPE", "STATE", "RESULT", "IDENTIFICATION"); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if err := o.printKey(k); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) printKey(k api.Key) error {
	if o.json {
		return o.printJSON(k)
	}
	return o.printf("%-36s  %-9s  %-11s  %-7s  %s\n", k.ID, k.Type, k.State, k.Result, identification(k))
}

func identification(k api.Key) string {
	if k.Type == string(access.Code) {
		return "(secret)"
	}
	return dash(k.Identification)
}

func keyTable(w io.Writer, k api.Key) {
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("id", "%s", k.ID)
	row("type", "%s", k.Type)
	row("identification", "%s", identification(k))
	row("state", "%s", k.State)
	row("valid", "%s", window(k))
	for i, l := range k.AccessLevels {
		name := "access levels"
		if i > 0 {
			name = ""
		}
		text := dash(l.Name)
		if !l.Known {
			text = "not on this panel"
		}
		row(name, "%s  %s", l.ID, text)
	}
	if len(k.AccessLevels) == 0 {
		row("access levels", "none: it opens nothing")
	}
	pin := "none"
	if k.HasPIN {
		pin = "set"
	}
	row("PIN", "%s", pin)
	row("options", "%s", dash(strings.Join(k.Options, ", ")))
	if !k.Person.IsZero() {
		row("person", "%s", k.Person)
	}
	row("revision", "%d, claim %d", k.Revision, k.Claim)
	result := k.Result
	for _, more := range []string{k.ErrorType, k.Detail} {
		if more != "" {
			result += ", " + more
		}
	}
	row("result", "%s", result)
	row("at", "%s", stamp(k.At))
}

// window is when a key is valid, in words.
func window(k api.Key) string {
	var parts []string
	if k.ValidFrom != nil {
		parts = append(parts, "from "+stamp(*k.ValidFrom))
	}
	if k.ValidTo != nil {
		parts = append(parts, "until "+stamp(*k.ValidTo))
	}
	if len(parts) == 0 {
		return "always"
	}
	return strings.Join(parts, " ")
}

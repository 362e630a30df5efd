package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postern/access"
	"postern/wiegand"
)

// decoded is what `postern decode --json` prints.
type decoded struct {
	Bits       string             `json:"bits"`
	Candidates []decodedCandidate `json:"candidates"`
	Failed     []decodedFailure   `json:"failed,omitempty"`
	Swapped    bool               `json:"swapped"`
}

type decodedCandidate struct {
	Format         string  `json:"format"`
	Facility       *uint64 `json:"facility,omitempty"`
	Number         uint64  `json:"number"`
	Identification string  `json:"identification,omitempty"`
}

type decodedFailure struct {
	Format string   `json:"format"`
	Wrong  []string `json:"wrong"`
}

func newDecode(o *options) *cobra.Command {
	var formats []string
	cmd := &cobra.Command{
		Use:   "decode BITS",
		Short: "What a reader's raw bits mean, in every format of their length; needs no daemon",
		Long: "decode tries BITS (such as those that `postern watch` shows; spaces are left out) in every format of that\n" +
			"length. For each it gives facility, number and an identification to add the card with, or which parity\n" +
			"failed. It says too when the inverted bits pass: then the reader's D0 and D1 may be swapped.\n" +
			"It exits with 1 when no format fits.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > wiegand.MaxBits {
				return usagef("name the bits (see %s --help)", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			bits, err := wiegand.ParseBits(strings.ReplaceAll(strings.Join(args, ""), " ", ""))
			if err != nil {
				return usagef("BITS: %w", err)
			}
			tried, err := formatsNamed(formats)
			if err != nil {
				return err
			}
			return o.decode(bits, tried)
		},
	}
	cmd.Flags().StringSliceVar(&formats, "format", nil, "try these formats only ("+strings.Join(wiegand.Names(), ", ")+")")
	return cmd
}

func formatsNamed(names []string) ([]wiegand.Format, error) {
	if len(names) == 0 {
		names = wiegand.Names()
	}
	var out []wiegand.Format
	for _, n := range names {
		f, ok := wiegand.Lookup(n)
		if !ok {
			return nil, usagef("unknown format %.20q (one of %s)", n, strings.Join(wiegand.Names(), ", "))
		}
		if !slices.ContainsFunc(out, func(have wiegand.Format) bool { return have.Name == f.Name }) {
			out = append(out, f)
		}
	}
	return out, nil
}

func (o *options) decode(bits wiegand.Bits, formats []wiegand.Format) error {
	explained := wiegand.Explain(bits, formats)
	d := decoded{Bits: bits.String(), Candidates: []decodedCandidate{}}
	for _, e := range explained {
		d.Swapped = d.Swapped || e.Swapped
		if !e.Passes {
			d.Failed = append(d.Failed, decodedFailure{e.Format, e.Wrong})
			continue
		}
		c := decodedCandidate{Format: e.Format, Number: e.Candidate.Number, Identification: identify(e.Candidate)}
		if e.Candidate.HasFacility {
			c.Facility = &e.Candidate.Facility
		}
		d.Candidates = append(d.Candidates, c)
	}
	// A frame that passes somewhere is not a swapped one.
	d.Swapped = d.Swapped && len(d.Candidates) == 0
	if err := o.printDecoded(d, explained); err != nil {
		return err
	}
	switch {
	case len(explained) == 0:
		return fmt.Errorf("no format has %s (there are: %s)", count(bits.Len(), "bit"), lengths(formats))
	case len(d.Candidates) == 0:
		return fmt.Errorf("the bits are right in no format")
	}
	return nil
}

func (o *options) printDecoded(d decoded, explained []wiegand.Explanation) error {
	if o.json {
		return o.printJSON(d)
	}
	for _, e := range explained {
		text := e.String()
		if id := identify(e.Candidate); e.Passes && id != "" {
			text += ", identification " + id
		}
		if err := o.printf("%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// identify is an identification for a card that was read so. Without parity the
// bits are a serial number, whose technology follows from the format's length
// here, as nobody has declared one; otherwise it is the format's own number.
func identify(c wiegand.Candidate) string {
	switch c.Format {
	case "raw40":
		return access.CardCredential(access.EM, 40, c.Payload).String()
	case "raw32":
		return access.CardCredential(access.MC, 32, c.Payload).String()
	case "raw56":
		return access.CardCredential(access.MD, 56, c.Payload).String()
	}
	return access.NumberCredential(c.Format, c.Facility, c.Number).String()
}

// lengths lists the lengths of formats.
func lengths(formats []wiegand.Format) string {
	var out []string
	for _, f := range formats {
		out = append(out, fmt.Sprintf("%s %d", f.Name, f.Len))
	}
	return strings.Join(out, ", ")
}

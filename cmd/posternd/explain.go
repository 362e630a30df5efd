package main

import (
	"context"
	"errors"
	"fmt"

	"postern/access"
	"postern/api"
	"postern/controller"
)

// Explain answers what would come of a badge that nobody made. What is known of
// duress goes nowhere: such a PIN is right.
func (b *backend) Explain(_ context.Context, q api.Question) (api.Explanation, error) {
	kind, text := access.Proximity, q.Identification
	if q.Code != "" {
		kind, text = access.Code, q.Code
	}
	id, err := access.ParseIdentification(kind, text)
	if err != nil {
		return api.Explanation{}, fmt.Errorf("%w: identification: %w", api.ErrInvalid, err)
	}
	d, t, err := b.p.ctl.Explain(controller.Hypothesis{Reader: q.Reader, Identification: id, At: q.At, PIN: q.PIN})
	switch {
	case errors.Is(err, controller.ErrNoReader):
		return api.Explanation{}, fmt.Errorf("%w: %w (this panel has %s)", api.ErrNotFound, err, b.p.readerList())
	case errors.Is(err, controller.ErrRefused):
		return api.Explanation{}, fmt.Errorf("%w: %w", api.ErrInvalid, err)
	case errors.Is(err, errOpening):
		return api.Explanation{}, fmt.Errorf("%w: %w", api.ErrRefused, err)
	case err != nil:
		return api.Explanation{}, err
	}
	at := q.At
	if at.IsZero() {
		at = b.p.clock.now().Now
	}
	out := api.Explanation{
		Granted: d.Granted(), WantPIN: d.WantPIN, Type: d.Type, Text: d.Type.Text(), Reason: string(d.Reason),
		At: at.In(b.p.config().Location()), Steps: stepsOf(t),
	}
	if d.WantPIN {
		out.Type, out.Text = 0, "a PIN is asked for"
	}
	if d.Key != nil {
		out.KeyID = d.Key.ID
	}
	return out, nil
}

func stepsOf(t access.Trace) []api.Step {
	out := make([]api.Step, 0, len(t.Steps))
	for _, s := range t.Steps {
		out = append(out, api.Step{Number: s.Number, Rule: s.Rule, Outcome: string(s.Outcome), Text: s.Text})
	}
	return out
}

// Trace gives how the decision behind an entry came about, as far as that is kept.
func (b *backend) Trace(ctx context.Context, seq uint64) (api.Trace, error) {
	s, err := b.store()
	if err != nil {
		return api.Trace{}, err
	}
	ev, err := b.p.hub.journal.recent(ctx, s, seq+1, 1)
	if err != nil {
		return api.Trace{}, err
	}
	if len(ev) == 0 || ev[0].Seq != seq {
		return api.Trace{}, fmt.Errorf("%w: the journal has no entry %d", api.ErrNotFound, seq)
	}
	out := api.Trace{Seq: seq}
	e := ev[0]
	t, ok := access.UnpackTrace(e.Why)
	switch decided := decision(e); {
	case !decided:
		out.Why = "no decision is behind this entry"
	case !ok:
		out.Why = "how it came about is not kept: no rule was come to, or an older program wrote it"
	default:
		out.Steps = stepsOf(t)
	}
	return out, nil
}

// decision reports whether a decision about a card or a code is behind an entry.
func decision(e access.Event) bool {
	return e.Type.Category() != "system" && e.Type != access.GrantedREX && e.Reason != access.ReasonOperator
}

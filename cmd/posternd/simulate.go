package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"postern/access"
	"postern/api"
	"postern/config"
	"postern/wiegand"
)

// rexPress is how long a simulated exit button is held: well over the debounce.
const rexPress = 300 * time.Millisecond

// simulator is the hand that badges and presses on a simulated board.
type simulator struct{ p *panel }

// Badge presents a card at a reader, by its number or as raw bits.
func (s *simulator) Badge(_ context.Context, reader, identification, bits string) (string, error) {
	r, err := s.reader(reader)
	if err != nil {
		return "", err
	}
	var frame wiegand.Bits
	if bits != "" {
		frame, err = wiegand.ParseBits(bits)
	} else {
		frame, err = cardBits(r, s.p.config().FormatsOf(r), identification)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	if err := s.p.sim.Badge(reader, frame); err != nil {
		return "", simError(err)
	}
	return frame.String(), nil
}

// cardBits is what a reader sends for a card: the part of its number that the
// reader's first fitting format holds.
func cardBits(r *config.Reader, formats []wiegand.Format, identification string) (wiegand.Bits, error) {
	id, err := access.ParseIdentification(access.Proximity, identification)
	if err != nil {
		return wiegand.Bits{}, fmt.Errorf("identification %w", err)
	}
	for _, c := range id.Credentials([]access.Matcher{r.Matcher()}) {
		for _, f := range formats {
			switch {
			case c.Kind == access.CardKind && c.Technology == r.Technology && f.PayloadBits() == int(c.Width):
				// The credential is the part already; the order is the reader's.
				payload, err := cmp.Or(r.ByteOrder, wiegand.MSB).Turn(c.Value, int(c.Width))
				if err != nil {
					return wiegand.Bits{}, err
				}
				return f.EncodePayload(payload)
			case c.Kind == access.NumberKind && f.Name == c.Format && r.Match == access.Number:
				return f.Encode(c.Facility, c.Value)
			}
		}
	}
	return wiegand.Bits{}, fmt.Errorf("reader %s can't read this card (it reads %s, %s)", r.ID, describe(r), r.Match)
}

func describe(r *config.Reader) string {
	if r.Technology == 0 {
		return fmt.Sprint(r.Formats)
	}
	return r.Technology.String()
}

// Keys presses keys on a reader's keypad.
func (s *simulator) Keys(_ context.Context, reader, keys string) error {
	r, err := s.reader(reader)
	if err != nil {
		return err
	}
	if r.Keypad == "" {
		return fmt.Errorf("%w: reader %s has no keypad", api.ErrRefused, reader)
	}
	if keys == "" || len(keys) > 64 {
		return fmt.Errorf("%w: 1 to 64 keys of 0-9, * and #", api.ErrInvalid)
	}
	for _, k := range keys {
		if !(k >= '0' && k <= '9' || k == '*' || k == '#') {
			return fmt.Errorf("%w: a keypad has the keys 0-9, * and #", api.ErrInvalid)
		}
	}
	if k, ok := r.Buffered(); ok {
		return s.buffered(reader, k, keys)
	}
	return simError(s.p.sim.Keys(reader, keys, r.Keypad))
}

// buffered types on a keypad that sends whole codes at '#'.
func (s *simulator) buffered(reader string, k wiegand.Buffered, keys string) error {
	digits, ok := strings.CutSuffix(keys, "#")
	if !ok {
		return fmt.Errorf("%w: this keypad sends what was typed at #", api.ErrInvalid)
	}
	frame, err := k.Encode(digits)
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrInvalid, err)
	}
	return simError(s.p.sim.Badge(reader, frame))
}

// Contact opens or closes a door.
func (s *simulator) Contact(_ context.Context, door string, open bool) error {
	d, err := s.door(door)
	if err != nil {
		return err
	}
	if d.Contact == "" {
		return fmt.Errorf("%w: door %s has no contact", api.ErrRefused, door)
	}
	return simError(s.p.sim.Contact(door, open))
}

// REX presses a door's exit button once.
func (s *simulator) REX(ctx context.Context, door string) error {
	d, err := s.door(door)
	if err != nil {
		return err
	}
	if d.REX == "" {
		return fmt.Errorf("%w: door %s has no exit button", api.ErrRefused, door)
	}
	if err := s.p.sim.REX(door, true); err != nil {
		return simError(err)
	}
	select {
	case <-time.After(rexPress):
	case <-ctx.Done():
	}
	return simError(s.p.sim.REX(door, false))
}

// Tamper opens or closes a reader's case.
func (s *simulator) Tamper(_ context.Context, reader string, open bool) error {
	r, err := s.reader(reader)
	if err != nil {
		return err
	}
	if r.Tamper == "" {
		return fmt.Errorf("%w: reader %s has no tamper contact", api.ErrRefused, reader)
	}
	return simError(s.p.sim.Tamper(reader, open))
}

// Input makes an auxiliary input active or not.
func (s *simulator) Input(_ context.Context, id string, active bool) error {
	if s.p.config().Input(id) == nil {
		list := names(s.p.config().Inputs, func(in config.Input) string { return in.ID })
		return fmt.Errorf("%w: this panel has no input %q (it has %s)", api.ErrNotFound, id, cmp.Or(list, "none"))
	}
	return simError(s.p.sim.Input(id, active))
}

func (s *simulator) reader(id string) (*config.Reader, error) {
	if r := s.p.config().Reader(id); r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("%w: this panel has no reader %q (it has %s)", api.ErrNotFound, id, s.p.readerList())
}

func (s *simulator) door(id string) (*config.Door, error) {
	if d := s.p.config().Door(id); d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("%w: this panel has no door %q (it has %s)", api.ErrNotFound, id, s.p.doorList())
}

func simError(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("%w: the panel is stopping", api.ErrRefused)
	}
	return err
}

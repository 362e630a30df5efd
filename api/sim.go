package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Limits on what a simulated reader is sent. A frame is at most 128 bits, and
// an identification is bounded as access.ParseIdentification does it.
const (
	maxBits           = 128
	maxIdentification = 80
	maxKeys           = 32
)

var errNotSimulated = failure(http.StatusConflict, "Refused", "this panel's board is real: present a card, or press the button itself")

// act is one thing done with the simulated hands: the fields that it takes, and
// the doing once they are filled.
type act struct {
	fields fields
	do     func(ctx context.Context, sim Simulator) (sent string, err error)
}

func badgeAct() act {
	var reader, identification, bits string
	return act{
		fields: fields{"reader": &reader, "identification": &identification, "bits": &bits},
		do: func(ctx context.Context, sim Simulator) (string, error) {
			identification = strings.TrimSpace(identification)
			if err := checkCard(reader, identification, bits); err != nil {
				return "", err
			}
			return sim.Badge(ctx, reader, identification, bits)
		},
	}
}

func checkCard(reader, identification, bits string) error {
	if err := checkID("reader", reader); err != nil {
		return err
	}
	if (identification == "") == (bits == "") {
		return invalid("give identification or bits, one of the two")
	}
	if len(identification) > maxIdentification {
		return invalid(fmt.Sprintf("identification is over %d characters", maxIdentification))
	}
	if len(bits) > maxBits {
		return invalid(fmt.Sprintf("bits are over %d characters", maxBits))
	}
	if i := strings.IndexFunc(bits, func(c rune) bool { return c != '0' && c != '1' }); i >= 0 {
		return invalid(fmt.Sprintf("bits has something other than 0 and 1 at character %d", i+1))
	}
	return nil
}

func keysAct() act {
	var reader, keys string
	return act{
		fields: fields{"reader": &reader, "keys": &keys},
		do: func(ctx context.Context, sim Simulator) (string, error) {
			if err := checkID("reader", reader); err != nil {
				return "", err
			}
			// What was typed is not repeated: it may be a code but for one slip.
			if keys == "" || len(keys) > maxKeys || strings.ContainsFunc(keys, notOnKeypad) {
				return "", invalid(fmt.Sprintf("keys must be 1 to %d of 0-9, * and #", maxKeys))
			}
			return "", sim.Keys(ctx, reader, keys)
		},
	}
}

func notOnKeypad(c rune) bool { return (c < '0' || c > '9') && c != '*' && c != '#' }

func contactAct() act {
	var door string
	var open flag
	return act{
		fields: fields{"door": &door, "open": &open},
		do: func(ctx context.Context, sim Simulator) (string, error) {
			if err := checkID("door", door); err != nil {
				return "", err
			}
			if !open.given {
				return "", invalid("open is missing")
			}
			return "", sim.Contact(ctx, door, open.value)
		},
	}
}

func rexAct() act {
	var door string
	return act{
		fields: fields{"door": &door},
		do: func(ctx context.Context, sim Simulator) (string, error) {
			if err := checkID("door", door); err != nil {
				return "", err
			}
			return "", sim.REX(ctx, door)
		},
	}
}

func tamperAct() act {
	var reader string
	var open flag
	return act{
		fields: fields{"reader": &reader, "open": &open},
		do: func(ctx context.Context, sim Simulator) (string, error) {
			if err := checkID("reader", reader); err != nil {
				return "", err
			}
			if !open.given {
				return "", invalid("open is missing")
			}
			return "", sim.Tamper(ctx, reader, open.value)
		},
	}
}

func inputAct() act {
	var input string
	var active flag
	return act{
		fields: fields{"input": &input, "active": &active},
		do: func(ctx context.Context, sim Simulator) (string, error) {
			if err := checkID("input", input); err != nil {
				return "", err
			}
			if !active.given {
				return "", invalid("active is missing")
			}
			return "", sim.Input(ctx, input, active.value)
		},
	}
}

// simulate is the socket's handler for one act.
func (s *Server) simulate(newAct func() act) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := query(r); err != nil {
			return err
		}
		if s.sim == nil {
			return errNotSimulated
		}
		body, err := readBody(w, r, "application/json")
		if err != nil {
			return err
		}
		a := newAct()
		if err := a.fields.decodeJSON(body); err != nil {
			return err
		}
		sent, err := a.do(r.Context(), s.sim)
		if err != nil {
			return err
		}
		if sent != "" {
			answer(w, http.StatusOK, sentBits{sent})
			return nil
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// sentBits are the bits of a badge that went over the line.
type sentBits struct {
	Sent string `json:"sent"`
}

// unlockAct is not the simulator's, but the page offers it beside the others.
func (s *Server) unlockAct() act {
	var door string
	return act{
		fields: fields{"door": &door},
		do: func(ctx context.Context, _ Simulator) (string, error) {
			if err := checkID("door", door); err != nil {
				return "", err
			}
			return "", s.backend.Unlock(ctx, door)
		},
	}
}

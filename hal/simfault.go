package hal

import "fmt"

// Part is what [Sim.Fail] makes fail, at the reader, door, input or output of an
// id.
type Part string

// The parts: of a reader, of a door, and the auxiliary ones.
const (
	ReaderPart  Part = "reader"
	LEDPart     Part = "led"
	BuzzerPart  Part = "buzzer"
	TamperPart  Part = "tamper"
	LockPart    Part = "lock"
	ContactPart Part = "contact"
	REXPart     Part = "rex"
	InputPart   Part = "input"
	OutputPart  Part = "output"
)

// Fail makes the lines of a part fail, as those of a chip that has gone: reading
// ends with an error, and so does opening them again, until Heal. An output keeps
// its level. What happens outside meanwhile is seen once the lines are open again,
// as far as it lasts: a contact's level is, a card is not.
func (s *Sim) Fail(part Part, id string) error { return s.setFailed(part, id, true) }

// Heal brings the lines of a part back. Those who use them open them again after
// a pause of a second to half a minute.
func (s *Sim) Heal(part Part, id string) error { return s.setFailed(part, id, false) }

func (s *Sim) setFailed(part Part, id string, failed bool) error {
	lines, err := s.part(part, id)
	if err != nil {
		return fmt.Errorf("fail: %w", err)
	}
	for _, l := range lines {
		if l == nil {
			return fmt.Errorf("fail: %s has no %s wired", id, part)
		}
		l.fail(failed)
	}
	return nil
}

// part gives the lines of a part, nil for one that is not wired.
func (s *Sim) part(part Part, id string) ([]*simLine, error) {
	switch part {
	case ReaderPart, LEDPart, BuzzerPart, TamperPart:
		r, ok := s.readers[id]
		if !ok {
			return nil, unknown("reader", id, s.readers)
		}
		return map[Part][]*simLine{ReaderPart: {r.d0, r.d1}, LEDPart: {r.led}, BuzzerPart: {r.buzzer}, TamperPart: {r.tamper}}[part], nil
	case LockPart, ContactPart, REXPart:
		d, ok := s.doors[id]
		if !ok {
			return nil, unknown("door", id, s.doors)
		}
		return map[Part][]*simLine{LockPart: {d.lock}, ContactPart: {d.contact}, REXPart: {d.rex}}[part], nil
	case InputPart:
		in, ok := s.inputs[id]
		if !ok {
			return nil, unknown("input", id, s.inputs)
		}
		return []*simLine{in.line}, nil
	case OutputPart:
		o, ok := s.outputs[id]
		if !ok {
			return nil, unknown("output", id, s.outputs)
		}
		return []*simLine{o.line}, nil
	}
	return nil, fmt.Errorf("there is no part %.20q", string(part))
}

package config

import "time"

// InputKind is what an auxiliary input means.
type InputKind string

// The kinds of input.
const (
	// FireInput is the fire panel's relay: it silences door alarms, and releases
	// the doors whose FireRelease says so.
	FireInput InputKind = "fire"
	// LockdownInput puts every door into lockdown while it is active.
	LockdownInput InputKind = "lockdown"
	// TamperInput is the switch of a box or cover: it is told.
	TamperInput InputKind = "tamper"
	// AuxInput is told, and does nothing else.
	AuxInput InputKind = "aux"
)

// supervised reports whether a cut wire has to read as active.
func (k InputKind) supervised() bool { return k == FireInput || k == TamperInput }

// Input is a line that belongs to no reader and no door.
type Input struct {
	// ID is the input's name, 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.
	// Required.
	ID string `toml:"id,required"`
	// Name is for people, at most 64 bytes; default none.
	Name string `toml:"name"`
	// Kind is "fire", "lockdown", "tamper" or "aux". Required.
	Kind InputKind `toml:"kind,required" oneof:"fire,lockdown,tamper,aux"`
	// Line is required with periph.
	Line string `toml:"line"`
	// Active is the level while it is active. The default for fire and tamper is
	// "high", for a contact to ground that opens, with a pull-up: a cut wire then
	// reads as active. For the others it is "low", for a button to ground.
	Active LineLevel `toml:"active" oneof:",high,low"`
	// Pull is the line's resistor, "up", "down" or "none" where there is one
	// outside. The default for fire and tamper is towards the active level, so that
	// a cut wire reads as active; for the others it is away from it. A fire input
	// takes no other but "none".
	Pull Pull `toml:"pull" oneof:",up,down,none"`
	// Debounce is how long a level must hold, 20ms to 400ms; default 20ms.
	Debounce time.Duration `toml:"debounce"`
}

// Supervised reports whether a cut wire reads as active, as the kind asks for,
// where Pull does not say otherwise.
func (i *Input) Supervised() bool { return i.Kind.supervised() }

// Output is a line that belongs to no reader and no door: a lamp, a siren, a
// signal to another system. It is off at start and when the panel is dead.
type Output struct {
	// ID is the output's name, 1 to 64 of A-Z, a-z, 0-9, '-', '_' and '.'.
	// Required.
	ID string `toml:"id,required"`
	// Name is for people, at most 64 bytes; default none.
	Name string `toml:"name"`
	// Line is required with periph.
	Line string `toml:"line"`
	// ActiveLow says that it is on while the line is low; default false.
	ActiveLow bool `toml:"active_low"`
}

// DefaultInput gives what the members that an [[input]] leaves out mean, but for
// Active, which depends on the kind.
func DefaultInput() Input { return Input{Debounce: defaultDebounce} }

func (i *Input) setDefaults() { *i = DefaultInput() }

// Input gives the input with this id, or nil.
func (c *Config) Input(id string) *Input {
	for i := range c.Inputs {
		if c.Inputs[i].ID == id {
			return &c.Inputs[i]
		}
	}
	return nil
}

// Output gives the output with this id, or nil.
func (c *Config) Output(id string) *Output {
	for i := range c.Outputs {
		if c.Outputs[i].ID == id {
			return &c.Outputs[i]
		}
	}
	return nil
}

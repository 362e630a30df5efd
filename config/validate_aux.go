package config

import (
	"slices"

	"postern/access"
)

func (v *checker) inputs(c *Config) {
	if len(c.Inputs) > maxAux {
		v.fault("input", "more than %d inputs", maxAux)
	}
	for i := range c.Inputs {
		path, in := element("input", i), &c.Inputs[i]
		v.id(path, in.ID, c.Input(in.ID) != in)
		v.name(path+".name", in.Name)
		v.span(path+".debounce", in.Debounce, minDebounce, maxDebounce)
		if away := map[LineLevel]Pull{High: PullDown, Low: PullUp}[in.Active]; in.Kind == FireInput && in.Pull == away {
			v.fault(path+".pull", `%q pulls a fire input that is active when %s to rest, where a cut wire goes unseen: leave it out, or fit resistors and say "none"`, in.Pull, in.Active)
		}
		if c.Board.Driver == Periph {
			v.line(path+".line", in.Line, "the line of the input")
		}
	}
}

func (v *checker) outputs(c *Config) {
	if len(c.Outputs) > maxAux {
		v.fault("output", "more than %d outputs", maxAux)
	}
	for i := range c.Outputs {
		path, o := element("output", i), &c.Outputs[i]
		v.id(path, o.ID, c.Output(o.ID) != o)
		v.name(path+".name", o.Name)
		if c.Board.Driver == Periph {
			v.line(path+".line", o.Line, "the line of the output")
		}
	}
}

// id checks the id of a part.
func (v *checker) id(path, id string, twice bool) {
	if err := access.CheckName(id); err != nil {
		v.fault(path+".id", "%v", err)
	} else if twice {
		v.fault(path+".id", "%q is used twice", id)
	}
}

// release checks what a door declares about its exit button and the fire input.
func (v *checker) release(path string, d *Door, c *Config) {
	if d.REXAction == REXShunt && d.REX == "" {
		v.fault(path+".rex_action", "is for an exit button, and the door has none (its rex names the line)")
	}
	isFire := func(in Input) bool { return in.Kind == FireInput }
	if d.FireRelease && !slices.ContainsFunc(c.Inputs, isFire) {
		v.fault(path+".fire_release", `needs a fire input, and there is none (an [[input]] with kind = "fire")`)
	}
}

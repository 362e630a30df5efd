package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"postern/wiegand"
)

// Format describes a frame of the site's own, for readers to name. Bits are
// counted from 0, first received first. A range of bits is "3" or "3-17", both
// ends included; Data and Over may have several, joined by commas.
type Format struct {
	// Name is 1 to 16 of A-Z, a-z, 0-9 and '_', and no built-in format's. It
	// stands in the identification of cards: with another one no card of this
	// format is known. Required.
	Name string `toml:"name,required"`
	// Length is the length of the frame, 1 to 128 bits. Required.
	Length int `toml:"length,required"`
	// Facility is the range of the facility code; default "", none.
	Facility string `toml:"facility"`
	// Number is the range of the card's number; default "", the data bits, where
	// they are one range and there is no facility. A range that is off by one
	// makes every card another.
	Number string `toml:"number"`
	// Data are the ranges of all that tells cards apart, at most 64 bits; default
	// "", all bits that are not parity.
	Data string `toml:"data"`
	// Parity are the checks, at most 32; a check over another's bit stands after
	// it. Without any, every frame of this length is taken for a card.
	Parity []FormatParity `toml:"parity"`
}

// FormatParity is one check of a Format.
type FormatParity struct {
	Bit  int    `toml:"bit,required"`                   // its own bit
	Kind string `toml:"kind,required" oneof:"even,odd"` // of the ones under Over, its own bit included
	Over string `toml:"over"`                           // the ranges that it is over; or
	Mask string `toml:"mask"`                           // a '0' or '1' for each bit of the frame
}

// Spec gives the description as package wiegand has it.
func (f Format) Spec() wiegand.Spec {
	s := wiegand.Spec{Name: f.Name, Length: f.Length, Facility: f.Facility, Number: f.Number, Data: f.Data}
	for _, p := range f.Parity {
		s.Parity = append(s.Parity, wiegand.ParitySpec(p))
	}
	return s
}

// Format gives the format of a name, letters' case aside: one of the file's own,
// or a built-in one.
func (c *Config) Format(name string) (wiegand.Format, bool) {
	for _, f := range c.Formats {
		if strings.EqualFold(f.Name, name) {
			out, err := f.Spec().Format()
			return out, err == nil
		}
	}
	return wiegand.Lookup(name)
}

// FormatsOf gives the formats that a reader names.
func (c *Config) FormatsOf(r *Reader) []wiegand.Format {
	var out []wiegand.Format
	for _, name := range r.Formats {
		if f, ok := c.Format(name); ok {
			out = append(out, f)
		}
	}
	return out
}

// formats checks the file's own formats, and keeps the good ones.
func (v *checker) formats(c *Config) {
	if len(c.Formats) > maxOwnFormats {
		v.fault("format", "more than %d formats", maxOwnFormats)
		c.Formats = c.Formats[:maxOwnFormats]
	}
	v.own = map[string]wiegand.Format{}
	for i, f := range c.Formats {
		path, key := element("format", i), strings.ToLower(f.Name)
		if _, ok := v.own[key]; ok {
			v.fault(path+".name", "%.70q is used twice", f.Name)
		}
		format, err := f.Spec().Format()
		for _, err := range joined(err) {
			where, message := placeOf(path, f.Name, err.Error())
			v.fault(where, "%s", message)
		}
		v.own[key] = format // without a name where it is at fault
	}
	delete(v.own, "")
}

// format gives the format of a name as Config.Format does.
func (v *checker) format(name string) (f wiegand.Format, ok bool) {
	if f, ok := v.own[strings.ToLower(name)]; ok {
		return f, f.Name != ""
	}
	return wiegand.Lookup(name)
}

// formatNames are the names that a reader may list.
func (v *checker) formatNames() []string {
	names := wiegand.Names()
	for _, key := range slices.Sorted(maps.Keys(v.own)) {
		if f := v.own[key]; f.Name != "" {
			names = append(names, f.Name)
		}
	}
	return names
}

// joined gives the errors that were joined to one.
func joined(err error) []error {
	if many, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		return many.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// placeOf finds the member that an error of a wiegand.Spec is about. These begin
// with the format's name and the member, such as `format "A": parity 2: bit 40: `.
func placeOf(path, name, text string) (where, message string) {
	text = strings.TrimPrefix(text, fmt.Sprintf("format %.32q: ", name))
	at, message, _ := strings.Cut(text, ": ")
	if number, ok := strings.CutPrefix(at, "parity "); ok {
		n, err := strconv.Atoi(number)
		if err != nil {
			return path, text
		}
		path = element(path+".parity", n-1)
		first, _, _ := strings.Cut(message, " ")
		if first = strings.TrimSuffix(first, ":"); slices.Contains([]string{"bit", "kind", "over", "mask"}, first) {
			path += "." + first
		}
		return path, message
	}
	if slices.Contains([]string{"name", "length", "facility", "number", "data", "parity"}, at) {
		return path + "." + at, message
	}
	return path, text
}

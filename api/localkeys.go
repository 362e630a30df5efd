package api

import (
	"context"
	"net/http"
	"time"

	"postern/access"
)

// LocalKeys are the keys that are kept at the panel alone, for its installer or
// for emergencies. Central knows no more of them than their number.
type LocalKeys interface {
	// LocalKeys are all of them, by id.
	LocalKeys(ctx context.Context) ([]Key, error)
	// AddLocal adds one: ErrRefused when its credential belongs to another key, or
	// there are too many, and ErrInvalid when it can't be a key.
	AddLocal(ctx context.Context, k NewKey) (Key, error)
	// RemoveLocal removes one; or ErrNotFound.
	RemoveLocal(ctx context.Context, id access.ID) error
}

// NewKey is a key to be kept at the panel: a card by its identification, or a
// code. Code and PIN are secrets.
type NewKey struct {
	Identification, Code, PIN string
	ValidFrom, ValidTo        time.Time // zero: at once, never
	Levels                    []access.ID
}

func (s *Server) getLocalKeys(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	keys, err := s.backend.LocalKeys(r.Context())
	if err != nil {
		return err
	}
	if keys == nil {
		keys = []Key{}
	}
	answer(w, http.StatusOK, keyList{keys})
	return nil
}

func (s *Server) postLocalKey(w http.ResponseWriter, r *http.Request) error {
	var k NewKey
	var from, to string
	var levels []string
	err := readFields(w, r, fields{
		"identification": &k.Identification, "code": &k.Code, "pin": &k.PIN,
		"valid_from": &from, "valid_to": &to, "access_levels": &levels,
	})
	if err != nil {
		return err
	}
	if k.ValidFrom, err = when("valid_from", from); err != nil {
		return err
	}
	if k.ValidTo, err = when("valid_to", to); err != nil {
		return err
	}
	for _, l := range levels {
		id, err := access.ParseID(l)
		if err != nil {
			return invalid("access_levels: " + err.Error())
		}
		k.Levels = append(k.Levels, id)
	}
	switch {
	case (k.Identification == "") == (k.Code == ""):
		return invalid("give identification or code, one of the two")
	case len(k.Identification) > maxIdentification:
		return invalid("identification is too long")
	case k.Code != "" && k.PIN != "":
		return invalid("a pin goes with a card, not with a code")
	case len(k.Levels) == 0:
		return invalid("access_levels is missing: a key without one opens nothing")
	}
	added, err := s.backend.AddLocal(r.Context(), k)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, added)
	return nil
}

func (s *Server) deleteLocalKey(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	id, err := access.ParseID(r.PathValue("id"))
	if err != nil {
		return invalid("key id: " + err.Error())
	}
	if err := s.backend.RemoveLocal(r.Context(), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

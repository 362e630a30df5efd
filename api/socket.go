package api

import (
	"fmt"
	"math"
	"net/http"

	"postern/access"
)

// MaxLimit is the most entries that one list request may ask for; without a
// limit it gives DefaultLimit.
const (
	MaxLimit     = 1000
	DefaultLimit = 100
)

// Socket is the handler for the unix socket.
func (s *Server) Socket() http.Handler {
	get := func(h handler) methods { return methods{http.MethodGet: bounded(h)} }
	post := func(h handler) methods { return methods{http.MethodPost: bounded(h)} }
	return s.routes(map[string]methods{
		"/v1/status":                get(s.getStatus),
		"/v1/doors":                 get(s.getDoors),
		"/v1/events":                get(s.getEvents),
		"/v1/keys":                  get(s.getKeys),
		"/v1/keys/{id}":             get(s.getKey),
		"/v1/events/{seq}/trace":    get(s.getTrace),
		"/v1/local-keys":            {http.MethodGet: bounded(s.getLocalKeys), http.MethodPost: bounded(s.postLocalKey)},
		"/v1/local-keys/{id}":       {http.MethodDelete: bounded(s.deleteLocalKey)},
		"/v1/store":                 {http.MethodGet: s.getStore},
		"/v1/policy":                get(s.getPolicy),
		"/v1/policy/document":       get(s.getPolicyDocument),
		"/v1/inside":                get(s.getInside),
		"/v1/forgive":               post(s.postForgive),
		"/v1/explain":               post(s.postExplain),
		"/v1/watch":                 {http.MethodGet: s.watch},
		"/v1/doors/{id}/unlock":     post(s.postUnlock),
		"/v1/doors/{id}/mode":       post(s.postMode),
		"/v1/readers/{id}/identify": post(s.postIdentify),
		"/v1/outputs/{id}":          post(s.postOutput),
		"/v1/sim/badge":             post(s.simulate(badgeAct)),
		"/v1/sim/keys":              post(s.simulate(keysAct)),
		"/v1/sim/contact":           post(s.simulate(contactAct)),
		"/v1/sim/rex":               post(s.simulate(rexAct)),
		"/v1/sim/tamper":            post(s.simulate(tamperAct)),
		"/v1/sim/input":             post(s.simulate(inputAct)),
	})
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	st, err := s.status(r)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, st)
	return nil
}

// status gives arrays that are never null.
func (s *Server) status(r *http.Request) (Status, error) {
	st, err := s.backend.Status(r.Context())
	if err != nil {
		return Status{}, err
	}
	if st.Problems == nil {
		st.Problems = []Problem{}
	}
	if st.Doors == nil {
		st.Doors = []Door{}
	}
	if st.Readers == nil {
		st.Readers = []Reader{}
	}
	if st.Inputs == nil {
		st.Inputs = []Input{}
	}
	if st.Outputs == nil {
		st.Outputs = []Output{}
	}
	return st, nil
}

type doorList struct {
	Doors []Door `json:"doors"`
}

type eventList struct {
	Events []Event `json:"events"`
}

type keyList struct {
	Keys []Key `json:"keys"`
}

func (s *Server) getDoors(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	st, err := s.status(r)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, doorList{st.Doors})
	return nil
}

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "before", "limit")
	if err != nil {
		return err
	}
	before, err := number(q, "before", 0, 1, math.MaxUint64)
	if err != nil {
		return err
	}
	limit, err := number(q, "limit", DefaultLimit, 1, MaxLimit)
	if err != nil {
		return err
	}
	events, err := s.backend.Events(r.Context(), before, int(limit))
	if err != nil {
		return err
	}
	if events == nil {
		events = []Event{}
	}
	answer(w, http.StatusOK, eventList{events})
	return nil
}

func (s *Server) getKeys(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "after", "limit")
	if err != nil {
		return err
	}
	var after access.ID
	if _, ok := q["after"]; ok {
		if after, err = access.ParseID(q.Get("after")); err != nil {
			return invalid("after: " + err.Error())
		}
	}
	limit, err := number(q, "limit", DefaultLimit, 1, MaxLimit)
	if err != nil {
		return err
	}
	keys, err := s.backend.Keys(r.Context(), after, int(limit))
	if err != nil {
		return err
	}
	if keys == nil {
		keys = []Key{}
	}
	answer(w, http.StatusOK, keyList{keys})
	return nil
}

func (s *Server) getKey(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	id, err := access.ParseID(r.PathValue("id"))
	if err != nil {
		return invalid("key id: " + err.Error())
	}
	k, err := s.backend.Key(r.Context(), id)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, k)
	return nil
}

func (s *Server) postUnlock(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	door := r.PathValue("id")
	if err := checkID("door", door); err != nil {
		return err
	}
	if err := s.backend.Unlock(r.Context(), door); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) postIdentify(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	reader := r.PathValue("id")
	if err := checkID("reader", reader); err != nil {
		return err
	}
	if err := s.backend.Identify(r.Context(), reader); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) postOutput(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	id := r.PathValue("id")
	if err := checkID("output", id); err != nil {
		return err
	}
	body, err := readBody(w, r, "application/json")
	if err != nil {
		return err
	}
	var on flag
	if err := (fields{"on": &on}).decodeJSON(body); err != nil {
		return err
	}
	if !on.given {
		return invalid("on is missing")
	}
	if err := s.backend.SetOutput(r.Context(), id, on.value); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// maxID bounds the id of a door, a reader, an input or an output, in bytes.
const maxID = 64

func checkID(what, id string) error {
	if id == "" {
		return invalid(what + " is missing")
	}
	if len(id) > maxID {
		return invalid(fmt.Sprintf("%s is over %d bytes", what, maxID))
	}
	return nil
}

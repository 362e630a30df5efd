package api

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"postern/access"
)

// explainEvery is the pause between two explanations that say something about a
// code or a PIN, whoever asks: to try them all must not be quicker here than at
// a keypad that locks itself.
const explainEvery = time.Second

var errTooOften = failure(http.StatusTooManyRequests, "TooMany", "codes and PINs are explained once a second, for all who ask together; try again")

// pace lets one through, then nobody for a while.
type pace struct {
	mu   sync.Mutex // guards next
	next time.Time
}

func (p *pace) take(now time.Time, every time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.next) {
		return false
	}
	p.next = now.Add(every)
	return true
}

// readFields reads a JSON object into its fields.
func readFields(w http.ResponseWriter, r *http.Request, f fields) error {
	if _, err := query(r); err != nil {
		return err
	}
	body, err := readBody(w, r, "application/json")
	if err != nil {
		return err
	}
	return f.decodeJSON(body)
}

// when reads a time, zero for "".
func when(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, invalid(name + " must be a time such as 2026-03-02T17:00:00Z")
	}
	return t, nil
}

func (s *Server) postMode(w http.ResponseWriter, r *http.Request) error {
	door := r.PathValue("id")
	if err := checkID("door", door); err != nil {
		return err
	}
	var o ModeOrder
	var until string
	if err := readFields(w, r, fields{"mode": &o.Mode, "until": &until}); err != nil {
		return err
	}
	if o.Mode != ClearMode {
		if _, err := access.ParseDoorMode(o.Mode); err != nil {
			return invalid("mode: " + err.Error() + ", or " + ClearMode)
		}
	}
	var err error
	if o.Until, err = when("until", until); err != nil {
		return err
	}
	if o.Mode == ClearMode && until != "" {
		return invalid("until goes with a mode, not with " + ClearMode)
	}
	if err := s.backend.SetMode(r.Context(), door, o); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) postExplain(w http.ResponseWriter, r *http.Request) error {
	var q Question
	var at string
	err := readFields(w, r, fields{
		"reader": &q.Reader, "identification": &q.Identification, "code": &q.Code, "pin": &q.PIN, "at": &at,
	})
	if err != nil {
		return err
	}
	if err := checkQuestion(q); err != nil {
		return err
	}
	if q.At, err = when("at", at); err != nil {
		return err
	}
	if q.secret() {
		if !s.secrets.take(time.Now(), explainEvery) {
			return errTooOften
		}
		s.log.Info("a code or PIN is explained", "reader", q.Reader)
	}
	e, err := s.backend.Explain(r.Context(), q)
	if err != nil {
		return err
	}
	if e.Steps == nil {
		e.Steps = []Step{}
	}
	answer(w, http.StatusOK, e)
	return nil
}

func checkQuestion(q Question) error {
	if err := checkID("reader", q.Reader); err != nil {
		return err
	}
	switch {
	case (q.Identification == "") == (q.Code == ""):
		return invalid("give identification or code, one of the two")
	case len(q.Identification) > maxIdentification:
		return invalid("identification is over " + strconv.Itoa(maxIdentification) + " characters")
	case q.Code != "" && q.PIN != "":
		return invalid("a pin goes with a card, not with a code")
	}
	if q.Code != "" {
		if _, err := access.ParseIdentification(access.Code, q.Code); err != nil {
			return invalid("code: " + err.Error())
		}
	}
	if q.PIN != "" {
		if err := access.CheckPIN(q.PIN); err != nil {
			return invalid("pin: " + err.Error())
		}
	}
	return nil
}

func (s *Server) getTrace(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	seq, err := number(map[string][]string{"seq": {r.PathValue("seq")}}, "seq", 0, 1, math.MaxUint64)
	if err != nil {
		return err
	}
	t, err := s.backend.Trace(r.Context(), seq)
	if err != nil {
		return err
	}
	if t.Steps == nil {
		t.Steps = []Step{}
	}
	answer(w, http.StatusOK, t)
	return nil
}

func (s *Server) getPolicy(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	p, err := s.backend.Policy(r.Context())
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, p)
	return nil
}

func (s *Server) getPolicyDocument(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	doc, err := s.backend.PolicyDocument(r.Context())
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, doc)
	return nil
}

type areaList struct {
	Areas []Area `json:"areas"`
}

func (s *Server) getInside(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "area")
	if err != nil {
		return err
	}
	if q.Has("area") {
		if err := checkID("area", q.Get("area")); err != nil {
			return err
		}
	}
	areas, err := s.backend.Inside(r.Context(), q.Get("area"))
	if err != nil {
		return err
	}
	if areas == nil {
		areas = []Area{}
	}
	for i := range areas {
		if areas[i].Inside == nil {
			areas[i].Inside = []access.ID{}
		}
	}
	answer(w, http.StatusOK, areaList{areas})
	return nil
}

// forgiven is how many persons anti-passback forgot.
type forgiven struct {
	Forgiven int `json:"forgiven"`
}

func (s *Server) postForgive(w http.ResponseWriter, r *http.Request) error {
	var person string
	var all flag
	if err := readFields(w, r, fields{"person": &person, "all": &all}); err != nil {
		return err
	}
	if (person != "") == all.value {
		return invalid("give person, or all as true, one of the two")
	}
	var who access.ID
	if person != "" {
		var err error
		if who, err = access.ParseID(person); err != nil {
			return invalid("person: " + err.Error())
		}
	}
	n, err := s.backend.Forgive(r.Context(), who)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, forgiven{n})
	return nil
}

package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits on one request. A stream has no end of its own, but each of its writes
// has writeTimeout, so that a reader that went away is noticed.
const (
	requestTimeout = 10 * time.Second
	writeTimeout   = 15 * time.Second
	keepAlive      = 15 * time.Second // between a quiet stream's empty lines
	maxBody        = 4 << 10          // bytes
	maxStreams     = 32               // at once, both faces together
)

// Server answers for one panel.
type Server struct {
	backend Backend
	sim     Simulator // nil unless the board is simulated
	log     *slog.Logger
	streams chan struct{} // one token for each running stream
	secrets pace          // of what is said about codes and PINs
	recent  recent
}

// NewServer makes a server for b; sim is nil on real hardware. Run must run for
// the page to be live.
func NewServer(b Backend, sim Simulator, log *slog.Logger) *Server {
	return &Server{backend: b, sim: sim, log: log, streams: make(chan struct{}, maxStreams)}
}

// handler is a handler that may fail; the failure is answered as JSON.
type handler func(w http.ResponseWriter, r *http.Request) error

// methods are the handlers of one path, by method.
type methods map[string]handler

// routes registers a table of paths. The mux's own answers for a wrong path or
// method are plain text, so both are ours.
func (s *Server) routes(table map[string]methods) http.Handler {
	mux := http.NewServeMux()
	for path, m := range table {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, m) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.answerError(w, r, failure(http.StatusNotFound, "NotFound", "no such path; the API begins at /v1/status"))
	})
	return mux
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, m methods) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, ok := m[method]
	if !ok {
		var allow []string
		for name := range m {
			allow = append(allow, name)
		}
		slices.Sort(allow)
		w.Header().Set("Allow", strings.Join(allow, ", "))
		s.answerError(w, r, failure(http.StatusMethodNotAllowed, "MethodNotAllowed", "use "+strings.Join(allow, " or ")))
		return
	}
	// A recorder in a test has no deadlines; every real connection does.
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Now().Add(requestTimeout))
	_ = c.SetWriteDeadline(time.Now().Add(requestTimeout + writeTimeout))
	if err := h(w, r); err != nil {
		s.answerError(w, r, err)
	}
}

// bounded gives a request's handler the time that a request has.
func bounded(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		return h(w, r.WithContext(ctx))
	}
}

// Error is a refusal as it goes over HTTP. It is ErrNotFound, ErrRefused or
// ErrInvalid by its status.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Error gives the message, which says what to do.
func (e *Error) Error() string { return e.Message }

// Is reports whether target is the sentinel for the status.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrRefused:
		return e.Status == http.StatusConflict
	case ErrInvalid:
		return e.Status == http.StatusBadRequest
	}
	return false
}

func failure(status int, code, message string) *Error {
	return &Error{Status: status, Code: code, Message: message}
}

func invalid(message string) *Error {
	return failure(http.StatusBadRequest, "InvalidArgument", message)
}

// asFailure turns what a Backend answered into what a caller is told. An error
// that isn't one of the sentinels stays here: it may say more than a caller
// should know.
func (s *Server) asFailure(r *http.Request, err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, ErrNotFound):
		return failure(http.StatusNotFound, "NotFound", err.Error())
	case errors.Is(err, ErrRefused):
		return failure(http.StatusConflict, "Refused", err.Error())
	case errors.Is(err, ErrInvalid):
		return invalid(err.Error())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return failure(http.StatusServiceUnavailable, "Busy", "the daemon did not answer in time; try again, and see its log")
	}
	s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return failure(http.StatusInternalServerError, "Internal", "the daemon could not do this; its log says why (journalctl -u posternd)")
}

func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	e := s.asFailure(r, err)
	if e.Status == http.StatusRequestEntityTooLarge {
		// What is left of the body isn't worth reading.
		w.Header().Set("Connection", "close")
	}
	answer(w, e.Status, struct {
		Error *Error `json:"error"`
	}{e})
}

// answer writes v as JSON. A client that is gone is no concern of ours.
func answer(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

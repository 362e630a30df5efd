package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// stream is an answer without an end. Each write has its own deadline, and none
// of the server's holds for the whole.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

// openStream begins one, unless there are too many. The caller must call end.
func (s *Server) openStream(w http.ResponseWriter, media string) (st *stream, end func(), err error) {
	select {
	case s.streams <- struct{}{}:
	default:
		return nil, nil, failure(http.StatusServiceUnavailable, "Busy", "too many watch this panel at once; close one")
	}
	st = &stream{w, http.NewResponseController(w)}
	// A read deadline that passed would look like a client that hung up.
	_ = st.c.SetReadDeadline(time.Time{})
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	return st, func() { <-s.streams }, nil
}

func (st *stream) write(b []byte) error {
	_ = st.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := st.w.Write(b); err != nil {
		return err
	}
	return st.c.Flush()
}

// watch streams messages as JSON, one a line. Empty lines say that the stream
// is alive; the first goes out when the subscription holds, so that a client
// that has seen it misses nothing.
func (s *Server) watch(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return failure(http.StatusMethodNotAllowed, "MethodNotAllowed", "use GET")
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st, end, err := s.openStream(w, "application/x-ndjson")
	if err != nil {
		return err
	}
	defer end()
	messages := s.backend.Watch(ctx)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	line := []byte("\n")
	for {
		// A failed write is a client that went away, the stream's usual end.
		if err := st.write(line); err != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			line = []byte("\n")
		case m, ok := <-messages:
			if !ok {
				return nil
			}
			if line, err = json.Marshal(m); err != nil {
				s.log.Error("message can't be written", "kind", m.Kind, "error", err)
				return nil
			}
			line = append(line, '\n')
		}
	}
}

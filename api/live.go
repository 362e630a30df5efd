package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// gather is how long the page waits for more to happen before it shows it: one
// badge is a read, a decision, a door and an entry in the journal.
const gather = 80 * time.Millisecond

// refresh is how often the page looks for what nobody told it, such as a
// reader's lamp.
const refresh = 2 * time.Second

// fragment is a part of the page by its element's id.
type fragment struct {
	ID   string `json:"id"`
	HTML string `json:"html"`
}

// fragments renders the parts that change.
func (v *view) fragments() ([]fragment, error) {
	var out []fragment
	var b bytes.Buffer
	add := func(id, name string, data any) error {
		b.Reset()
		if err := pageTemplates.ExecuteTemplate(&b, name, data); err != nil {
			return fmt.Errorf("render %s: %w", name, err)
		}
		out = append(out, fragment{id, b.String()})
		return nil
	}
	for _, name := range []string{"head", "problems", "reads", "journal"} {
		if err := add(name, name, v); err != nil {
			return nil, err
		}
	}
	for _, d := range v.Doors {
		if err := add("door-"+d.ID, "door", v.WithDoor(d)); err != nil {
			return nil, err
		}
	}
	for _, in := range v.Inputs {
		if err := add("input-"+in.ID, "input", in); err != nil {
			return nil, err
		}
	}
	for _, o := range v.Outputs {
		if err := add("output-"+o.ID, "output", o); err != nil {
			return nil, err
		}
	}
	for _, r := range v.Readers {
		if err := add("reader-"+r.ID, "reader", v.With(r)); err != nil {
			return nil, err
		}
		if v.Sim {
			if err := add("cards-"+r.ID, "cards", v.With(r)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// live streams the parts of the page that changed, as server-sent events. What
// is sent is always the present: nothing is lost by a page that was away.
func (s *Server) live(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead {
		return failure(http.StatusMethodNotAllowed, "MethodNotAllowed", "use GET")
	}
	st, end, err := s.openStream(w, "text/event-stream")
	if err != nil {
		return err
	}
	defer end()
	told, cancel := s.recent.subscribe()
	defer cancel()
	// A failed write is a page that was closed, the stream's usual end.
	if st.write([]byte("retry: 2000\n\n")) != nil {
		return nil
	}
	alive, again := time.NewTicker(keepAlive), time.NewTicker(refresh)
	defer alive.Stop()
	defer again.Stop()
	shown := make(map[string]string)
	for {
		if err := s.sendChanges(r, st, shown); err != nil {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-again.C:
		case <-alive.C:
			if st.write([]byte(":\n\n")) != nil {
				return nil
			}
		case <-told:
			pause(r.Context(), gather)
		}
	}
}

func (s *Server) sendChanges(r *http.Request, st *stream, shown map[string]string) error {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	v, err := s.view(r.WithContext(ctx))
	if err != nil {
		if r.Context().Err() == nil {
			s.log.Error("page can't be shown", "error", err)
		}
		return err
	}
	all, err := v.fragments()
	if err != nil {
		s.log.Error("page can't be shown", "error", err)
		return err
	}
	var b bytes.Buffer
	for _, f := range all {
		if shown[f.ID] == f.HTML {
			continue
		}
		shown[f.ID] = f.HTML
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "data: %s\n\n", line)
	}
	if b.Len() == 0 {
		return nil
	}
	return st.write(b.Bytes())
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

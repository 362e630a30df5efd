package central

import (
	"net/http"
)

// ready answers whether central can do its work: it has its database and its
// broker. A server that is up but not ready still takes changes for later.
func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	if !a.readOnly(w, r) {
		return
	}
	out := healthAnswer{Status: "ready", Database: "ok", Link: "connected"}
	if !a.linked() {
		out.Status, out.Link = "not ready", "disconnected"
	}
	if err := a.store.Ping(r.Context()); err != nil {
		a.log.Error("database does not answer", "error", err)
		out.Status, out.Database = "not ready", "does not answer"
	}
	status := http.StatusOK
	if out.Status != "ready" {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, out)
}

// readOnly answers 405 to all but GET and HEAD.
func (a *API) readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	a.fail(w, problem(http.StatusMethodNotAllowed, "MethodNotAllowed", "", "use GET"))
	return false
}

type healthAnswer struct {
	Status   string `json:"status"`
	Database string `json:"database"`
	Link     string `json:"link"`
}

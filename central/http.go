package central

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/wire"
)

// maxBody is the most bytes of a request's body.
const maxBody = 64 << 10

// API is the HTTP side of central.
type API struct {
	store   *Store
	log     *slog.Logger
	limit   *limiter
	wake    func()      // tells the link that there is something to send
	linked  func() bool // whether the link has its broker
	mux     *http.ServeMux
	routes  []route // what mux has, but for what is no path
	maxTime time.Duration
	pending time.Duration // how long a request for immediate access waits for votes
	metrics *Metrics      // nil counts nothing
	site    string        // name of the place whose panels these are, "" for none
}

// APIOptions are what an API works with.
type APIOptions struct {
	Log       *slog.Logger  // nil discards
	RateLimit int           // requests a second for each API key; 0 is DefaultRateLimit
	Wake      func()        // called after a change was committed; nil for none
	Linked    func() bool   // for /healthz; nil says no
	Pending   time.Duration // how long a request for immediate access waits for its votes; 0 is DefaultPending
	Metrics   *Metrics      // counts requests; nil for none
	Site      string        // name of the place whose panels these are; may be empty
}

// DefaultRateLimit is how many requests a second an API key may send; ten
// seconds' worth may come at once.
const DefaultRateLimit = 50

const handleTime = 20 * time.Second

// NewAPI makes the HTTP side over a store.
func NewAPI(s *Store, o APIOptions) *API {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.RateLimit <= 0 {
		o.RateLimit = DefaultRateLimit
	}
	if o.Pending <= 0 {
		o.Pending = DefaultPending
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.Linked == nil {
		o.Linked = func() bool { return false }
	}
	a := &API{
		store: s, log: o.Log, limit: newLimiter(o.RateLimit, 10*o.RateLimit), wake: o.Wake, linked: o.Linked,
		mux: http.NewServeMux(), maxTime: handleTime, pending: o.Pending, metrics: o.Metrics, site: o.Site,
	}
	a.route("/v1/accesskeys/add", a.post(a.add), http.MethodPost)
	a.route("/v1/accesskeys/remove", a.post(a.remove), http.MethodPost)
	a.route("/v1/accesskeys/status", a.post(a.status), http.MethodPost)
	a.route("/v1/accesslevels/list", a.post(a.levels), http.MethodPost)
	a.route("/v1/events/list", a.post(a.events), http.MethodPost)
	a.route("/healthz", a.health, http.MethodGet, http.MethodHead)
	a.route("/readyz", a.ready, http.MethodGet, http.MethodHead)
	a.routeDocument()
	a.routeUsers()
	a.routeRequests()
	a.routeGovernance()
	a.routePanels()
	a.mux.HandleFunc("/", a.noPath)
	return a
}

func (a *API) noPath(w http.ResponseWriter, _ *http.Request) {
	a.fail(w, problem(http.StatusNotFound, "NotFound", "", "there is no such path"))
}

// isClean reports whether a path is written as it is meant, without empty or dot
// segments. http.ServeMux would send the caller to another one, with a page that
// is in no dialect, and a body and a token that are perhaps not for it.
func isClean(p string) bool {
	return p == "/" || path.IsAbs(p) && path.Clean(p) == strings.TrimSuffix(p, "/")
}

// route is a path of the API, as http.ServeMux has it, with its methods.
type route struct {
	path    string
	methods []string
}

// route has a handler answer a path. The methods are those that it takes: it
// answers the others with 405 itself.
func (a *API) route(path string, h http.HandlerFunc, methods ...string) {
	a.routes = append(a.routes, route{path, methods})
	a.mux.HandleFunc(path, h)
}

// routeUser is route for what users send.
func (a *API) routeUser(path string, say dialect, methods map[string]userHandler) {
	a.route(path, a.forUser(say, methods), slices.Sorted(maps.Keys(methods))...)
}

// ServeHTTP answers one request and logs what became of it.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	ctx, cancel := context.WithTimeout(r.Context(), a.maxTime)
	defer cancel()
	r = r.WithContext(ctx)
	if isClean(r.URL.EscapedPath()) {
		a.mux.ServeHTTP(rec, r)
	} else {
		a.noPath(rec, r)
	}
	took := time.Since(began)
	if a.metrics != nil {
		a.metrics.observe(r, rec.status, took)
	}
	a.log.Info("request", "method", r.Method, "path", shortPath(r.URL.Path), "status", rec.status,
		"caller", rec.caller, "took", took.Round(time.Microsecond))
}

func shortPath(p string) string {
	return clean(p[:min(len(p), 64)])
}

// recorder keeps what the log says of a request.
type recorder struct {
	http.ResponseWriter
	status int
	caller string
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// handler does one request and gives what is to be answered, nil for nothing.
type handler func(ctx context.Context, c *caller, r *http.Request, body []byte) (any, error)

// post is what all endpoints have in common: method, who calls, how often, and
// the body.
func (a *API) post(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := a.handle(w, r, h)
		switch {
		case err != nil:
			a.fail(w, err)
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			answer(w, http.StatusOK, v)
		}
	}
}

func (a *API) handle(w http.ResponseWriter, r *http.Request, h handler) (any, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, problem(http.StatusMethodNotAllowed, "MethodNotAllowed", "", "use POST")
	}
	c, err := a.caller(r)
	if err != nil {
		return nil, err
	}
	if c == nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return nil, problem(http.StatusUnauthorized, "Unauthorized", "",
			"send a valid API key as \"Authorization: Bearer postern_…\"; postern-central keys create makes one")
	}
	if rec, ok := w.(*recorder); ok {
		rec.caller = c.name
	}
	if wait, ok := a.limit.take(c.keyID, time.Now()); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return nil, problem(http.StatusTooManyRequests, "TooManyRequests", "", "too many requests with this API key")
	}
	if _, err := query(r); err != nil {
		return nil, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	return h(withRequest(r, Actor{ActorIntegration, c.name, c.keyID}), c, r, body)
}

func (a *API) caller(r *http.Request) (*caller, error) {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil, nil
	}
	return a.store.authenticate(r.Context(), strings.TrimSpace(key))
}

// readBody reads a JSON body; none at all is the empty object, for requests
// whose members are all optional.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := bodyLimit(r.Context())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, problem(http.StatusRequestEntityTooLarge, "BodyTooLarge", "", "the body has more than %d bytes", limit)
	case err != nil:
		return nil, badRequest("InvalidBody", "", "the body ended too early")
	case len(body) == 0:
		return []byte("{}"), nil
	}
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return nil, problem(http.StatusUnsupportedMediaType, "UnsupportedMediaType", "", "send the body as Content-Type: application/json, in UTF-8")
	}
	return body, nil
}

// decode reads a body strictly: a member that is not known is more likely a
// slip than something to ignore.
func decode[T any](body []byte) (v T, err error) {
	if err := wire.Strict(body, &v, true); err != nil {
		return v, decodeProblem(err)
	}
	return v, nil
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("central: answer can't be encoded: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that went away
}

// fail answers an error in the words of the access keys API.
func (a *API) fail(w http.ResponseWriter, err error) {
	p := a.problemOf(w, err)
	answer(w, p.Status, map[string]*Problem{"error": p})
}

// problemOf is what a caller is told of an error: a Problem as it is, anything
// else as a fault of ours whose text stays in the log.
func (a *API) problemOf(w http.ResponseWriter, err error) *Problem {
	var p *Problem
	if !errors.As(err, &p) {
		a.log.Error("request not done", "error", err)
		p = problem(http.StatusInternalServerError, "Internal", "", "central can't do this now; its log says why")
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			w.Header().Set("Retry-After", "5")
			p = problem(http.StatusServiceUnavailable, "Busy", "", "central was too busy; try again")
		}
	}
	return p
}

func (a *API) health(w http.ResponseWriter, r *http.Request) {
	if !a.readOnly(w, r) {
		return
	}
	out := healthAnswer{Status: "ok", Database: "ok", Link: "disconnected"}
	if a.linked() {
		out.Link = "connected"
	}
	status := http.StatusOK
	if err := a.store.Ping(r.Context()); err != nil {
		a.log.Error("database does not answer", "error", err)
		out.Status, out.Database, status = "unhealthy", "does not answer", http.StatusServiceUnavailable
	}
	answer(w, status, out)
}

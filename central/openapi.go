package central

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// openAPI describes the whole HTTP API. Its source is docs/openapi.yaml; a test
// keeps the two the same, and both the same as the code.
//
//go:embed openapi.json
var openAPI []byte

// documentAge is how long a copy of the document or its page is good without
// asking again; it changes with the program alone.
const documentAge = 5 * time.Minute

// docsPage is the document as a page. It is made once, when somebody first wants it.
var docsPage = sync.OnceValue(func() page { return newPage(openAPI) })

// routeDocument has the API describe itself. Whoever may reach the server may
// read how to use it.
func (a *API) routeDocument() {
	a.route("/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // nothing in it is anybody's own
		a.static(w, r, "application/json; charset=utf-8", openAPI)
	}, http.MethodGet, http.MethodHead)
	a.route("/docs", func(w http.ResponseWriter, r *http.Request) {
		p := docsPage()
		w.Header().Set("Content-Security-Policy", p.policy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		a.static(w, r, "text/html; charset=utf-8", p.html)
	}, http.MethodGet, http.MethodHead)
}

// static answers what is the same for everybody.
func (a *API) static(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	if !a.readOnly(w, r) {
		return
	}
	sum := sha256.Sum256(body)
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", int(documentAge/time.Second)))
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	r = r.Clone(r.Context())
	r.Header = http.Header{"If-None-Match": r.Header.Values("If-None-Match")} // a part of it is of no use to anybody
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

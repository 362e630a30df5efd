package api

import (
	"net"
	"net/http"
)

// pagePolicy lets the page load its own script and style and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

var (
	errForeignHost   = failure(http.StatusForbidden, "Forbidden", "this page answers on localhost and 127.0.0.1 only; from elsewhere use ssh -L")
	errForeignOrigin = failure(http.StatusForbidden, "Forbidden", "only this page itself may do that; on the command line use postern")
)

// guard keeps other web sites out of a page that has no login: by the Host,
// which a site that points its own name at this machine can't hide, and by what
// the browser says about where a request comes from.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !isLoopback(hostname(r.Host)):
			s.answerError(w, r, errForeignHost)
		case !ownRequest(r):
			s.answerError(w, r, errForeignOrigin)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hostname is a Host without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}

// ownRequest reports whether a request comes from the page, or changes nothing.
// A browser sends Sec-Fetch-Site or, an older one, Origin with each POST; one
// that says neither is not let through.
func ownRequest(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		// A link from elsewhere may lead here. A script or frame of another
		// site has nothing to fetch.
		return site != "cross-site" || r.Header.Get("Sec-Fetch-Mode") == "navigate"
	}
	if site == "" && origin == "" {
		return false
	}
	return (site == "" || site == "same-origin") && (origin == "" || origin == "http://"+r.Host)
}

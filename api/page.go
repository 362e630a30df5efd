package api

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

//go:embed page
var pageFiles embed.FS

// pageTemplates are parsed once; they do not change.
var pageTemplates = template.Must(template.New("").Funcs(template.FuncMap{
	"bits":  GroupBits,
	"words": words,
}).ParseFS(pageFiles, "page/*.html"))

// Page is the handler for the loopback page. It has no login: see guard. With
// real hardware it only shows.
func (s *Server) Page() http.Handler {
	file := func(name, media string) methods {
		return methods{http.MethodGet: func(w http.ResponseWriter, r *http.Request) error {
			b, err := pageFiles.ReadFile("page/" + name)
			if err != nil {
				return fmt.Errorf("read page file: %w", err)
			}
			w.Header().Set("Content-Type", media)
			_, _ = w.Write(b)
			return nil
		}}
	}
	table := map[string]methods{
		"/{$}":      {http.MethodGet: bounded(s.getPage)},
		"/live":     {http.MethodGet: s.live},
		"/page.css": file("page.css", "text/css; charset=utf-8"),
		"/page.js":  file("page.js", "text/javascript; charset=utf-8"),
		"/icon.svg": file("icon.svg", "image/svg+xml"),
	}
	if s.sim != nil {
		for path, newAct := range map[string]func() act{
			"/badge": badgeAct, "/keys": keysAct, "/contact": contactAct, "/rex": rexAct, "/input": inputAct, "/unlock": s.unlockAct,
		} {
			table[path] = methods{http.MethodPost: bounded(s.formAct(newAct))}
		}
	}
	return s.guard(s.routes(table))
}

func (s *Server) getPage(w http.ResponseWriter, r *http.Request) error {
	return s.showPage(w, r, http.StatusOK, "")
}

func (s *Server) showPage(w http.ResponseWriter, r *http.Request, status int, notice string) error {
	v, err := s.view(r)
	if err != nil {
		return err
	}
	v.Notice = notice
	// Whole before any of it goes out: half a page can't be told from a good one.
	var b bytes.Buffer
	if err := pageTemplates.ExecuteTemplate(&b, "page.html", v); err != nil {
		return fmt.Errorf("render page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}

// formAct is the page's handler for one act. The script asks for JSON; without
// a script the browser is sent back to the page, or shown it with what went
// wrong.
func (s *Server) formAct(newAct func() act) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := s.doForm(w, r, newAct())
		if r.Header.Get("Accept") == "application/json" {
			if err == nil {
				w.WriteHeader(http.StatusNoContent)
			}
			return err
		}
		if err != nil {
			e := s.asFailure(r, err)
			return s.showPage(w, r, e.Status, e.Message)
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
}

func (s *Server) doForm(w http.ResponseWriter, r *http.Request, a act) error {
	body, err := readBody(w, r, "application/x-www-form-urlencoded")
	if err != nil {
		return err
	}
	if err := a.fields.decodeForm(body); err != nil {
		return err
	}
	_, err = a.do(r.Context(), s.sim)
	return err
}

// GroupBits sets a space after each fourth bit, so that a person can count
// them.
func GroupBits(bits string) string {
	var b strings.Builder
	for i, c := range bits {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// words makes words of a name such as card_and_pin or WrongPIN: card and PIN,
// wrong PIN.
func words(name string) string {
	var out []string
	for part := range strings.SplitSeq(name, "_") {
		from := 0
		for i := 1; i <= len(part); i++ {
			if i == len(part) || beginsWord(part, i) {
				out = append(out, word(part[from:i]))
				from = i
			}
		}
	}
	return strings.Join(out, " ")
}

// beginsWord reports whether a capital at i begins a word: one after a small
// letter, or the last of a run of capitals before a small one.
func beginsWord(s string, i int) bool {
	small := func(i int) bool { return i < len(s) && s[i] >= 'a' && s[i] <= 'z' }
	return !small(i) && (small(i-1) || small(i+1))
}

func word(s string) string {
	if strings.EqualFold(s, "PIN") {
		return "PIN"
	}
	return strings.ToLower(s)
}

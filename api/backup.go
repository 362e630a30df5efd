package api

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// copyTime bounds a copy of the store. While one is made, changes may have to
// wait for it.
const copyTime = 5 * time.Minute

// maxCopied bounds one file of a copy, in bytes.
const maxCopied = 4 << 30

// Backups is the part of a Backend that copies are made with.
type Backups interface {
	// CopyStore hands over the files of the store as of one moment, each with its
	// name, its size and what writes it, while the panel goes on. ErrRefused while
	// another copy is made.
	CopyStore(ctx context.Context, put func(name string, size int64, write func(io.Writer) error) error) error
}

// peerKey is where Serve keeps the user at the other end of a unix socket.
type peerKey struct{}

// errNotOwner is said to others than root and the daemon's own user. What is kept
// for central alone is in a copy.
var errNotOwner = failure(http.StatusForbidden, "Forbidden", "the store is for root alone: use sudo")

// mayCopy reports whether a user may have the store: root, and whom it belongs
// to anyway.
func mayCopy(uid, own int) bool { return uid == 0 || uid == own }

// getStore streams a copy of the store as a tar file. A copy that ends before its
// time ends the connection, so that nobody takes it for a whole one.
func (s *Server) getStore(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		return failure(http.StatusMethodNotAllowed, "MethodNotAllowed", "use GET")
	}
	if uid, ok := r.Context().Value(peerKey{}).(int); !ok || !mayCopy(uid, os.Geteuid()) {
		return errNotOwner
	}
	ctx, cancel := context.WithTimeout(r.Context(), copyTime)
	defer cancel()
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{})
	begun := false
	out := tar.NewWriter(&steady{w, c})
	err := s.backend.CopyStore(ctx, func(name string, size int64, write func(io.Writer) error) error {
		if !begun {
			h := w.Header()
			h.Set("Content-Type", "application/x-tar")
			h.Set("Cache-Control", "no-store")
			h.Set("X-Content-Type-Options", "nosniff")
			w.WriteHeader(http.StatusOK)
			begun = true
			if err := c.Flush(); err != nil {
				return err
			}
		}
		if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: time.Now()}); err != nil {
			return err
		}
		return write(out)
	})
	if err == nil {
		err = out.Close()
	}
	if err == nil || !begun {
		return err
	}
	s.log.Warn("copy of the store not finished", "error", err)
	panic(http.ErrAbortHandler) // net/http's way to end a connection in the middle
}

// steady gives each write its own deadline.
type steady struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (s *steady) Write(b []byte) (int, error) {
	_ = s.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	return s.w.Write(b)
}

// CopyStore gives the files of the panel's store as of one moment, one after the
// other; take reads each whole. The daemon goes on meanwhile. It is for root and
// the daemon's own user.
func (c *Client) CopyStore(ctx context.Context, take func(name string, size int64, from io.Reader) error) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/store", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for files := tar.NewReader(resp.Body); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the daemon's copy of the store: %w", err)
		}
		if h.Typeflag != tar.TypeReg || h.Size > maxCopied {
			return fmt.Errorf("the daemon's copy of the store has %.40q, which is no file of it", h.Name)
		}
		if err := take(h.Name, h.Size, files); err != nil {
			return err
		}
	}
}

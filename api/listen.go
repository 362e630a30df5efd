package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// MaxSocketPath is the longest path of a unix socket, in bytes: sockaddr_un has
// 108 with the closing zero.
const MaxSocketPath = 107

// CheckSocketPath says what is wrong with a path for a unix socket, nil when
// it can be one.
func CheckSocketPath(path string) error {
	if path == "" {
		return errors.New("the socket's path is empty")
	}
	if len(path) > MaxSocketPath {
		return fmt.Errorf("the socket's path has %d bytes and may have %d: choose a shorter folder (%s)", len(path), MaxSocketPath, path)
	}
	return nil
}

// ListenSocket listens on a unix socket of mode 0660 in a folder that exists. A
// socket that a crash left behind is replaced; one that something answers on,
// and anything that isn't a socket, is left alone and is an error. Closing the
// listener removes the socket.
func ListenSocket(path string) (net.Listener, error) {
	if err := CheckSocketPath(path); err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on socket: %w (does the folder %s exist, and may this user write to it?)", err, filepath.Dir(path))
	}
	// Until here the umask decided. Connecting takes write permission, which no
	// usual umask gives to others.
	if err := os.Chmod(path, 0o660); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("listen on socket: %w", err)
	}
	return ln, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is not a socket; move it away, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("another daemon answers on %s; stop it, or choose another path", path)
	}
	// Only a refused connection says that nobody listens. A full queue, say,
	// comes from a daemon that lives.
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("can't tell whether another daemon is on %s: %w", path, err)
	}
	return os.Remove(path)
}

// ListenPage listens on TCP for the page, on a loopback address only: the page
// has no login.
func ListenPage(addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen for page: %w", err)
	}
	if !isLoopback(host) {
		return nil, fmt.Errorf("listen for page: %s is not a loopback address; use 127.0.0.1, and ssh -L to reach it from elsewhere", host)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for page: %w", err)
	}
	return ln, nil
}

// isLoopback reports whether a host, without port and brackets, can only be
// this machine.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Serve answers on ln with h, in its caller's goroutine, until ctx ends; it
// closes ln. Requests under way, streams included, end with ctx. The error is
// nil when ctx ended it.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: h,
		// Bodies and answers have deadlines of their own, a request each: see
		// Server.serve. One for all would cut the streams.
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if uid, ok := peer(c); ok {
				return context.WithValue(ctx, peerKey{}, uid)
			}
			return ctx
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(ln)
	if stop() { // it ended by itself
		_ = srv.Close()
		return fmt.Errorf("serve api: %w", err)
	}
	<-stopped
	return nil
}

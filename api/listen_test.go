package api_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/api"
)

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestListenSocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	ln, err := api.ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("mode: got %v, %v, want a socket of 0660", info.Mode(), err)
	}
	if _, err := api.ListenSocket(path); err == nil || !strings.Contains(err.Error(), "another daemon answers on "+path) {
		t.Errorf("second daemon: got %v", err)
	}
	_ = ln.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("after Close the socket is there still: %v", err)
	}
}

func TestListenSocketReplacesStale(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false) // as a crash leaves it
	_ = dead.Close()
	ln, err := api.ListenSocket(path)
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	_ = ln.Close()
}

func TestListenSocketRefuses(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                                  "the socket's path is empty",
		file:                                file + " is there and is not a socket; move it away, or choose another path",
		dir:                                 dir + " is there and is not a socket; move it away, or choose another path",
		"/" + strings.Repeat("x", 107):      "the socket's path has 108 bytes and may have 107: choose a shorter folder",
		filepath.Join(dir, "none", "s"):     "does the folder " + filepath.Join(dir, "none") + " exist",
		filepath.Join(file, "not a folder"): "not a directory",
	} {
		ln, err := api.ListenSocket(path)
		if err == nil {
			_ = ln.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", path, err, want)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file was touched: %q, %v", b, err)
	}
}

func TestListenPageIsLoopback(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:0": true, "localhost:0": true, "127.9.9.9:0": true,
		"0.0.0.0:0": false, ":0": false, "[::]:0": false, "192.0.2.1:0": false, "example.com:0": false, "127.0.0.1": false,
	} {
		ln, err := api.ListenPage(addr)
		if (err == nil) != ok {
			t.Errorf("%s: got %v, want ok %t", addr, err, ok)
		}
		if err == nil {
			_ = ln.Close()
		}
	}
}

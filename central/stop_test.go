package central

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestGracefulStop: a server that is told to stop takes no new connections, and
// ends what it has begun.
func TestGracefulStop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		fmt.Fprint(w, "done")
	})
	ctx, cancel := context.WithCancel(t.Context())
	stopped, answered := make(chan error, 1), make(chan string, 1)
	go func() { stopped <- serveHTTP(ctx, l, h, defaultTimes(), newKitLog(&logs{})) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + l.Addr().String()
	go func() {
		r, err := client.Get(url)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		answered <- fmt.Sprint(string(text), err)
	}()
	<-begun
	cancel()
	for refused := false; !refused; { // from when it is noticed on
		conn, err := net.Dial("tcp", l.Addr().String())
		if refused = err != nil; !refused {
			_ = conn.Close()
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("it stopped (%v) with a request under way", err)
	default:
	}
	close(release)
	if got := <-answered; got != "done<nil>" {
		t.Errorf("the request under way: got %s", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestClientThatReadsNothing: who takes no answer does not keep one waiting for
// ever.
func TestClientThatReadsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	given := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 1<<20)
		for {
			if _, err := w.Write(block); err != nil {
				close(given)
				return
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	o := defaultTimes()
	o.write = 200 * time.Millisecond
	go func() { stopped <- serveHTTP(ctx, l, h, o, newKitLog(&logs{})) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case <-given:
	case <-time.After(20 * time.Second):
		t.Error("the answer is still being written")
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

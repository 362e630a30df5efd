package api_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"postern/access"
	"postern/api"
)

func TestWatch(t *testing.T) {
	d := start(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	messages, err := d.client.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// Watch has returned, so nothing from here on is missed.
	d.Append(api.Event{Type: access.DoorForced, Door: "lab"})
	if err := d.client.Contact(ctx, "lab", true); err != nil {
		t.Fatal(err)
	}
	var got []string
	for m, err := range messages {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Kind)
		if len(got) == 2 {
			if m.Door == nil || !m.Door.Open {
				t.Errorf("door message: got %+v, want the door open", m.Door)
			}
			cancel()
		}
	}
	if len(got) != 2 || got[0] != api.MessageEvent || got[1] != api.MessageDoor {
		t.Errorf("got %q, want event, door", got)
	}
	until(t, "the daemon forgets a watcher that left", func() bool { return d.Watchers() == 1 })
}

func TestWatchEndsWithTheDaemon(t *testing.T) {
	ended := make(chan error, 1)
	var d *daemon
	t.Run("while it runs", func(t *testing.T) {
		d = start(t, true)
		messages, err := d.client.Watch(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			var last error
			for _, err := range messages {
				last = err
			}
			ended <- last
		}()
	})
	if err := <-ended; !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("the stream's end: got %v, want ErrUnreachable", err)
	}
	if _, err := d.client.Status(t.Context()); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("status after the end: got %v, want ErrUnreachable", err)
	}
}

func TestTooManyWatchers(t *testing.T) {
	d := start(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 32 {
		if _, err := d.client.Watch(ctx); err != nil {
			t.Fatalf("watcher %d: %v", i+1, err)
		}
	}
	_, err := d.client.Watch(ctx)
	var e *api.Error
	if !errors.As(err, &e) || e.Status != 503 || e.Code != "Busy" {
		t.Errorf("watcher 33: got %v, want 503 Busy", err)
	}
	cancel()
	until(t, "their places are free again", func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := d.client.Watch(ctx)
		return err == nil
	})
}

func TestStreamSaysItIsAlive(t *testing.T) {
	d := start(t, true)
	resp, err := d.http().Get("http://panel/v1/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b [1]byte
	if _, err := io.ReadFull(resp.Body, b[:]); err != nil || b[0] != '\n' {
		t.Errorf("first byte: got %q, %v, want a line's end", b, err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("content type: got %s", got)
	}
}

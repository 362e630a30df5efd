package api_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/api"
	"postern/api/apitest"
)

func (d *daemon) copied(t *testing.T) (map[string]string, error) {
	got := map[string]string{}
	err := d.client.CopyStore(t.Context(), func(name string, size int64, from io.Reader) error {
		b, err := io.ReadAll(from)
		if err == nil && int64(len(b)) != size {
			err = fmt.Errorf("%s: %d bytes of %d", name, len(b), size)
		}
		got[name] = string(b)
		return err
	})
	return got, err
}

func TestCopyStore(t *testing.T) {
	d := start(t, false)
	got, err := d.copied(t)
	if diff := cmp.Diff(apitest.Copied, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	d.Fail(fmt.Errorf("%w: not open yet", api.ErrRefused))
	if _, err := d.copied(t); !errors.Is(err, api.ErrRefused) || !strings.Contains(err.Error(), "not open yet") {
		t.Errorf("a store that is not open: %v", err)
	}
	d.Fail(nil)
	d.BreakCopies(errors.New("the card is gone"))
	if got, err := d.copied(t); err == nil {
		t.Errorf("a copy that was cut short is taken for a whole one: %v", got)
	}
	d.BreakCopies(nil)
	if _, err := d.copied(t); err != nil {
		t.Errorf("after one that was cut short: %v", err)
	}
	full := errors.New("no room")
	if err := d.client.CopyStore(t.Context(), func(string, int64, io.Reader) error { return full }); !errors.Is(err, full) {
		t.Errorf("a receiver that fails: %v", err)
	}
}

// The store is for root and the daemon's own user, and only the kernel is believed
// about who that is.
func TestCopyStoreIsForRoot(t *testing.T) {
	for _, tt := range []struct {
		uid, own int
		want     bool
	}{{0, 990, true}, {990, 990, true}, {1000, 990, false}, {65534, 990, false}, {1000, 0, false}, {0, 0, true}} {
		if got := api.MayCopy(tt.uid, tt.own); got != tt.want {
			t.Errorf("user %d of a daemon of user %d: %v, want %v", tt.uid, tt.own, got, tt.want)
		}
	}
	d := start(t, false)
	for name, h := range map[string]http.Handler{"a connection without a user": d.server.Socket(), "the page": d.server.Page()} {
		ts := httptest.NewServer(h)
		resp, err := http.Get(ts.URL + "/v1/store")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Close()
		if resp.StatusCode/100 == 2 || strings.Contains(string(b), "the keys") {
			t.Errorf("%s: %s %s", name, resp.Status, b)
		}
	}
}

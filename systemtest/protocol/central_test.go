package protocol

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/central"
)

const centralID = "central"

// office is central: its database in a directory, and what runs on it.
type office struct {
	t      testing.TB
	b      *broker
	log    *slog.Logger
	dir    string
	secret string // of the API key

	store *central.Store
	api   *central.API
	link  *central.Link
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// template is a database with its tables and an API key, made once.
var template = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp(scratch(), "template-")
	if err != nil {
		return "", err
	}
	ctx := context.Background()
	s, err := central.Open(ctx, central.StoreOptions{Database: filepath.Join(dir, "central.db"), SecretKeyFile: filepath.Join(dir, "secret.key")})
	if err != nil {
		return "", err
	}
	defer s.Close()
	key, err := s.CreateAPIKey(ctx, central.APIKeySpec{Integration: "test"})
	if err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "api.key"), []byte(key.Secret), 0o600)
})

// scratch is in memory where that is to be had: an fsync costs nothing there, and
// here nobody pulls a plug.
func scratch() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

func newOffice(t testing.TB, b *broker, log *slog.Logger, template, dir string) *office {
	copyInto(t, template, dir)
	secret, err := os.ReadFile(filepath.Join(dir, "api.key"))
	must(t, err)
	return &office{t: t, b: b, log: log, dir: dir, secret: string(secret)}
}

func (o *office) start() {
	s, err := central.Open(o.t.Context(), central.StoreOptions{
		Database: filepath.Join(o.dir, "central.db"), SecretKeyFile: filepath.Join(o.dir, "secret.key"), Log: o.log,
	})
	must(o.t, err)
	ctx, stop := context.WithCancel(context.Background())
	o.store, o.stop = s, stop
	o.link = central.NewLink(s, central.LinkOptions{
		Broker: "tcp://pipe:1", ClientID: centralID, Log: o.log,
		NewClient: o.b.client,
	})
	o.api = central.NewAPI(s, central.APIOptions{Log: o.log, RateLimit: 1_000_000, Wake: o.link.Wake, Linked: o.link.Connected})
	link := o.link
	o.done.Go(func() { _ = link.Run(ctx) })
}

// client makes a paho client whose connection is a pipe to the broker.
func (b *broker) client(o *mqtt.ClientOptions) mqtt.Client {
	return mqtt.NewClient(o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return b.dial() }))
}

// kill ends central as a crash does: what it had committed is all that is left.
func (o *office) kill() {
	synctest.Wait()
	left := o.copy()
	o.close()
	must(o.t, os.RemoveAll(o.dir))
	must(o.t, os.Rename(left, o.dir))
}

func (o *office) close() {
	o.stop()
	o.done.Wait()
	must(o.t, o.store.Close())
}

// copy is a copy of the database as it is now.
func (o *office) copy() string {
	synctest.Wait()
	return copyDir(o.t, o.dir)
}

// restore puts an earlier copy in the place of the database; central is not running.
func (o *office) restore(from string) {
	must(o.t, os.RemoveAll(o.dir))
	copyInto(o.t, from, o.dir)
}

// post asks the HTTP API.
func (o *office) post(path, body string, want int, v any) {
	o.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+o.secret)
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	o.api.ServeHTTP(w, r)
	if w.Code != want {
		o.t.Fatalf("%s %s: %d %s", path, body, w.Code, w.Body)
	}
	if v != nil {
		must(o.t, json.Unmarshal(w.Body.Bytes(), v))
	}
}

// put adds or changes the key with this identification and gives its id.
func (o *office) put(kind, identification, pin string, levels ...string) string {
	var a struct{ ID string }
	list, err := json.Marshal(levels)
	must(o.t, err)
	if levels == nil {
		list = []byte("[]")
	}
	if pin != "" {
		pin = fmt.Sprintf(`"pin":%q,`, pin)
	}
	o.post("/v1/accesskeys/add", fmt.Sprintf(`{"key":{"identification":%q,"type":%q},%s"access_levels":%s}`, identification, kind, pin, list), http.StatusOK, &a)
	return a.ID
}

func (o *office) remove(id string) {
	o.post("/v1/accesskeys/remove", fmt.Sprintf(`{"id":%q}`, id), http.StatusNoContent, nil)
}

// results is what central knows of a key on each panel: "applied", "pending" or
// why it failed.
func (o *office) results(id string) map[string]string {
	var a struct {
		Applied []struct {
			SystemID string `json:"system_id"`
		} `json:"systems_where_applied"`
		Pending []struct {
			SystemID string `json:"system_id"`
		} `json:"systems_where_pending"`
		Failed []struct {
			SystemID  string `json:"system_id"`
			ErrorType string `json:"error_type"`
		} `json:"systems_where_failed"`
	}
	o.post("/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, id), http.StatusOK, &a)
	out := map[string]string{}
	for _, s := range a.Applied {
		out[s.SystemID] = "applied"
	}
	for _, s := range a.Pending {
		out[s.SystemID] = "pending"
	}
	for _, s := range a.Failed {
		out[s.SystemID] = s.ErrorType
	}
	return out
}

// events counts what central has stored, by detail.
func (o *office) events() map[string]int {
	out := map[string]int{}
	next := ""
	for {
		var a struct {
			HasMore      bool   `json:"has_more"`
			Continuation string `json:"continuation_key"`
			Events       []struct{ Detail string }
		}
		body := `{"from_date":"2000-01-01T00:00:00Z","limit":1000}`
		if next != "" {
			body = fmt.Sprintf(`{"continuation_key":%q}`, next)
		}
		o.post("/v1/events/list", body, http.StatusOK, &a)
		for _, e := range a.Events {
			out[e.Detail]++
		}
		if next = a.Continuation; !a.HasMore {
			return out
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyDir(t testing.TB, dir string) string {
	to, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+"-")
	must(t, err)
	copyInto(t, dir, to)
	return to
}

// copyInto copies a directory's files, each for its owner alone.
func copyInto(t testing.TB, from, to string) {
	t.Helper()
	must(t, os.MkdirAll(to, 0o700))
	must(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o600)
	}))
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postern/access"
	"postern/api"
)

// built are the three programs, made once for all tests; TestMain removes them.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func programsBuilt(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs all programs")
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "postern-programs-"); built.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", built.dir, "postern/cmd/postern", "postern/cmd/posternd", "postern/cmd/postern-central").CombinedOutput()
		if err != nil {
			built.err = errors.New(string(out))
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// running is a demo in a process of its own.
type running struct {
	t    *testing.T
	cmd  *exec.Cmd
	said []byte       // what came first on stdout
	out  bytes.Buffer // all of it, once done is closed
	errs bytes.Buffer
	done chan struct{}
	site siteInfo
	tmp  string // where its temporary folders are
}

func runDemo(t *testing.T, bin string, args ...string) *running {
	t.Helper()
	tmp, err := os.MkdirTemp("", "demo")
	if err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, tmp: tmp, done: make(chan struct{})}
	args = append([]string{"demo", "--json", "--central-addr", "127.0.0.1:0", "--panel-addr", "127.0.0.1:0", "--mqtt-addr", "127.0.0.1:0"}, args...)
	r.cmd = exec.Command(filepath.Join(bin, "postern"), args...)
	r.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr = write, &r.errs
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	line := make(chan struct{})
	go func() {
		defer close(r.done)
		var b [4096]byte
		for first := true; ; first = false {
			n, err := read.Read(b[:])
			r.out.Write(b[:n])
			if first {
				r.said = bytes.Clone(b[:n])
				close(line)
			}
			if err != nil {
				break
			}
		}
		_ = read.Close()
		_ = r.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		<-r.done
		_ = os.RemoveAll(tmp)
	})
	<-line
	return r
}

// ready reads the one line that says where the site is.
func (r *running) ready() {
	r.t.Helper()
	if err := json.Unmarshal(r.said, &r.site); err != nil {
		<-r.done
		r.t.Fatalf("not a line of JSON: %v: %q; stderr: %s", err, r.said, &r.errs)
	}
}

func (r *running) end(sig os.Signal) (code int) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
	<-r.done
	return r.cmd.ProcessState.ExitCode()
}

// children are the programs that the demo started.
func (r *running) children() []int {
	r.t.Helper()
	var out []int
	pid := strconv.Itoa(r.cmd.Process.Pid)
	tasks, err := filepath.Glob("/proc/" + pid + "/task/*/children")
	if err != nil || len(tasks) == 0 {
		r.t.Skip("this kernel doesn't list children")
	}
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for word := range strings.FieldsSeq(string(b)) {
			n, _ := strconv.Atoi(word)
			out = append(out, n)
		}
	}
	return out
}

// alive reports whether a process runs; one that nobody has waited for doesn't.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func (r *running) post(path, body string) int {
	r.t.Helper()
	req, _ := http.NewRequestWithContext(r.t.Context(), "POST", r.site.Central+path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+r.site.APIKey)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (r *running) addKey(identification string) {
	r.t.Helper()
	body := `{"key":{"type":"proximity","identification":"` + identification + `"},"access_levels":["` + r.site.Levels[0].ID + `"]}`
	if got := r.post("/v1/accesskeys/add", body); got != 200 {
		r.t.Fatalf("add: got %d", got)
	}
}

// opens badges until the door opens: the key is on its way.
func (r *running) opens(identification string) {
	r.t.Helper()
	c := api.NewClient(r.site.Socket)
	eventually(r.t, "the key is on the panel", func() bool {
		keys, err := c.Keys(r.t.Context(), access.ID{}, 10)
		return err == nil && len(keys) > 0
	})
	if _, err := c.Badge(r.t.Context(), "front", identification, ""); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "the door is released", func() bool {
		doors, err := c.Doors(r.t.Context())
		return err == nil && doors[0].ID == "front" && doors[0].Released
	})
}

func TestDemo(t *testing.T) {
	r := runDemo(t, programsBuilt(t))
	r.ready()
	if r.site.SystemID != "demo-001" || len(r.site.Levels) != 2 || len(r.site.Readers) != 2 || r.site.APIKey == "" {
		t.Errorf("site: got %+v", r.site)
	}
	r.addKey("0001234567890")
	r.opens("0001234567890")
	resp, err := http.Get(r.site.Panel + "/")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("page: got %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	children := r.children()
	if len(children) < 2 {
		t.Errorf("children: got %v, want two or more", children)
	}
	if code := r.end(syscall.SIGTERM); code != 0 || r.errs.Len() > 0 {
		t.Errorf("exit code %d, stderr %q, want 0 and nothing", code, &r.errs)
	}
	if got := bytes.Count(r.out.Bytes(), []byte("\n")); got != 1 {
		t.Errorf("%d lines on stdout, want one: %s", got, &r.out)
	}
	if left, _ := os.ReadDir(r.tmp); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	for _, pid := range children {
		if alive(pid) {
			t.Errorf("process %d runs still", pid)
		}
	}
}

func TestDemoKeepsAFolderThatWasThere(t *testing.T) {
	bin := programsBuilt(t)
	dir, err := os.MkdirTemp("", "kept")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	first := runDemo(t, bin, "--dir", dir)
	first.ready()
	first.addKey("0000000000042")
	first.opens("0000000000042")
	second := runDemo(t, bin, "--dir", dir)
	<-second.done
	if code := second.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(second.errs.String(), "a demo runs in "+dir+" already") {
		t.Errorf("a second demo in one folder: exit code %d, stderr %q", code, &second.errs)
	}
	if code := first.end(os.Interrupt); code != 0 {
		t.Errorf("exit code %d: %s", code, &first.errs)
	}
	again := runDemo(t, bin, "--dir", dir)
	again.ready()
	if again.site.APIKey != first.site.APIKey {
		t.Error("the API key is another than before")
	}
	again.opens("0000000000042")
	if code := again.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, &again.errs)
	}
}

func TestDemoRemovesAFolderThatItMade(t *testing.T) {
	bin := programsBuilt(t)
	parent, err := os.MkdirTemp("", "made")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	r := runDemo(t, bin, "--dir", filepath.Join(parent, "demo"))
	r.ready()
	if code := r.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, &r.errs)
	}
	if _, err := os.Stat(filepath.Join(parent, "demo")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder is there still: %v", err)
	}
}

func TestDemoKilledLeavesNoProgram(t *testing.T) {
	r := runDemo(t, programsBuilt(t))
	r.ready()
	children := r.children()
	t.Cleanup(func() {
		for _, pid := range children {
			if alive(pid) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	r.end(syscall.SIGKILL)
	for _, pid := range children {
		eventually(t, "process "+strconv.Itoa(pid)+" is gone", func() bool { return !alive(pid) })
	}
}

func TestDemoStopsWhenAProgramDies(t *testing.T) {
	r := runDemo(t, programsBuilt(t))
	r.ready()
	children := r.children()
	if err := syscall.Kill(children[len(children)-1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-r.done
	if code := r.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if got := r.errs.String(); !strings.Contains(got, "ended with signal: killed; its log ends: ") || strings.Count(got, "\n") != 1 {
		t.Errorf("stderr: got %q", got)
	}
	for _, pid := range children {
		if alive(pid) {
			t.Errorf("process %d runs still", pid)
		}
	}
	logs, _ := filepath.Glob(filepath.Join(r.tmp, "postern-demo-*", "*.log"))
	if len(logs) != 2 {
		t.Errorf("logs: got %v, want those of both programs", logs)
	}
}

// withPanel makes a folder of programs in which posternd is a script.
func withPanel(t *testing.T, bin, script string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postern-odd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"postern", "postern-central"} {
		if err := os.Link(filepath.Join(bin, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if script != "" {
		if err := os.WriteFile(filepath.Join(dir, "posternd"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDemoSaysWhyItDidNotStart(t *testing.T) {
	bin := programsBuilt(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tests := []struct {
		name, bin string
		args      []string
		code      int
		want      string
	}{
		{"a program dies", withPanel(t, bin, "echo starting; echo the board is on fire >&2; exit 7"), nil, 1, "posternd ended with exit status 7; its log ends: starting | the board is on fire (logs are in "},
		{"a program is missing", withPanel(t, bin, ""), nil, 1, "posternd is not in "},
		{"a port is in use", bin, []string{"--panel-addr", ln.Addr().String()}, 1, ln.Addr().String() + " is in use: name another with --panel-addr"},
		{"a path is too long", bin, []string{"--dir", "/tmp/" + strings.Repeat("x", 120)}, 2, "name one with --dir"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := runDemo(t, tt.bin, tt.args...)
			<-r.done
			if code := r.cmd.ProcessState.ExitCode(); code != tt.code || r.out.Len() > 0 {
				t.Errorf("exit code %d, stdout %q, want %d and nothing", code, &r.out, tt.code)
			}
			if got := r.errs.String(); !strings.Contains(got, tt.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("stderr: got %q, want %q on one line", got, tt.want)
			}
		})
	}
}

func TestStopKillsWhatWillNotEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the whole time that a program has to stop")
	}
	died := make(chan *process, 1)
	p, err := startProcess(died, filepath.Join(t.TempDir(), "log"), "/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is up", func() bool { return p.tail() == "up" })
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "did not stop within 10s and was killed") {
		t.Errorf("stop: got %v", err)
	}
	if alive(p.cmd.Process.Pid) {
		t.Error("it runs still")
	}
}

func TestShellWords(t *testing.T) {
	for in, want := range map[string]string{
		"": "''", "/tmp/a-b_c.d:1": "/tmp/a-b_c.d:1", "a b": "'a b'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", `{"a":1}`: `'{"a":1}'`,
	} {
		if got := shell(in); got != want {
			t.Errorf("shell(%q): got %s, want %s", in, got, want)
		}
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+shell(in)).Output()
		if err != nil || string(out) != in {
			t.Errorf("a shell reads %s as %q, %v", shell(in), out, err)
		}
	}
}

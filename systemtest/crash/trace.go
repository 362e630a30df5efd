package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// call is one system call of a recorded program.
type call struct {
	name       string
	args       []string // as strace writes them, strings in hex
	result     int64
	start, end int // lines of the trace, which order what several threads did
}

// mutating are the calls that a disk's content can depend on, and those that
// the model of a disk doesn't know: it refuses them rather than miss a write.
const mutating = "open,openat,openat2,creat,close,dup,dup3,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate," +
	"fsync,fdatasync,sync,syncfs,sync_file_range,msync,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat," +
	"link,linkat,symlink,symlinkat,copy_file_range,sendfile"

// maxTraceLine bounds a line of a trace: the hex of one write.
const maxTraceLine = 64 << 20

// record runs a program under strace and gives its calls, in the order in which
// they ended.
func record(ctx context.Context, scratch string, program ...string) ([]call, error) {
	path := filepath.Join(scratch, "trace")
	args := append([]string{
		"-f", "-xx", "-s", strconv.Itoa(maxTraceLine / 8), "-e", "signal=none", "-e", "trace=" + mutating, "-o", path,
	}, program...)
	cmd := exec.CommandContext(ctx, "strace", args...)
	// A call that a signal interrupts is in the trace twice.
	cmd.Env = append(os.Environ(), "GODEBUG=asyncpreemptoff=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("record under strace: %w: %s", err, out)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseTrace(f)
}

// parseTrace reads what strace -f -xx writes.
func parseTrace(r io.Reader) ([]call, error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxTraceLine)
	type half struct {
		text  string
		start int
	}
	unfinished := map[string]half{}
	var calls []call
	for n := 0; sc.Scan(); n++ {
		pid, text, _ := strings.Cut(sc.Text(), " ")
		text = strings.TrimSpace(text)
		start := n
		if head, ok := strings.CutSuffix(text, " <unfinished ...>"); ok {
			unfinished[pid] = half{head, n}
			continue
		}
		if strings.HasPrefix(text, "<... ") {
			_, tail, _ := strings.Cut(text, " resumed>")
			text, start = unfinished[pid].text+tail, unfinished[pid].start
			delete(unfinished, pid)
		}
		if strings.HasPrefix(text, "+++") || strings.HasPrefix(text, "---") {
			continue
		}
		c, err := parseCall(text)
		if err != nil {
			return nil, fmt.Errorf("trace, line %d: %w", n+1, err)
		}
		c.start, c.end = start, n
		calls = append(calls, c)
	}
	return calls, sc.Err()
}

func parseCall(text string) (call, error) {
	name, rest, opened := strings.Cut(text, "(")
	i := strings.LastIndex(rest, " = ")
	if !opened || i < 0 {
		return call{}, fmt.Errorf("not a call: %.80s", text)
	}
	args := strings.TrimSuffix(strings.TrimSpace(rest[:i]), ")")
	word, _, _ := strings.Cut(rest[i+3:], " ")
	c := call{name: name, args: strings.Split(args, ", "), result: -1}
	if word == "?" {
		return c, nil
	}
	result, err := strconv.ParseInt(word, 0, 64)
	if err != nil {
		return call{}, fmt.Errorf("result of %s: %w", name, err)
	}
	c.result = result
	return c, nil
}

// text gives argument i, a string.
func (c *call) text(i int) ([]byte, error) {
	if i >= len(c.args) {
		return nil, fmt.Errorf("%s has no argument %d", c.name, i)
	}
	quoted, ok := strings.CutPrefix(c.args[i], `"`)
	inner, whole := strings.CutSuffix(quoted, `"`)
	if !ok || !whole {
		return nil, fmt.Errorf("%s: argument %d is not a whole string", c.name, i)
	}
	out, err := hex.DecodeString(strings.ReplaceAll(inner, `\x`, ""))
	if err != nil {
		return nil, fmt.Errorf("%s: argument %d: %w", c.name, i, err)
	}
	return out, nil
}

// number gives argument i, a number.
func (c *call) number(i int) (int64, error) {
	if i >= len(c.args) {
		return 0, fmt.Errorf("%s has no argument %d", c.name, i)
	}
	n, err := strconv.ParseInt(c.args[i], 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: argument %d: %w", c.name, i, err)
	}
	return n, nil
}

// flag reports whether argument i has a flag set.
func (c *call) flag(i int, name string) bool {
	return i < len(c.args) && strings.Contains("|"+c.args[i]+"|", "|"+name+"|")
}

// path gives argument i, a path, absolute.
func (c *call) path(i int) (string, error) {
	b, err := c.text(i)
	if err == nil && !filepath.IsAbs(string(b)) {
		err = errors.New("a path that is not absolute")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.name, err)
	}
	return filepath.Clean(string(b)), nil
}

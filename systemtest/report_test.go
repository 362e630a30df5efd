package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/systemtest/jsonfile"
	"postern/systemtest/machine"
)

func TestReport(t *testing.T) {
	good := machine.Row{Part: "gpio", Check: "frames", Result: "12 of 12 right", OK: true}
	bad := machine.Row{Part: "gpio", Check: "strike", Result: "FAILED: not at rest", Detail: "high for 3 s"}
	tests := []struct {
		name    string
		rows    []machine.Row
		err     error
		strict  bool
		verdict string // a part of the error; "" for none
		printed string
	}{
		{name: "good", rows: []machine.Row{good}, printed: "ok      gpio  frames  12 of 12 right\n"},
		{name: "bad", rows: []machine.Row{good, bad}, verdict: "1 of 2 checks failed", printed: "FAILED  gpio  strike  FAILED: not at rest\n"},
		{name: "why bad", rows: []machine.Row{bad}, verdict: "1 of 1 checks failed", printed: "high for 3 s"},
		{name: "broken", rows: []machine.Row{good}, err: errors.New("it hung"), verdict: "gpio did not come to its end", printed: "it hung"},
		{name: "empty", verdict: "gpio did not come to its end", printed: "it checked nothing"},
		{name: "skipped", err: &machine.MissingError{Tool: "qemu", Package: "qemu-system-arm"}, printed: "skipped: qemu is not installed: apt-get install qemu-system-arm"},
		{name: "skipped in CI", err: &machine.MissingError{Tool: "qemu", Package: "q"}, strict: true, verdict: "gpio was skipped", printed: "skipped"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r report
			r.add("gpio", tt.rows, tt.err, 90*time.Second)
			var out strings.Builder
			if err := r.print(&out); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), tt.printed) {
				t.Errorf("printed\n%s\nwithout %q", out.String(), tt.printed)
			}
			err := r.verdict(tt.strict)
			if (err == nil) != (tt.verdict == "") || err != nil && !strings.Contains(err.Error(), tt.verdict) {
				t.Errorf("verdict %v, want %q", err, tt.verdict)
			}
			path := filepath.Join(t.TempDir(), "build", "report.json")
			if err := jsonfile.Write(path, r); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(path)
			var back report
			if err != nil || json.Unmarshal(raw, &back) != nil || len(back.Rows) != len(tt.rows) {
				t.Errorf("written %s, %v", raw, err)
			}
		})
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const levelNew = "ce8e881e-1392-4f53-b7c2-35eeb3ecaf99"

// wantMode waits until a door is in a mode.
func (s *site) wantMode(door, mode string) {
	s.t.Helper()
	s.eventually("mode of "+door, func() error {
		var d struct{ ID, Mode string }
		out, _ := s.cli("doors")
		for line := range strings.Lines(out) {
			if err := json.Unmarshal([]byte(line), &d); err == nil && d.ID == door && d.Mode == mode {
				return nil
			}
		}
		return fmt.Errorf("want %s, have %s", mode, out)
	})
}

// A policy from central takes the place of the first one, outlives a power cut,
// and is refused whole when it is faulty.
func TestEndToEndPolicy(t *testing.T) {
	s := newSite(t)
	doc := fmt.Sprintf(`{"codes":{"enabled":true,"size":4},"rules":{},"lockout":{},
		"access_levels":[{"id":%q,"name":"new","grants":[{"access_points":["front"],"schedule":"always"}]}]}`, levelNew)
	s.write("policy.json", doc)
	s.admin("policy", "apply", "site-001", filepath.Join(s.dir, "policy.json"))
	inForce := func(want string) {
		t.Helper()
		s.eventually("the panel's word on the policy", func() error {
			if out := string(s.admin("policy", "get", "site-001", "--json")); !strings.Contains(out, want) {
				return fmt.Errorf("want %s in %s", want, out)
			}
			return nil
		})
	}
	inForce(`"applied":true`)
	s.eventually("the new level is announced", func() error {
		if out := string(s.admin("levels", "list", "--json")); !strings.Contains(out, levelNew) {
			return fmt.Errorf("levels are %s", out)
		}
		return nil
	})
	a := s.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"access_levels":[%q]}`, card, levelNew))
	s.wantStatus(a.ID, "Applied")
	s.badge("front", card, 102)

	s.panel.end(t, syscall.SIGKILL)
	s.startPanel()
	s.badge("front", card, 102)

	s.write("policy.json", strings.Replace(doc, `"schedule":"always"`, `"schedule":"alwas"`, 1))
	s.admin("policy", "apply", "site-001", filepath.Join(s.dir, "policy.json"))
	inForce("alwas")
	s.badge("front", card, 102) // what was in force stays

	for n := range 11 {
		code := s.add(fmt.Sprintf(`{"key":{"identification":"%d","type":"code"},"access_levels":[%q]}`, 4000+n, levelNew))
		s.wantStatus(code.ID, "Applied")
	}
	const risk = "11 codes of 4 digits are too easy to guess"
	if out := s.do("status"); !strings.Contains(out, `"codes":11,"code_size":4`) || !strings.Contains(out, risk) {
		t.Errorf("status does not tell of the codes: %s", out)
	}
	check := func() string {
		out, err := exec.Command(filepath.Join(s.bin, "posternd"), "check", "--config", filepath.Join(s.dir, "panel.toml")).CombinedOutput()
		if err != nil {
			t.Errorf("check: %v: %s", err, out)
		}
		return string(out)
	}
	if out := check(); !strings.Contains(out, "ask postern doctor") {
		t.Errorf("check beside the daemon: %s", out)
	}
	s.panel.end(t, syscall.SIGTERM)
	if out := check(); !strings.Contains(out, "warning: "+risk) {
		t.Errorf("check: %s", out)
	}
	s.startPanel()
}

// A lockdown from central suspends everything, outlives a power cut, and ends by
// central's word.
func TestEndToEndModes(t *testing.T) {
	s := newSite(t)
	a := s.addCard(card)
	s.wantStatus(a.ID, "Applied")
	s.admin("modes", "set", "site-001", "*", "LockedDown")
	s.wantMode("front", "LockedDown")
	s.wantMode("lab", "LockedDown")
	s.badge("front", card, 200)
	s.panel.end(t, syscall.SIGKILL)
	s.startPanel()
	s.wantMode("front", "LockedDown")
	s.badge("front", card, 200)
	s.admin("modes", "set", "site-001", "*", "Scheduled")
	s.wantMode("front", "Locked")
	s.badge("front", card, 102)
}

// An operator opens a door from afar, once.
func TestEndToEndCommand(t *testing.T) {
	s := newSite(t)
	if out := string(s.admin("command", "unlock", "site-001", "lab", "--json")); !strings.Contains(out, `"done"`) {
		t.Errorf("unlock: %s", out)
	}
	if !s.released("lab") {
		t.Error("the lab is not released")
	}
	s.wantEvents(1, 100)
}

// With trusted keys a panel takes what central signed and nothing else; a new key
// takes the place of the old one without a gap.
func TestEndToEndSigned(t *testing.T) {
	s := newSite(t)
	unsigned := s.addCard(card)
	s.wantStatus(unsigned.ID, "Applied")

	key := strings.TrimSpace(string(s.admin("--signing-key-file", filepath.Join(s.dir, "signing.key"), "signing", "new", "first")))
	s.write("panel.toml", "[trust]\nkeys = ["+fmt.Sprintf("%q", trustLine(t, key))+"]\n"+s.panelConfig())
	s.panel.end(t, syscall.SIGTERM)
	s.startPanel()
	refused := s.addCard(stranger)
	s.eventually("an unsigned change is refused", func() error {
		if b, err := os.ReadFile(filepath.Join(s.dir, "panel.log")); err != nil || !strings.Contains(string(b), "not signed") {
			return fmt.Errorf("the panel's log does not say so (%w)", err)
		}
		return nil
	})
	s.badge("front", card, 102)
	s.badge("front", stranger, 201)

	s.stopCentral()
	s.write("central.toml", "signing_key_file = "+fmt.Sprintf("%q", filepath.Join(s.dir, "signing.key"))+"\n"+s.centralConfig())
	s.startCentral()
	s.wantStatus(refused.ID, "Applied")
	s.badge("front", stranger, 102)
}

// trustLine is the kid:key that "signing new" printed, whatever else it said.
func trustLine(t *testing.T, out string) string {
	t.Helper()
	for _, f := range strings.FieldsFunc(out, func(r rune) bool { return strings.ContainsRune(" \t\n\"'[],", r) }) {
		if strings.HasPrefix(f, "first:") {
			return f
		}
	}
	t.Fatalf("no key in %q", out)
	return ""
}

// A card moved to another board has another device key: PINs and codes can't be
// compared there, so the panel denies, says so, and gets all keys again.
func TestEndToEndDeviceKey(t *testing.T) {
	s := newSite(t)
	a := s.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"pin":"7301","access_levels":[%q]}`, card, levelAlways))
	s.wantStatus(a.ID, "Applied")
	s.panel.end(t, syscall.SIGKILL)
	if err := os.Remove(filepath.Join(s.dir, "data", "device.key")); err != nil {
		t.Fatal(err)
	}
	s.startPanel()
	s.eventually("all keys again", func() error {
		if out, code := s.cli("keys", "list"); code != 0 || !strings.Contains(out, a.ID) {
			return fmt.Errorf("keys are %q", out)
		}
		return nil
	})
	s.do("sim", "badge", "--reader", "lab", "--identification", card)
	s.do("sim", "keys", "--reader", "lab", "7301")
	s.eventually("card and PIN", func() error {
		if !s.released("lab") {
			return fmt.Errorf("the lab is secured")
		}
		return nil
	})
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// requestSite is a site on real Mosquitto, where there is one, with people.
func requestSite(t *testing.T) *site {
	t.Helper()
	kind := brokerKind(os.Getenv("POSTERN_TEST_BROKER"))
	if kind == embedded && programPath(mosquitto.program()) != "" {
		kind = mosquitto
	}
	return newSiteOn(t, kind, nil)
}

// person makes a user and gives their token.
func (s *site) person(name string, flags ...string) (token string) {
	s.t.Helper()
	s.admin(append([]string{"users", "add", name}, flags...)...)
	return strings.TrimSpace(string(s.admin("users", "token", name, "--expires", "2h")))
}

// as sends a request of a user and decodes the answer into v, which may be nil.
func (s *site) as(token, method, path, body string, v any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.http+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

func (s *site) mustAs(token, method, path, body string, v any) {
	s.t.Helper()
	if err := s.as(token, method, path, body, v); err != nil {
		s.t.Fatal(err)
	}
}

// granted asks for the level that always opens, has it voted in, and waits until
// the panel has it. It gives the request's path.
func (s *site) granted(asker, voter, window string) (path string) {
	s.t.Helper()
	var made struct {
		Request struct{ ID string } `json:"access_request"`
	}
	body := fmt.Sprintf(`{"account_id":%q,"reason":"maintenance",%s}`, levelAlways, window)
	s.mustAs(asker, "POST", "/api/v2/access_request", body, &made)
	path = "/api/v2/access_request/" + made.Request.ID
	s.mustAs(voter, "POST", path+"/vote", `{"accepted":true}`, nil)
	s.wantItem(asker, made.Request.ID, "REQUEST_COMPLETED")
	return path
}

func (s *site) wantItem(token, id, want string) {
	s.t.Helper()
	query := url.Values{"filters": {fmt.Sprintf("accountActivityItemId eq %q", id)}}.Encode()
	s.eventually("state of the access request", func() error {
		var items []struct{ State string }
		if err := s.as("Bearer "+token, "GET", "/access-request-status?"+query, "", &items); err != nil {
			return err
		}
		if len(items) != 1 || items[0].State != want {
			return fmt.Errorf("%+v, want %s", items, want)
		}
		return nil
	})
}

func (s *site) noKeys() {
	s.t.Helper()
	s.eventually("the panel has no key", func() error {
		if out := s.do("keys", "list"); strings.TrimSpace(out) != "" {
			return fmt.Errorf("keys %s", out)
		}
		return nil
	})
}

// A door opens by a request that was voted in, and is closed to it after it was
// revoked; by card and by code.
func TestEndToEndRequestOpensDoor(t *testing.T) {
	s := requestSite(t)
	ann, bea, bob := s.person("Ann", "--card", card), s.person("Bea"), s.person("Bob", "--role", "approver")
	s.admin("levels", "approvers", levelAlways, "Bob", "--votes", "1")
	s.badge("front", card, 201)

	path := s.granted(ann, bob, `"type":"immediate","immediate_interval":2`)
	s.badge("front", card, 102)
	if !s.released("front") {
		t.Error("the door is not released")
	}
	s.mustAs(bob, "POST", path+"/revoke", `{"revoke_reason":"done"}`, nil)
	s.noKeys()
	s.badge("front", card, 201)
	s.wantItem(ann, filepath.Base(path), "TERMINATED")

	path = s.granted(bea, bob, `"type":"immediate","immediate_interval":1`)
	var mine struct{ Codes []struct{ Code string } }
	s.mustAs(bea, "GET", "/v1/users/me/codes", "", &mine)
	if len(mine.Codes) != 1 {
		t.Fatalf("codes %+v", mine)
	}
	n := len(s.localEvents())
	s.do("sim", "keys", "--reader", "front", mine.Codes[0].Code+"#")
	s.wantLocal(n+1, 101)
	s.mustAs(bea, "POST", path+"/revoke", `{}`, nil)
	s.noKeys()
	s.do("sim", "keys", "--reader", "front", mine.Codes[0].Code+"#")
	s.wantLocal(n+2, 201)
	for _, f := range []string{"central.log", "panel.log"} {
		log, err := os.ReadFile(filepath.Join(s.dir, f))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{ann, bea, bob, mine.Codes[0].Code} {
			if bytes.Contains(log, []byte(secret)) {
				t.Errorf("%s holds a secret", f)
			}
		}
	}
}

// What was granted ends on time where central can't say so any more.
func TestEndToEndRequestEndsAlone(t *testing.T) {
	s := requestSite(t)
	ann, bob := s.person("Ann", "--card", card), s.person("Bob", "--role", "approver")
	s.admin("levels", "approvers", levelAlways, "Bob")
	end := time.Now().Add(15 * time.Second)
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	path := s.granted(ann, bob, fmt.Sprintf(`"type":"scheduled","starts_at":%q,"expires_at":%q`, at(time.Now()), at(end)))
	s.central.end(t, syscall.SIGKILL)
	s.broker.end(t, syscall.SIGKILL)
	s.eventually("its time is over", func() error {
		if left := time.Until(end); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	s.badge("front", card, 202)
	s.startBroker()
	s.startCentral()
	s.noKeys()
	s.badge("front", card, 201)
	var got struct {
		Request struct{ Status string } `json:"access_request"`
	}
	s.mustAs(ann, "GET", path, "", &got)
	if got.Request.Status != "expired" {
		t.Errorf("status %s, want expired", got.Request.Status)
	}
}

// What is granted while the panel is away never opens after its time, and what is
// revoked meanwhile does not open once the panel has heard of it.
func TestEndToEndRequestPanelAway(t *testing.T) {
	s := requestSite(t)
	ann, bob := s.person("Ann", "--card", card), s.person("Bob", "--role", "approver")
	s.admin("levels", "approvers", levelAlways, "Bob")
	s.panel.end(t, syscall.SIGTERM)
	end := time.Now().Add(4 * time.Second)
	var made struct {
		Request struct{ ID string } `json:"access_request"`
	}
	body := fmt.Sprintf(`{"account_id":%q,"reason":"visit","type":"scheduled","starts_at":%q,"expires_at":%q}`, levelAlways,
		time.Now().UTC().Format(time.RFC3339Nano), end.UTC().Format(time.RFC3339Nano))
	s.mustAs(ann, "POST", "/api/v2/access_request", body, &made)
	s.mustAs(bob, "POST", "/api/v2/access_request/"+made.Request.ID+"/vote", `{"accepted":true}`, nil)
	s.wantItem(ann, made.Request.ID, "EXECUTING")
	s.eventually("its time is over", func() error {
		if left := time.Until(end); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	s.wantItem(ann, made.Request.ID, "TERMINATED") // no panel had it
	s.startPanel()
	// It gets the key, whose time is over, and then has it taken away.
	s.eventually("the panel has heard of both", func() error {
		var st struct{ Keys struct{ Revision uint64 } }
		if err := json.Unmarshal([]byte(s.do("status")), &st); err != nil || st.Keys.Revision < 2 {
			return fmt.Errorf("the panel is at revision %d (%w)", st.Keys.Revision, err)
		}
		return nil
	})
	s.noKeys()
	s.badge("front", card, 201)

	path := s.granted(ann, bob, `"type":"immediate","immediate_interval":2`)
	s.badge("front", card, 102)
	s.panel.end(t, syscall.SIGTERM)
	s.mustAs(bob, "POST", path+"/revoke", `{"revoke_reason":"done"}`, nil)
	s.startPanel()
	s.noKeys()
	s.badge("front", card, 201)
}

// A card that is somebody's ordinary key at the panel already: the request ends
// as failed, says why, and leaves that key alone.
func TestEndToEndRequestCardInUse(t *testing.T) {
	s := requestSite(t)
	ann, bob := s.person("Ann", "--card", card), s.person("Bob", "--role", "approver")
	s.admin("levels", "approvers", levelAlways, "Bob")
	own := s.addCard(card)
	s.wantStatus(own.ID, "Applied")
	var made struct {
		Request struct{ ID string } `json:"access_request"`
	}
	body := fmt.Sprintf(`{"account_id":%q,"reason":"visit","type":"immediate","immediate_interval":1}`, levelAlways)
	s.mustAs(ann, "POST", "/api/v2/access_request", body, &made)
	path := "/api/v2/access_request/" + made.Request.ID
	s.mustAs(bob, "POST", path+"/vote", `{"accepted":true}`, nil)
	s.wantItem(ann, made.Request.ID, "PROVISIONING_FAILED")
	var items []struct {
		Errors [][]struct{ Text string } `json:"errorMessages"`
	}
	s.mustAs(ann, "GET", "/access-request-status", "", &items)
	if len(items) != 1 || len(items[0].Errors) != 1 || !strings.Contains(items[0].Errors[0][0].Text, "AccessKeyInUse") {
		t.Errorf("error messages %+v, want AccessKeyInUse", items)
	}
	s.badge("front", card, 102)
	s.mustAs(ann, "POST", path+"/revoke", `{}`, nil)
	s.wantItem(ann, made.Request.ID, "TERMINATED")
	s.wantStatus(own.ID, "Applied")
	s.badge("front", card, 102)
	s.remove(own.ID)
	s.noKeys()
	s.granted(ann, bob, `"type":"immediate","immediate_interval":1`) // now there is nothing in its way
	s.badge("front", card, 102)
}

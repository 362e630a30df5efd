//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// What the configurations in the image say.
const (
	systemID   = "demo-002"
	levelID    = "2f0c4d0a-6b1e-4c55-9a52-3f6f0a9d1c02"
	httpAddr   = "127.0.0.1:8080"
	centralTOM = "/etc/postern/central.toml"
)

// secretKey is what root alone can read and the server gets as a credential.
const secretKey = "/etc/postern/secrets/central-secret-key"

// admin runs a postern-central command beside the server, as the drop-in says.
func admin(args ...string) (string, error) {
	cmd := exec.Command("/usr/bin/postern-central", append([]string{"--config", centralTOM, "--secret-key-file", secretKey}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("postern-central %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out), nil
}

// central is the HTTP API of the central server in this machine.
type central struct{ key string }

// post sends a request and decodes the answer into v, which may be nil.
func (c central) post(path, body string, v any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+httpAddr+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", path, resp.Status, b)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}

// add adds a key and waits until the panel has applied it.
func (c central) add(body string) error {
	var added struct{ ID string }
	if err := eventually(patience, func() error { return c.post("/v1/accesskeys/add", body, &added) }); err != nil {
		return err
	}
	return eventually(patience, func() error {
		var s struct {
			Status string
			Failed []struct {
				ErrorType string `json:"error_type"`
			} `json:"systems_where_failed"`
		}
		if err := c.post("/v1/accesskeys/status", fmt.Sprintf(`{"id":%q}`, added.ID), &s); err != nil {
			return err
		}
		if s.Status != "Applied" {
			return fmt.Errorf("the key's status is %s %v", s.Status, s.Failed)
		}
		return nil
	})
}

// confirmed waits until central has listed an event of a type.
func (c central) confirmed(eventType int) error {
	return eventually(patience, func() error {
		var page struct{ Events []struct{ Type int } }
		if err := c.post("/v1/events/list", `{"include_system":false}`, &page); err != nil {
			return err
		}
		for _, e := range page.Events {
			if e.Type == eventType {
				return nil
			}
		}
		return fmt.Errorf("%d events, none of type %d", len(page.Events), eventType)
	})
}

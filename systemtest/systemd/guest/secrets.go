//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const deviceKeyFile = "/var/lib/postern/device.key"

// control is written into systemd's journal, to prove that what is there is found.
const control = "control-9f27c1e4"

// secrets returns what no log may have, by name.
func (b *bench) secrets() (map[string][]byte, error) {
	device, err := os.ReadFile(deviceKeyFile)
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{
		"PIN": []byte(pin), "code": []byte(code), "API key": []byte(b.APIKey), "device key": device,
		"device key in hexadecimal": []byte(hex.EncodeToString(device)),
		"device key in base64":      []byte(base64.RawStdEncoding.EncodeToString(device)),
		"device key as numbers":     decimals(device),
	}
	for name, file := range map[string]string{
		"MQTT password of the panel": "mqtt.password", "MQTT password of central": "secrets/central-mqtt-password", "central's secret key": "secrets/central-secret-key",
	} {
		text, err := os.ReadFile(filepath.Join("/etc/postern", file))
		if err != nil {
			return nil, err
		}
		all[name] = bytes.TrimSpace(text)
	}
	for name, secret := range all {
		if len(secret) < len(pin) {
			return nil, fmt.Errorf("the %s is too short to be looked for", name)
		}
	}
	return all, nil
}

// decimals writes bytes as a careless %v does, without its brackets.
func decimals(b []byte) []byte {
	var text []byte
	for _, v := range b {
		text = strconv.AppendUint(append(text, ' '), uint64(v), 10)
	}
	return bytes.TrimSpace(text)
}

// find returns where text has a secret, with what stands around it, "" when it
// has none. The few digits of a PIN count only where they stand alone: as a part of longer
// numbers, of the random hexadecimal ones that systemd gives everything, of a
// UUID or of a fraction they are no secret.
func find(text, secret []byte) string {
	for from := 0; ; {
		i := bytes.Index(text[from:], secret)
		if i < 0 {
			return ""
		}
		i += from
		end := i + len(secret)
		if len(secret) >= len(code) || alone(text[max(0, i-2):i], text[end:min(len(text), end+1)]) {
			return fmt.Sprintf("%q", text[max(0, i-40):min(len(text), end+40)])
		}
		from = i + 1
	}
}

// alone reports whether digits between these are a word of their own.
func alone(before, after []byte) bool {
	var left, right byte
	if n := len(before); n > 0 {
		left = before[n-1]
	}
	if len(after) > 0 {
		right = after[0]
	}
	switch {
	case isHex(left) || isHex(right):
		return false
	case left == '-' && right == '-':
		return false
	case left == '.' && len(before) == 2 && isHex(before[0]):
		return false
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// noSecrets searches systemd's whole journal, in all its fields, and all of
// /var/log and /run/log, the journal's own files too.
func (b *bench) noSecrets(when string) error {
	marker := exec.Command("systemd-cat", "--identifier=systemtest")
	marker.Stdin = strings.NewReader("key=" + control + " pin=" + pin[1:] + "0\n")
	if err := marker.Run(); err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	if _, err := command("journalctl", "--sync"); err != nil {
		return err
	}
	text, err := command("journalctl", "--output=json", "--all", "--no-pager")
	if err != nil {
		return err
	}
	logs := map[string][]byte{"journalctl": []byte(text)}
	size := len(text)
	for _, root := range []string{"/var/log", "/run/log"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			logs[path] = raw
			size += len(raw)
			return err
		})
		if err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	all, err := b.secrets()
	if err != nil {
		return err
	}
	var leaks, places []string
	for where, text := range logs {
		for name, secret := range all {
			if around := find(text, secret); around != "" {
				leaks = append(leaks, "the "+name+" in "+where)
				places = append(places, around)
			}
		}
	}
	sees := find(logs["journalctl"], []byte(control)) != "" && find(logs["journalctl"], []byte(pin[1:]+"0")) != "" && strings.Contains(text, "panel is up")
	result := "none"
	if len(leaks) > 0 {
		result = strings.Join(leaks, ", ")
	}
	if len(places) > 0 {
		places = append([]string{";"}, places...)
	}
	b.row(len(leaks) == 0 && sees, "no secret in systemd's journal or /var/log after "+when, result,
		fmt.Sprintf("%d secrets in %d entries and %d files, %d kB; what was planted to be found is found: %v",
			len(all), strings.Count(text, "\n"), len(logs)-1, size>>10, sees)+strings.Join(places, " "))
	return nil
}

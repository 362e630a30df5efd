//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"postern/access"
)

// The secrets that are planted; mqtt.password and the others lie in the
// image already, see secrets.go. A leading zero keeps the PIN from being met in
// numbers of another meaning.
const (
	pin  = "0683"
	code = "0482915736"
)

const service = "posternd.service"

// firstBoot sets the site up, and takes the daemon through what may befall it.
func (b *bench) firstBoot() error {
	u, err := waitReady(service, 0, patience)
	if err != nil {
		return fmt.Errorf("the shipped unit does not come up: %w", err)
	}
	b.row(u["Type"] == "notify" && u["NotifyAccess"] == "main", "the shipped unit starts and says that it is ready",
		u["ActiveState"]+" ("+u["SubState"]+"), restarts "+u["NRestarts"],
		"Type="+u["Type"]+", ready "+seconds(u.at("ActiveEnter")-u.at("ExecMainStart"))+" after its start, "+seconds(u.at("ActiveEnter"))+" after the kernel's")
	if err := b.packaged(); err != nil {
		return err
	}
	if err := b.sandbox(u); err != nil {
		return err
	}
	if err := b.network(); err != nil {
		return err
	}
	if err := b.startCentral(); err != nil {
		return err
	}
	if err := b.plant(); err != nil {
		return err
	}
	if err := pull(25, "pull-down"); err != nil { // the door is closed
		return err
	}
	if err := b.opens("a card and its PIN open the door"); err != nil {
		return err
	}
	if err := b.typedCode(); err != nil {
		return err
	}
	if err := b.killed(); err != nil {
		return err
	}
	if err := b.killedWhileOpen(); err != nil {
		return err
	}
	if err := b.hangs(); err != nil {
		return err
	}
	if err := b.hangsWhileOpen(); err != nil {
		return err
	}
	if err := b.rested(); err != nil {
		return err
	}
	if err := b.opens("after it all, the card and its PIN open the door"); err != nil {
		return err
	}
	if err := b.noSecrets("the first boot"); err != nil {
		return err
	}
	if err := b.security(); err != nil {
		return err
	}
	return b.remember()
}

// remember keeps what must be there after the reboot.
func (b *bench) remember() error {
	all, err := journal()
	if err != nil {
		return err
	}
	k, err := keys()
	if err != nil {
		return err
	}
	device, err := os.ReadFile(deviceKeyFile)
	if err != nil {
		return err
	}
	last := all[len(all)-1]
	b.Keys, b.Sequence, b.Boot, b.DeviceKey = len(k), last.Seq, last.BootID.String(), device
	return b.save()
}

// secondBoot looks for what the first left.
func (b *bench) secondBoot() error {
	if err := b.load(); err != nil {
		return err
	}
	b.central = central{b.APIKey}
	u, err := waitReady(service, 0, patience)
	if err != nil {
		return fmt.Errorf("the shipped unit does not come up after a reboot: %w", err)
	}
	b.row(true, "after a reboot, the unit is up by itself", u["ActiveState"]+" ("+u["SubState"]+"), restarts "+u["NRestarts"],
		"ready "+seconds(u.at("ActiveEnter"))+" after the kernel's start")
	if err := storeOpen(); err != nil {
		return err
	}
	all, err := journal()
	if err != nil {
		return err
	}
	k, err := keys()
	if err != nil {
		return err
	}
	device, err := os.ReadFile(deviceKeyFile)
	if err != nil {
		return err
	}
	before := 0
	granted := false
	var last uint64
	for _, e := range all {
		if e.Seq <= b.Sequence {
			before++
			granted = granted || e.Type == access.GrantedCardPIN
			last = max(last, e.Seq)
		}
	}
	ok := len(k) == b.Keys && last == b.Sequence && granted && bytes.Equal(device, b.DeviceKey)
	b.row(ok, "after a reboot, keys, journal and device key are there",
		fmt.Sprintf("%d keys, entry %d", len(k), last), fmt.Sprintf("%d entries of before, want up to %d; device key the same: %v", before, b.Sequence, bytes.Equal(device, b.DeviceKey)))
	if err := pull(25, "pull-down"); err != nil {
		return err
	}
	if err := b.opens("after a reboot, the card and its PIN open the door"); err != nil {
		return err
	}
	if _, err := waitReady("postern-central.service", 0, patience); err != nil {
		return err
	}
	if err := b.central.confirmed(int(access.GrantedCardPIN)); err != nil {
		return err
	}
	return b.noSecrets("both boots")
}

// startCentral starts the central server under its own unit.
func (b *bench) startCentral() error {
	if _, err := command("systemctl", "enable", "--now", "postern-central.service"); err != nil {
		return err
	}
	u, err := waitReady("postern-central.service", 0, patience)
	if err != nil {
		return err
	}
	b.row(u["Type"] == "notify", "the central server's unit starts and says that it is ready",
		u["ActiveState"]+" ("+u["SubState"]+")", "ready "+seconds(u.at("ActiveEnter")-u.at("ExecMainStart"))+" after its start")
	if _, err := admin("panels", "add", systemID); err != nil {
		return err
	}
	key, err := admin("keys", "create", "--integration", "systemtest")
	if err != nil {
		return err
	}
	b.APIKey = strings.TrimSpace(key)
	b.central = central{b.APIKey}
	return storeOpen()
}

// plant adds a card with a PIN, and a code, through the central server.
func (b *bench) plant() error {
	err := b.central.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"proximity"},"pin":%q,"access_levels":[%q]}`, cardID, pin, levelID))
	if err != nil {
		return fmt.Errorf("add a card: %w", err)
	}
	if err := b.central.add(fmt.Sprintf(`{"key":{"identification":%q,"type":"code"},"access_levels":[%q]}`, code, levelID)); err != nil {
		return fmt.Errorf("add a code: %w", err)
	}
	k, err := keys()
	if err != nil {
		return err
	}
	b.row(len(k) == 2, "keys come through the broker to the panel and are applied", fmt.Sprintf("%d keys", len(k)), "HTTP, MQTT with a password, under the unit's sandbox")
	return b.backedUp()
}

// backedUp saves the running panel as root does: the daemon has to know root from
// within a user namespace of its own.
func (b *bench) backedUp() error {
	dir, err := os.MkdirTemp("/root", "backup-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pass := filepath.Join(dir, "passphrase")
	if err := os.WriteFile(pass, []byte("a phrase for this guest alone\n"), 0o600); err != nil {
		return err
	}
	file := filepath.Join(dir, "panel.age")
	out, err := command("/usr/bin/postern", "--json", "backup", "--passphrase-file", pass, file)
	var made struct{ Store bool }
	if err == nil {
		err = json.Unmarshal([]byte(out), &made)
	}
	detail := "under the unit's sandbox, while it runs"
	if err != nil {
		detail = err.Error()
	}
	b.row(err == nil && made.Store, "root backs the running panel up", fmt.Sprintf("with its keys: %v", made.Store), detail)
	return nil
}

// opens badges, and expects the strike to be released and put at rest again.
func (b *bench) opens(check string) error {
	w, err := startWatch(lineStrike)
	if err != nil {
		return err
	}
	e, badgeErr := badge(pin + "#")
	time.Sleep(strikeTime + time.Second)
	s, err := w.stop()
	if err != nil {
		return err
	}
	if badgeErr != nil {
		b.row(false, check, "no decision", badgeErr.Error())
		return nil
	}
	up, rose := s.rose(0)
	down, fell := s.fell(up)
	ok := e.Type == access.GrantedCardPIN && rose && fell
	b.row(ok, check, fmt.Sprintf("event %d, strike released for %s", e.Type, seconds(down-up)), e.Text+" "+e.Reason)
	return nil
}

// strikeTime is what the configuration in the image says.
const strikeTime = 5 * time.Second

// typedCode types the code, so that the daemon has had it in its hands.
func (b *bench) typedCode() error {
	before, err := journal()
	if err != nil {
		return err
	}
	if _, err := command("/proc/self/exe", append([]string{"send"}, keypad4(code+"#")...)...); err != nil {
		return err
	}
	e, err := decision(before)
	if err != nil {
		b.row(false, "a code typed at a card reader is decided", "no decision", err.Error())
		return nil
	}
	b.row(e.Category != "" && e.Type >= access.Denied, "a code typed where a card is asked for opens nothing", fmt.Sprintf("event %d", e.Type), e.Text+" "+e.Reason)
	return nil
}

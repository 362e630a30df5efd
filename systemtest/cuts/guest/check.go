//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postern/access"
	"postern/api"
	"postern/systemtest/cuts/history"
)

// tellCheck tells what the panel has, as it says itself, and what the disk and
// the kernel say.
func tellCheck(ctx context.Context, c *central, client *api.Client, upTo uint64) error {
	c.mu.Lock()
	r := *c.reported
	c.mu.Unlock()
	out := history.Check{Revision: r.Revision, Digest: r.Digest, Count: r.Count}
	if err := errors.Join(
		checkKeys(ctx, client, &out), checkJournal(ctx, client, upTo, &out), checkFiles(&out), checkKernel(&out),
	); err != nil {
		return err
	}
	b, err := json.Marshal(out)
	if err != nil {
		return err
	}
	say(history.LineChecked, b)
	return nil
}

func checkKeys(ctx context.Context, client *api.Client, out *history.Check) error {
	keys := history.Keys{}
	for after := (access.ID{}); ; {
		some, err := client.Keys(ctx, after, api.MaxLimit)
		if err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		if len(some) == 0 {
			break
		}
		for _, k := range some {
			keys[k.ID] = k.Revision
			if k.Result != "applied" {
				out.Failed++
			}
		}
		after = some[len(some)-1].ID
	}
	out.Keys = keys.Sum()
	return nil
}

func checkJournal(ctx context.Context, client *api.Client, upTo uint64, out *history.Check) error {
	names := make([]string, upTo)
	for before := upTo + 1; before > 1; {
		events, err := client.Events(ctx, before, api.MaxLimit)
		if err != nil {
			return fmt.Errorf("list events: %w", err)
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			names[e.Seq-1] = history.Event(e.BootID, e.Seq, e.Type, e.At.UnixNano(), e.Door, e.AccessPoint, e.KeyID, e.Credential, e.Detail)
		}
		before = events[len(events)-1].Seq
	}
	for _, n := range names {
		if n == "" {
			out.Missing++
		}
	}
	out.Events = history.Journal(names)
	return nil
}

func checkFiles(out *history.Check) error {
	entries, err := os.ReadDir(history.Data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".bad-") || strings.HasSuffix(e.Name(), ".damaged") {
			out.Aside = append(out.Aside, e.Name())
		}
	}
	return nil
}

// checkKernel reads the kernel's messages so far.
func checkKernel(out *history.Check) error {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("read the kernel's messages: %w", err)
	}
	defer unix.Close(fd)
	b := make([]byte, 16<<10)
	for {
		n, err := unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EPIPE):
			continue // overwritten before it was read
		case err != nil:
			return fmt.Errorf("read the kernel's messages: %w", err)
		}
		text := string(b[:n])
		if strings.Contains(text, "recovery complete") {
			out.Replayed = true
		}
		if strings.Contains(text, "I/O error") || strings.Contains(text, "EXT4-fs") && (strings.Contains(text, "rror") || strings.Contains(text, "corrupt")) {
			out.Kernel = append(out.Kernel, strings.TrimSpace(text))
		}
	}
}

// badge presents cards, presses the exit button and opens the door, until ctx
// ends.
func badge(ctx context.Context, client *api.Client) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 5))
	for ctx.Err() == nil {
		var err error
		switch r.IntN(12) {
		case 0:
			err = client.REX(ctx, history.Door)
		case 1:
			err = client.Contact(ctx, history.Door, r.IntN(2) == 0)
		default:
			_, err = client.Badge(ctx, history.Reader, history.Card(history.Person(r)), "")
		}
		if err != nil {
			say(history.LineFatal, fmt.Sprintf("present a card: %v", err))
			return
		}
		time.Sleep(time.Duration(r.IntN(40)) * time.Millisecond)
	}
}

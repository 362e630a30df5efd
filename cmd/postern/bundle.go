package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"postern/api"
	"postern/config"
)

// Bounds of what a bundle holds.
const (
	bundleEvents = 500
	maxSaid      = 1 << 20 // bytes of one program's output, its end
)

func newSupportBundle(o *options) *cobra.Command {
	b := &bundle{run: output}
	cmd := &cobra.Command{
		Use: "support-bundle FILE", Short: "Collect what somebody far away needs to help, without secrets", Args: exactArgs("FILE"),
		Long: "support-bundle writes a tar.gz with what postern doctor and status say, the configuration without its comments, the\n" +
			"latest events, the daemon's log and facts about the machine. Card numbers, bits, codes, PINs, passwords and keys are\n" +
			"left out or replaced by [removed]. Names of doors and people's key ids are in it: look through it before you send it.\n" +
			"Run it as root: what can't be read then says so in its place.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			files := b.collect(cmd.Context(), o, c)
			if err := writeBundle(args[0], files); err != nil {
				return err
			}
			return o.report(map[string]any{"file": args[0], "parts": len(files)}, "%s: %s; look through it before you send it", args[0], count(len(files), "part"))
		},
	}
	cmd.Flags().StringVar(&b.config, "config", defaultConfig, "the daemon's configuration `file`")
	return cmd
}

// bundle collects. run is replaced in tests.
type bundle struct {
	config string
	run    func(ctx context.Context, name string, args ...string) []byte
}

// output is what a program says, or why it says nothing.
func output(ctx context.Context, name string, args ...string) []byte {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	out = out[max(0, len(out)-maxSaid):]
	if err != nil {
		out = fmt.Appendf(out, "\n%s: %v\n", name, err)
	}
	return out
}

// collect gives the parts of a bundle, scrubbed.
func (b *bundle) collect(ctx context.Context, o *options, c *api.Client) map[string][]byte {
	files := map[string][]byte{}
	st, err := c.Status(ctx)
	for i := range st.Readers {
		st.Readers[i].LastRead = withoutCard(st.Readers[i].LastRead)
	}
	files["status.json"] = asJSON(st, err)
	events, eventsErr := c.Events(ctx, 0, bundleEvents)
	for i := range events {
		if events[i].Credential != "" {
			events[i].Credential = removed
		}
	}
	files["events.json"] = asJSON(events, eventsErr)
	x := &examiner{root: "/", now: now, statfs: statfs, systemctl: systemctl, config: b.config}
	files["doctor.json"] = asJSON(x.examine(ctx, st, unreachableText(o.socket, err)), nil)
	files["version.txt"] = []byte(versionText() + "\n")
	cfg, faults, err := config.Load(b.config)
	files["panel.toml"] = plainConfig(b.config)
	files["panel-faults.json"] = asJSON(faults, err)
	for name, command := range map[string][]string{
		"log.txt":        {"journalctl", "--no-pager", "-u", "posternd", "-n", "5000"},
		"kernel.txt":     {"journalctl", "--no-pager", "-k", "-n", "1000"},
		"unit.txt":       {"systemctl", "cat", "--no-pager", "posternd.service"},
		"unit-state.txt": {"systemctl", "show", "--no-pager", "posternd.service", "-p", "ActiveState,SubState,Result,NRestarts,ExecMainStatus,MemoryCurrent"},
		"uname.txt":      {"uname", "-a"},
		"disk.txt":       {"df", "-h", "/", "/var/lib"},
		"clock.txt":      {"timedatectl"},
		"gpio.txt":       {"gpioinfo"},
	} {
		files[name] = b.run(ctx, command[0], command[1:]...)
	}
	for name, path := range map[string]string{"os-release.txt": "/etc/os-release", "config.txt": "/boot/firmware/config.txt"} {
		data, err := readSome(path)
		if err != nil {
			data = []byte(err.Error() + "\n")
		}
		files[name] = data
	}
	s := newScrubber(cfg)
	for name, data := range files {
		files[name] = s.scrub(data)
	}
	return files
}

// withoutCard keeps of a read that there was one, and its shape.
func withoutCard(r *api.Read) *api.Read {
	if r == nil {
		return nil
	}
	kept := api.Read{At: r.At, Reader: r.Reader, Kind: r.Kind, Pulses: r.Pulses, Error: r.Error}
	for _, c := range r.Candidates {
		kept.Candidates = append(kept.Candidates, api.Candidate{Format: c.Format, HasFacility: c.HasFacility})
	}
	return &kept
}

// plainConfig is the file without its comments, in which people write down what
// they had better not.
func plainConfig(path string) []byte {
	data, err := readSome(path)
	var all map[string]any
	if err == nil {
		err = toml.Unmarshal(data, &all)
	}
	if err == nil {
		data, err = toml.Marshal(all)
	}
	if err != nil {
		return []byte("# " + err.Error() + "\n")
	}
	return data
}

func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSaid))
}

func asJSON(v any, err error) []byte {
	if err != nil {
		v = map[string]string{"error": err.Error()}
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return []byte(err.Error())
	}
	return append(data, '\n')
}

func writeBundle(path string, files map[string][]byte) error {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: "postern-support/" + name, Mode: 0o600, Size: int64(len(files[name])), ModTime: time.Now()}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(files[name]); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	_, err = f.Write(out.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

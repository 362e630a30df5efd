package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"postern/api"
	"postern/config"
)

// A backup is a tar file, compressed, and encrypted under a passphrase (age's
// format, so that age -d opens it too). First in it comes the manifest; then
// config/panel.toml, files/PATH for what panel.toml names, and data/NAME.
const (
	manifestName  = "manifest.json"
	configEntry   = "config/panel.toml"
	fileEntries   = "files"
	dataEntries   = "data/"
	deviceKeyName = "device.key"

	maxBackupFile = 4 << 30 // bytes of one file in it
	maxManifest   = 64 << 10
	minPassphrase = 10 // characters
	// scryptWork makes one guess take about a second on a Raspberry Pi 4.
	scryptWork = 16
)

// manifest says what a backup is of.
type manifest struct {
	Format   int       `json:"format"`
	SystemID string    `json:"system_id"`
	Name     string    `json:"name,omitempty"`
	Made     time.Time `json:"made"`
	Version  string    `json:"version"`
	DataDir  string    `json:"data_dir"`
	Store    bool      `json:"store"` // keys and journal are in it
}

func newBackup(o *options) *cobra.Command {
	var configFile, passFile, deviceKey string
	var without bool
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Save configuration, device key and data, encrypted", Args: exactArgs("FILE"),
		Long: "backup writes one encrypted file with all that makes this panel: panel.toml and the files that it names, the device\n" +
			"key, and the keys and the journal as they are at one moment. Doors and changes go on meanwhile; with the daemon stopped\n" +
			"it works too. --without-store leaves keys and journal out: a panel gets its keys from central again. Run it as root.\n\n" +
			"The passphrase is asked for, or comes from a file. Without it nothing can be read, by nobody.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.client()
			if err != nil {
				return err
			}
			pass, err := o.passphrase(passFile)
			if err != nil {
				return err
			}
			b := backup{config: configFile, deviceKey: deviceKey, store: !without, work: scryptWork, daemon: c, socket: o.socket}
			m, err := b.save(cmd.Context(), args[0], pass)
			if err != nil {
				return err
			}
			return o.report(m, "%s: panel %s, store %v", args[0], m.SystemID, m.Store)
		},
	}
	cmd.Flags().StringVar(&configFile, "config", defaultConfig, "the daemon's configuration `file`")
	cmd.Flags().StringVar(&passFile, "passphrase-file", "", "`file` with the passphrase in its first line")
	cmd.Flags().StringVar(&deviceKey, "device-key", "", "the device key's `file`, where it is a credential of systemd")
	cmd.Flags().BoolVar(&without, "without-store", false, "leave keys and journal out")
	return cmd
}

// passphrase reads it, and refuses one that can be guessed.
func (o *options) passphrase(file string) (string, error) {
	if file == "" {
		pass, err := o.askFor("passphrase")
		if err == nil && len(pass) < minPassphrase {
			err = usagef("the passphrase is too short: want %d characters or more", minPassphrase)
		}
		return pass, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read passphrase: %w", err)
	}
	pass, _, _ := strings.Cut(string(data), "\n")
	if pass = strings.TrimRight(pass, "\r"); len(pass) < minPassphrase {
		return "", usagef("the passphrase in %s is too short: want %d characters or more", file, minPassphrase)
	}
	return pass, nil
}

// backup is what is to be saved.
type backup struct {
	config, deviceKey string
	store             bool
	work              int // 2^work is what a guess of the passphrase takes

	daemon *api.Client // that may have the store open; nil where there is none
	socket string      // where it is
}

// save writes the backup under another name and renames it when it is whole.
func (b backup) save(ctx context.Context, to, pass string) (m manifest, err error) {
	cfg, faults, err := config.Load(b.config)
	switch {
	case err != nil:
		return m, fmt.Errorf("read configuration: %w", err)
	case len(faults) > 0:
		return m, fmt.Errorf("the configuration has %s; see posternd check", count(len(faults), "fault"))
	}
	files, err := b.files(cfg)
	if err != nil {
		return m, err
	}
	var store func(*tar.Writer) error
	if b.store {
		running, err := b.running(ctx, cfg)
		if err != nil {
			return m, err
		}
		if running {
			store = func(w *tar.Writer) error { return b.packLive(ctx, w, cfg.Panel.DataDir) }
		} else {
			held, err := holdStore(cfg.Panel.DataDir)
			if err != nil {
				return m, err
			}
			defer held()
			if files, err = withData(files, cfg.Panel.DataDir); err != nil {
				return m, err
			}
		}
	}
	m = manifest{
		Format: 1, SystemID: cfg.Panel.SystemID, Name: cfg.Panel.Name, Made: time.Now().UTC().Truncate(time.Second),
		Version: versionText(), DataDir: cfg.Panel.DataDir, Store: b.store,
	}
	recipient, err := age.NewScryptRecipient(pass)
	if err != nil {
		return m, fmt.Errorf("take passphrase: %w", err)
	}
	recipient.SetWorkFactor(b.work)
	tmp, err := os.OpenFile(to+".new", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return m, fmt.Errorf("write backup: %w", err)
	}
	defer os.Remove(tmp.Name())
	err = pack(tmp, recipient, m, files, store)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return m, fmt.Errorf("write backup: %w", err)
	}
	return m, os.Rename(tmp.Name(), to)
}

// entry is a file in the backup and where it is on the panel.
type entry struct{ name, path string }

// files lists what goes in.
func (b backup) files(cfg *config.Config) ([]entry, error) {
	all := []entry{{configEntry, b.config}}
	for _, path := range named(cfg) {
		all = append(all, entry{fileEntries + path, path})
	}
	key := b.deviceKey
	if key == "" {
		key = cfg.Panel.DeviceKeyFile
	}
	if key == "" {
		key = filepath.Join(cfg.Panel.DataDir, deviceKeyName)
	}
	if _, err := os.Stat(key); err != nil {
		return nil, fmt.Errorf("find device key: %w (where it is a credential of systemd, name its file with --device-key)", err)
	}
	return append(all, entry{dataEntries + deviceKeyName, key}), nil
}

// withData adds the data of a daemon that is stopped.
func withData(all []entry, dir string) ([]entry, error) {
	there, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list data: %w", err)
	}
	for _, e := range there {
		if e.Type().IsRegular() && isData(e.Name()) {
			all = append(all, entry{dataEntries + e.Name(), filepath.Join(dir, e.Name())})
		}
	}
	return all, nil
}

// running reports whether the panel's daemon answers. One that can't be asked may
// run all the same, which the lock on its data then tells.
func (b backup) running(ctx context.Context, cfg *config.Config) (bool, error) {
	if b.daemon == nil {
		return false, nil
	}
	st, err := b.daemon.Status(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return false, nil
	case err != nil:
		return false, err
	case st.SystemID != cfg.Panel.SystemID:
		return false, fmt.Errorf("the daemon on %s is panel %s, and %s is of panel %s: name the right --config or --socket",
			b.socket, st.SystemID, b.config, cfg.Panel.SystemID)
	}
	return true, nil
}

// packLive takes the store from the running daemon.
func (b backup) packLive(ctx context.Context, w *tar.Writer, dir string) error {
	owner := ""
	if info, err := os.Stat(dir); err == nil {
		owner = ownerOf(info)
	}
	return b.daemon.CopyStore(ctx, func(name string, size int64, from io.Reader) error {
		if !isData(name) {
			return fmt.Errorf("the daemon's store has %.40q, which is no file of it", name)
		}
		h := &tar.Header{Name: dataEntries + name, Mode: 0o600, Size: size, ModTime: time.Now(), Uname: owner}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, from)
		return err
	})
}

// named are the files that a configuration names beside the device key.
func named(cfg *config.Config) []string {
	all := []string{cfg.MQTT.PasswordFile, cfg.MQTT.CAFile, cfg.MQTT.CertFile, cfg.MQTT.KeyFile}
	return slices.DeleteFunc(all, func(f string) bool { return f == "" })
}

// isData reports whether a file of the data folder is worth keeping: neither the
// key, which is kept by itself, nor what is half made or was put aside as damaged.
func isData(name string) bool {
	return name != deviceKeyName && filepath.Base(name) == name && !strings.HasPrefix(name, ".") && !strings.Contains(name, ".bad-") && !strings.HasSuffix(name, ".new")
}

// pack writes the files, and then what store writes, unless it is nil.
func pack(to io.Writer, recipient age.Recipient, m manifest, files []entry, store func(*tar.Writer) error) error {
	sealed, err := age.Encrypt(to, recipient)
	if err != nil {
		return err
	}
	zipped := gzip.NewWriter(sealed)
	w := tar.NewWriter(zipped)
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(data)), ModTime: m.Made}); err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	for _, e := range files {
		if err := packFile(w, e); err != nil {
			return err
		}
	}
	if store != nil {
		if err := store(w); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), zipped.Close(), sealed.Close())
}

func packFile(w *tar.Writer, e entry) error {
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxBackupFile {
		return fmt.Errorf("%s is no file of less than %d bytes", e.path, int64(maxBackupFile))
	}
	h := &tar.Header{Name: e.name, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime(), Uname: ownerOf(info)}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(w, f, info.Size())
	return err
}

// ownerOf is the name of a file's owner, "" when it has none: numbers differ
// between machines.
func ownerOf(info fs.FileInfo) string {
	uid, ok := uidOf(info)
	if !ok {
		return ""
	}
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return ""
	}
	return u.Username
}

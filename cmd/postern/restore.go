package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
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

	"filippo.io/age"
	"github.com/spf13/cobra"

	"postern/config"
)

func newRestore(o *options) *cobra.Command {
	var configFile, passFile string
	var force bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Put a backup back, on this machine or a new one", Args: exactArgs("FILE"),
		Long: "restore reads a file of postern backup and puts everything where it was. The daemon has to be stopped. What is there\n" +
			"already is left alone and is an error, unless --force replaces it. Nothing is touched before the whole file has been\n" +
			"read and found whole.\n\n" +
			"Keys of an older backup are brought up to date by central at the next connection. Never run the old panel and the\n" +
			"new one at the same time: both have one system_id.",
		RunE: func(_ *cobra.Command, args []string) error {
			pass, err := o.passphrase(passFile)
			if err != nil {
				return err
			}
			m, files, err := restore{config: configFile, force: force}.run(args[0], pass)
			if err != nil {
				return err
			}
			return o.report(m, "panel %s of %s: %s restored; start it with systemctl start posternd", m.SystemID, stamp(m.Made), count(files, "file"))
		},
	}
	cmd.Flags().StringVar(&configFile, "config", defaultConfig, "where panel.toml goes")
	cmd.Flags().StringVar(&passFile, "passphrase-file", "", "`file` with the passphrase in its first line")
	cmd.Flags().BoolVar(&force, "force", false, "replace what is there")
	return cmd
}

// restore is where a backup goes.
type restore struct {
	config string
	force  bool
}

// piece is a file of a backup that waits beside its place.
type piece struct{ from, to string }

// run reads all of a backup beside the places where it goes, then renames.
func (r restore) run(from, pass string) (m manifest, files int, err error) {
	f, err := os.Open(from)
	if err != nil {
		return m, 0, fmt.Errorf("open backup: %w", err)
	}
	defer f.Close()
	w, err := openBackup(f, pass)
	if err != nil {
		return m, 0, err
	}
	var pieces []piece
	defer func() {
		for _, p := range pieces {
			_ = os.Remove(p.from) // those that were renamed are gone
		}
	}()
	if m, err = readManifest(w); err != nil {
		return m, 0, err
	}
	held, err := holdStore(m.DataDir)
	if err != nil {
		return m, 0, err
	}
	defer held()
	var allowed []string
	for {
		h, err := w.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m, 0, fmt.Errorf("the backup is damaged: %w", err)
		}
		to, err := r.place(h, m, allowed)
		if err != nil {
			return m, 0, err
		}
		if h.Name == configEntry {
			data, err := io.ReadAll(io.LimitReader(w, 1<<20))
			if err != nil {
				return m, 0, fmt.Errorf("the backup is damaged: %w", err)
			}
			cfg, faults := config.Parse("panel.toml", data)
			if len(faults) > 0 {
				return m, 0, fmt.Errorf("its panel.toml is not for this version of posternd: %s", faults[0])
			}
			if cfg.Panel.DataDir != m.DataDir {
				return m, 0, errors.New("the backup contradicts itself about its data folder")
			}
			allowed = named(cfg)
			if pieces, err = r.keep(pieces, bytes.NewReader(data), h, to); err != nil {
				return m, 0, err
			}
			continue
		}
		if pieces, err = r.keep(pieces, w, h, to); err != nil {
			return m, 0, err
		}
	}
	for _, p := range pieces {
		if err := os.Rename(p.from, p.to); err != nil {
			return m, 0, fmt.Errorf("restore: %w", err)
		}
	}
	return m, len(pieces), nil
}

// openBackup decrypts; a wrong passphrase is found here.
func openBackup(f io.Reader, pass string) (*tar.Reader, error) {
	id, err := age.NewScryptIdentity(pass)
	if err != nil {
		return nil, fmt.Errorf("take passphrase: %w", err)
	}
	id.SetMaxWorkFactor(scryptWork + 2)
	opened, err := age.Decrypt(f, id)
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return nil, errors.New("the passphrase is not that of this backup")
	case err != nil:
		return nil, fmt.Errorf("this is no backup that can be read: %w", err)
	}
	z, err := gzip.NewReader(opened)
	if err != nil {
		return nil, fmt.Errorf("the backup is damaged: %w", err)
	}
	return tar.NewReader(z), nil
}

func readManifest(w *tar.Reader) (m manifest, err error) {
	h, err := w.Next()
	if err != nil {
		return m, fmt.Errorf("the backup is damaged: %w", err)
	}
	if h.Name != manifestName || h.Size > maxManifest {
		return m, errors.New("the backup does not begin with its manifest")
	}
	dec := json.NewDecoder(w)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return m, fmt.Errorf("the backup's manifest: %w", err)
	}
	if m.Format != 1 || !filepath.IsAbs(m.DataDir) || filepath.Clean(m.DataDir) != m.DataDir {
		return m, fmt.Errorf("the backup is of a form that this version does not know (%d)", m.Format)
	}
	return m, nil
}

// place is where an entry goes. Nothing goes anywhere that the backup's own
// panel.toml does not name.
func (r restore) place(h *tar.Header, m manifest, allowed []string) (string, error) {
	name, inData := strings.CutPrefix(h.Name, dataEntries)
	path, inFiles := strings.CutPrefix(h.Name, fileEntries)
	var to string
	switch {
	case h.Typeflag != tar.TypeReg || h.Size > maxBackupFile:
	case h.Name == configEntry:
		to = r.config
	case inData && (name == deviceKeyName || isData(name)):
		to = filepath.Join(m.DataDir, name)
	case inFiles && slices.Contains(allowed, path):
		to = path
	}
	if to == "" {
		return "", fmt.Errorf("the backup has %q, which goes nowhere", h.Name)
	}
	if _, err := os.Lstat(to); err == nil && !r.force {
		return "", fmt.Errorf("%s is there already: move it away, or replace all with --force", to)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("restore: %w", err)
	}
	return to, nil
}

// keep writes an entry beside its place, with its mode and owner.
func (r restore) keep(pieces []piece, from io.Reader, h *tar.Header, to string) ([]piece, error) {
	mode := fs.FileMode(0o755)
	if strings.HasPrefix(h.Name, dataEntries) {
		mode = 0o700 // systemd gives it to the daemon's user
	}
	if err := os.MkdirAll(filepath.Dir(to), mode); err != nil {
		return pieces, fmt.Errorf("restore: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(to), ".restore-*")
	if err != nil {
		return pieces, fmt.Errorf("restore: %w", err)
	}
	pieces = append(pieces, piece{tmp.Name(), to})
	_, err = io.Copy(tmp, from)
	if err == nil {
		err = tmp.Chmod(fs.FileMode(h.Mode) & 0o755)
	}
	if err == nil {
		err = giveTo(tmp, h.Uname)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return pieces, fmt.Errorf("restore %s: %w", to, err)
	}
	return pieces, nil
}

// giveTo gives a file to its owner where this is root: anybody else restores for
// himself.
func giveTo(f *os.File, name string) error {
	if os.Geteuid() != 0 || name == "" || name == "root" {
		return nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return fmt.Errorf("%w: install the package before, which makes the user", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return errors.Join(err1, err2, f.Chown(uid, gid))
}

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// documents are what goes along with a package's programs: files and folders of
// the project, and where.
func documents(p string) map[string]string {
	doc := "usr/share/doc/" + p + "/"
	if p == "postern-central" {
		return map[string]string{
			"firmware-config/mosquitto": "usr/share/postern-central/mosquitto",
			"docs/brokers.md":           doc + "brokers.md",
			"systemd/drop-ins-central":  "usr/share/postern-central/systemd",
		}
	}
	return map[string]string{
		"firmware-config":         "usr/share/postern/firmware-config",
		"docs/install.md":         doc + "install.md",
		"docs/troubleshooting.md": doc + "troubleshooting.md",
		"docs/metrics.md":         doc + "metrics.md",
		"docs/wiring":             doc + "wiring",
		"systemd/drop-ins":        "usr/share/postern/systemd",
	}
}

// stage makes all files of a package that no program and no unit is.
// The programs in bin, of this machine, tell what they can do.
func (b *builder) stage(ctx context.Context, p pkg, bin string) error {
	root := filepath.Join(b.work, "stage", p.name)
	put := func(path string, data []byte) error {
		path = filepath.Join(root, path)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644))
	}
	doc := "usr/share/doc/" + p.name + "/"
	for from, to := range documents(p.name) {
		if err := copyTree(filepath.Join(b.tree, from), filepath.Join(root, to)); err != nil {
			return err
		}
	}
	copyright, err := os.ReadFile(filepath.Join(b.tree, "packaging/copyright"))
	if err != nil {
		return err
	}
	overrides, err := os.ReadFile(filepath.Join(b.tree, "packaging/lintian", p.name))
	if err != nil {
		return err
	}
	changes, err := b.changelog(p.name)
	if err != nil {
		return err
	}
	err = errors.Join(put(doc+"copyright", copyright), put("usr/share/lintian/overrides/"+p.name, overrides), put(doc+"changelog.gz", changes))
	if err != nil {
		return err
	}
	for _, program := range p.programs {
		tells := filepath.Join(bin, program)
		section := sections[program]
		page, err := manual(ctx, tells, program, section, b.version, b.epoch)
		if err != nil {
			return err
		}
		if page, err = zip(page); err != nil {
			return err
		}
		if err := put(fmt.Sprintf("usr/share/man/man%s/%s.%s.gz", section, program, section), page); err != nil {
			return err
		}
		for shell, path := range map[string]string{
			"bash": "usr/share/bash-completion/completions/" + program,
			"zsh":  "usr/share/zsh/vendor-completions/_" + program,
			"fish": "usr/share/fish/vendor_completions.d/" + program + ".fish",
		} {
			script, err := command(ctx, "", nil, tells, "completion", shell)
			if err != nil {
				return err
			}
			if err := put(path, []byte(script)); err != nil {
				return err
			}
		}
	}
	return nil
}

// changelog is Debian's, with the project's changes in full.
func (b *builder) changelog(name string) ([]byte, error) {
	changes, err := os.ReadFile(filepath.Join(b.tree, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s (%s) unstable; urgency=medium\n\n", name, b.version)
	for line := range strings.Lines(string(changes)) {
		line = strings.TrimRight(line, " \n")
		indent := "    "
		switch {
		case line == "" || strings.HasPrefix(line, "# "):
			continue
		case strings.HasPrefix(line, "- "):
			indent, line = "  * ", line[2:]
		}
		wrap(&text, indent, strings.TrimLeft(line, " #"))
	}
	fmt.Fprintf(&text, "\n -- %s  %s\n", b.maintainer, b.epoch.Format(time.RFC1123Z))
	return zip([]byte(text.String()))
}

// wrap writes a line in as many as it takes, none over 78 bytes unless a word is.
func wrap(to *strings.Builder, indent, line string) {
	at := 0
	for word := range strings.FieldsSeq(line) {
		switch {
		case at == 0:
			to.WriteString(indent)
			at = len(indent)
		case at+1+len(word) > 78:
			to.WriteString("\n    ")
			at = 4
		default:
			to.WriteString(" ")
			at++
		}
		to.WriteString(word)
		at += len(word)
	}
	to.WriteString("\n")
}

// zip compresses without the time and the name, as Debian's policy asks.
func zip(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// notShipped are folders that a folder around them is copied without.
var notShipped = map[string]bool{"testdata": true, "mosquitto": true}

// copyTree copies a file, or a folder without its programs and tests.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		into := filepath.Join(to, below)
		switch {
		case d.IsDir() && path != from && (notShipped[d.Name()] || hasGo(path)):
			return fs.SkipDir
		case d.IsDir():
			return nil
		case strings.HasSuffix(path, ".go"):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return errors.Join(os.MkdirAll(filepath.Dir(into), 0o755), os.WriteFile(into, data, 0o644))
	})
}

// hasGo reports whether a folder is a program of the project's own.
func hasGo(dir string) bool {
	main, _ := filepath.Glob(filepath.Join(dir, "main.go"))
	return len(main) > 0
}

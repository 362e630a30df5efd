package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maintainer is who packages say they are from; DEB_MAINTAINER overrides it.
const maintainer = "Postern maintainers <maintainers@postern.example.net>"

// commitTime is the one time that goes into a package.
func (b *builder) commitTime(ctx context.Context) (time.Time, error) {
	text, from := os.Getenv("SOURCE_DATE_EPOCH"), "SOURCE_DATE_EPOCH"
	if text == "" {
		var err error
		from = "the commit's time"
		if text, err = command(ctx, b.tree, nil, "git", "log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, fmt.Errorf("set SOURCE_DATE_EPOCH, since this is no git clone: %w", err)
		}
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is no number of seconds: %w", from, err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// described is what git describe --tags --long says.
var described = regexp.MustCompile(`^v?(\d[0-9A-Za-z.+~]*)-(\d+)-g([0-9a-f]+)$`)

// describe gives the Debian version: that of the tag on a tag, after it beyond,
// and below every release before the first. Later commits have later versions.
func (b *builder) describe(ctx context.Context) (string, error) {
	if text, err := command(ctx, b.tree, nil, "git", "describe", "--tags", "--long"); err == nil {
		return debVersion(strings.TrimSpace(text))
	}
	hash, err := command(ctx, b.tree, nil, "git", "log", "-1", "--format=%h")
	if err != nil {
		return "", fmt.Errorf("give -version, since this is no git clone: %w", err)
	}
	return fmt.Sprintf("0~git%s.%s", b.epoch.Format("20060102150405"), strings.TrimSpace(hash)), nil
}

func debVersion(text string) (string, error) {
	m := described.FindStringSubmatch(text)
	switch {
	case m == nil:
		return "", fmt.Errorf("the tag in %q is no version: want v1.2.3", text)
	case m[2] == "0":
		return m[1], nil
	}
	return m[1] + "+" + m[2] + ".g" + m[3], nil
}

// sums writes SHA256SUMS, as sha256sum --check reads it.
func (b *builder) sums(files []string) error {
	slices.Sort(files)
	var text strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&text, "%s  %s\n", hex.EncodeToString(sum[:]), filepath.Base(f))
	}
	return os.WriteFile(filepath.Join(b.out, "SHA256SUMS"), []byte(text.String()), 0o644)
}

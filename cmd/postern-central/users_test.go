package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestUsers(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "central.toml")
	text := fmt.Sprintf("database = %q\nsecret_key_file = %q\n", filepath.Join(dir, "c.db"), filepath.Join(dir, "key"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	const a, b = "ce8e881e-1392-4f53-b7c2-35eeb3ecaf3b", "a5129f41-ed44-4f3b-95a2-bec53dd3e1e3"
	var id string // of the token
	for _, s := range []struct {
		args        string
		code        int
		out, stderr string // regular expressions
	}{
		{"users add ann --card EM:1", 0, `^[0-9a-f-]{36}\n$`, `^$`},
		{"users add ann", 1, `^$`, `already`},
		{"users add ann --domain corp --role approver,ORG_ADMIN --json", 0, `"roles":\["ORG_ADMIN","approver"\]`, `^$`},
		{"users add bob --card EM:1", 1, `^$`, `another user has this card`},
		{"users add bob --card 12", 1, `^$`, `card`},
		{"users add bob --role boss", 1, `^$`, `ORG_ADMIN, approver`},
		{"users add", 2, `^$`, `NAME`},
		{"users list", 0, `ann +- +- +0000000000001 `, `^$`},
		{"users list --json", 0, `"card":"0000000000001"`, `^$`},
		{"users role ann approver", 1, `^$`, `2 users of the name`},
		{`users role corp\ann approver`, 0, `^$`, `^$`},
		{`users role corp\ann boss`, 1, `^$`, `roles`},
		{"users role", 2, `^$`, `USER`},
		{`users card corp\ann MC:5`, 0, `^$`, `^$`},
		{`users card corp\ann`, 0, `^$`, `^$`},
		{`users card corp\ann EM:1`, 1, `^$`, `another user`},
		{`users token corp\ann`, 0, `^postern_user_[A-Za-z0-9_-]{43}\n$`, `^$`},
		{`users token corp\ann --expires 720h --json`, 0, `"token":"postern_user_`, `^$`},
		{`users token corp\ann --expires yesterday`, 2, `^$`, `--expires`},
		{`users token nobody`, 1, `^$`, `not found`},
		{`users token corp\ann --list`, 0, `ID +CREATED`, `^$`},
		{`users token corp\ann --list --revoke x`, 2, `^$`, `together`},
		{`users token corp\ann --revoke ID`, 0, `^$`, `^$`},
		{`users token corp\ann --revoke ID`, 1, `^$`, `no such token`},
		{"levels approvers " + a, 0, `^nobody may ask`, `^$`},
		{"levels approvers " + a + ` corp\ann --votes 1`, 1, `^$`, `access level`},
		{"levels approvers " + a + ` corp\ann --votes 2`, 1, `^$`, `required_votes`},
		{"levels approvers " + a + " --none", 0, `^$`, `^$`},
		{"levels approvers " + a + " nobody", 1, `^$`, `not found`},
		{"levels approvers front", 2, `^$`, `uuid`},
		{"levels approvers", 2, `^$`, `LEVEL_ID`},
		{"levels exclusive", 0, `^NAME +LEVEL`, `^$`},
		{"levels exclusive " + a, 2, `^$`, `two LEVEL_IDs`},
		{"levels exclusive " + a + " x", 2, `^$`, `uuid`},
		{"levels exclusive " + a + " " + a, 1, `^$`, `different`},
		{"levels exclusive " + a + " " + b, 1, `^$`, `access level`},
		{"levels exclusive " + a + " " + b + " --remove", 1, `^$`, `no such pair of`},
		{`users remove corp\ann`, 0, `^$`, `^$`},
		{`users remove corp\ann`, 1, `^$`, `not found`},
		{"users", 2, `Usage`, `name a command`},
	} {
		args := append(strings.Fields(strings.ReplaceAll(s.args, "ID", id)), "--config", conf)
		if !strings.Contains(s.args, "--revoke ID") {
			args = append(strings.Fields(s.args), "--config", conf)
		}
		code, out, stderr := call(t, args...)
		if code != s.code || !regexp.MustCompile(s.out).MatchString(out) || !regexp.MustCompile(s.stderr).MatchString(stderr) {
			t.Errorf("%s: got %d\nstdout: %s\nstderr: %s\nwant %d, %s, %s", s.args, code, out, stderr, s.code, s.out, s.stderr)
		}
		if strings.HasSuffix(s.args, "--list") {
			id, _, _ = strings.Cut(strings.Split(out, "\n")[1], " ")
		}
	}
}

package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// sections are the manual's sections of the programs.
var sections = map[string]string{"posternd": "8", "postern": "1", "postern-central": "8"}

// page is what --help can't tell about a program.
type page struct {
	short string
	files []string
	exits []string
	see   string
}

var pages = map[string]page{
	"posternd": {
		short: "controller daemon of an access-control panel",
		files: []string{
			"/etc/postern/panel.toml", "who the panel is, how it is wired, and its first policy",
			"/var/lib/postern", "keys, journal and the device key",
			"/run/postern/postern.sock", "the socket of postern(1)",
			"/usr/share/postern/firmware-config", "examples for panel.toml, and what goes into config.txt of a Raspberry Pi",
		},
		exits: []string{"0", "done", "1", "failed", "2", "called wrongly, or the configuration has a fault"},
		see:   "postern(1), systemd.service(5)",
	},
	"postern": {
		short: "the installer's tool at an access-control panel",
		files: []string{"/run/postern/postern.sock", "the daemon's socket, unless --socket or POSTERN_SOCKET says otherwise"},
		exits: []string{"0", "done", "1", "refused or failed", "2", "called wrongly", "3", "the daemon can't be reached"},
		see:   "posternd(8)",
	},
	"postern-central": {
		short: "central server for access-control panels",
		files: []string{
			"/etc/postern/central.toml", "its configuration",
			"/var/lib/postern-central", "its database, and the key that codes and PINs are sealed with",
		},
		exits: []string{"0", "done", "1", "not done", "2", "called or configured wrongly"},
		see:   "posternd(8), postern(1)",
	},
}

// help is what one command says of itself.
type help struct {
	path     []string
	about    string
	usage    string
	flags    []string // lines
	commands []string
}

// subcommand is a line of a list of commands.
var subcommand = regexp.MustCompile(`^  ([a-z][a-z-]*) +\S`)

// parseHelp reads cobra's help text: what it is about, then parts with a heading.
func parseHelp(text string) help {
	var h help
	part := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		switch {
		case strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " "):
			part = strings.TrimSuffix(line, ":")
			continue
		case strings.HasPrefix(line, `Use "`):
			continue
		}
		switch part {
		case "":
			h.about += line + "\n"
		case "Usage":
			if h.usage == "" || !strings.HasSuffix(line, "[command]") {
				h.usage = strings.TrimSpace(h.usage + "\n" + strings.TrimSpace(line))
			}
		case "Available Commands":
			if m := subcommand.FindStringSubmatch(line); m != nil && m[1] != "help" && m[1] != "completion" {
				h.commands = append(h.commands, m[1])
			}
		case "Flags", "Global Flags":
			if line != "" {
				h.flags = append(h.flags, line)
			}
		}
	}
	h.about = strings.TrimSpace(h.about)
	return h
}

// ask walks through a program's commands.
func ask(ctx context.Context, bin string, path []string) ([]help, error) {
	out, err := command(ctx, "", nil, bin, append(slices.Clip(path), "--help")...)
	if err != nil {
		return nil, err
	}
	h := parseHelp(out)
	h.path = path
	all := []help{h}
	for _, sub := range h.commands {
		below, err := ask(ctx, bin, append(slices.Clip(path), sub))
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}

// manual gives a program's page, in the language of man(7).
func manual(ctx context.Context, bin, name, section, version string, date time.Time) ([]byte, error) {
	all, err := ask(ctx, bin, nil)
	if err != nil {
		return nil, err
	}
	p := pages[name]
	var m strings.Builder
	fmt.Fprintf(&m, ".TH %s %s %s %q %q\n", strings.ToUpper(name), section, date.Format(time.DateOnly), "Postern "+version, "Postern")
	fmt.Fprintf(&m, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n.I command\n.RI [ flags ]\n.SH DESCRIPTION\n", roff(name), roff(p.short), roff(name))
	paragraphs(&m, all[0].about)
	m.WriteString(".SH COMMANDS\n")
	for _, h := range all[1:] {
		if len(h.commands) > 0 {
			continue // its commands follow
		}
		fmt.Fprintf(&m, ".SS %s\n", roff(strings.Join(h.path, " ")))
		paragraphs(&m, h.about)
		literal(&m, strings.Split(h.usage, "\n"))
		literal(&m, own(h.flags, all[0].flags))
	}
	m.WriteString(".SH OPTIONS\nOf every command:\n")
	literal(&m, all[0].flags)
	m.WriteString(".SH EXIT STATUS\n")
	pairs(&m, p.exits)
	m.WriteString(".SH FILES\n")
	pairs(&m, p.files)
	fmt.Fprintf(&m, ".SH SEE ALSO\n%s\n", roff(p.see))
	return []byte(m.String()), nil
}

// own leaves out the flags that every command has.
func own(flags, common []string) []string {
	global := map[string]bool{}
	for _, f := range common {
		global[flagName(f)] = true
	}
	var out []string
	for _, f := range flags {
		if name := flagName(f); name != "--help" && !global[name] {
			out = append(out, f)
		}
	}
	return out
}

var long = regexp.MustCompile(`--[a-z-]+`)

func flagName(line string) string { return long.FindString(line) }

func paragraphs(m *strings.Builder, text string) {
	for para := range strings.SplitSeq(text, "\n\n") {
		fmt.Fprintf(m, ".PP\n%s\n", roff(para))
	}
}

// literal keeps lines as they are.
func literal(m *strings.Builder, lines []string) {
	if len(lines) == 0 {
		return
	}
	m.WriteString(".PP\n.nf\n")
	for _, l := range lines {
		m.WriteString(roff(l) + "\n")
	}
	m.WriteString(".fi\n")
}

// pairs are terms and what they mean, in turn.
func pairs(m *strings.Builder, list []string) {
	for i := 0; i+1 < len(list); i += 2 {
		fmt.Fprintf(m, ".TP\n.B %s\n%s\n", roff(list[i]), roff(list[i+1]))
	}
}

// roff writes text so that man shows it as it is.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

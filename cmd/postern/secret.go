package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds what is read for a code or a PIN, in bytes.
const maxSecret = 64

// askFor reads a secret: from the terminal, where it is asked for and not shown,
// or a line of what is piped in. Arguments end up in a shell's history and in the
// list of processes.
func (o *options) askFor(what string) (string, error) {
	restore, err := noEcho(os.Stdin)
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	if restore != nil {
		fmt.Fprintf(o.err, "%s: ", what)
		defer func() {
			restore()
			fmt.Fprintln(o.err)
		}()
	}
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, maxSecret+1)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" || len(line) >= maxSecret {
		return "", usagef("the %s is missing or too long: type it at the terminal, or pipe it in", what)
	}
	return line, nil
}

// asked is the value of a flag that was given without one: it is asked for.
const asked = "ask"

// secretFlag gives the value of such a flag: "" when it was not given.
func (o *options) secretFlag(what, value string) (string, error) {
	if value == asked {
		return o.askFor(what)
	}
	return value, nil
}

package apitest

import (
	"context"
	"io"
)

// Copied is what the panel's store has in it, by file.
var Copied = map[string]string{"keys.db": "the keys", "journal.db": "the journal", "last-good": "then"}

// BreakCopies has copies of the store end with err after their first file, until
// nil.
func (p *Panel) BreakCopies(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copyFault = err
}

// CopyStore is part of api.Backend.
func (p *Panel) CopyStore(_ context.Context, put func(name string, size int64, write func(io.Writer) error) error) error {
	p.mu.Lock()
	fault, broken := p.fault, p.copyFault
	p.mu.Unlock()
	if fault != nil {
		return fault
	}
	for _, name := range []string{"keys.db", "journal.db", "last-good"} {
		err := put(name, int64(len(Copied[name])), func(w io.Writer) error {
			_, err := io.WriteString(w, Copied[name])
			return err
		})
		if err != nil {
			return err
		}
		if broken != nil {
			return broken
		}
	}
	return nil
}

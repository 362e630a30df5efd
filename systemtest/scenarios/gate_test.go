package scenarios

import (
	"context"
	"errors"
	"sync"

	"postern/access"
	"postern/store"
)

var errPower = errors.New("the power is cut")

// gate is a store whose power may be cut at a commit: what was committed until
// then is copied, and nothing is answered any more.
type gate struct {
	*store.Store
	copy func() string

	mu    sync.Mutex // guards the rest
	left  int        // writes until the cut, 0 for none
	after bool       // the last of them still reaches the disk
	image string     // the copy, "" while the power is on
}

// arm cuts the power at the nth write from now, before or after its commit.
func (g *gate) arm(n int, after bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left, g.after = n, after
}

// disarm gives the copy, "" when the power was not cut.
func (g *gate) disarm() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = 0
	return g.image
}

// write does a write. Writes come one by one, so that a copy is never torn.
func (g *gate) write(ctx context.Context, do func() error) error {
	g.mu.Lock()
	off := g.image != ""
	if !off && g.left > 0 {
		if g.left--; g.left == 0 {
			if g.after {
				_ = do()
			}
			g.image, off = g.copy(), true
		}
	}
	if !off {
		defer g.mu.Unlock()
		return do()
	}
	g.mu.Unlock()
	<-ctx.Done()
	return errPower
}

func (g *gate) Record(ctx context.Context, ev ...access.Event) (out []access.Event, err error) {
	err = g.write(ctx, func() (err error) {
		out, err = g.Store.Record(ctx, ev...)
		return err
	})
	return out, err
}

func (g *gate) SetLockouts(ctx context.Context, all map[string]access.Lockout) error {
	return g.write(ctx, func() error { return g.Store.SetLockouts(ctx, all) })
}

func (g *gate) SetPlace(ctx context.Context, who access.ID, at access.Place) error {
	return g.write(ctx, func() error { return g.Store.SetPlace(ctx, who, at) })
}

package central

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"postern/access"
	"postern/wire"
)

// CommandTime is how long a command may take. One that nobody carried out by
// then is never carried out: an unlock must not fire late.
const CommandTime = 10 * time.Second

// commandSlack is how much longer the caller waits, so that the link has the
// last word.
const commandSlack = 2 * time.Second

const commandPoll = 50 * time.Millisecond

// CommandOutcome is what became of a command.
type CommandOutcome struct {
	ID     access.ID `json:"id"`
	Result string    `json:"result"` // done, refused or expired
	Error  string    `json:"error,omitempty"`
}

// The states of a command; the last three are also its results.
const (
	commandWaiting = "waiting" // for the link
	commandSent    = "sent"
	CommandDone    = wire.CommandDone
	CommandRefused = wire.CommandRefused // by the panel, or as it is offline
	CommandExpired = "expired"           // nobody answered in time; an unlock may have happened
)

// Commands are those that a panel may be given: unlock a door, let a reader
// identify itself, forgive a person's whereabouts.
func Commands() []string {
	return []string{wire.CommandUnlock, wire.CommandIdentify, wire.CommandForgive}
}

// Command gives a panel a command through whichever process has the link, and
// waits for what becomes of it. Where one needs a nonce the link fetches it first.
// An error means that the command could not be given; ErrNotFound is an unknown
// panel.
func (s *Store) Command(ctx context.Context, systemID, name, target string) (CommandOutcome, error) {
	return s.command(ctx, systemID, name, target, func() {})
}

// command is Command that calls wake once the command waits for the link.
func (s *Store) command(ctx context.Context, systemID, name, target string, wake func()) (CommandOutcome, error) {
	out, err := s.giveCommand(ctx, systemID, name, target)
	if err != nil {
		return out, fmt.Errorf("give command: %w", err)
	}
	wake()
	limit := time.NewTimer(CommandTime + commandSlack)
	defer limit.Stop()
	poll := time.NewTicker(commandPoll)
	defer poll.Stop()
	for {
		err := s.read.QueryRowContext(ctx, "SELECT state, error FROM commands WHERE id = $1", out.ID.String()).Scan(&out.Result, &out.Error)
		if err != nil {
			return out, errors.Join(fmt.Errorf("read command: %w", err), s.endCommand(context.WithoutCancel(ctx), out.ID, CommandExpired, "given up"))
		}
		if out.Result != commandWaiting && out.Result != commandSent {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return out, errors.Join(ctx.Err(), s.endCommand(context.WithoutCancel(ctx), out.ID, CommandExpired, "given up"))
		case <-limit.C:
			text := "no link took it: is postern-central serve running?"
			if out.Result == commandSent {
				text = "the link did not say what became of it"
			}
			if err := s.endCommand(ctx, out.ID, CommandExpired, text); err != nil {
				return out, err
			}
		case <-poll.C:
		}
	}
}

func (s *Store) giveCommand(ctx context.Context, system, name, target string) (CommandOutcome, error) {
	id, err := newID()
	if err != nil {
		return CommandOutcome{}, err
	}
	out := CommandOutcome{ID: id, Result: commandWaiting}
	switch {
	case !slices.Contains(Commands(), name):
		return out, fmt.Errorf("%.32q is no command (one of %v)", name, Commands())
	case target == "" && name != wire.CommandForgive:
		return out, fmt.Errorf("%s needs a target", name)
	case target != "":
		if err := checkText(target, 64); err != nil {
			return out, fmt.Errorf("target: %w", err)
		}
	}
	return out, s.update(ctx, func(t *tx) error {
		if _, err := t.head(ctx, system); err != nil {
			return err
		}
		if name == wire.CommandUnlock {
			if err := t.checkDoor(ctx, system, target); err != nil || target == wire.AllDoors {
				return errors.Join(err, onlyOneDoor(target))
			}
		}
		detail(ctx, "panel %s %s %s", system, name, target)
		const insert = `INSERT INTO commands (id, system_id, name, target, state, error, created_at) VALUES ($1, $2, $3, $4, $5, '', $6)`
		if err := t.exec(ctx, insert, id.String(), system, name, target, commandWaiting, t.now.UnixMicro()); err != nil {
			return err
		}
		return t.changed(ctx)
	})
}

func onlyOneDoor(target string) error {
	if target != wire.AllDoors {
		return nil
	}
	return errors.New("unlock takes one door; door modes hold for all")
}

// endCommand says what became of a command, unless that is known already.
func (s *Store) endCommand(ctx context.Context, id access.ID, state, text string) error {
	_, err := s.write.ExecContext(ctx, "UPDATE commands SET state = $1, error = $2 WHERE id = $3 AND state IN ('waiting', 'sent')",
		state, clean(text), id.String())
	if err != nil {
		return fmt.Errorf("end command: %w", err)
	}
	return nil
}

// order is a command as the link takes it over.
type order struct {
	id           access.ID
	system       string
	name, target string
	given        time.Time
}

// takeCommands takes over the commands that wait.
func (s *Store) takeCommands(ctx context.Context) ([]order, error) {
	var waiting int
	if err := s.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM commands WHERE state = 'waiting'").Scan(&waiting); err != nil || waiting == 0 {
		return nil, err
	}
	var out []order
	err := s.update(ctx, func(t *tx) (err error) {
		out, err = all(ctx, t, func(scan func(...any) error) (order, error) {
			var o order
			var id string
			var given int64
			if err := scan(&id, &o.system, &o.name, &o.target, &given); err != nil {
				return o, err
			}
			o.given = fromMicros0(given)
			var err error
			o.id, err = access.ParseID(id)
			return o, err
		}, "UPDATE commands SET state = 'sent' WHERE state = 'waiting' RETURNING id, system_id, name, target, created_at")
		return err
	})
	return out, err
}

// dropCommands ends what an earlier session left open.
func (s *Store) dropCommands(ctx context.Context) error {
	_, err := s.write.ExecContext(ctx, "UPDATE commands SET state = $1, error = $2 WHERE state = 'sent'", CommandExpired,
		"the link was lost; whether the panel has done it is not known")
	return err
}

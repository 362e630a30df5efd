package sync

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/access"
	"postern/wire"
)

// Replica is the panel's store as this package needs it.
type Replica interface {
	// Apply commits a batch and gives the position after it. Of access.ErrGap,
	// ErrOldEpoch and ErrNewEpoch each means that nothing was taken.
	Apply(ctx context.Context, b access.Batch) (access.Position, error)
	Position() access.Position
	// NextStatus is the first row held whose sequence number is above after;
	// ok is false when there is none.
	NextStatus(after uint64) (row access.StatusRow, ok bool, err error)
	// LastStatus is the sequence number of the last row ever written, confirmed or
	// not.
	LastStatus() uint64
	// Confirmed is the last row that was confirmed since the start, and the boot
	// under which it was written; zeros when none was.
	Confirmed() (boot access.ID, seq uint64)
	// AckStatus trims the rows up to seq if the row seq was written under boot;
	// otherwise it does nothing.
	AckStatus(ctx context.Context, boot access.ID, seq uint64) error
	// NextEvents is a run of at most limit entries, from the first one held
	// whose sequence number is above after.
	NextEvents(after uint64, limit int) (run access.EventRun, ok bool, err error)
	AckEvents(ctx context.Context, boot access.ID, seq uint64) error
	// StatusReady and EventsReady receive a value after rows were added.
	StatusReady() <-chan struct{}
	EventsReady() <-chan struct{}

	// Stage begins to take a snapshot in, or goes on with the one of the same id;
	// what was staged under another id is dropped. access.ErrOldEpoch and ErrStale
	// mean that this panel must not take it.
	Stage(ctx context.Context, m access.Snapshot) error
	// Staged is the snapshot that is being taken in and the chunks that it lacks,
	// ascending, wire.MaxNeedChunks at most. ok is false when there is none.
	Staged() (m access.Snapshot, missing []int, ok bool)
	// StageChunk keeps chunk n of a staged snapshot. It keeps data no longer than
	// the call lasts.
	StageChunk(ctx context.Context, id access.ID, n int, data []byte) error
	// Install puts the staged snapshot, which lacks nothing, in the place of the
	// keys. It may take long, and goes beside everything else. What is not as its
	// manifest says is dropped.
	Install(ctx context.Context) (access.Position, error)
	// Unstage drops what is staged.
	Unstage(ctx context.Context) error
	// PINKeyLost says that keys were put aside because this panel's device key is
	// not the one they were kept under; a snapshot is wanted.
	PINKeyLost() bool
}

// Site is the panel's policy, its door modes and what it can be told to do.
// Policy, Modes and Command may take long: each is called beside everything
// else, one policy or modes after the other, one command after the other.
type Site interface {
	// Policy takes a policy document in; one that is not above the one in force
	// is ignored. It gives what to report.
	Policy(ctx context.Context, doc []byte) wire.PolicyStatus
	// PolicyStatus is that of the newest document taken or refused; ok is false
	// when there has been none.
	PolicyStatus() (st wire.PolicyStatus, ok bool)
	// Modes sets the doors' modes; what is not above those in force is ignored.
	Modes(ctx context.Context, m wire.DoorModes) error
	// Versions are those of the policy and the modes in force.
	Versions() (policy, modes wire.Version)
	// Command does what one of the wire.Command names says. It must not do it
	// after ctx is done. The text of its error goes to central.
	Command(ctx context.Context, name, target string) error
}

// Options are what a Client needs to know. Those without a default named are
// required.
type Options struct {
	SystemID string // the panel's; see wire.CheckSystemID
	Broker   string // tcp://host:port or ssl://host:port (also mqtt and mqtts)
	ClientID string // of the MQTT session; default the system id
	Username string // default none
	Password string // default none. A secret
	// TLS gives the settings of the next connection, for ssl; default the system's
	// roots. It is asked at each attempt, as certificates are renewed. The Time
	// hook is the caller's to set where the clock may be wrong.
	TLS func() (*tls.Config, error)

	// Trust is the keys whose signatures are taken; empty: what nobody signed is
	// taken, and reported so.
	Trust wire.Trust

	BootID  access.ID // random for each start of the daemon
	Version string
	Clock   func() string     // state of the clock, as access.ClockState names it
	Panel   func() wire.Panel // what the panel is at present
	Replica Replica
	Site    Site // default none: policies and modes are ignored, commands refused

	Now     func() time.Time   // wall clock; default time.Now
	Log     *slog.Logger       // default none
	Journal func(access.Event) // gets access.BadEnvelope with its Detail, the rest is for it to fill; must not block; default none

	ResendAfter   time.Duration // silence after which unconfirmed rows are sent again; default 30s
	NudgeAfter    time.Duration // the same after a confirmation that moves nothing; default 2s
	NeedAfter     time.Duration // without progress at a gap or a snapshot before asking for what lacks; default 10s
	LoopbackAfter time.Duration // within which the panel's own state must come back; default 10s
	ReportAfter   time.Duration // gathers changes into one report; default 200ms
	AnnounceEvery time.Duration // state, panel and report go out again so often; default 5m
	StateAfter    time.Duration // before a wrong state of this panel is put right; default 1s

	KeepAlive      time.Duration // whole seconds of silence before a ping; default 4s
	PingTimeout    time.Duration // for its answer, then the link is lost; default 3s
	WriteTimeout   time.Duration // of one message; default 5s
	ConnectTimeout time.Duration // for TCP and TLS, and again for MQTT; default 15s
	RetryMin       time.Duration // pause before the second attempt to connect, doubled for each one after it; default 1s
	RetryMax       time.Duration // most of such a pause; default 60s

	// NewClient takes the place of the MQTT library, for tests of whole systems
	// without a network. With it nothing is dialled and Broker is only a name;
	// default mqtt.NewClient. Where its subscription's token has no Result,
	// everything counts as granted.
	NewClient func(*mqtt.ClientOptions) mqtt.Client
}

func (o *Options) fill() error {
	switch {
	case o.BootID.IsZero():
		return errors.New("boot id is missing")
	case o.Replica == nil || o.Panel == nil || o.Clock == nil:
		return errors.New("replica, panel and clock are required")
	case o.KeepAlive%time.Second != 0:
		return errors.New("keep alive has to be whole seconds")
	}
	if err := wire.CheckSystemID(o.SystemID); err != nil {
		return err
	}
	if o.ClientID == "" {
		o.ClientID = o.SystemID
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Journal == nil {
		o.Journal = func(access.Event) {}
	}
	for _, d := range []struct {
		v     *time.Duration
		value time.Duration
	}{
		{&o.ResendAfter, 30 * time.Second},
		{&o.NudgeAfter, 2 * time.Second},
		{&o.NeedAfter, 10 * time.Second},
		{&o.LoopbackAfter, 10 * time.Second},
		{&o.ReportAfter, 200 * time.Millisecond},
		{&o.AnnounceEvery, 5 * time.Minute},
		{&o.StateAfter, time.Second},
		{&o.KeepAlive, 4 * time.Second},
		{&o.PingTimeout, 3 * time.Second},
		{&o.WriteTimeout, 5 * time.Second},
		{&o.ConnectTimeout, 15 * time.Second},
		{&o.RetryMin, time.Second},
		{&o.RetryMax, time.Minute},
	} {
		if *d.v <= 0 {
			*d.v = d.value
		}
	}
	o.RetryMax = max(o.RetryMax, o.RetryMin)
	return nil
}

// broker is an address that was read.
type broker struct {
	host string // host:port
	tls  bool
}

// parseBroker never repeats the text: a password may have been put in it.
func parseBroker(s string) (broker, error) {
	u, err := url.Parse(s)
	if err != nil {
		return broker{}, errors.New("broker is not an address (want tcp://host:port or ssl://host:port)")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" || u.Hostname() == "" {
		return broker{}, errors.New("broker has to be tcp://host:port or ssl://host:port and nothing else")
	}
	var b broker
	port := u.Port()
	switch u.Scheme {
	case "tcp", "mqtt":
		port = orDefault(port, "1883")
	case "ssl", "tls", "mqtts":
		port, b.tls = orDefault(port, "8883"), true
	default:
		return broker{}, fmt.Errorf("broker has the unknown scheme %.16q (want tcp or ssl)", u.Scheme)
	}
	b.host = net.JoinHostPort(u.Hostname(), port)
	return b, nil
}

func (b broker) String() string {
	if b.tls {
		return "ssl://" + b.host
	}
	return "tcp://" + b.host
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

package central

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"postern/wire"
)

// LinkOptions say how central reaches its broker.
type LinkOptions struct {
	Broker   string // URL: tcp://, ssl://, ws:// or wss://
	ClientID string // "" is DefaultClientID
	Username string
	Password string
	// TLS gives the settings of the next connection, for ssl:// and wss://; nil is
	// the system's authorities. It is asked at each attempt.
	TLS    func() (*tls.Config, error)
	Signer *Signer       // signs what panels act on; nil signs nothing
	Resend time.Duration // what makes no progress for so long is sent again; 0 is DefaultResend
	Log    *slog.Logger  // nil discards
	// NewClient makes the MQTT client, for tests that need no broker; nil is
	// mqtt.NewClient.
	NewClient func(*mqtt.ClientOptions) mqtt.Client
}

// Defaults of a link.
const (
	DefaultClientID = "postern-central"
	DefaultResend   = 30 * time.Second
)

const (
	maxInFlight  = 100 // publishes that the broker has not confirmed
	maxBulk      = 32  // of them, those that other things must not wait for
	firstBackoff = time.Second
	mostBackoff  = time.Minute
	goodSession  = time.Minute // one that lasted so long starts the backoff anew
	quiesce      = 250         // milliseconds
)

// Link is the MQTT side of central.
type Link struct {
	o      LinkOptions
	engine *engine
	wake   chan struct{}
	up     atomic.Bool

	// client is that of the present session; the engine's goroutine alone uses it.
	client  mqtt.Client
	over    <-chan struct{} // closed when the session has ended
	flights chan struct{}   // one in it for each publish that is not confirmed
	landed  chan struct{}   // some were
	sending sync.WaitGroup
	session context.Context                  //nolint:containedctx // of the present session, as client is
	done    chan func(context.Context) error // what work beside the loop ends with
}

// NewLink makes a link over a store.
func NewLink(s *Store, o LinkOptions) *Link {
	if o.ClientID == "" {
		o.ClientID = DefaultClientID
	}
	if o.Resend <= 0 {
		o.Resend = DefaultResend
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.NewClient == nil {
		o.NewClient = mqtt.NewClient
	}
	l := &Link{
		o: o, wake: make(chan struct{}, 1), flights: make(chan struct{}, maxInFlight), landed: make(chan struct{}, 1),
		done: make(chan func(context.Context) error),
	}
	l.engine = newEngine(s, o.Log, o.Resend, outlet{room: l.room, publish: l.publish, recall: l.recall, spawn: l.spawn})
	return l
}

// Wake tells the link that the logs have grown. It never blocks.
func (l *Link) Wake() { signal(l.wake) }

// Connected reports whether the link has its broker now.
func (l *Link) Connected() bool { return l.up.Load() }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run keeps the link up until ctx ends. Every connection is a new client with
// nothing of the one before: what was under way is found out again from the
// panels. It gives an error only when ctx was over.
func (l *Link) Run(ctx context.Context) error {
	backoff := firstBackoff
	for {
		began := time.Now()
		err := l.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) >= goodSession {
			backoff = firstBackoff
		}
		// With jitter, so that after an outage not everything comes at once.
		wait := backoff/2 + rand.N(backoff/2)
		backoff = min(2*backoff, mostBackoff)
		l.o.Log.Warn("no link to the broker", "broker", l.o.Broker, "error", err, "retry_in", wait.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// connect is one connection: it gives why it ended.
func (l *Link) connect(ctx context.Context) error {
	if err := l.engine.forget(ctx); err != nil {
		return fmt.Errorf("forget who is online: %w", err)
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	queue := newInbox()
	oversize := new(atomic.Uint64)
	client := l.o.NewClient(l.options(ctx, end, queue, oversize))
	l.client, l.over, l.session = client, ctx.Done(), ctx
	// Whatever the way out: no goroutine of a session outlives it.
	defer l.sending.Wait()
	defer end(nil)
	defer client.Disconnect(quiesce)
	if err := wait(ctx, client.Connect()); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	l.up.Store(true)
	defer l.up.Store(false)
	return l.loop(ctx, queue, oversize)
}

func (l *Link) options(ctx context.Context, end context.CancelCauseFunc, queue *inbox, oversize *atomic.Uint64) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker(l.o.Broker).SetClientID(l.o.ClientID).
		SetUsername(l.o.Username).SetPassword(l.o.Password).
		SetCleanSession(true).SetProtocolVersion(4).SetOrderMatters(true).SetStore(mqtt.NewOrderedMemoryStore()).
		SetAutoReconnect(false).SetConnectRetry(false).SetAutoAckDisabled(true).
		SetKeepAlive(4 * time.Second).SetPingTimeout(3 * time.Second).
		SetConnectTimeout(10 * time.Second).SetWriteTimeout(5 * time.Second).
		SetCustomOpenConnectionFn(func(uri *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
			return dialBroker(ctx, uri, o, l.o.TLS, oversize)
		}).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { l.enqueue(m, end, queue) }).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { end(fmt.Errorf("connection lost: %w", err)) }).
		SetOnConnectHandler(func(c mqtt.Client) {
			// A goroutine of paho's own; waiting here blocks no handler.
			if err := subscribe(ctx, c); err != nil {
				end(fmt.Errorf("subscribe: %w", err))
				return
			}
			l.o.Log.Info("linked to the broker", "broker", l.o.Broker)
		})
}

// enqueue is called by paho and must not block: a blocked handler hides a lost
// link. When the queue is full, something is lost, and beginning anew brings
// back everything that matters. One panel alone can't fill it: what is beyond
// its share is lost too, but is the panel's own business.
func (l *Link) enqueue(m mqtt.Message, end context.CancelCauseFunc, queue *inbox) {
	system, topic, ok := wire.SplitTopic(m.Topic())
	if !ok || len(m.Payload()) > wire.MaxPayload {
		l.o.Log.Warn("message ignored", "bytes", len(m.Payload()), "reason", "topic or size")
		m.Ack()
		return
	}
	switch queue.put(message{system: system, topic: topic, payload: m.Payload(), retained: m.Retained(), ack: m.Ack}) {
	case roomTaken:
	case roomNone:
		end(errors.New("messages came faster than they could be stored"))
	case roomFirst:
		l.o.Log.Warn("panel sends more than its share; what is beyond it is dropped", "system", system)
		m.Ack()
	case roomShare:
		m.Ack() // or the broker would hold back those of the others
	}
}

const subscribeTime = 20 * time.Second

func subscribe(ctx context.Context, c mqtt.Client) error {
	ctx, cancel := context.WithTimeout(ctx, subscribeTime)
	defer cancel()
	filters := map[string]byte{}
	for _, t := range wire.UpTopics() {
		filters[t.Of("+")] = 1
	}
	token := c.SubscribeMultiple(filters, nil)
	if err := wait(ctx, token); err != nil {
		return err
	}
	if t, ok := token.(*mqtt.SubscribeToken); ok {
		for filter, code := range t.Result() {
			if code > 2 {
				return fmt.Errorf("the broker refuses %s to this user", filter)
			}
		}
	}
	return nil
}

func wait(ctx context.Context, t mqtt.Token) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.Done():
		return t.Error()
	}
}

// loop is the one goroutine that knows the panels.
func (l *Link) loop(ctx context.Context, queue *inbox, oversize *atomic.Uint64) error {
	ticker := time.NewTicker(min(time.Second, l.o.Resend/4))
	defer ticker.Stop()
	if err := l.engine.refresh(ctx); err != nil {
		return err
	}
	var seen uint64
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-queue.filled:
			err = l.takeIn(ctx, queue)
		case <-l.wake:
			err = l.engine.refresh(ctx)
		case <-l.landed:
			err = l.engine.pumpAll(ctx)
		case then := <-l.done:
			err = then(ctx)
		case <-ticker.C:
			if l.o.Signer != nil {
				l.o.Signer.refresh()
			}
			if err = l.checkOversize(oversize, &seen); err == nil {
				err = l.engine.tick(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}

// takeIn handles one message, and sees to it that the next is not forgotten.
func (l *Link) takeIn(ctx context.Context, queue *inbox) error {
	m, refused, ok := queue.next()
	if !ok {
		return nil
	}
	if err := l.engine.handle(ctx, m); err != nil {
		return err
	}
	m.ack() // only now is it in the database
	if refused > 0 {
		l.engine.missed(m.system, refused)
	}
	return nil
}

// recall has the broker send the retained messages of one panel again, by
// subscribing to them once more.
func (l *Link) recall(system string) {
	client, over := l.client, l.over
	l.sending.Go(func() {
		filters := map[string]byte{}
		for _, t := range wire.UpTopics() {
			if t.Retained() {
				filters[t.Of(system)] = 1
			}
		}
		token := client.SubscribeMultiple(filters, nil)
		select {
		case <-token.Done():
			client.Unsubscribe(slices.Collect(maps.Keys(filters))...)
		case <-over:
		}
	})
}

// room reports whether another publish may be under way. The engine's goroutine
// alone begins them, so that a yes holds until it does.
func (l *Link) room(bulk bool) bool {
	if bulk {
		return len(l.flights) < maxBulk
	}
	return len(l.flights) < maxInFlight
}

// publish hands one message to the broker; there has to be room. That a publish
// was confirmed means nothing but that there is room for the next: only what a
// panel says counts.
func (l *Link) publish(system string, t wire.Topic, payload []byte) {
	if l.o.Signer != nil && t.Signed() {
		payload = l.o.Signer.sign(l.engine.now(), system, t, payload)
	}
	l.flights <- struct{}{}
	token, over := l.client.Publish(t.Of(system), 1, t.Retained(), payload), l.over
	l.sending.Go(func() {
		select {
		case <-token.Done():
		case <-over:
		}
		<-l.flights
		signal(l.landed)
	})
}

// spawn runs work beside the loop, until the session ends at the latest.
func (l *Link) spawn(work func(context.Context) func(context.Context) error) {
	ctx := l.session
	l.sending.Go(func() {
		then := work(ctx)
		select {
		case l.done <- then:
		case <-ctx.Done():
		}
	})
}

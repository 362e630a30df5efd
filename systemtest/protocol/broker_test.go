package protocol

import (
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// broker is an MQTT 3.1.1 broker of one goroutine a connection, over pipes. It
// keeps retained messages and wills like a real one, and can be made to lose,
// delay, cut and forget.
type broker struct {
	mu       sync.Mutex // guards the rest
	rand     *rand.Rand
	down     bool
	retained map[string][]byte
	clients  map[string]*peer // by client id

	lose   float64       // share of messages that vanish between acknowledgement and delivery
	twice  float64       // share that comes twice
	delay  time.Duration // most that a message waits
	cut    map[string]int
	frozen map[string]bool // client ids whose connections pass nothing on, and stay open
	passed int             // messages handed to somebody
	lost   int
}

func newBroker(seed uint64) *broker {
	return &broker{
		rand: rand.New(rand.NewPCG(seed, 1)), retained: map[string][]byte{}, clients: map[string]*peer{},
		cut: map[string]int{}, frozen: map[string]bool{},
	}
}

// peer is one connection.
type peer struct {
	b       *broker
	conn    net.Conn
	id      string
	will    *packets.PublishPacket
	filters []string
	out     chan packets.ControlPacket
	done    chan struct{}
	once    sync.Once
	next    uint16
}

// dial opens a connection to the broker; it fails while the broker is down.
func (b *broker) dial() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, io.ErrClosedPipe
	}
	near, far := net.Pipe()
	p := &peer{b: b, conn: far, out: make(chan packets.ControlPacket, 4096), done: make(chan struct{})}
	go p.read()
	go p.write()
	return near, nil
}

// stop takes the broker away with every connection, without a will; wipe takes
// what it retained too.
func (b *broker) stop(wipe bool) {
	b.mu.Lock()
	b.down = true
	if wipe {
		b.retained = map[string][]byte{}
	}
	all := b.clients
	b.clients = map[string]*peer{}
	b.mu.Unlock()
	for _, p := range all {
		p.close()
	}
}

func (b *broker) start() {
	b.mu.Lock()
	b.down = false
	b.mu.Unlock()
}

// cutAfter cuts a client's connection after n more packets either way.
func (b *broker) cutAfter(id string, n int) {
	b.mu.Lock()
	b.cut[id] = n
	b.mu.Unlock()
}

// freeze makes a client's connection a half-open one.
func (b *broker) freeze(id string, on bool) {
	b.mu.Lock()
	b.frozen[id] = on
	b.mu.Unlock()
}

// weather sets how messages travel.
func (b *broker) weather(lose, twice float64, delay time.Duration) {
	b.mu.Lock()
	b.lose, b.twice, b.delay = lose, twice, delay
	b.mu.Unlock()
}

func (p *peer) close() {
	p.once.Do(func() { close(p.done) })
	_ = p.conn.Close()
}

// gone ends a connection, with its will unless it said goodbye.
func (p *peer) gone(will bool) {
	p.b.mu.Lock()
	was := p.b.clients[p.id] == p
	if was {
		delete(p.b.clients, p.id)
	}
	p.b.mu.Unlock()
	p.close()
	if was && will && p.will != nil {
		p.b.publish(p.will)
	}
}

// passes counts a packet of a client, and reports whether it may go on.
func (p *peer) passes() bool {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	n, ok := p.b.cut[p.id]
	if !ok {
		return true
	}
	if n--; n > 0 {
		p.b.cut[p.id] = n
		return true
	}
	delete(p.b.cut, p.id)
	return false
}

func (p *peer) isFrozen() bool {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	return p.b.frozen[p.id]
}

func (p *peer) read() {
	defer p.gone(true)
	for {
		pkt, err := packets.ReadPacket(p.conn)
		if err != nil {
			return
		}
		if p.isFrozen() {
			continue
		}
		if !p.passes() || !p.handle(pkt) {
			return
		}
	}
}

// handle does what a packet asks for; false ends the connection.
func (p *peer) handle(pkt packets.ControlPacket) bool {
	switch v := pkt.(type) {
	case *packets.ConnectPacket:
		p.connected(v)
	case *packets.PublishPacket:
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		ack.MessageID = v.MessageID
		p.send(ack)
		p.b.publish(v)
	case *packets.SubscribePacket:
		ack := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
		ack.MessageID = v.MessageID
		for range v.Topics {
			ack.ReturnCodes = append(ack.ReturnCodes, 1)
		}
		p.send(ack)
		p.b.subscribed(p, v.Topics)
	case *packets.PingreqPacket:
		p.send(packets.NewControlPacket(packets.Pingresp))
	case *packets.DisconnectPacket:
		p.gone(false)
		return false
	}
	return true
}

func (p *peer) connected(v *packets.ConnectPacket) {
	p.id = v.ClientIdentifier
	if v.WillFlag {
		p.will = packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.will.TopicName, p.will.Payload, p.will.Retain, p.will.Qos = v.WillTopic, v.WillMessage, v.WillRetain, 1
	}
	p.b.mu.Lock()
	old := p.b.clients[p.id]
	p.b.mu.Unlock()
	if old != nil {
		old.gone(true)
	}
	p.b.mu.Lock()
	p.b.clients[p.id] = p
	p.b.mu.Unlock()
	p.send(packets.NewControlPacket(packets.Connack))
}

func (b *broker) subscribed(p *peer, filters []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.filters = append(p.filters, filters...)
	for topic, payload := range b.retained {
		for _, f := range filters {
			if matches(f, topic) {
				b.deliver(p, topic, payload, true)
				break
			}
		}
	}
}

func (b *broker) publish(v *packets.PublishPacket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.Retain {
		if len(v.Payload) == 0 {
			delete(b.retained, v.TopicName)
		} else {
			b.retained[v.TopicName] = v.Payload
		}
	}
	for _, p := range b.clients {
		for _, f := range p.filters {
			if !matches(f, v.TopicName) {
				continue
			}
			if b.rand.Float64() < b.lose {
				b.lost++
				break
			}
			b.deliver(p, v.TopicName, v.Payload, false)
			if b.rand.Float64() < b.twice {
				b.deliver(p, v.TopicName, v.Payload, false)
			}
			break
		}
	}
}

// deliver queues a message for a client; b.mu is held.
func (b *broker) deliver(p *peer, topic string, payload []byte, retained bool) {
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.next++
	if p.next == 0 {
		p.next = 1
	}
	m.TopicName, m.Payload, m.Retain, m.Qos, m.MessageID = topic, payload, retained, 1, p.next
	b.passed++
	p.send(m)
}

func (p *peer) send(pkt packets.ControlPacket) {
	select {
	case p.out <- pkt:
	default: // a queue that is full drops the newest, silently
	}
}

func (p *peer) write() {
	for {
		select {
		case <-p.done:
			return
		case pkt := <-p.out:
			if d := p.wait(); d > 0 {
				select {
				case <-time.After(d):
				case <-p.done:
					return
				}
			}
			if p.isFrozen() {
				continue
			}
			if !p.passes() {
				p.gone(true)
				return
			}
			if err := pkt.Write(p.conn); err != nil {
				return
			}
		}
	}
}

func (p *peer) wait() time.Duration {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.b.delay <= 0 {
		return 0
	}
	return time.Duration(p.b.rand.Int64N(int64(p.b.delay)))
}

// matches reports whether a topic fits a filter.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, part := range f {
		switch {
		case part == "#":
			return true
		case i >= len(t) || part != "+" && part != t[i]:
			return false
		}
	}
	return len(f) == len(t)
}

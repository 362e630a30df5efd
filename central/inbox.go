package central

import "sync"

// Bounds of an inbox. After a subscribe the broker hands out all that it keeps
// at once, three messages for each panel.
const (
	maxWaiting      = 1 << 16  // messages
	maxWaitingBytes = 64 << 20 // of payload
)

// inbox holds messages between the goroutine of the MQTT client, which must
// never wait, and the one that stores them.
type inbox struct {
	filled chan struct{} // has one in it while there may be messages

	mu    sync.Mutex // guards what follows
	queue []message
	bytes int
}

func newInbox() *inbox { return &inbox{filled: make(chan struct{}, 1)} }

// put adds a message, unless there is no room.
func (b *inbox) put(m message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) >= maxWaiting || b.bytes+len(m.payload) > maxWaitingBytes {
		return false
	}
	b.queue = append(b.queue, m)
	b.bytes += len(m.payload)
	signal(b.filled)
	return true
}

// next takes the oldest message out.
func (b *inbox) next() (message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return message{}, false
	}
	m := b.queue[0]
	b.queue[0] = message{} // or its payload would be kept
	b.queue = b.queue[1:]
	b.bytes -= len(m.payload)
	if len(b.queue) > 0 {
		signal(b.filled)
	}
	return m, true
}

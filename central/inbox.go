package central

import "sync"

// Bounds of an inbox. After a subscribe the broker hands out all that it keeps
// at once, three messages for each panel.
const (
	maxWaiting      = 1 << 16  // messages
	maxWaitingBytes = 64 << 20 // of payload
	shares          = 4        // one panel may have one of so many parts of both
)

// inbox holds messages between the goroutine of the MQTT client, which must
// never wait, and the one that stores them.
type inbox struct {
	filled chan struct{} // has one in it while there may be messages

	mu      sync.Mutex // guards what follows
	queue   []message
	waiting share
	of      map[string]*share // of each panel that has messages waiting
}

// share is what waits in an inbox.
type share struct {
	messages, bytes int
	refused         int // messages that found no room since there were none
}

// fits reports whether there is room for n bytes more in one of so many parts.
func (s share) fits(n, parts int) bool {
	return s.messages < maxWaiting/parts && s.bytes+n <= maxWaitingBytes/parts
}

func (s *share) add(messages, bytes int) { s.messages, s.bytes = s.messages+messages, s.bytes+bytes }

// room is what an inbox had for a message.
type room int

const (
	roomTaken room = iota // it is in
	roomFirst             // refused, the first one of a panel that has its share
	roomShare             // refused, another one
	roomNone              // refused: the whole inbox is full
)

func newInbox() *inbox { return &inbox{filled: make(chan struct{}, 1), of: map[string]*share{}} }

// put adds a message, unless there is no room.
func (b *inbox) put(m message) room {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.waiting.fits(len(m.payload), 1) {
		return roomNone
	}
	s := b.of[m.system]
	if s == nil {
		s = &share{}
		b.of[m.system] = s
	}
	if !s.fits(len(m.payload), shares) {
		if s.refused++; s.refused == 1 {
			return roomFirst
		}
		return roomShare
	}
	b.queue = append(b.queue, m)
	s.add(1, len(m.payload))
	b.waiting.add(1, len(m.payload))
	signal(b.filled)
	return roomTaken
}

// next takes the oldest message out. When it is the last of a panel of which
// some were refused, it says how many.
func (b *inbox) next() (m message, refused int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		return message{}, 0, false
	}
	m = b.queue[0]
	b.queue[0] = message{} // or its payload would be kept
	b.queue = b.queue[1:]
	b.waiting.add(-1, -len(m.payload))
	s := b.of[m.system]
	if s.add(-1, -len(m.payload)); s.messages == 0 {
		refused = s.refused
		delete(b.of, m.system)
	}
	if len(b.queue) > 0 {
		signal(b.filled)
	}
	return m, refused, true
}

package central

import (
	"sync"
	"time"
)

// limiter is a token bucket for each API key.
type limiter struct {
	rate float64 // requests a second
	most float64 // that may come at once

	mu      sync.Mutex // guards buckets
	buckets map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newLimiter(rate, burst int) *limiter {
	return &limiter{rate: float64(rate), most: float64(burst), buckets: map[string]bucket{}}
}

// maxBuckets is when full buckets are forgotten; API keys are few.
const maxBuckets = 10_000

// take takes a token, or says how long until there is one.
func (l *limiter) take(id string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buckets) >= maxBuckets {
		clear(l.buckets)
	}
	b, known := l.buckets[id]
	if !known {
		b = bucket{tokens: l.most, at: now}
	}
	b.tokens = min(l.most, b.tokens+max(0, now.Sub(b.at).Seconds())*l.rate)
	b.at = now
	if ok = b.tokens >= 1; ok {
		b.tokens--
	} else {
		wait = time.Duration((1 - b.tokens) / l.rate * float64(time.Second))
	}
	l.buckets[id] = b
	return wait, ok
}

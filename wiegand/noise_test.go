package wiegand

import (
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// noiseTrains is how many trains of noise the test makes; POSTERN_NOISE, a
// number, asks for another.
func noiseTrains(t *testing.T) int {
	text := os.Getenv("POSTERN_NOISE")
	if text == "" {
		if raced || testing.Short() {
			return 200_000
		}
		return 2_000_000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10_000 {
		t.Fatalf("POSTERN_NOISE = %q: want a number of 10000 and more", text)
	}
	return n
}

// TestNoise sends random trains of pulses through framer and formats. A third
// of them have 26 pulses, so that it is known how many must pass by chance: two
// parities let 1 of 4 pass. No more protects a door then than that a passing
// frame is no key: one credential is drawn, and noise must not hit it.
func TestNoise(t *testing.T) {
	trains := noiseTrains(t)
	r := rand.New(rand.NewPCG(26, 1234))
	h10301 := lookup(t, "H10301")
	var others []Format
	for _, name := range []string{"W34", "C1k35s", "H10304", "C1k48s"} {
		others = append(others, lookup(t, name))
	}
	key := Candidate{Facility: r.Uint64N(256), Number: r.Uint64N(65536)}
	var (
		framer                     Framer
		sent26, passed26, hits     int
		sentOther, passedOther     int
		noisy                      int
		before, after              runtime.MemStats
		expectedHits, expectedPass float64
	)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range trains {
		n := 26
		if r.IntN(3) > 0 {
			n = 1 + r.IntN(160)
		}
		for left := n; left > 0; left -= 64 {
			word := r.Uint64()
			for range min(left, 64) {
				framer.Pulse(int(word & 1))
				word >>= 1
			}
		}
		frame, ok := framer.Close()
		if !ok || frame.Pulses != n {
			t.Fatalf("%d pulses came as %d", n, frame.Pulses)
		}
		if frame.Noise() {
			noisy++
		}
		if n == 26 {
			sent26++
			if got, err := Decode(frame.Bits, []Format{h10301}); err == nil {
				passed26++
				if got[0].Facility == key.Facility && got[0].Number == key.Number {
					hits++
				}
			}
			continue
		}
		listed := false
		for _, f := range others {
			listed = listed || f.Len == n
		}
		got, err := Decode(frame.Bits, others)
		if err == nil && !listed || len(got) > 1 {
			t.Fatalf("%d pulses decoded to %d candidates, %v", n, len(got), err)
		}
		if listed {
			sentOther++
			// Each of these lengths passes with 1/4 or 1/8, see below.
			expectedPass += math.Pow(0.5, float64(len(formatOf(others, n).Parity)))
		}
		if err == nil {
			passedOther++
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	within(t, "26 pulses that passed", float64(passed26), float64(sent26), 0.25)
	within(t, "other lengths that passed", float64(passedOther), float64(sentOther), expectedPass/float64(sentOther))
	expectedHits = float64(sent26) / (1 << 26)
	if float64(hits) > expectedHits+6*math.Sqrt(expectedHits)+1 {
		t.Errorf("noise was the drawn card %d times, want about %.3f", hits, expectedHits)
	}
	if noisy == 0 {
		t.Error("no train was longer than a frame can be")
	}
	t.Logf("%d trains, %d too long; of 26 pulses %d, passed %d (%.4f), the drawn card %d; other lengths %d, passed %d",
		trains, noisy, sent26, passed26, float64(passed26)/float64(sent26), hits, sentOther, passedOther)
}

func formatOf(formats []Format, length int) Format {
	for _, f := range formats {
		if f.Len == length {
			return f
		}
	}
	return Format{}
}

// within wants a count within 6 standard deviations of n times p.
func within(t *testing.T, what string, got, n, p float64) {
	t.Helper()
	want, spread := n*p, 6*math.Sqrt(n*p*(1-p))
	if math.Abs(got-want) > spread {
		t.Errorf("%s: %.0f of %.0f, want %.0f give or take %.0f", what, got, n, want, spread)
	}
}

func TestFramerDoesNotAllocate(t *testing.T) {
	var f Framer
	if n := testing.AllocsPerRun(100, func() {
		for i := range 1000 {
			f.Pulse(i)
		}
		f.Close()
	}); n != 0 {
		t.Errorf("a train of 1000 pulses allocates %.0f times", n)
	}
}

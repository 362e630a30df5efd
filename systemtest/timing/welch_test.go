package timing

import (
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

const (
	enough = 4.5 // of the t-statistic's magnitude
	runs   = 3   // in a row that have to differ
)

func full() bool { return os.Getenv("POSTERN_PIN_TIMING") == "full" }

// tries is how many of each class are made.
func tries(few int) int {
	if full() {
		return 100_000
	}
	return few
}

// classes are two ways to do the same: do gives how long a try took.
type classes struct {
	name string
	do   func(second bool) time.Duration
}

// times makes n tries of each class, at random.
func (c classes) times(r *rand.Rand, n int) (out [2][]float64) {
	for len(out[0]) < n || len(out[1]) < n {
		i := r.IntN(2)
		if len(out[i]) == n {
			i = 1 - i
		}
		out[i] = append(out[i], float64(c.do(i == 1)))
	}
	return out
}

// statistic is the largest t of the whole and of what is below some percentiles of
// both classes together: slow tries are the machine's.
func statistic(times [2][]float64) (most float64) {
	all := slices.Concat(times[0], times[1])
	slices.Sort(all)
	for _, share := range []float64{0.5, 0.8, 0.9, 0.99, 1} {
		limit := all[int(share*float64(len(all)-1))]
		var crop [2][]float64
		for i := range times {
			for _, v := range times[i] {
				if v <= limit {
					crop[i] = append(crop[i], v)
				}
			}
		}
		if t := welch(crop[0], crop[1]); math.Abs(t) > math.Abs(most) {
			most = t
		}
	}
	return most
}

func welch(a, b []float64) float64 {
	ma, va := spread(a)
	mb, vb := spread(b)
	if va+vb == 0 {
		return 0
	}
	return (ma - mb) / math.Sqrt(va/float64(len(a))+vb/float64(len(b)))
}

// spread is mean and variance.
func spread(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		variance += (x - mean) * (x - mean)
	}
	return mean, variance / float64(max(len(v)-1, 1))
}

// differ reports whether the classes differ in every one of some runs.
func (c classes) differ(t *testing.T, n int) bool {
	t.Helper()
	r := rand.New(rand.NewPCG(2026, uint64(n)))
	for range n / 10 {
		c.do(r.IntN(2) == 1) // caches
	}
	for range runs {
		times := c.times(r, n)
		s := statistic(times)
		t.Logf("%s: t = %.2f of %d tries each, medians %v and %v", c.name, s, n, median(times[0]), median(times[1]))
		if math.Abs(s) < enough {
			return false
		}
	}
	return true
}

func median(v []float64) time.Duration {
	v = slices.Clone(v)
	slices.Sort(v)
	return time.Duration(v[len(v)/2])
}

func TestStatistic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	noise := func(mean float64) (out []float64) {
		for range 20_000 {
			v := mean + r.NormFloat64()*30
			if r.IntN(50) == 0 {
				v += r.ExpFloat64() * 5000 // the machine did something else
			}
			out = append(out, v)
		}
		return out
	}
	if s := statistic([2][]float64{noise(1000), noise(1000)}); math.Abs(s) > enough {
		t.Errorf("equal classes differ: %.2f", s)
	}
	if s := statistic([2][]float64{noise(1000), noise(1003)}); s > -enough {
		t.Errorf("a tenth of the noise is not seen: %.2f", s)
	}
	if got := welch([]float64{1, 2, 3}, []float64{2, 3, 4}); math.Abs(got+1.2247) > 1e-3 {
		t.Errorf("t of a known example is %.4f", got)
	}
}

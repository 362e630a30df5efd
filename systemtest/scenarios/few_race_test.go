//go:build race

package scenarios

// few is fewer under the race detector, which takes several times as long.
const few uint64 = 2_000

// raced is whether the race detector is on.
const raced = true

//go:build !race

package scenarios

// few is how many scenarios are played where nobody says.
const few uint64 = 10_000

// raced is whether the race detector is on.
const raced = false

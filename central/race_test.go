//go:build race

package central

// raced is whether the race detector is on.
const raced = true

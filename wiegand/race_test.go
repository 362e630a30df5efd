//go:build race

package wiegand

// raced is set where the race detector slows everything down: the long loops
// take fewer rounds then.
const raced = true

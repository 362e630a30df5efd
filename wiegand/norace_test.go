//go:build !race

package wiegand

const raced = false

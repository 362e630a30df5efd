//go:build !linux

package main

import "errors"

func statfs(string) (space, error) {
	return space{}, errors.New("only a panel's own system, Linux, can be asked")
}

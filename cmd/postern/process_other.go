//go:build unix && !linux

package main

import "syscall"

// childAttr gives a program its own process group.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

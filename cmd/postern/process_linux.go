package main

import "syscall"

// childAttr gives a program its own process group, and ends it with the demo,
// however that ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

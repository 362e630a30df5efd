//go:build !linux

package machine

import "syscall"

// endsWithUs has nothing to give outside Linux: there, Kill alone ends a machine.
func endsWithUs() *syscall.SysProcAttr { return nil }

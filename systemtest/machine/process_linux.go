package machine

import "syscall"

// endsWithUs has the kernel kill a child when the thread that started it ends,
// so that no machine outlives a test, however the test ends.
func endsWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

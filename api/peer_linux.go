package api

import (
	"net"
	"syscall"
)

// peer is the user at the other end of a unix socket, as the kernel says.
func peer(c net.Conn) (uid int, ok bool) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *syscall.Ucred
	var got error
	err = raw.Control(func(fd uintptr) {
		cred, got = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || got != nil {
		return 0, false
	}
	return int(cred.Uid), true
}

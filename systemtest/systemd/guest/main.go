//go:build linux

// Command guest is everything of the systemd test that runs inside its machine:
//
//	/init in the initramfs: loads modules, mounts the disk, installs the packages
//	that lie there for it, becomes systemd
//	guest chip    makes the GPIO chip (gpio-sim), before the daemon starts
//	guest test    the checks of one boot; rows go out on the test line
//	guest send    a reader's pulses, in a process of its own at real-time priority
//	guest watch   samples a line, in a process of its own at real-time priority
//
// A row is a line "ROW {json}" (see machine.Row). The last line of a boot is
// END, or FATAL with what kept the checks from going on.
package main

import (
	"fmt"
	"os"
)

func main() {
	if os.Getpid() == 1 {
		err := becomeSystemd()
		fmt.Println("init:", err)
		tellInstall(err)
		os.Exit(1) // the kernel panics, and the machine ends
	}
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 1 && args[0] == "chip":
		err = makeChip()
	case len(args) == 1 && args[0] == "test":
		err = test()
	case len(args) > 1 && args[0] == "send":
		err = send(args[1:])
	case len(args) == 2 && args[0] == "watch":
		err = watch(args[1])
	default:
		err = fmt.Errorf("usage: guest chip | test | send FRAME... | watch FILE")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

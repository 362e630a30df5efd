package hal

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// lineInfo is struct gpio_v2_line_info of linux/gpio.h, up to what is read here.
type lineInfo struct {
	name     [32]byte
	consumer [32]byte
	offset   uint32
	attrs    uint32
	flags    uint64
	_        [10]struct {
		id, _ uint32
		value uint64
	}
	_ [4]uint32
}

const (
	// getLineInfo is GPIO_V2_GET_LINEINFO_IOCTL.
	getLineInfo = 0xC100B405
	// lineUsed is GPIO_V2_LINE_FLAG_USED.
	lineUsed = 1
)

// consumer asks the kernel who holds a line of the chip at path, "" for nobody.
func consumer(path string, number int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info := lineInfo{offset: uint32(number)}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), getLineInfo, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return "", fmt.Errorf("ask for line %d of %s: %w", number, path, errno)
	}
	return info.holder(), nil
}

// holder is who has the line. The kernel's own users don't always say who they
// are.
func (i *lineInfo) holder() string {
	name, _, _ := bytes.Cut(i.consumer[:], []byte{0})
	switch {
	case len(name) > 0:
		return string(name)
	case i.flags&lineUsed != 0:
		return "the kernel"
	}
	return ""
}

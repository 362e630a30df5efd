package hal

import (
	"testing"
	"unsafe"
)

func TestLineInfo(t *testing.T) {
	// The size is part of the request's number.
	if got, want := unsafe.Sizeof(lineInfo{}), uintptr(getLineInfo>>16&0x3FFF); got != want {
		t.Errorf("a lineInfo has %d bytes, want %d", got, want)
	}
	for _, tt := range []struct {
		consumer string
		flags    uint64
		want     string
	}{
		{"", 0, ""},
		{"spi0 CS1", lineUsed, "spi0 CS1"},
		{"", lineUsed | 1<<2, "the kernel"},
		{"01234567890123456789012345678901", lineUsed, "01234567890123456789012345678901"},
	} {
		info := lineInfo{flags: tt.flags}
		copy(info.consumer[:], tt.consumer)
		if got := info.holder(); got != tt.want {
			t.Errorf("consumer %q with flags %#x: %q, want %q", tt.consumer, tt.flags, got, tt.want)
		}
	}
	for _, path := range []string{"/dev/null", "/dev/none"} {
		if name, err := consumer(path, 3); err == nil {
			t.Errorf("%s tells the holder %q", path, name)
		}
	}
}

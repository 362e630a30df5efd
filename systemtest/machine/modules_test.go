package machine

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestModinfoDepends(t *testing.T) {
	tests := []struct {
		info string
		want []string
	}{
		{"license=GPL\x00depends=mbcache,jbd2\x00name=ext4\x00", []string{"mbcache", "jbd2"}},
		{"license=GPL\x00depends=\x00", nil},
		{"xdepends=a\x00", nil},
		{"", nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, modinfoDepends([]byte(tt.info))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.info, diff)
		}
	}
}

func TestDependsOfWantsAModule(t *testing.T) {
	if got, err := dependsOf([]byte("no module")); err == nil {
		t.Errorf("got %v, want an error", got)
	}
}

func TestLoadOrder(t *testing.T) {
	graph := map[string][]string{
		"ext4": {"mbcache", "jbd2"}, "jbd2": {"crc32c"}, "mbcache": nil, "gpio_sim": {"configfs"}, "configfs": nil,
	}
	depends := func(name string) ([]string, error) {
		needs, ok := graph[name]
		if !ok {
			return nil, errors.New("none such: " + name)
		}
		return needs, nil
	}
	builtin := builtNames([]byte("kernel/crypto/crc32c.ko\nkernel/drivers/a-b.ko\n"))
	got, err := loadOrder([]string{"gpio-sim", "ext4", "mbcache", "a-b"}, builtin, depends)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"configfs", "gpio_sim", "mbcache", "jbd2", "ext4"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := loadOrder([]string{"xfs"}, builtin, depends); err == nil {
		t.Errorf("an unknown module: got %v, want an error", got)
	}
}

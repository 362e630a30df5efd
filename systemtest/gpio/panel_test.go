package gpio

import (
	"testing"

	"postern/config"
)

// The guest's configurations are what posternd would take.
func TestPanels(t *testing.T) {
	all, err := panels("../..")
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range all {
		if _, faults := config.Parse(path, []byte(text)); len(faults) > 0 {
			t.Errorf("%s: %v\n%s", path, faults, text)
		}
	}
}

func TestChangeWantsItsPatternOnce(t *testing.T) {
	for _, text := range []string{"", "a\na\n"} {
		if got, err := change(text, []edit{{`(?m)^a$`, "b"}}); err == nil {
			t.Errorf("change of %q = %q, want an error", text, got)
		}
	}
}

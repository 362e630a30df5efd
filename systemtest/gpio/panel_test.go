package gpio

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postern/config"
	"postern/systemtest/gpio/plan"
)

// lines are all lines of a configuration, in its order.
func lines(c *config.Config) (all []string) {
	for _, r := range c.Readers {
		all = append(all, slices.Concat([]string{r.D0, r.D1}, r.Spare, []string{r.LED, r.Buzzer, r.Tamper})...)
	}
	for _, d := range c.Doors {
		all = append(all, d.Output, d.Contact, d.REX)
	}
	for _, i := range c.Inputs {
		all = append(all, i.Line)
	}
	for _, o := range c.Outputs {
		all = append(all, o.Line)
	}
	return all
}

// The guest's configurations are what posternd would take, and every line in them
// is where the shipped example has it.
func TestPanels(t *testing.T) {
	const root = "../.."
	all, err := panels(root)
	if err != nil {
		t.Fatal(err)
	}
	for path, example := range map[string]string{
		plan.Strike: "one-door-rex.toml", plan.ActiveLow: "one-door-rex.toml", plan.Maglock: "two-doors.toml",
	} {
		got, faults := config.Parse(path, []byte(all[path]))
		if len(faults) > 0 {
			t.Fatalf("%s: %v\n%s", path, faults, all[path])
		}
		raw, err := os.ReadFile(filepath.Join(root, "firmware-config", "examples", example))
		if err != nil {
			t.Fatal(err)
		}
		shipped, faults := config.Parse(example, raw)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		if path == plan.Maglock { // the same line by its other name
			shipped.Doors[0].Output = "pinctrl-bcm2711:24"
		}
		if diff := cmp.Diff(lines(shipped), lines(got)); diff != "" {
			t.Errorf("%s: lines (-shipped +tested):\n%s", path, diff)
		}
	}
	if len(all) != 3 {
		t.Errorf("%d panels, of which 3 are looked at", len(all))
	}
}

func TestChangeWantsItsPatternOnce(t *testing.T) {
	for _, text := range []string{"", "a\na\n"} {
		if got, err := change(text, []edit{{`(?m)^a$`, "b"}}); err == nil {
			t.Errorf("change of %q = %q, want an error", text, got)
		}
	}
}

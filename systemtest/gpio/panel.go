package gpio

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"postern/systemtest/gpio/plan"
)

// edit is a change of one of the shipped configurations. Its pattern is there
// once.
type edit struct{ pattern, instead string }

// common makes a shipped configuration one of a machine that has nothing but
// itself.
func common(dir string) []edit {
	return []edit{
		{`(?m)^\[panel\]$`, "[panel]\ndata_dir = \"/var/lib/postern/" + dir + "\""},
		{`(?m)^broker = .*$`, `broker = "tcp://127.0.0.1:1883"`},
		{`(?m)^username = .*\n`, ""},
		{`(?m)^password_file = .*\n`, ""},
	}
}

// reader has the shipped reader send every length that is tested, and keys, and
// the door lock again as soon as it was opened, for the sake of many badges.
func reader() []edit {
	return []edit{
		{`(?m)^name = "Main door"$`, "name = \"Main door\"\ntimes = { relock = \"0s\" }"},
		{`(?m)^technology = "EM"\nmatch = .*\nformats = .*$`, "match = \"number\"\n" +
			`formats = ["H10301", "W34", "H10302", "site40", "C1k48s"]` + "\nkeypad = \"4bit\""},
		{`(?m)^mode = "card"$`, `mode = "card_or_code"`},
		{`\z`, "\n[codes]\nenabled = true\nsize = 6\n\n[[format]]\nname = \"site40\"\nlength = 40\nnumber = \"0-39\"\n"},
	}
}

// panels are the guest's configurations by their paths there: the shipped
// examples, with their lines.
func panels(root string) (map[string]string, error) {
	examples := filepath.Join(root, "firmware-config", "examples")
	out := map[string]string{}
	for _, p := range []struct {
		path, example string
		edits         []edit
	}{
		{plan.Strike, "one-door-rex.toml", append(common("strike"), reader()...)},
		{plan.ActiveLow, "one-door-rex.toml", append(
			common("active-low"), edit{`(?m)^output = "GPIO24"$`, "output = \"GPIO24\"\noutput_active_low = true"},
		)},
		// One of its lines by the chip's label and the line's number.
		{plan.Maglock, "two-doors.toml", append(
			common("maglock"), edit{`(?m)^output = "GPIO24"$`, `output = "pinctrl-bcm2711:24"`},
		)},
	} {
		raw, err := os.ReadFile(filepath.Join(examples, p.example))
		if err != nil {
			return nil, err
		}
		if out[p.path], err = change(string(raw), p.edits); err != nil {
			return nil, fmt.Errorf("make a panel of %s: %w", p.example, err)
		}
	}
	return out, nil
}

func change(text string, edits []edit) (string, error) {
	for _, e := range edits {
		re, err := regexp.Compile(e.pattern)
		if err != nil {
			return "", err
		}
		if n := len(re.FindAllStringIndex(text, -1)); n != 1 {
			return "", fmt.Errorf("%s is there %d times, want once: the example has changed", e.pattern, n)
		}
		text = re.ReplaceAllLiteralString(text, e.instead)
	}
	return text, nil
}

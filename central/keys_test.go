package central

import (
	"testing"

	"postern/access"
)

func TestSameKey(t *testing.T) {
	card := func(text string) access.Identification {
		t.Helper()
		id, err := access.ParseIdentification(access.Proximity, text)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, c := range []struct {
		a, b access.Identification
		want bool
	}{
		{card("EM:8|MC:9"), card("EM:8|MC:9"), true},
		{card("EM:8|MC:9"), card("MC:9|EM:8"), true},
		{card("MC:9|EM:8"), card("EM:8|MC:9"), true},
		{card("EM:8|MC:9"), card("EM:8|MC:8"), false},
		{card("EM:8|MC:9"), card("EM:8"), false},
		{card("EM:8"), card("EM:8|MC:9"), false},
		{card("MC:9"), mustCode("0000000009"), false},
		{mustCode("0000000009"), mustCode("0000000009"), true},
		{mustCode("9"), mustCode("09"), false},
	} {
		if got := sameKey(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

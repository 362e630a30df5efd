package central

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"postern/access"
)

func TestGeneratedCodes(t *testing.T) {
	eachStore(t, func(t *testing.T, k *kit) {
		if a := k.add(`{"key":{"type":"code"}}`); len(a.Key.Identification) != defaultCodeSize || a.Key.Type != "code" {
			t.Errorf("with no panel: got %+v, want %d digits", a.Key, defaultCodeSize)
		}
		k.panel("p4", 4, level(1))
		k.panel("p6", 6, level(2))
		k.panel("off", 0, level(3))
		a := k.add(fmt.Sprintf(`{"key":{"type":"code","identification":null},"access_levels":[%q,%q,%q]}`, level(1), level(2), level(3)))
		code := a.Key.Identification
		if len(code) != 6 {
			t.Fatalf("got a code of %d digits, want 6", len(code))
		}
		for system, want := range map[string]string{"p4": code[2:], "p6": code, "off": code} {
			if got := k.lastPut(system).key.Identification.Canonical(); got != want {
				t.Errorf("%s gets %d digits, want the rightmost %d", system, len(got), len(want))
			}
		}
		claim := k.lastPut("p4").Claim
		// A panel whose code size changes is told anew, under a new claim.
		k.announce("p4", 5, level(1))
		if p := k.lastPut("p4"); p.key.Identification.Canonical() != code[1:] || p.Claim == claim {
			t.Errorf("after the code size changed: got claim %d and %d digits", p.Claim, p.key.Identification.CodeSize())
		}
		n := len(k.log("p6"))
		k.announce("p6", 8, level(2))
		if len(k.log("p6")) != n {
			t.Error("a panel was told anew of a code that goes as it was")
		}
		// One that somebody chose goes as it is.
		chosen := k.add(fmt.Sprintf(`{"key":{"type":"code","identification":"00123456"},"access_levels":[%q]}`, level(1)))
		if got := k.lastPut("p4").key.Identification.Canonical(); got != "00123456" || chosen.Key.Identification != got {
			t.Error("a chosen code was changed")
		}
		// Named by its code it is the same key. An omitted identification leaves
		// the code, null renews it.
		if again := k.add(`{"key":{"type":"code","identification":"00123456"},"state":"disabled"}`); again.ID != chosen.ID {
			t.Error("a code does not name its key")
		}
		if same := k.add(fmt.Sprintf(`{"id":%q,"key":{"type":"code"},"state":"disabled"}`, a.ID)); same.Key != a.Key {
			t.Error("the code was renewed though nobody asked for it")
		}
		if same := k.add(fmt.Sprintf(`{"id":%q,"key":{"type":"code"}}`, chosen.ID)); same.Key != chosen.Key {
			t.Error("the chosen code was renewed though nobody asked for it")
		}
		card := k.add(`{"key":{"type":"proximity","identification":"EM:1"}}`)
		if made := k.add(fmt.Sprintf(`{"id":%q,"key":{"type":"code"}}`, card.ID)); made.ID != card.ID || made.Key.Type != "code" || len(made.Key.Identification) < 4 {
			t.Error("a card that becomes a code got none")
		}
		renewed := k.add(fmt.Sprintf(`{"id":%q,"key":{"type":"code","identification":null}}`, a.ID))
		if renewed.ID != a.ID || renewed.Key.Identification == code {
			t.Error("the code was not renewed")
		}
	})
}

// TestCodesAreUniqueInEverySize fills most of a small code size.
func TestCodesAreUniqueInEverySize(t *testing.T) {
	k := newKit(t)
	k.panel("p4", 4, level(1))
	k.panel("p5", 5, level(2))
	seen := map[string]bool{}
	for range 100 {
		a := k.add(`{"key":{"type":"code"}}`)
		if form := a.Key.Identification[1:]; seen[form] {
			t.Fatal("two codes have the same rightmost four digits")
		} else {
			seen[form] = true
		}
	}
	// When all are taken it says so.
	err := k.store.update(t.Context(), func(x *tx) error {
		c, err := k.store.authenticate(t.Context(), k.secret)
		if err != nil {
			return err
		}
		kk, err := x.newKey(t.Context(), c, change{ident: mustCode("1")})
		if err != nil {
			return err
		}
		if err := x.saveKey(t.Context(), kk); err != nil {
			return err
		}
		for n := 0; n < 10_000; n += 500 {
			var p params
			rows := []string{}
			for i := range 500 {
				rows = append(rows, addList(&p, []any{k.store.codeForm(fmt.Sprintf("%04d", n+i)), kk.ID.String()}))
			}
			if err := x.exec(t.Context(), "INSERT INTO code_forms (form, key_id) VALUES "+strings.Join(rows, ", "), p...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := k.send(k.secret, "/v1/accesskeys/add", `{"key":{"type":"code"}}`); r.status != http.StatusConflict || !strings.Contains(r.body, "NoCodeLeft") {
		t.Errorf("no code left: got %d %s", r.status, r.body)
	}
}

func mustCode(digits string) access.Identification {
	id, err := access.ParseIdentification(access.Code, digits)
	if err != nil {
		panic(err)
	}
	return id
}

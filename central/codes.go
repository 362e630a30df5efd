package central

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"postern/access"
	"postern/wire"
)

// defaultCodeSize is the size of a generated code while no panel of the
// integration takes codes.
const defaultCodeSize = 6

// formOn is the identification under which a panel gets the key: a code that
// was generated is cut to the rightmost digits that fit, one that somebody
// chose goes as it is, for the panel to refuse.
func (k *key) formOn(c wire.Codes) access.Identification {
	if !k.generated || !c.Enabled || c.Size >= k.Identification.CodeSize() {
		return k.Identification
	}
	text := k.Identification.Canonical()
	id, err := access.ParseIdentification(access.Code, text[len(text)-c.Size:])
	if err != nil {
		return k.Identification // a size of zero or less
	}
	return id
}

// identHash is by what an identification is compared where it is not to be read.
func (s *Store) identHash(id access.Identification) string {
	purpose := "ident/card"
	if id.IsCode() {
		purpose = "ident/code"
	}
	return s.seal.hash(purpose, id.Canonical())
}

// codeForms are the keyed hashes of every text under which the key's code may
// reach a panel.
func (s *Store) codeForms(k *key) []string {
	if !k.Identification.IsCode() {
		return nil
	}
	text := k.Identification.Canonical()
	forms := []string{s.codeForm(text)}
	if k.generated {
		for n := access.MinPanelCodeSize; n < len(text); n++ {
			forms = append(forms, s.codeForm(text[len(text)-n:]))
		}
	}
	return forms
}

func (s *Store) codeForm(digits string) string { return s.seal.hash("form", digits) }

// codeSizes are the code sizes of the panels that the integration reaches with
// any of its API keys, ascending.
func (t *tx) codeSizes(ctx context.Context, integration string) ([]int, error) {
	var everything bool // as the integration of access requests, which needs no API key
	reach := map[string]bool{}
	err := t.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM integrations WHERE id = $1 AND name = $2)", integration, RequestsIntegration).Scan(&everything)
	if err != nil {
		return nil, err
	}
	scopes, err := all(ctx, t, func(scan func(...any) error) (string, error) {
		var systems string
		var whole bool
		err := scan(&whole, &systems)
		everything = everything || whole
		return systems, err
	}, "SELECT all_systems, systems FROM api_keys WHERE integration_id = $1 AND revoked_at = 0", integration)
	if err != nil {
		return nil, err
	}
	for _, text := range scopes {
		var systems []string
		if err := json.Unmarshal([]byte(text), &systems); err != nil {
			return nil, err
		}
		for _, id := range systems {
			reach[id] = true
		}
	}
	var sizes []int
	_, err = all(ctx, t, func(scan func(...any) error) (struct{}, error) {
		var system, announcement string
		err := scan(&system, &announcement)
		if c := announced(announcement).Codes; c.Enabled && (everything || reach[system]) {
			sizes = append(sizes, c.Size)
		}
		return struct{}{}, err
	}, "SELECT system_id, announcement FROM panels")
	slices.Sort(sizes)
	return slices.Compact(sizes), err
}

// codeTries is how many random codes are tried. With nine codes in ten taken it
// fails once in 10^23.
const codeTries = 500

// generateCode makes a code that no other code at central can be mistaken for,
// in any code size that the integration's panels use.
func (t *tx) generateCode(ctx context.Context, integration string) (access.Identification, error) {
	sizes, err := t.codeSizes(ctx, integration)
	if err != nil {
		return access.Identification{}, err
	}
	if len(sizes) == 0 {
		sizes = []int{defaultCodeSize}
	}
	for range codeTries {
		code := randomText("0123456789", sizes[len(sizes)-1])
		free := true
		for _, n := range sizes {
			var taken int
			err := t.QueryRowContext(ctx, "SELECT COUNT(*) FROM code_forms WHERE form = $1", t.s.codeForm(code[len(code)-n:])).Scan(&taken)
			if err != nil {
				return access.Identification{}, err
			}
			if free = taken == 0; !free {
				break
			}
		}
		if free {
			return access.ParseIdentification(access.Code, code)
		}
	}
	return access.Identification{}, problem(409, "NoCodeLeft", "key.identification",
		"no free code of this size is left: remove unused codes, or use a larger code size")
}

// randomText gives n characters of an alphabet, each as likely as any other.
func randomText(alphabet string, n int) string {
	var b strings.Builder
	most := big.NewInt(int64(len(alphabet)))
	for range n {
		i, err := rand.Int(rand.Reader, most)
		if err != nil {
			panic("central: no randomness: " + err.Error()) // crypto/rand never fails
		}
		b.WriteByte(alphabet[i.Int64()])
	}
	return b.String()
}

// randomName is the made-up name of a person: seven characters, without those
// that are easily misread.
func randomName() string { return randomText("abcdefghijkmnpqrstuvwxyz23456789", 7) }

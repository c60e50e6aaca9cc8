package gpgcard

import (
	"context"
	"strings"
	"unicode/utf8"

	"reown/internal/secret"
)

const (
	maxName  = 39  // bytes, clause 4.4.1
	maxLogin = 254 // bytes; cards that take less say so
)

// SetIdentity writes the card holder's name and login (DO 5B and 5E). The name is
// given as "Given Names Surname"; it is cut to the 39 bytes a card holds. An empty
// value removes the object. admin nil means the factory PIN.
func (c *Card) SetIdentity(ctx context.Context, admin *secret.Buffer, name, login string) error {
	if err := c.admin(ctx, admin); err != nil {
		return err
	}
	if err := c.putData(ctx, 0x5b, []byte(cut(toISOName(name), maxName))); err != nil {
		return err
	}
	return c.putData(ctx, 0x5e, []byte(cut(login, maxLogin)))
}

// SetURL writes where the certificate can be fetched (DO 5F50).
func (c *Card) SetURL(ctx context.Context, admin *secret.Buffer, url string) error {
	if err := c.admin(ctx, admin); err != nil {
		return err
	}
	return c.putData(ctx, 0x5f50, []byte(cut(url, maxLogin)))
}

// SetLanguage writes the preferred languages, two letters each (DO 5F2D).
func (c *Card) SetLanguage(ctx context.Context, admin *secret.Buffer, lang string) error {
	if err := c.admin(ctx, admin); err != nil {
		return err
	}
	return c.putData(ctx, 0x5f2d, []byte(cut(lang, 8)))
}

// toISOName writes a name as ISO 7501-1 does: surname, "<<", given names, '<' for
// a space. The last word is taken for the surname.
func toISOName(name string) string {
	f := strings.Fields(strings.ReplaceAll(name, "<", " "))
	if len(f) < 2 {
		return strings.Join(f, "")
	}
	return f[len(f)-1] + "<<" + strings.Join(f[:len(f)-1], "<")
}

func fromISOName(s string) string {
	sur, given, both := strings.Cut(s, "<<")
	if both && given != "" {
		s = given + " " + sur
	} else {
		s = sur
	}
	return strings.TrimSpace(strings.ReplaceAll(s, "<", " "))
}

// cut shortens s to at most n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

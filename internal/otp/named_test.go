package otp

import (
	"net/url"
	"strings"
	"testing"
)

// An app reads a named URI as what it is, however long the names are.
func TestNamed(t *testing.T) {
	key := NewSecret()
	defer key.Wipe()
	b32 := Base32(key)
	defer b32.Wipe()
	for _, c := range []struct{ issuer, account, want string }{
		{"reown", "EOL_x230 2026-11-30", "EOL_x230 2026-11-30"},
		{"Müller & Söhne: a", "2026-1147", "2026-1147"},
		{"reown", strings.Repeat("board ", 20), ""},
		{"reown", "", ""},
	} {
		b, err := Named(c.issuer, c.account, key)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(string(b.Bytes()))
		if err != nil || b.Len() > maxURI {
			t.Fatalf("%d bytes: %v", b.Len(), err)
		}
		q := u.Query()
		issuer, account, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), ":")
		if strings.Contains(c.issuer, ":") {
			issuer, account, ok = c.issuer, strings.TrimPrefix(u.Path, "/"+c.issuer+":"), true
		}
		if !ok || u.Scheme != "otpauth" || u.Host != "totp" || q.Get("secret") != string(b32.Bytes()) || issuer != c.issuer {
			t.Errorf("%q is not of %q", b.Bytes(), c.issuer)
		}
		if c.want != "" && (account != c.want || q.Has("issuer") && q.Get("issuer") != c.issuer) {
			t.Errorf("%q is not for %q", b.Bytes(), c.account)
		}
		b.Wipe()
	}
}

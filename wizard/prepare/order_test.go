package prepare

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const goodOrder = `{"order": "2026-1147", "name": "Example Shop", "email": "shop@example.com",
	"buyer": "9c0d 0000 0000 0000 0000 0000 0000 0000 0000 11f2", "card": "5f11a2c0"}`

func TestParseOrder(t *testing.T) {
	o, err := ParseOrder([]byte(goodOrder))
	if err != nil {
		t.Fatal(err)
	}
	if o.ID != "2026-1147" || o.Seller.Name != "Example Shop" || o.Seller.Email != "shop@example.com" || o.Buyer != "9C0D"+
		strings.Repeat("0", 32)+"11F2" || o.Card != "5F11A2C0" {
		t.Errorf("%+v", o)
	}
	for _, c := range []struct{ name, from, to string }{
		{"no order", `"order": "2026-1147", `, ``},
		{"an empty order", `2026-1147`, ``},
		{"an order for a shell", `2026-1147`, `$(reboot)`},
		{"a long order", `2026-1147`, strings.Repeat("1", 65)},
		{"no name", `"name": "Example Shop", `, ``},
		{"no address", `shop@example.com`, ``},
		{"a key id", `9c0d 0000 0000 0000 0000 0000 0000 0000 0000 11f2`, `9c0d11f2`},
		{"no fingerprint", `9c0d`, `robi`},
		{"a card's name", `5f11a2c0`, `Nitrokey`},
		{"an unknown key", `"card"`, `"kard"`},
		{"a key in capitals", `"card"`, `"Card"`},
		{"a number", `"2026-1147"`, `20261147`},
		{"twice", `"card"`, `"order"`},
		{"something behind", "}", "} {}"},
		{"no end", "}", ""},
		{"a list", goodOrder, `["2026-1147"]`},
		{"nothing", goodOrder, ``},
		{"a big file", `{`, `{` + strings.Repeat(" ", MaxOrder)},
	} {
		bad := strings.Replace(goodOrder, c.from, c.to, 1)
		if bad == goodOrder {
			t.Fatalf("%s: not changed", c.name)
		}
		if o, err := ParseOrder([]byte(bad)); !errors.Is(err, ErrOrder) || o != nil {
			t.Errorf("%s: %v, %+v", c.name, err, o)
		}
	}
}

func FuzzParseOrder(f *testing.F) {
	f.Add([]byte(goodOrder))
	f.Add([]byte(`{"order":"1","name":"a","email":"b"}`))
	f.Add([]byte(`{"order":"\u0031","order":"2"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseOrder(data)
		if (err == nil) != (o != nil) || err != nil && !errors.Is(err, ErrOrder) {
			t.Fatalf("%v, %+v", err, o)
		}
		if o != nil && (o.ID == "" || o.Seller.Name == "" || o.Seller.Email == "" ||
			strings.ContainsAny(o.ID+o.Buyer+o.Card, " \n\"$`\\")) {
			t.Fatalf("accepted: %+v", o)
		}
	})
}

// FuzzParseBuyer: a certificate that is not one, or has nothing to encrypt to, is refused.
func FuzzParseBuyer(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZwAAABYJKwYBBAHaRw8BAQdA\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Add([]byte{0x98, 0x33, 0x04, 0x67, 0, 0, 0, 0x16, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 0x0f, 1, 1, 7, 0x40})
	f.Add([]byte{0xc6, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseBuyer(data, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
		if (err == nil) != (b != nil) || b != nil && len(b.Fingerprint) < 40 {
			t.Fatalf("%v, %+v", err, b)
		}
	})
}

package lab

import (
	"context"
	"fmt"

	"reown/gpgcard/cardtest/pcscdtest"
)

// makeSellerCard lets gpg itself make the seller's keys on a factory-fresh card,
// with Heads' answers to its dialogue, and sets the seller's PINs. It returns the
// primary key's fingerprint.
func makeSellerCard(ctx context.Context, g *pcscdtest.GPG, s Seller) (string, error) {
	const user, admin = "123456", "12345678"
	// gpg does not say which PIN it wants; the order is its habit.
	for _, d := range []dialogue{
		{commands: []string{"admin", "key-attr", "q"}, pins: []string{admin}},
		{commands: []string{"admin", "generate", "q"}, pins: []string{admin, user}},
		{commands: []string{"admin", "passwd", "q"}, menu: []string{"3", "1", "q"},
			pins: []string{admin, s.AdminPIN, s.AdminPIN, user, s.UserPIN}},
	} {
		if out, err := g.Edit(d.answer, "--expert", "--card-edit"); err != nil {
			return "", fmt.Errorf("gpg --card-edit %s: %w\n%s", d.commands, err, out)
		}
	}
	return primaryFingerprint(ctx, g.Home)
}

// A dialogue holds the answers to one `gpg --card-edit`. The last PIN is repeated.
type dialogue struct{ commands, menu, pins []string }

func (d *dialogue) answer(prompt, _ string) (string, bool) {
	fixed := map[string]string{
		"cardedit.genkeys.algo":       "2", // ECC
		"keygen.curve":                "3", // NIST P-256
		"cardedit.genkeys.backup_enc": "n", "cardedit.genkeys.replace_keys": "y", "keygen.valid": "0",
		"keygen.name": "OEM Key", "keygen.email": "oem@example.com", "keygen.comment": "OEM-generated key",
		"keygen.userid.cmd": "o",
	}
	next := func(list *[]string) (string, bool) {
		if len(*list) == 0 {
			return "", false
		}
		a := (*list)[0]
		*list = (*list)[1:]
		return a, true
	}
	switch prompt {
	case "cardedit.prompt":
		return next(&d.commands)
	case "cardutil.change_pin.menu":
		return next(&d.menu)
	case "passphrase.enter":
		if len(d.pins) == 1 {
			return d.pins[0], true
		}
		return next(&d.pins)
	}
	a, ok := fixed[prompt]
	return a, ok
}

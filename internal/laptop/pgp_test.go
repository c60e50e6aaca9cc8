package laptop

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/boot"
	"reown/gpgcard"
	"reown/gpgcard/keybox"
	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/internal/rom/romtest"
)

// TestRevokedSubkeys: what a certificate's keys are for is never said of a revoked one, so that a card
// that holds it does not count as the certificate's.
func TestRevokedSubkeys(t *testing.T) {
	at := func(h int) *packet.Config {
		return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA,
			Time: func() time.Time { return time.Date(2026, 11, 20, h, 0, 0, 0, time.UTC) }}
	}
	e, err := openpgp.NewEntity("ada", "", "ada@example.org", at(0))
	if err != nil {
		t.Fatal(err)
	}
	cert := func() []byte {
		var b bytes.Buffer
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	before, err := openPGP{}.Fingerprints(cert())
	if err != nil || before[1] == "" {
		t.Fatal(before, err)
	}
	if err := errors.Join(e.RevokeSubkey(&e.Subkeys[0], packet.KeyCompromised, "", at(1)),
		e.AddEncryptionSubkey(at(2))); err != nil {
		t.Fatal(err)
	}
	after, err := openPGP{}.Fingerprints(cert())
	if err != nil || after[1] == before[1] || after[1] == "" || after[0] != before[0] {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
	if all, err := (openPGP{}).Keys(cert()); err != nil || len(all) != 3 { // recognising may only refuse
		t.Errorf("%v, %v", all, err)
	}
}

// TestHoldsTheVeryFile: a keyring with the right certificate alone counts only if it is, byte for byte,
// the one that would be written.
func TestHoldsTheVeryFile(t *testing.T) {
	owner := newSigner(t, "Owner")
	cert, err := gpgcard.ParseCert(owner.cert)
	if err != nil {
		t.Fatal(err)
	}
	kbx, db, err := keyring(owner.cert)
	if err != nil {
		t.Fatal(err)
	}
	later, err := keybox.Write(cert.Created().Add(time.Hour), cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		ring  []byte
		holds bool
	}{{"as written", kbx, true}, {"of another time", later, false}, {"a plain ring", owner.cert, false}} {
		p, err := rom.NewPlan(romtest.Layouts[2].Build(), rom.Changes{Pubring: c.ring, TrustDB: db})
		if err != nil {
			t.Fatal(err)
		}
		chip := filepath.Join(t.TempDir(), "chip")
		if err := os.WriteFile(chip, p.New, 0o644); err != nil {
			t.Fatal(err)
		}
		nor, err := flash.OpenFile(chip)
		if err != nil {
			t.Fatal(err)
		}
		d, err := boot.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		f := &firmware{backend: nor, boot: &bootAdapter{dir: d}, keyring: keyring, certs: certsIn}
		if info, err := f.Info(t.Context()); err != nil || len(info.Keyring) != 1 || info.Keyring[0] != cert.Fingerprint() {
			t.Errorf("%s: the ring is %v, %v", c.what, info.Keyring, err)
		}
		if ok, err := f.Holds(t.Context(), owner.cert); err != nil || ok != c.holds {
			t.Errorf("%s: holds: %v, %v", c.what, ok, err)
		}
	}
}

package laptop

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/boot"
	"reown/gpgcard"
	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/internal/rom/romtest"
	"reown/internal/secret"
	"reown/wizard"
)

// A signer is an OpenPGP key, and the card that holds it.
type signer struct {
	wizard.Card
	cert []byte
	key  *openpgp.Entity
}

func newSigner(t *testing.T, name string) *signer {
	t.Helper()
	alg, err := gpgcard.ParseAlgorithm("p256")
	if err != nil {
		t.Fatal(err)
	}
	k, err := gpgcard.NewKeySet(alg, gpgcard.Identity{Name: name}, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Wipe()
	out, err := k.Export(secret.From([]byte("passphrase")))
	if err != nil {
		t.Fatal(err)
	}
	list, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	if err := list[0].DecryptPrivateKeys([]byte("passphrase")); err != nil {
		t.Fatal(err)
	}
	return &signer{cert: k.Cert().Bytes(), key: list[0]}
}

func (s *signer) sign(data []byte) ([]byte, error) {
	var b bytes.Buffer
	err := openpgp.ArmoredDetachSign(&b, s.key, bytes.NewReader(data),
		&packet.Config{Time: func() time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) }})
	return b.Bytes(), err
}

func (s *signer) Info(context.Context) (wizard.CardInfo, error) {
	if s == nil {
		return wizard.CardInfo{}, wizard.ErrNoCard
	}
	fprs, err := openPGP{}.Fingerprints(s.cert)
	return wizard.CardInfo{Serial: "1", Vendor: "x", Algorithms: []string{"p256"}, Fingerprints: fprs}, err
}

// planFor is the image that trusts a certificate alone.
func planFor(t *testing.T, cert, from []byte) *rom.Plan {
	t.Helper()
	kbx, db, err := keyring(cert)
	if err != nil {
		t.Fatal(err)
	}
	p, err := rom.NewPlan(from, rom.Changes{Pubring: kbx, TrustDB: db})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestForgedBlocks: somebody who can write to /boot signs it with his own key, trigger and all,
// and says beside it that the owner's chip had trusted that key before a write that was
// cut. Only the key on the card can say so.
func TestForgedBlocks(t *testing.T) {
	ctx := t.Context()
	owner, maid := newSigner(t, "Owner"), newSigner(t, "The Seller")
	dir := t.TempDir()
	bootDir, chip := filepath.Join(dir, "boot"), filepath.Join(dir, "chip")
	put := func(name, text string) {
		t.Helper()
		p := filepath.Join(bootDir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("vmlinuz", "kernel")
	put("initrd.img", "the maid's initrd")
	put("grub/grub.cfg", "menuentry 'Debian' {\n linux /vmlinuz root=/dev/sda1\n initrd /initrd.img\n}\n")
	put("oem", "")
	owned := planFor(t, owner.cert, romtest.Layouts[2].Build()).New
	evil := planFor(t, maid.cert, owned).New
	undo := oldBlocks(planFor(t, owner.cert, evil)) // from evil to owned: what "was" before is evil
	clear(undo[32:64])                              // the chip is not what came of it, either
	if err := os.WriteFile(chip, owned, 0o644); err != nil {
		t.Fatal(err)
	}
	machine := func(card *signer) (*wizard.Machine, *boot.Dir) {
		t.Helper()
		nor, err := flash.OpenFile(chip)
		if err != nil {
			t.Fatal(err)
		}
		d, err := boot.Open(bootDir)
		if err != nil {
			t.Fatal(err)
		}
		m := &wizard.Machine{PGP: openPGP{}, Card: card, Platform: &platform{board: "b", sysfs: "/sys"}}
		b := &bootAdapter{dir: d, verify: m.PGP.Verify}
		fw := &firmware{backend: nor, board: "b", boot: b, keyring: keyring, certs: certsIn, mine: signedByCard(m.Card)}
		h := &handoverReader{dir: d, firmware: fw, card: m.Card, verify: m.PGP.Verify}
		b.hand = h.read
		m.Boot, m.Firmware = b, fw
		return m, d
	}
	_, d := machine(nil)
	set, err := d.Build(ctx, boot.BuildOptions{Entry: 1, KeepOEM: true})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := maid.sign(set.SignedBytes())
	if err != nil {
		t.Fatal(err)
	}
	verify := func(sig, data []byte) error { return openPGP{}.Verify(maid.cert, data, sig) }
	if err := d.Stage(set, sig); err != nil {
		t.Fatal(err)
	}
	if _, err := d.VerifyStaged(verify); err != nil {
		t.Fatal(err)
	}
	if err := d.Install(verify); err != nil {
		t.Fatal(err)
	}
	by := func(s *signer, cert []byte) string {
		t.Helper()
		sig, err := s.sign(undo)
		if err != nil {
			t.Fatal(err)
		}
		return string(signedBlocks(cert, sig, undo))
	}
	ownerCert, err := gpgcard.ParseCert(owner.cert)
	if err != nil {
		t.Fatal(err)
	}
	ownerFpr := ownerCert.Fingerprint()
	for _, c := range []struct {
		what, hint string
		card       *signer
		believed   bool
	}{
		{"none", "", owner, false},
		{"no signature", string(signedBlocks(nil, nil, undo)), owner, false},
		{"the form of earlier versions", string(undo), owner, false},
		{"her own signature", by(maid, maid.cert), owner, false},
		{"her own signature under the owner's name", by(maid, owner.cert), owner, false},
		{"the owner's signature, of something else", string(signedBlocks(owner.cert, []byte("x"), undo)), owner, false},
		{"her own signature, and no card", by(maid, maid.cert), nil, false},
		{"lengths that lead out of the file", "\xff\xff\xff\xff" + string(undo), owner, false},
		// A run of her own on somebody else's laptop: she has no part in the chip.
		{"her own signature, and her own card", by(maid, maid.cert), maid, true},
		// An old file of the owner's, put back.
		{"the owner's own signature", by(owner, owner.cert), owner, true},
	} {
		put(blocksHint, c.hint)
		m, _ := machine(c.card)
		h, err := wizard.ReadHandover(ctx, m)
		if err != nil || !h.Tampering {
			t.Errorf("%s: tampering is not seen: %+v, %v", c.what, h, err)
		}
		for _, k := range ownerCert.Keys() { // on the card are the subkeys
			if !slices.Contains(h.Keys, k.Fingerprint) {
				t.Errorf("%s: the key %s of the firmware's certificate is not upstream's", c.what, k.Fingerprint)
			}
		}
		if info, err := m.Firmware.Info(ctx); err != nil || !slices.Equal(info.Keyring, []string{ownerFpr}) {
			t.Errorf("%s: the firmware trusts %v (%v)", c.what, info.Keyring, err)
		}
		p, err := m.Firmware.Plan(ctx, owner.cert)
		if err != nil {
			t.Fatal(err)
		}
		// What the key on the card has signed is believed, but not against the chip.
		if old := p.Private.(*rom.Plan).Old; bytes.Equal(old, owned) == c.believed {
			t.Errorf("%s: believed: %v", c.what, !c.believed)
		}
	}
}

// TestATornChipWithItsNewKey: cut after the keyring was written, the chip itself says whose
// it is; before that, the image that the owner's card has signed says that it is the seller's.
func TestATornChipWithItsNewKey(t *testing.T) {
	ctx := t.Context()
	owner, seller := newSigner(t, "Owner"), newSigner(t, "The Seller")
	dir := t.TempDir()
	bootDir, chip := filepath.Join(dir, "boot"), filepath.Join(dir, "chip")
	if err := os.MkdirAll(filepath.Join(bootDir, "grub"), 0o755); err != nil {
		t.Fatal(err)
	}
	sold := planFor(t, seller.cert, romtest.Layouts[2].Build()).New
	p := planFor(t, owner.cert, sold)
	receipt := []byte(`{"type":"reown/receipt/v2","volumes":[]}` + "\n")
	for name, doc := range map[string][]byte{blocksHint: oldBlocks(p), "kexec_reown.receipt": receipt} {
		sig, err := owner.sign(doc)
		if err != nil {
			t.Fatal(err)
		}
		file := append(bytes.Clone(doc), sig...)
		if name == blocksHint {
			file = signedBlocks(owner.cert, sig, doc)
		}
		if err := os.WriteFile(filepath.Join(bootDir, name), file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	own, sellers := 0, 0
	last := p.Blocks[len(p.Blocks)-1]
	step := uint32(512)
	if os.Getenv("REOWN_SOAK") == "1" {
		step = 64
	}
	for i := uint32(0); i < last.Len(); i += step { // erased, and programmed up to here
		torn := bytes.Clone(p.New)
		copy(torn[last.Start+i:last.End], bytes.Repeat([]byte{0xff}, int(last.Len()-i)))
		if bytes.Equal(torn, p.New) {
			continue
		}
		if err := os.WriteFile(chip, torn, 0o644); err != nil {
			t.Fatal(err)
		}
		nor, err := flash.OpenFile(chip)
		if err != nil {
			t.Fatal(err)
		}
		d, err := boot.Open(bootDir)
		if err != nil {
			t.Fatal(err)
		}
		m := &wizard.Machine{PGP: openPGP{}, Card: owner, Platform: &platform{board: "b", sysfs: "/sys"}}
		b := &bootAdapter{dir: d, verify: m.PGP.Verify}
		fw := &firmware{backend: nor, board: "b", boot: b, keyring: keyring, certs: certsIn, mine: signedByCard(m.Card)}
		h := &handoverReader{dir: d, firmware: fw, card: m.Card, verify: m.PGP.Verify}
		got, err := h.read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		info, err := fw.Info(ctx)
		if err != nil || !info.Torn || len(info.Keyring) != 1 {
			t.Errorf("cut after byte %d: %+v, %v", i, info, err)
			continue
		}
		cert, err := gpgcard.ParseCert(owner.cert)
		if err != nil {
			t.Fatal(err)
		}
		if info.Keyring[0] == cert.Fingerprint() {
			own++
		} else {
			sellers++
		}
		if (len(got.Keys) == 0) != (info.Keyring[0] == cert.Fingerprint()) {
			t.Errorf("cut after byte %d: the chip trusts %v, and upstream's keys are %v", i, info.Keyring, got.Keys)
		}
	}
	t.Logf("cut %d times under the seller's key, %d times under the owner's", sellers, own)
	if own == 0 || sellers == 0 {
		t.Error("that shows nothing")
	}
}

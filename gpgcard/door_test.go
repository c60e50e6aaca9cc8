package gpgcard_test

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/keybox"
)

// stranger is somebody's key in memory, made by go-crypto.
func stranger(t *testing.T, name string) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.org",
		&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return created }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func public(t *testing.T, e *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func rawPacket(tag byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xc0 | tag, 0xff}, uint32(len(body))), body...)
}

func number(bits int) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(bits))
	return append(b, bytes.Repeat([]byte{0xff}, (bits+7)/8)...)
}

// TestOnlyWhatWasChecked: whatever is added to a certificate, the one that comes
// through the door is the same, byte for byte.
func TestOnlyWhatWasChecked(t *testing.T) {
	good := keySet(t, gpgcard.Curve25519).Cert()
	other := stranger(t, "mallory")
	var secret, mallorysSub, foreignSig bytes.Buffer
	if err := other.SerializePrivateWithoutSigning(&secret, nil); err != nil {
		t.Fatal(err)
	}
	dsa := []byte{4, 0x60, 0, 0, 0, 17}
	for _, n := range []int{16384, 256, 16384, 16384} {
		dsa = append(dsa, number(n)...)
	}
	huge := append(append([]byte{4, 0x60, 0, 0, 0, 1}, number(16384)...), 0, 17, 1, 0, 1)
	// Mallory certifies a user ID of his own choice on the good key.
	foreign := &packet.Signature{Version: 4, SigType: packet.SigTypePositiveCert, PubKeyAlgo: packet.PubKeyAlgoEdDSA,
		Hash: crypto.SHA256, CreationTime: created, IssuerKeyId: &other.PrimaryKey.KeyId}
	if err := errors.Join(
		other.Subkeys[0].PublicKey.Serialize(&mallorysSub), other.Subkeys[0].Sig.Serialize(&mallorysSub),
		foreign.SignUserId("Seller <seller@example.org>", other.PrimaryKey, other.PrivateKey, nil),
		foreign.Serialize(&foreignSig),
	); err != nil {
		t.Fatal(err)
	}
	uid := rawPacket(13, []byte("Seller <seller@example.org>"))
	for name, extra := range map[string][]byte{
		"nothing":                     nil,
		"a secret key":                secret.Bytes(),
		"a user ID":                   uid,
		"a user ID signed by another": slices.Concat(uid, foreignSig.Bytes()),
		"a newline":                   rawPacket(13, []byte("x\n[OK] all is well")),
		"a subkey without a binding":  rawPacket(14, good.Packets()[3].Body),
		"another's subkey":            mallorysSub.Bytes(),
		"DSA of 16,384 bits":          rawPacket(14, dsa),
		"RSA of 16,384 bits":          rawPacket(14, huge),
		"a photograph":                rawPacket(17, append([]byte{0xc8, 1}, make([]byte, 300)...)),
		"an unknown packet":           rawPacket(60, []byte("hello")),
		"GnuPG's trust":               rawPacket(12, []byte{1, 2}),
		"a message":                   rawPacket(11, []byte("b\x00\x00\x00\x00\x00hello")),
	} {
		c, err := gpgcard.ParseCert(append(bytes.Clone(good.Bytes()), extra...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(c.Bytes(), good.Bytes()) || !slices.Equal(c.UserIDs(), good.UserIDs()) {
			t.Errorf("%s came through", name)
		}
	}
	for name, b := range map[string][]byte{
		"a secret key":                secret.Bytes(),
		"two certificates":            append(bytes.Clone(good.Bytes()), public(t, other)...),
		"DSA of 16,384 bits":          slices.Concat(rawPacket(6, dsa), uid),
		"RSA of 16,384 bits":          slices.Concat(rawPacket(6, huge), uid),
		"no user ID":                  rawPacket(6, good.Packets()[0].Body),
		"a user ID signed by another": slices.Concat(rawPacket(6, good.Packets()[0].Body), uid, foreignSig.Bytes()),
		"20,001 packets":              append(bytes.Clone(good.Bytes()), bytes.Repeat([]byte{0xcc, 0}, 20001)...),
	} {
		if _, err := gpgcard.ParseCert(b); !errors.Is(err, gpgcard.ErrBadCert) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A key that cannot be used leaves the others readable, and is told.
	list, err := gpgcard.ParseCerts(slices.Concat(good.Bytes(), rawPacket(6, dsa), uid, public(t, other)))
	var some *gpgcard.UnusableKeysError
	if len(list) != 2 || !errors.As(err, &some) || len(some.Keys) != 1 || len(some.Keys[0].Fingerprint) != 40 ||
		!errors.Is(err, gpgcard.ErrBadCert) {
		t.Errorf("%d certificates, %v", len(list), err)
	}
}

// A user ID that the key has signed is still text that must not draw a second line or
// end a signature block.
func TestSignedUserIDsAreOneLine(t *testing.T) {
	for _, id := range []string{"x\n[OK] all is well", "x\u2028y", "\x1b[2Jx", "-----BEGIN PGP SIGNATURE-----", "\xff"} {
		e := stranger(t, "mallory")
		s := &packet.Signature{Version: 4, SigType: packet.SigTypePositiveCert, PubKeyAlgo: packet.PubKeyAlgoEdDSA,
			Hash: crypto.SHA256, CreationTime: created, IssuerKeyId: &e.PrimaryKey.KeyId, FlagsValid: true, FlagSign: true}
		var b bytes.Buffer
		b.Write(public(t, e))
		b.Write(rawPacket(13, []byte(id)))
		if err := errors.Join(s.SignUserId(id, e.PrimaryKey, e.PrivateKey, nil), s.Serialize(&b)); err != nil {
			t.Fatal(err)
		}
		// After the subkey, where the standard does not put it and readers take it.
		if c, err := gpgcard.ParseCert(b.Bytes()); err != nil || len(c.UserIDs()) != 1 {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, name := range []string{"a\nb", "-----BEGIN PGP SIGNATURE-----", "\xff"} {
		if err := (gpgcard.Identity{Name: name}).Check(); !errors.Is(err, gpgcard.ErrBadIdentity) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestChecksAreBounded: many signatures that only verifying can tell are not good.
func TestChecksAreBounded(t *testing.T) {
	p := keySet(t, gpgcard.Curve25519).Cert().Packets()
	sig := bytes.Clone(p[2].Body)
	sig[len(sig)-1] ^= 1
	b := append(rawPacket(6, p[0].Body), rawPacket(13, p[1].Body)...)
	b = append(b, bytes.Repeat(rawPacket(2, sig), 400)...)
	if _, err := gpgcard.ParseCert(b); !errors.Is(err, gpgcard.ErrBadCert) || !strings.Contains(err.Error(), "300") {
		t.Fatal(err)
	}
}

// TestUnhashedIsNotKept: what a signature does not cover cannot smuggle anything.
func TestUnhashedIsNotKept(t *testing.T) {
	good := keySet(t, gpgcard.Curve25519).Cert()
	var b []byte
	for _, p := range good.Packets() {
		body := p.Body
		if p.Tag == 2 {
			at := 6 + int(binary.BigEndian.Uint16(body[4:]))
			n := int(binary.BigEndian.Uint16(body[at:]))
			area := append(bytes.Clone(body[at+2:at+2+n]), append([]byte{7, 100}, "raw\n:)"...)...)
			body = slices.Concat(body[:at], binary.BigEndian.AppendUint16(nil, uint16(len(area))), area, body[at+2+n:])
		}
		b = append(b, rawPacket(p.Tag, body)...)
	}
	c, err := gpgcard.ParseCert(b)
	if err != nil || !bytes.Equal(c.Bytes(), good.Bytes()) {
		t.Fatal(err)
	}
}

// TestBackSignature: a subkey counts as signing only if it has itself agreed.
func TestBackSignature(t *testing.T) {
	good := keySet(t, gpgcard.Curve25519).Cert()
	shop := good.Keys()[1].Fingerprint // a signing subkey, on the shop's card
	if !good.SignsWith(shop) || !good.Holds(shop) || good.SignsWith(good.Fingerprint()) ||
		!good.Holds(good.Fingerprint()) {
		t.Fatal("the key's own parts")
	}
	for _, k := range good.Keys()[2:] {
		if good.SignsWith(k.Fingerprint) || !good.Holds(k.Fingerprint) {
			t.Fatalf("%s key", k.Usage)
		}
	}
	// Mallory binds the shop's signing subkey to his own key, without its consent.
	m := stranger(t, "mallory")
	p, err := packet.Read(bytes.NewReader(rawPacket(14, good.Packets()[3].Body)))
	if err != nil {
		t.Fatal(err)
	}
	sub := p.(*packet.PublicKey)
	for _, signs := range []bool{true, false} {
		s := &packet.Signature{Version: 4, SigType: packet.SigTypeSubkeyBinding, PubKeyAlgo: packet.PubKeyAlgoEdDSA,
			Hash: crypto.SHA256, CreationTime: created, IssuerKeyId: &m.PrimaryKey.KeyId, FlagsValid: true, FlagSign: signs,
			FlagAuthenticate: !signs}
		b := bytes.NewBuffer(public(t, m))
		if err := errors.Join(s.SignKey(sub, m.PrivateKey, nil), sub.Serialize(b), s.Serialize(b)); err != nil {
			t.Fatal(err)
		}
		c, err := gpgcard.ParseCert(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if c.SignsWith(shop) || c.Holds(shop) == signs {
			t.Errorf("flag sign %v: %+v", signs, c.Keys())
		}
	}
}

// TestRevokedNeverCounts: neither a revoked subkey's signatures nor those of a subkey
// of a revoked key; and gpg knows it too from what we wrote.
func TestRevokedNeverCounts(t *testing.T) {
	m := stranger(t, "jane")
	conf := func(d time.Duration) *packet.Config {
		return &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return created.Add(d) }}
	}
	if err := m.AddSigningSubkey(conf(0)); err != nil {
		t.Fatal(err)
	}
	k := m.Subkeys[1].PrivateKey
	s := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: k.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: created, IssuerKeyId: &k.KeyId}
	h, err := s.PrepareSign(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.Write([]byte("data"))
	var sig bytes.Buffer
	if err := errors.Join(s.Sign(h, k, nil), s.Serialize(&sig)); err != nil {
		t.Fatal(err)
	}
	verify := func() (*gpgcard.Cert, error) {
		t.Helper()
		c, err := gpgcard.ParseCert(public(t, m))
		if err != nil {
			t.Fatal(err)
		}
		_, err = gpgcard.VerifyDetached(c, sig.Bytes(), []byte("data"))
		return c, err
	}
	if c, err := verify(); err != nil || c.Revoked() {
		t.Fatal(err)
	}
	if err := m.RevokeSubkey(&m.Subkeys[1], packet.KeyCompromised, "", conf(time.Hour)); err != nil {
		t.Fatal(err)
	}
	c, err := verify()
	fpr := c.Keys()[2].Fingerprint
	if !errors.Is(err, gpgcard.ErrBadSignature) || c.SignsWith(fpr) || !c.Holds(fpr) || c.Revoked() {
		t.Fatalf("revoked subkey: %v", err)
	}
	m.Subkeys[1].Revocations = nil
	if err := m.RevokeKey(packet.KeyCompromised, "", conf(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if c, err = verify(); !errors.Is(err, gpgcard.ErrBadSignature) || c.SignsWith(fpr) || !c.Revoked() {
		t.Fatalf("revoked key: %v", err)
	}
	peer(t, "gpg")
	home := shortDir(t)
	gpg(t, home, c.Bytes(), "--import")
	if out := gpg(t, home, nil, "--with-colons", "-k"); !strings.Contains(out, "pub:r:") {
		t.Fatal(out)
	}
	_, _ = tryGPGConf(home)
}

// TestGPGsKeysComeThrough: keys as gpg makes and exports them: several user IDs, a
// revoked one, certifications by others, brainpool; what we write of them gpg imports
// with every signature good, and gpgv takes for a ring.
func TestGPGsKeysComeThrough(t *testing.T) {
	peer(t, "gpg")
	home, again := shortDir(t), shortDir(t)
	defer func() { _, _ = tryGPGConf(home); _, _ = tryGPGConf(again) }()
	loop := []string{"--pinentry-mode", "loopback", "--passphrase", ""}
	quick := func(args ...string) { t.Helper(); gpg(t, home, nil, append(loop, args...)...) }
	quick("--quick-gen-key", "Jane Doe <jane@example.org>", "ed25519", "sign,cert", "never")
	quick("--quick-gen-key", "Brain <brain@example.org>", "brainpoolP256r1", "sign,cert", "never")
	quick("--quick-gen-key", "Old <old@example.org>", "dsa2048", "sign,cert", "never")
	fpr := field(gpg(t, home, nil, "--with-colons", "-k", "jane@example.org"), "fpr", 9)
	quick("--quick-add-key", fpr, "cv25519", "encr", "never")
	quick("--quick-add-key", fpr, "ed25519", "sign", "2y")
	quick("--quick-add-uid", fpr, "Jane <jane@work.example>")
	quick("--quick-add-uid", fpr, "Gone <gone@example.org>")
	quick("--quick-revoke-uid", fpr, "Gone <gone@example.org>")
	quick("--yes", "-u", "brain@example.org", "--quick-sign-key", fpr)

	c, err := gpgcard.ParseCert([]byte(gpg(t, home, nil, "--armor", "--export", fpr)))
	if err != nil {
		t.Fatal(err)
	}
	if ids := c.UserIDs(); len(ids) != 2 || slices.Contains(ids, "Gone <gone@example.org>") {
		t.Fatalf("user IDs: %q", ids)
	}
	if len(c.Keys()) != 3 || !c.SignsWith(fpr) || c.Keys()[2].Usage != "S" {
		t.Fatalf("keys: %+v", c.Keys())
	}
	kbx, err := os.ReadFile(filepath.Join(home, "pubring.kbx"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := keybox.Read(append(kbx, make([]byte, 4096)...)) // as if cut to a block's length
	var some *gpgcard.UnusableKeysError
	if len(list) != 2 || !errors.As(err, &some) || len(some.Keys) != 1 {
		t.Fatalf("%d certificates, %v", len(list), err)
	}
	for _, c := range list {
		gpg(t, again, c.Armored(), "--import")
	}
	got := gpg(t, again, nil, "--with-colons", "--check-sigs")
	if strings.Contains(got, "sig:-:") || strings.Contains(got, "sig:%:") || strings.Count(got, "sig:!:") != 5 {
		t.Fatalf("signatures:\n%s", got)
	}
	file := filepath.Join(home, "data")
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		quick("--yes", "-u", c.Fingerprint()+"!", "-o", file+".sig", "--detach-sign", file)
		sig, err := os.ReadFile(file + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gpgcard.VerifyDetached(c, sig, []byte("data")); err != nil {
			t.Errorf("%s: %v", c.UserIDs()[0], err)
		}
		ring := filepath.Join(home, "ring.kbx")
		b, err := keybox.Write(created, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ring, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("gpgv", "--keyring", ring, file+".sig", file).CombinedOutput(); err != nil {
			t.Errorf("gpgv: %v\n%s", err, out)
		}
	}
}

// TestCardsOwnCertificateIsUnchanged: what a card made goes through the door as it is.
func TestCardsOwnCertificateIsUnchanged(t *testing.T) {
	c := open(t, cardtest.New(cardtest.ZeitControl))
	if err := c.GenerateKeys(t.Context(), gpgcard.GenerateOptions{Algorithm: gpgcard.RSA2048,
		Created: created}); err != nil {
		t.Fatal(err)
	}
	cert, err := c.Certificate(t.Context(), jane, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := gpgcard.ParseCert(cert.Armored())
	if err != nil || !bytes.Equal(again.Bytes(), cert.Bytes()) || len(cert.Keys()) != 3 ||
		!cert.SignsWith(cert.Fingerprint()) {
		t.Fatal(err)
	}
}

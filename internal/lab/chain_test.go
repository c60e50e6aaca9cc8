package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/pcscdtest"
)

// A station is a shop's own security key, made by gpg, on a reader of its own.
type station struct {
	fpr, cert       string // fingerprint; file
	flags, receiver []string
}

func (l *Laptop) station(t *testing.T) station {
	t.Helper()
	var c *cardtest.Card
	for _, p := range cardtest.Profiles {
		if p.Name == l.Profile {
			c = cardtest.New(p)
		}
	}
	c.SetSerial(0x5409)
	c.AutoTouch(true)
	d, err := pcscdtest.Start(l.path("shop-pcsc"), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	g, err := d.GPG(l.path("shop-gpg"))
	if err != nil {
		t.Fatal(err)
	}
	const pin = "consultant"
	fpr, err := makeSellerCard(t.Context(), g, Seller{UserPIN: pin, AdminPIN: "consultants"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := g.Command("gpg", "--armor", "--export", fpr).Output()
	if err != nil {
		t.Fatal(err)
	}
	g.Kill()
	s := station{fpr: fpr, cert: l.path("shop.asc")}
	for name, data := range map[string][]byte{s.cert: cert, l.path("shop.pin"): []byte(pin + "\n")} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.flags = []string{"--shop-cert", s.cert, "--shop-pin-file", l.path("shop.pin"), "--shop-card", "pcsc:" + d.Socket}
	s.receiver = []string{"--pin-file", l.path("shop.pin"), "--my-card", "pcsc:" + d.Socket}
	return s
}

// TestSoldThroughAConsultant: the OEM hands the laptop to a consultant, who takes
// ownership, prepares it for his customer and hands it on. The OEM's key is not in the
// firmware any more: the buyer knows its fingerprint, and nothing else will do.
func TestSoldThroughAConsultant(t *testing.T) {
	long(t, "TestPreparedLaptop, and the chains of internal/handover")
	ctx := t.Context()
	l := newLaptop(t, Options{DataMiB: 64})
	shop := l.station(t)
	oem := l.Seller.Fingerprint
	if err := l.makeHandover(ctx, shop.fpr); err != nil {
		t.Fatal(err)
	}
	l.GPG.Kill()

	// The consultant, who says by his signature that he has accepted.
	accept := append([]string{"verify", "--signer", oem, "--countersign", shop.cert}, shop.receiver...)
	if code, out := l.run(t, append(accept, "--my-serial", "00000001")...); code == 0 {
		t.Errorf("accepted with a security key that is not there:\n%s", out)
	}
	if _, _, cert := makeBuyerKey(t, "default"); cert != "" {
		if code, out := l.run(t, append(accept, "--countersign", cert)...); code != 3 ||
			!strings.Contains(out, "somebody else") {
			t.Errorf("accepted by somebody else: exit code %d\n%s", code, out)
		}
	}
	for range 2 { // the second time there is nothing left to do
		if code, out := l.run(t, accept...); code != 0 || strings.Count(out, "accepted") != 1 {
			t.Fatalf("the consultant's signature: exit code %d\n%s", code, out)
		}
		l.signedByBoth(t, "kexec_handover.json", oem, shop.fpr)
	}
	if code, out := l.run(t, "verify", "--signer", oem, "--me", shop.fpr); code != 0 {
		t.Fatalf("the consultant's verify: exit code %d\n%s", code, out)
	}
	if code, out := l.run(t, append(l.wizardArgs(t), "--signer", oem, "--me", shop.fpr)...); code != 0 {
		t.Fatalf("the consultant's run: exit code %d\n%s", code, out)
	}
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	l.Seller.Disk = l.buyer(t).Disk
	home, buyer, cert := makeBuyerKey(t, "default")
	order := map[string]string{"order": "C-77", "name": "A Consultant", "email": "c@example.com", "buyer": buyer}
	for _, signer := range [][]string{nil, {"--signer", shop.fpr}} {
		args := append(l.prepareArgs(t, order, append(shop.flags, "--buyer", cert)...), signer...)
		if code, line, log := l.prepare(t, args...); code != 1 || line.Step != "preflight" {
			t.Fatalf("a chain was continued without knowing whose: exit code %d, %+v\n%s", code, line, log)
		}
	}
	code, line, log := l.prepare(t, l.prepareArgs(t, order, append(shop.flags, "--buyer", cert, "--signer", oem)...)...)
	if code != 0 || line.Handover != 1 || line.Seller != shop.fpr {
		t.Fatalf("the consultant's prepare: exit code %d, %+v\n%s", code, line, log)
	}
	l.fromShop(t, line.Fingerprint)
	if err := l.PowerCycle(ctx); err != nil {
		t.Fatal(err)
	}
	l.chainByForeignTools(t, shop, line.Fingerprint)
	if _, err := gpg(ctx, home, "", "--import", shop.cert); err != nil {
		t.Fatal(err)
	}
	if out, err := gpg(ctx, home, "", "--status-fd", "1", "--decrypt", l.path("mail/secrets.asc")); err != nil ||
		!strings.Contains(string(out), "[GNUPG:] VALIDSIG "+shop.fpr) {
		t.Errorf("gpg does not show that the consultant made secrets.asc: %v\n%s", err, out)
	}

	// The buyer.
	if err := os.Remove(l.path("known.json")); err != nil {
		t.Fatal(err)
	}
	nobody := strings.Repeat("0123", 10)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 3, "was not compared"},
		{[]string{"--signer", nobody}, 3, "not signed by the key that should"},
		{[]string{"--signer", oem, "--me", buyer}, 3,
			"not signed by the key that should"}, // the maker does not say what the consultant did
		{[]string{"--signer", shop.fpr, "--me", nobody}, 3, "somebody else"},
		{[]string{"--signer", strings.ToLower(shop.fpr[:20] + " " + shop.fpr[20:]), "--me", buyer}, 0,
			"pass           tpm-ek"},
		{[]string{"--signer", shop.fpr}, 0, "A Consultant"},
	} {
		if c.says == "A Consultant" {
			c.says = "OEM Key" // what gpg put on both certificates
		}
		if code, out := l.run(t, append([]string{"verify"}, c.args...)...); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("verify %q: exit code %d\n%s", c.args, code, out)
		}
	}
	if _, out := l.run(t, "verify"); strings.Contains(strings.ReplaceAll(out, " ", ""), shop.fpr) {
		t.Errorf("the fingerprint that the buyer must know is shown to be copied:\n%s", out)
	}
	l.brokenChains(t, shop.fpr)
	before := l.fingerprint(t)
	args := l.wizardArgs(t)
	if code, out := l.run(t, args...); code != 4 || !strings.Contains(out, "signer") {
		t.Errorf("a run without the seller's fingerprint: exit code %d\n%s", code, out)
	}
	if code, out := l.run(t, append(args, "--signer", nobody)...); code != 4 && code != 3 {
		t.Errorf("a run with another fingerprint: exit code %d\n%s", code, out)
	}
	l.answer(t, "signer", nobody)
	if code, out := l.run(t, args...); code != 4 {
		t.Errorf("a run with another fingerprint in the answers: exit code %d\n%s", code, out)
	}
	if after := l.fingerprint(t); after != before {
		t.Fatalf("something was changed: %s, was %s", after, before)
	}
	l.answer(t, "signer", oem)
	if code, out := l.run(t, args...); code != 4 {
		t.Errorf("a run with the maker's fingerprint alone: exit code %d\n%s", code, out)
	}
	l.answer(t, "signer", shop.fpr)
	if code, out := l.run(t, args...); code != 0 {
		t.Fatalf("the buyer's run: exit code %d\n%s", code, out)
	}
	l.receipt(t, filepath.Join(l.BootDir(), "kexec_handover.1.json"))
	if err := os.WriteFile(l.path("seller.gpg"), l.romOwnerAtSale(t, line.Fingerprint), 0o644); err != nil {
		t.Fatal(err)
	}
	l.mustBeBuyers(t, l.buyer(t))
}

// signedByBoth asks gpgv about a statement that two keys have signed.
func (l *Laptop) signedByBoth(t *testing.T, name string, fprs ...string) {
	t.Helper()
	ctx, home := t.Context(), t.TempDir()
	file := filepath.Join(l.BootDir(), name)
	if _, err := gpg(ctx, home, "", "--import", file+".key"); err != nil {
		t.Fatal(err)
	}
	ring := filepath.Join(home, "ring.gpg")
	if _, err := gpg(ctx, home, "", "--export", "-o", ring); err != nil {
		t.Fatal(err)
	}
	out, err := tool(ctx, nil, "gpgv", "--status-fd", "1", "--keyring", ring, file+".asc", file)
	for _, fpr := range fprs {
		if err != nil || !strings.Contains(string(out), "VALIDSIG "+fpr) {
			t.Errorf("gpgv finds no good signature by %s: %v\n%s", fpr, err, out)
		}
	}
}

// receipt: the certificate of the owner's run names the seller's statement, as sha256sum
// does; and who asks about the hand-over afterwards is not answered by the certificate.
func (l *Laptop) receipt(t *testing.T, statement string) {
	t.Helper()
	sum, err := tool(t.Context(), nil, "sha256sum", statement)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"kexec_reown.certificate", "kexec_reown.certificate.json"} {
		data, err := os.ReadFile(filepath.Join(l.BootDir(), n))
		if err != nil || !strings.Contains(string(data), string(sum[:64])) {
			t.Errorf("%s does not name the statement %s: %v\n%s", n, sum, err, data)
		}
	}
	if code, out := l.run(t, "verify"); code != 0 || !strings.Contains(out, "certificate ") {
		t.Errorf("the owner's verify: exit code %d\n%s", code, out)
	}
	for _, args := range [][]string{{"--signer", l.Seller.Fingerprint}, {"--me", l.Seller.Fingerprint}} {
		if code, out := l.run(t, append([]string{"verify"}, args...)...); code != 3 ||
			strings.Contains(out, "by the owner's key") {
			t.Errorf("verify %q is answered by the owner's certificate: exit code %d\n%s", args, code, out)
		}
	}
}

// romOwnerAtSale is the certificate of the laptop's key in the mail.
func (l *Laptop) romOwnerAtSale(t *testing.T, fpr string) []byte {
	t.Helper()
	home := t.TempDir()
	if _, err := gpg(t.Context(), home, "", "--import", l.path("mail/key.asc")); err != nil {
		t.Fatal(err)
	}
	cert, err := gpg(t.Context(), home, "", "--export", fpr)
	if err != nil || len(cert) == 0 {
		t.Fatalf("the mail does not hold the laptop's key %s: %v", fpr, err)
	}
	return cert
}

// answer adds one answer to the file that wizardArgs wrote.
func (l *Laptop) answer(t *testing.T, key, value string) {
	t.Helper()
	data, err := os.ReadFile(l.path("answers.json"))
	var m map[string]string
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	m[key] = value
	writeJSON(t, l.path("answers.json"), m)
}

// chainByForeignTools checks the second statement with sha256sum and gpg.
func (l *Laptop) chainByForeignTools(t *testing.T, shop station, laptop string) {
	t.Helper()
	ctx := t.Context()
	first, second := filepath.Join(l.BootDir(), "kexec_handover.json"), filepath.Join(l.BootDir(), "kexec_handover.1.json")
	sum, err := tool(ctx, nil, "sha256sum", first)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(`"previous": "`+string(sum[:64])+`"`)) || !bytes.Contains(data, []byte(`"tpm-ek"`)) {
		t.Errorf("the second statement:\n%s", data)
	}
	home := t.TempDir()
	if _, err := gpg(ctx, home, "", "--import", second+".key"); err != nil {
		t.Error(err)
	}
	out, err := gpg(ctx, home, "", "--status-fd", "1", "--verify", second+".asc", second)
	for _, fpr := range []string{shop.fpr, laptop} {
		if err != nil || !strings.Contains(string(out), "VALIDSIG "+fpr) {
			t.Errorf("gpg --verify, no good signature by %s: %v\n%s", fpr, err, out)
		}
	}
}

// brokenChains changes the files as somebody on the way could, and puts them back.
func (l *Laptop) brokenChains(t *testing.T, oem string) {
	t.Helper()
	stranger := t.TempDir()
	fpr, err := makeSellerKey(context.Background(), stranger)
	if err != nil {
		t.Fatal(err)
	}
	strange, err := gpg(t.Context(), stranger, "", "--export", fpr)
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(l.BootDir(), "kexec_handover*"))
	if err != nil || len(names) != 6 {
		t.Fatalf("%q %v", names, err)
	}
	good := map[string][]byte{}
	for _, n := range names {
		if good[filepath.Base(n)], err = os.ReadFile(n); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "kexec_handover.json", "kexec_handover.1.json"
	for name, change := range map[string]func(map[string][]byte){
		"the last link gone":            func(m map[string][]byte) { delete(m, second) },
		"the first link gone":           func(m map[string][]byte) { delete(m, first) },
		"the first link's key gone":     func(m map[string][]byte) { delete(m, first+".key") },
		"a stranger's key in its place": func(m map[string][]byte) { m[first+".key"] = strange },
		"the last signatures gone":      func(m map[string][]byte) { m[second+".asc"] = m[first+".asc"] },
		"the laptop's signature gone":   func(m map[string][]byte) { m[second+".asc"] = firstBlock(m[second+".asc"]) },
		"another receiver": func(m map[string][]byte) {
			m[first] = bytes.Replace(m[first], []byte(`"to": "`), []byte(`"to": "0`), 1)
		},
		"the links in the other order": func(m map[string][]byte) { m[first], m[second] = m[second], m[first] },
		"a key file without end": func(m map[string][]byte) {
			m[first+".key"] = bytes.Repeat(strange, 1+
				(64<<10)/len(strange))
		},
		"a third statement of nobody's":  func(m map[string][]byte) { m["kexec_handover.2.json"] = m[second] },
		"a key file that is no key file": func(m map[string][]byte) { m[second+".key"] = []byte("{}") },
	} {
		files := maps.Clone(good)
		change(files)
		l.replaceHandover(t, files)
		if code, out := l.run(t, "verify", "--signer", oem); code != 3 || !strings.Contains(out, "[!!] handover") {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
	}
	l.replaceHandover(t, good)
}

func (l *Laptop) replaceHandover(t *testing.T, files map[string][]byte) {
	t.Helper()
	old, _ := filepath.Glob(filepath.Join(l.BootDir(), "kexec_handover*"))
	for _, n := range old {
		if err := os.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
	for n, data := range files {
		if err := os.WriteFile(filepath.Join(l.BootDir(), n), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// firstBlock is the first of several armoured signatures.
func firstBlock(file []byte) []byte {
	end := []byte("-----END PGP SIGNATURE-----\n")
	i := bytes.Index(file, end)
	return file[:i+len(end)]
}

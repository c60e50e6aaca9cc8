package wizard_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/wizardtest"
)

// TestCertificateText: every line fits 80 columns, in each language, and says what a
// reader needs.
func TestCertificateText(t *testing.T) {
	c := wizard.Certificate{
		Reference: "20261122-2EE143EE", Date: "2026-11-22T17:41:00Z", Board: "Lab Laptop\x1b[2J", Statement: strings.Repeat("5a", 32), Order: "2026-1147", Seller: strings.Repeat("A Seller With A Long Name ", 8),
		SellerKey: strings.Repeat("70A6", 10), Owner: strings.Repeat("9C0D", 10), Identity: wizard.Identity{Name: "Ada Buyer", Email: "ada@example.org"}, CardSerial: "5F11A2C0",
		Volumes:     []wizard.Volume{{UUID: "1f0c33e2-9a38-41d9-b6a5-1f3a0f1a2b3c", KeyDigest: strings.Repeat("ab", 32)}},
		StorageRoot: "000b" + strings.Repeat("cd", 32), Firmware: strings.Repeat("ef", 32),
		Checks: []wizard.Check{{ID: "passphrase", OK: true}, {ID: "volume-key", OK: true}, {ID: "firmware-key", OK: true}, {ID: "boot-signature", OK: true}, {ID: "tpm", OK: true}},
	}
	for _, l := range msg.Langs {
		text := c.Text(l.Lang)
		for i, line := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(line); n > 80 || strings.ContainsAny(line, "\x1b\t%") {
				t.Errorf("%s: line %d has %d columns: %q", l.Code, i+1, n, line)
			}
		}
		for _, want := range []string{c.Reference, "9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D", c.Volumes[0].KeyDigest, c.StorageRoot, c.Firmware, c.Statement, "gpg --verify", "5 "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", l.Code, want, text)
			}
		}
	}
	c.Checks[4].OK, c.LeftOut = false, []string{"2f0c33e2-9a38-41d9-b6a5-1f3a0f1a2b3c\x1b[2J"}
	if text := c.Text(msg.EN); !strings.Contains(text, "ONLY 4 of 5") || !strings.Contains(text, "[!!]") {
		t.Errorf("a check that failed does not stand out:\n%s", text)
	}
}

// TestCertificateIsLeft: after a run /boot holds both forms, each with its signature,
// and no receipt.
func TestCertificateIsLeft(t *testing.T) {
	w, _ := owned(t)
	const name = "kexec_reown.certificate"
	for _, n := range []string{name, name + ".json"} {
		if err := w.Machine().PGP.Verify(w.Hints["kexec_reown.asc"], w.Hints[n], w.Hints[n+".asc"]); err != nil || len(w.Hints[n]) == 0 {
			t.Errorf("%s: %v", n, err)
		}
	}
	var c wizard.Certificate
	if err := json.Unmarshal(w.Hints[name+".json"], &c); err != nil || c.Passed() != 5 || len(c.Checks) != 5 || c.Seller != "NovaCustom" || c.Order != "2026-1147" || c.Run == nil || len(c.Statement) != 64 || c.Statement != w.Seller.Statement {
		t.Errorf("%+v %v", c, err)
	}
	if !bytes.Contains(w.Hints[name], []byte(c.Reference)) {
		t.Errorf("the text is of another run:\n%s", w.Hints[name])
	}
	if w.Hints["kexec_reown.receipt"] != nil {
		t.Error("the receipt is still there")
	}
	// What is measured afterwards, without a receipt.
	r, err := wizard.Status(t.Context(), w.Machine())
	if err != nil || r.Next != "" {
		t.Fatalf("%+v %v", r, err)
	}
	for _, s := range r.Steps {
		if s.ID != "preflight" && s.Status != "completed" && s.Status != "not needed" {
			t.Errorf("%s is %s: %s", s.ID, s.Status, s.Detail)
		}
	}
}

// TestCutAtTheCertificate: a cut at each write of the last step is followed by a start
// that ends the run, or by one that finds nothing to do; never by one that offers to
// begin anew.
func TestCutAtTheCertificate(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	all := 0
	for i, op := range w.Ops {
		if !strings.Contains(op, "certificate") && !strings.Contains(op, "boot.oem") && !strings.Contains(op, "remove.") {
			continue
		}
		all++
		w, p := wizardtest.New(), newPaper()
		w.Cut(i)
		if err := unattended(w, p, nil); err == nil {
			t.Fatalf("not cut at %s", op)
		}
		w.Reboot()
		err := unattended(w, p, nil)
		if w.Oem || err != nil && !errors.Is(err, wizard.ErrNothingToDo) {
			t.Errorf("after a cut at %s: %v", op, err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Errorf("after a cut at %s: %v", op, err)
		}
	}
	if all < 10 {
		t.Errorf("only %d writes", all)
	}
}

package wizard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/wizardtest"
)

// TestCertificateText: every line fits 80 columns, in each language, and says what a
// reader needs.
func TestCertificateText(t *testing.T) {
	c := wizard.Certificate{
		Reference: "20261122-2EE143EE", Date: "2026-11-22T17:41:00Z", Board: "Lab Laptop\x1b[2J",
		Statement: strings.Repeat("5a", 32), Order: "2026-1147", Seller: strings.Repeat("A Seller With A Long Name ", 8),
		SellerKey: strings.Repeat("70A6", 10), Owner: strings.Repeat("9C0D", 10),
		Identity: wizard.Identity{Name: "Ada Buyer", Email: "ada@example.org"}, CardSerial: "5F11A2C0",
		Volumes:     []wizard.Volume{{UUID: "1f0c33e2-9a38-41d9-b6a5-1f3a0f1a2b3c", KeyDigest: strings.Repeat("ab", 32)}},
		StorageRoot: "000b" + strings.Repeat("cd", 32), Firmware: strings.Repeat("ef", 32),
		Checks: rows(),
	}
	for _, l := range msg.Langs {
		text := c.Text(l.Lang)
		for i, line := range strings.Split(text, "\n") {
			if n := utf8.RuneCountInString(line); n > 80 || strings.ContainsAny(line, "\x1b\t%") {
				t.Errorf("%s: line %d has %d columns: %q", l.Code, i+1, n, line)
			}
		}
		for _, want := range []string{c.Reference, "9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D 9C0D",
			c.Volumes[0].KeyDigest, c.StorageRoot, c.Firmware, c.Statement, "gpg --verify", "10 "} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", l.Code, want, text)
			}
		}
	}
	c.Checks[4].OK, c.LeftOut = false, []string{"2f0c33e2-9a38-41d9-b6a5-1f3a0f1a2b3c\x1b[2J"}
	c.Checks[5] = wizard.Check{ID: c.Checks[5].ID}
	c.Plain = []wizard.Part{{Path: "/dev/sda1\x1b[2J", Size: 512 << 20, What: "FAT"}}
	for _, want := range []string{"8 of 10", "[!!]", "[? ] not checked: ", "/dev/sda1\\x1b[2J, 512 MiB, FAT"} {
		if text := c.Text(msg.EN); !strings.Contains(text, want) || strings.Contains(text, "Nothing that the seller had") {
			t.Errorf("no %q:\n%s", want, text)
		}
	}
	// Seller and order are rows also where nobody knows them.
	c.Seller, c.Order = "", ""
	if text := c.Text(msg.EN); strings.Count(text, "not known") != 2 {
		t.Errorf("seller and order are left out:\n%s", text)
	}
}

func rows() (all []wizard.Check) {
	for _, id := range strings.Fields("passphrase volume-key second-reader firmware-key boot-signature tpm sealed seller sellers-card all-encrypted") {
		all = append(all, wizard.Check{ID: id, OK: true, Tried: true})
	}
	return all
}

// TestCheckFails: a check that is made at the end and fails withholds the certificate; one that cannot
// be made is a row that does not hold.
func TestCheckFails(t *testing.T) {
	unread := errors.New("not XTS")
	for name, c := range map[string]struct {
		d        liar
		withheld string
		held     int
	}{
		"the old passphrase opens": {liar{opens: wizard.ErrStillOpens}, "passphrase", 0},
		"it cannot be tried":       {liar{opens: unread}, "", 7},
		"another key":              {liar{second: wizard.ErrOtherKey}, "second-reader", 0},
		"no second reader":         {liar{second: unread}, "", 7},
	} {
		w, p := wizardtest.New(), newPaper()
		m := w.Machine()
		c.d.Disk = m.Disks[0]
		m.Disks[0] = c.d
		u := yes(w, p, nil)
		err := wizard.Run(t.Context(), m, u, wizard.Options{})
		u.Close()
		var withheld *wizard.WithheldError
		if c.withheld != "" {
			if !errors.As(err, &withheld) || withheld.Failed[0] != c.withheld || w.Hints["kexec_reown.certificate.json"] != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var cert wizard.Certificate
		if err != nil || json.Unmarshal(w.Hints["kexec_reown.certificate.json"], &cert) != nil || cert.Passed() != c.held ||
			len(cert.Checks) != 10 {
			t.Errorf("%s: %v %+v", name, err, cert.Checks)
		}
	}
}

// TestChangedSince: on a finished machine what differs is "changed since" while the chip's key has
// signed what starts, and red where no signature explains it, or where something went back.
func TestChangedSince(t *testing.T) {
	old := wizardtest.New().Disks[0].Key
	for name, c := range map[string]struct {
		change func(*wizardtest.World)
		item   string
		want   wizard.Verdict
	}{
		"nothing":                  {func(*wizardtest.World) {}, "disk", wizard.Pass},
		"the disk has a newer key": {func(w *wizardtest.World) { w.Disks[0].Key = "newer" }, "disk", wizard.Fail},
		"the TPM was reset in Heads": {func(w *wizardtest.World) { headsSigns(w, w.Files, "newer") }, "tpm",
			wizard.Changed},
		"the old header was put back": {func(w *wizardtest.World) { w.Disks[0].Key = old }, "disk", wizard.Fail},
		"the disk is gone":            {func(w *wizardtest.World) { w.Disks = nil }, "disk", wizard.Fail},
		"a flag in the header":        {func(w *wizardtest.World) { w.Disks[0].NewKey = "flag" }, "disk", wizard.Fail},
		"other files start":           {func(w *wizardtest.World) { w.Files = "other" }, "boot", wizard.Fail},
		"other files, and another TPM": {func(w *wizardtest.World) { w.Files, w.Primary = "other", "newer" }, "tpm",
			wizard.Fail},
	} {
		w, _ := owned(t)
		c.change(w)
		r, err := wizard.Certified(t.Context(), w.Machine(), "")
		if err != nil || r == nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := wizard.Pass
		for _, i := range r.Items {
			if i.ID == c.item && i.Verdict != wizard.Pass {
				got = i.Verdict
			}
		}
		if got != c.want || r.Holds() != (c.want != wizard.Fail) {
			t.Errorf("%s: %s, holds %v: %+v", name, got, r.Holds(), r.Items)
		}
	}
	w, _ := owned(t)
	m := w.Machine()
	m.TPM = nil
	if r, err := wizard.Certified(t.Context(), m, ""); err != nil || r.Holds() {
		t.Errorf("without the TPM that the certificate names: %+v, %v", r, err)
	}
}

type liar struct {
	wizard.Disk
	opens, second error
}

func (l liar) OpensNothing(ctx context.Context, pass *secret.Buffer) (string, error) {
	if l.opens != nil {
		return "", l.opens
	}
	return l.Disk.OpensNothing(ctx, pass)
}

func (l liar) SecondRead(ctx context.Context, pass *secret.Buffer) error {
	if l.second != nil {
		return l.second
	}
	return l.Disk.SecondRead(ctx, pass)
}

// TestCertificateIsLeft: after a run /boot holds both forms, each with its signature,
// and no receipt.
func TestCertificateIsLeft(t *testing.T) {
	w, _ := owned(t)
	const name = "kexec_reown.certificate"
	for _, n := range []string{name, name + ".json"} {
		if err := w.Machine().PGP.Verify(w.Hints["kexec_reown.asc"], w.Hints[n], w.Hints[n+".asc"]); err != nil ||
			len(w.Hints[n]) == 0 {
			t.Errorf("%s: %v", n, err)
		}
	}
	var c wizard.Certificate
	if err := json.Unmarshal(w.Hints[name+".json"], &c); err != nil || c.Passed() != 8 || len(c.Checks) != 10 ||
		c.Seller != "NovaCustom" || c.Order != "2026-1147" || c.Run == nil || len(c.Statement) != 64 ||
		c.Statement != w.Seller.Statement {
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

// TestFraming: a name that looks like the beginning of a signature does not make a receipt unreadable,
// wherever it comes from: a run with it goes on after a cut.
func TestFraming(t *testing.T) {
	const mark = "-----BEGIN PGP SIGNATURE-----"
	w, p := wizardtest.New(), newPaper()
	w.Seller.Order, w.Seller.Seller = mark, mark+"\n"+mark
	w.Cut(60)
	if err := unattended(w, p, nil); err == nil || w.Hints["kexec_reown.receipt"] == nil ||
		!bytes.Contains(w.Hints["kexec_reown.receipt"], []byte(mark+`"`)) {
		t.Fatalf("not cut behind a receipt with the mark: %v", err)
	}
	w.Reboot()
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(p.seen); err != nil {
		t.Error(err)
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

package wizard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"reown/internal/secret"
	"reown/wizard/msg"
)

// Certificate is what a finished run can show: what was measured at its end, signed
// with the owner's new key. Seller's things that no longer open anything are Checks.
type Certificate struct {
	Type        string   `json:"type"` // certificateType
	Reference   string   `json:"reference"`
	Date        string   `json:"date"`
	Board       string   `json:"board"`
	Order       string   `json:"order,omitempty"`
	Seller      string   `json:"seller,omitempty"`
	SellerKey   string   `json:"sellerKey,omitempty"` // fingerprint of the key that handed the machine to the owner
	Statement   string   `json:"statement,omitempty"` // SHA-256 of the statement by which it did
	Owner       string   `json:"owner"`               // fingerprint
	Identity    Identity `json:"identity"`
	CardSerial  string   `json:"cardSerial"`
	Volumes     []Volume `json:"volumes"`           // as they are now
	LeftOut     []string `json:"leftOut,omitempty"` // UUIDs of those that keep the seller's passphrase and key
	StorageRoot string   `json:"storageRoot,omitempty"`
	Firmware    string   `json:"firmware,omitempty"` // sha256 of the chip
	Checks      []Check  `json:"checks"`
	Run         *Receipt `json:"run"` // how the machine was before

	json, jsonSig []byte // as signed and stored
	text, textSig []byte // the same for people
	cert          []byte // the owner's OpenPGP certificate
}

// Check is one thing of the seller's that was tried at the end.
type Check struct {
	ID string `json:"id"` // passphrase, volume-key, left-out, firmware-key, boot-signature, tpm
	OK bool   `json:"ok"` // it opens nothing any more
}

const certificateType = "reown/certificate/v1"

// Passed counts the checks that hold.
func (c *Certificate) Passed() (n int) {
	for _, k := range c.Checks {
		if k.OK {
			n++
		}
	}
	return n
}

// readCertificate reads the certificate of a finished run in /boot and verifies both
// of its forms by the owner's OpenPGP certificate.
func readCertificate(ctx context.Context, m *Machine, cert []byte) (*Certificate, error) {
	c := &Certificate{cert: cert}
	for name, data := range map[string]*[]byte{hintCertificate: &c.json, hintCertificate + ".asc": &c.jsonSig, hintText: &c.text, hintText + ".asc": &c.textSig} {
		var err error
		if *data, err = m.Boot.ReadHint(ctx, name); err != nil {
			return nil, fmt.Errorf("reading the certificate: %w", err)
		}
	}
	return c, c.parse(func(doc, sig []byte) error { return m.PGP.Verify(cert, doc, sig) })
}

// parse verifies, and then reads the same bytes.
func (c *Certificate) parse(verify func(doc, sig []byte) error) error {
	if err := verify(c.json, c.jsonSig); err != nil {
		return fmt.Errorf("verifying the certificate: %w", err)
	}
	if err := verify(c.text, c.textSig); err != nil {
		return fmt.Errorf("verifying the certificate's text: %w", err)
	}
	if err := json.Unmarshal(c.json, c); err != nil || c.Type != certificateType {
		return fmt.Errorf("reading the certificate: it is none of ours (%q, %v)", c.Type, err)
	}
	return nil
}

// certify measures the machine, and signs and stores the certificate.
func certify(ctx context.Context, j *Job, s *Snapshot, cert []byte) (*Certificate, error) {
	r, err := s.Receipt()
	if err != nil {
		return nil, err
	}
	card, err := s.Card()
	if err != nil {
		return nil, err
	}
	fw, err := s.Firmware()
	if err != nil {
		return nil, err
	}
	now := j.M.Platform.Now().UTC()
	c := &Certificate{
		Type: certificateType, Date: now.Format(time.RFC3339), Board: j.M.Platform.Board(), Order: r.Order, Seller: r.Seller, SellerKey: r.SellerKey, Statement: r.Statement,
		Owner: card.Fingerprints[0], Identity: j.Choice.Identity, CardSerial: card.Serial, Firmware: fw.Digest, Run: r, cert: cert,
	}
	c.Reference = now.Format("20060102") + "-" + tail(card.Fingerprints[0], 8)
	if err := c.check(ctx, j, s, r); err != nil {
		return nil, err
	}
	if c.json, err = json.MarshalIndent(c, "", "  "); err != nil {
		return nil, fmt.Errorf("writing the certificate: %w", err)
	}
	c.json = append(c.json, '\n')
	lang, _ := msg.Parse(j.Choice.Language)
	c.text = []byte(c.Text(lang))
	sign := func(doc []byte) (sig []byte) {
		if err == nil {
			sig, err = j.M.Card.Sign(ctx, cert, j.Secrets.User, doc)
		}
		return sig
	}
	if c.jsonSig, c.textSig = sign(c.json), sign(c.text); err != nil {
		return nil, fmt.Errorf("signing the certificate: %w", err)
	}
	for _, f := range []File{{hintText, c.text}, {hintText + ".asc", c.textSig}, {hintCertificate + ".asc", c.jsonSig}, {hintCertificate, c.json}} {
		if err := j.M.Boot.WriteHint(ctx, f.Name, f.Data); err != nil {
			return nil, fmt.Errorf("storing the certificate: %w", err)
		}
	}
	return c, nil
}

// check tries what the seller had.
func (c *Certificate) check(ctx context.Context, j *Job, s *Snapshot, r *Receipt) error {
	if err := c.checkDisks(ctx, j, s, r); err != nil {
		return err
	}
	holds, err := s.Holds()
	if err != nil {
		return err
	}
	c.checked("firmware-key", holds)
	live, err := s.Live()
	if err != nil {
		return err
	}
	c.checked("boot-signature", live && holds)
	if j.M.TPM == nil {
		return nil
	}
	t, err := s.TPM()
	if err != nil {
		return err
	}
	c.StorageRoot = t.PrimaryName
	c.checked("tpm", t.root() == r.SRK && (t.PrimaryName == "" || t.PrimaryName != r.OldSRK))
	return nil
}

func (c *Certificate) checked(id string, ok bool) { c.Checks = append(c.Checks, Check{id, ok}) }

// checkDisks tries the passphrases that opened the disks before, and looks at their keys.
func (c *Certificate) checkDisks(ctx context.Context, j *Job, s *Snapshot, r *Receipt) error {
	disks, err := s.Disks()
	if err != nil {
		return err
	}
	var duk DUKState
	if s.wantsDUK(r) {
		if duk, err = s.duk(r); err != nil {
			return err
		}
	}
	var olds []*secret.Buffer
	for _, old := range j.Secrets.Current {
		if !sameSecret(old, j.Secrets.Disk) && !slices.ContainsFunc(olds, old.Equal) {
			olds = append(olds, old)
		}
	}
	keys, passphrase := true, true
	for i, d := range disks {
		for _, old := range olds {
			passphrase = passphrase && errors.Is(j.M.Disks[i].CheckPassphrase(ctx, old), ErrWrongSecret)
		}
		if !selected(r, d.UUID) {
			c.LeftOut = append(c.LeftOut, d.UUID)
			continue
		}
		c.Volumes = append(c.Volumes, Volume{d.UUID, d.KeyDigest})
		keys = keys && s.rekeyed(d) && d.Keyslots == 1 && d.DUK == duk.Sealed
	}
	if olds != nil {
		c.checked("passphrase", passphrase)
	}
	if len(c.Volumes) > 0 {
		c.checked("volume-key", keys)
	}
	if c.LeftOut != nil {
		c.checked("left-out", false)
	}
	return nil
}

func sameSecret(a, b *secret.Buffer) bool { return a != nil && b != nil && a.Equal(b) }

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[len(s)-n:]
}

// ErrChangedSince says that a machine is not any more what its certificate says.
var ErrChangedSince = errors.New("the computer has changed since its certificate was made")

// A Recheck is a machine set against the certificate of its run, once more.
type Recheck struct {
	Reference string      `json:"reference"`
	Date      string      `json:"date"`
	Owner     string      `json:"owner"`
	Items     []CheckItem `json:"items"`
}

// Holds says whether nothing differs.
func (r *Recheck) Holds() bool {
	return !slices.ContainsFunc(r.Items, func(i CheckItem) bool { return i.Verdict == Fail })
}

// Certified compares a machine with the certificate in /boot; nil where there is none
// that the key in the firmware has signed, or where /boot/oem asks for a new owner. It
// needs no security key.
func Certified(ctx context.Context, m *Machine) (*Recheck, error) {
	trigger, err := m.Boot.Triggered(ctx)
	if err != nil || trigger {
		return nil, err
	}
	c, err := certified(ctx, m)
	if c == nil || err != nil {
		return nil, err
	}
	s := measure(ctx, m)
	r := &Recheck{Reference: c.Reference, Date: c.Date, Owner: c.Owner}
	add := func(id string, ok bool, err error, detail string) {
		item := CheckItem{ID: id, Verdict: Fail, Detail: detail}
		switch {
		case err != nil:
			item.Detail = err.Error()
		case ok:
			item.Verdict = Pass
		}
		r.Items = append(r.Items, item)
	}
	disks, err := s.Disks()
	for _, v := range c.Volumes {
		i := slices.IndexFunc(disks, func(d DiskInfo) bool { return d.UUID == v.UUID })
		add("disk", i >= 0 && disks[i].KeyDigest == v.KeyDigest && !disks[i].Reencrypting, err, v.UUID)
	}
	live, err := s.Live()
	add("boot", live, err, "the start files, as the owner signed them")
	fw, err := s.Firmware()
	add("firmware", fw.Digest == c.Firmware, err, "the chip, byte for byte")
	if c.StorageRoot != "" && m.TPM != nil {
		t, err := s.TPM()
		add("tpm", t.PrimaryName == c.StorageRoot, err, "the storage root")
	} else if c.StorageRoot != "" {
		add("tpm", false, nil, "there is no TPM")
	}
	return r, nil
}

package wizard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"reown/internal/secret"
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
	Owner       string   `json:"owner"` // fingerprint
	Identity    Identity `json:"identity"`
	CardSerial  string   `json:"cardSerial"`
	Volumes     []Volume `json:"volumes"` // as they are now
	StorageRoot string   `json:"storageRoot,omitempty"`
	Firmware    string   `json:"firmware,omitempty"` // sha256 of the chip
	Checks      []Check  `json:"checks"`

	file []byte // signed, as stored
}

// Check is one thing of the seller's that was tried at the end.
type Check struct {
	ID string `json:"id"` // passphrase, volume-key, firmware-key, boot-signature, tpm
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

// certify measures and signs the certificate, and stores it as pending.
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
	h, err := s.Handover()
	if err != nil {
		return nil, err
	}
	disks, err := s.Disks()
	if err != nil {
		return nil, err
	}
	now := j.M.Platform.Now().UTC()
	c := &Certificate{
		Type: certificateType, Date: now.Format(time.RFC3339), Board: j.M.Platform.Board(), Order: h.Order, Seller: h.Seller,
		Owner: card.Fingerprints[0], Identity: j.Choice.Identity, CardSerial: card.Serial, Firmware: fw.Digest,
	}
	c.Reference = now.Format("20060102") + "-" + tail(card.Fingerprints[0], 8)
	check := func(id string, ok bool) { c.Checks = append(c.Checks, Check{id, ok}) }

	keys, passphrase, known := true, true, false
	for i, d := range disks {
		if !selected(r, d.UUID) {
			continue
		}
		c.Volumes = append(c.Volumes, Volume{d.UUID, d.KeyDigest})
		keys = keys && s.rekeyed(d) && d.Keyslots == 1
		if old := j.Secrets.Current[d.UUID]; old != nil && !sameSecret(old, j.Secrets.Disk) {
			known = true
			err := j.M.Disks[i].CheckPassphrase(ctx, old)
			passphrase = passphrase && errors.Is(err, ErrWrongSecret)
		}
	}
	if known {
		check("passphrase", passphrase)
	}
	if len(c.Volumes) > 0 {
		check("volume-key", keys)
	}
	holds, err := s.Holds()
	if err != nil {
		return nil, err
	}
	check("firmware-key", holds)
	live, err := s.Live()
	if err != nil {
		return nil, err
	}
	check("boot-signature", live && holds)
	if j.M.TPM != nil {
		t, err := s.TPM()
		if err != nil {
			return nil, err
		}
		c.StorageRoot = t.PrimaryName
		check("tpm", t.PrimaryName == r.SRK && t.PrimaryName != r.OldSRK)
	}
	doc, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the certificate: %w", err)
	}
	doc = append(doc, '\n')
	sig, err := j.M.Card.Sign(ctx, cert, j.Secrets.User, doc)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate: %w", err)
	}
	c.file = signed(doc, sig)
	if err := j.M.Boot.WriteHint(ctx, hintPending, c.file); err != nil {
		return nil, fmt.Errorf("storing the certificate: %w", err)
	}
	return c, nil
}

func sameSecret(a, b *secret.Buffer) bool { return a != nil && b != nil && a.Equal(b) }

func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[len(s)-n:]
}

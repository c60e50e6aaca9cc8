package wizard

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"reown/internal/secret"
	"reown/wizard/msg"
)

// Certificate is what a finished run can show: what was measured at its end, signed
// with the owner's new key. Seller's things that no longer open anything are Checks.
type Certificate struct {
	Type        string        `json:"type"` // certificateType
	Reference   string        `json:"reference"`
	Date        string        `json:"date"`
	Board       string        `json:"board"`
	Order       string        `json:"order,omitempty"`
	Seller      string        `json:"seller,omitempty"`
	SellerKey   string        `json:"sellerKey,omitempty"` // fingerprint of the key that handed the machine to the owner
	Statement   string        `json:"statement,omitempty"` // SHA-256 of the statement by which it did
	Owner       string        `json:"owner"`               // fingerprint
	Identity    Identity      `json:"identity"`
	CardSerial  string        `json:"cardSerial"`
	Volumes     []Volume      `json:"volumes"`           // as they are now
	LeftOut     []string      `json:"leftOut,omitempty"` // UUIDs of those that keep the seller's passphrase and key
	Trials      []VolumeTrial `json:"trials,omitempty"`  // when the passphrases of before were tried on which keyslots
	Alone       []string      `json:"alone,omitempty"`   // devices that nobody can tell what they are, left as they are
	StorageRoot string        `json:"storageRoot,omitempty"`
	Firmware    string        `json:"firmware,omitempty"` // sha256 of the chip
	Plain       []Part        `json:"plain,omitempty"`    // what is neither encrypted nor verified
	Checks      []Check       `json:"checks"`
	Run         *Receipt      `json:"run"` // how the machine was before

	json, jsonSig []byte // as signed and stored
	text, textSig []byte // the same for people
	cert          []byte // the owner's OpenPGP certificate
	leftOpens     bool   // the old passphrase opens a disk that was left out
	since         string // when an earlier start tried the passphrases of before, the first time if several did
}

// A VolumeTrial is the trial of a volume.
type VolumeTrial struct {
	UUID string `json:"uuid"`
	Trial
}

// Check is one row of a certificate.
type Check struct {
	ID    string `json:"id"`              // see claimIDs
	OK    bool   `json:"ok"`              // it was tried, and it holds
	Tried bool   `json:"tried,omitempty"` // it was tried
	Since string `json:"since,omitempty"` // when, if an earlier start did; what it was tried on has not changed since
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
	for name, data := range map[string]*[]byte{hintCertificate: &c.json, hintCertificate + ".asc": &c.jsonSig,
		hintText: &c.text, hintText + ".asc": &c.textSig} {
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
		Type: certificateType, Date: now.Format(time.RFC3339), Board: j.M.Platform.Board(), Order: r.Order, Seller: r.Seller,
		SellerKey: r.SellerKey, Statement: r.Statement,
		Identity: j.Choice.Identity, CardSerial: card.Serial, Firmware: fw.Digest, Run: r, cert: cert,
	}
	keys, err := j.M.PGP.Keys(cert) // the card may hold subkeys of it
	if err != nil {
		return nil, err
	}
	c.Owner = keys[0]
	c.Reference = now.Format("20060102") + "-" + tail(c.Owner, 8)
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
	for _, f := range []File{{hintText, c.text}, {hintText + ".asc", c.textSig}, {hintCertificate + ".asc", c.jsonSig},
		{hintCertificate, c.json}} {
		if err := j.M.Boot.WriteHint(ctx, f.Name, f.Data); err != nil {
			return nil, fmt.Errorf("storing the certificate: %w", err)
		}
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

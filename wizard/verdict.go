package wizard

import (
	"slices"

	"reown/internal/judge"
	"reown/wizard/msg"
)

// Verdict is the outcome of one check.
type Verdict string

// The verdicts.
const (
	Pass        Verdict = "pass"
	Fail        Verdict = "fail"
	NotProvided Verdict = "not provided" // the seller gave nothing to compare with
	Changed     Verdict = "changed"      // since the certificate, by somebody who holds the firmware's key
)

// CheckItem is one line of the page "is this the computer that was sent to you?".
type CheckItem struct {
	ID      string  `json:"id"` // card, handover, firmware, tpm, boot, disk
	Verdict Verdict `json:"verdict"`
	Detail  string  `json:"detail"`
	// Says is the detail in the person's language; none: the device's own words.
	Says   msg.List `json:"-"`
	Unread bool     `json:"unread,omitempty"` // the seller promised it, and it could not be measured
	PCRs   bool     `json:"-"`                // and that is nothing but registers of the TPM
}

// Handover is what the seller says of the machine, and whether it is so.
type Handover struct {
	// the last who handed the machine on, as his certificate has it; "" when there is none
	Seller string      `json:"seller"`
	Order  string      `json:"order"`
	Signer string      `json:"signer"` // fingerprint that verified; "" for none
	Words  string      `json:"words"`  // four words to compare with the e-mail
	Items  []CheckItem `json:"items"`
	// Chain is who handed the machine on, the seller first; the last one's signature
	// is joined by one of the firmware's key.
	Chain []Transfer `json:"chain,omitempty"`
	To    string     `json:"to,omitempty"`    // fingerprint of the key that it was handed to; "": nobody in particular
	Lines []Line     `json:"lines,omitempty"` // every value that was compared
	// Statement is the SHA-256 of the last statement, and Accepted says that the key that it
	// hands to has signed it, too.
	Statement string `json:"statement,omitempty"`
	Accepted  bool   `json:"accepted,omitempty"`
	Cause     error  `json:"-"` // why the file was refused, or what of it does not match

	// fingerprints of the seller's keys (card and ROM); none once the firmware trusts that of this run
	Keys    []string `json:"keys"`
	Volumes []Volume `json:"volumes"` // what the seller's signed statement lists
	SRKName string   `json:"srkName"`
	// CardSerial is the serial number of the security key in the seller's list; "" for none.
	CardSerial string `json:"cardSerial"`

	// PromisesTPM says that the statement has values of a TPM, and Sealed that it has a secret for
	// the six digits.
	PromisesTPM bool `json:"-"`
	Sealed      bool `json:"-"`
	// Trigger and Tree are /boot/oem and the files that start the system, by the firmware's keys.
	Trigger judge.Trigger `json:"-"`
	// Names are those in /boot that differ from a list that a key of the firmware has signed, or all where
	// it has signed none, but for oem, each with how; as they are: to be shown escaped. Sum stands for the
	// bytes of all that starts the system; "" where something there cannot be signed.
	Names []string   `json:"-"`
	Sum   string     `json:"-"`
	Tree  judge.Tree `json:"-"`

	// PrimaryHash is the kexec_primhdl_hash.txt that a key of the firmware has signed; nil: none.
	PrimaryHash []byte `json:"-"`
	// Rollback is the same of kexec_rollback.txt, and Set the SHA-256 of all that was signed with them.
	Rollback []byte `json:"-"`
	Set      string `json:"-"`

	// Tampering and Why are for programs: what package judge makes of all this, where the hand-over
	// is reported. A Boot leaves them empty.
	Tampering bool   `json:"tampering"`
	Why       string `json:"why"`
}

// A listing is names that somebody was shown, and the sum of the bytes that they stood for.
type listing struct {
	names []string
	sum   string
}

// shows says whether what was shown is what is there: its names, and every byte of it.
func (h *Handover) shows(s *listing) bool {
	return s != nil && h.Sum != "" && s.sum == h.Sum && slices.Equal(s.names, h.Names)
}

// A Transfer is one hand-over in a chain.
type Transfer struct {
	From string `json:"from"` // fingerprint of the key that signed it
	Name string `json:"name"` // as that key's certificate has it
	To   string `json:"to"`   // the next one's; "" for nobody in particular
	Date string `json:"date,omitempty"`
	// Firmware says that the firmware trusts the key. The certificate of any other
	// came with the file, and is worth what somebody's knowledge of its fingerprint is.
	Firmware bool `json:"firmware"`
}

// A Line is one value of the seller's statement, and what was measured.
type Line struct {
	Name   string `json:"name"`   // "rom", "pcr 7", "luks 1f0c..."
	Label  string `json:"label"`  // for people
	Status string `json:"status"` // pass, fail, not provided (by the seller), not measured
	Want   string `json:"want,omitempty"`
	Got    string `json:"got,omitempty"`
}

// SellerKey is the fingerprint of the last who handed the machine on; "" for nobody. What
// the files say of its present state is his word.
func (h *Handover) SellerKey() string {
	if len(h.Chain) == 0 {
		return ""
	}
	return h.Chain[len(h.Chain)-1].From
}

// SoldBy says whether a fingerprint is that of the last who handed the machine on. Those
// before him vouch for it that he received it, and for nothing that he did: any of
// their customers can add a statement of his own to theirs.
func (h *Handover) SoldBy(fingerprint string) bool {
	return fingerprint != "" && h.SellerKey() == fingerprint
}

// Claimed says that the key of one who handed the machine on came with the file and is
// not one that the firmware trusts: somebody who knows the seller's must say so.
func (h *Handover) Claimed() bool {
	return slices.ContainsFunc(h.Chain, func(t Transfer) bool { return !t.Firmware })
}

package boot

import (
	"errors"
	"fmt"
)

// ErrTampering: /boot/oem asks for re-ownership on a machine whose owner did not put
// it there.
var ErrTampering = errors.New("/boot/oem is not authorised by the owner of this machine")

// Verdict says what a /boot/oem means.
type Verdict string

const (
	NoTrigger     Verdict = "no trigger"     // there is no /boot/oem: nothing to do
	Offer         Verdict = "offer"          // covered by the signature of the key that the ROM trusts
	OfferTouched  Verdict = "offer, touched" // the 2019 order: the seller's /boot, trigger added after signing
	Continue      Verdict = "continue"       // our own run was cut; go on, by the key that the ROM trusts
	Tampering     Verdict = "tampering"      // explain, and offer nothing
	Unexplainable Verdict = "unexplained"    // uncovered, and nobody has said whose key the ROM holds
)

// A KeyOwner says whose the key in the ROM's keyring is, by comparison with the
// fingerprint that the buyer got from the seller; never by a name in the key.
type KeyOwner int

const (
	KeyUnknown  KeyOwner = iota // no fingerprint was given to compare with
	KeySellers                  // the ROM trusts the seller's key and no other
	KeyNot                      // the ROM trusts some other key: the machine has an owner
	KeyNone                     // the ROM's keyring is empty
	KeyOurOwner                 // the key is the one of this interrupted run: the card holds it
)

// Evidence is what was measured about a trigger. Signatures are checked by the keys in
// the ROM and no others: whoever can write to /boot can bring his own.
type Evidence struct {
	OEM     OEMState
	Signed  bool     // kexec.sig verifies by a key in the ROM
	Clean   bool     // nothing differs from the signed lists, but perhaps ./oem
	Key     KeyOwner // whose that key is
	Staged  bool     // a complete staged set verifies by a key in the ROM
	InPlace bool     // Signed and Clean, by the key that this run made (its card is here)
}

// Judge applies the rule against the evil maid: on a machine whose owner is not the
// seller, a /boot/oem that the owner's signature does not cover is tampering, and
// never an invitation. The journal is no evidence: anybody can write it.
//
//   - covered by a signature of the ROM's key: whoever owns the machine asked for
//     this; offer.
//   - not covered, the rest as signed, the ROM's key the seller's: the order of the
//     2019 instructions (touch after signing); offer, and say so.
//   - a staged set signed by the ROM's key: only our own run between writing the
//     firmware and replacing /boot leaves that; continue.
//   - not covered, all else signed by the key that this run made: only the removal
//     of /boot/oem is left; continue.
//   - anything else: tampering, or unexplained while the seller's fingerprint is not
//     known.
func Judge(e Evidence) (Verdict, error) {
	switch {
	case e.OEM == OEMAbsent:
		return NoTrigger, nil
	case e.Staged:
		return Continue, nil
	case e.Signed && e.Clean && e.OEM == OEMCovered:
		return Offer, nil
	case e.Signed && e.Clean && (e.Key == KeyOurOwner || e.InPlace):
		return Continue, nil
	case e.Signed && e.Clean && e.Key == KeySellers:
		return OfferTouched, nil
	case e.Key == KeyUnknown && e.Signed && e.Clean:
		return Unexplainable, fmt.Errorf("%w: it was put there after signing, and the seller's fingerprint is not known", ErrTampering)
	}
	return Tampering, ErrTampering
}

package boot

import (
	"errors"
	"fmt"
)

// ErrTampering: /boot/oem asks for re-ownership, and nobody entitled to has asked.
var ErrTampering = errors.New("/boot/oem is not authorised by the owner of this machine")

// Verdict says what a /boot/oem means.
type Verdict string

const (
	NoTrigger    Verdict = "no trigger"     // there is no /boot/oem: nothing to do
	Offer        Verdict = "offer"          // covered by the signature of the key that the ROM trusts
	OfferTouched Verdict = "offer, touched" // the seller's /boot, and the trigger added after signing
	Continue     Verdict = "continue"       // our own run was cut; finish it
	Tampering    Verdict = "tampering"      // explain, and offer nothing
	Unexplained  Verdict = "unexplained"    // explain, and ask for the seller's fingerprint; offer nothing
)

// KeyOwner says whose the key in the ROM's keyring is: by comparison with the
// fingerprint that the buyer got from the seller, or with the card that is plugged
// in; never by a name in the key.
type KeyOwner int

const (
	KeyUnknown KeyOwner = iota // no fingerprint was given to compare with
	KeySeller                  // the seller's and no other
	KeyThisRun                 // made by this interrupted run: the card holds it
	KeyOther                   // somebody else's: the machine has an owner
	KeyNone                    // the keyring is empty
)

// Evidence is what was measured about a trigger. Signatures are checked by the keys in
// the ROM and no others: whoever can write to /boot can bring his own.
type Evidence struct {
	OEM    OEMState
	Signed bool // kexec.sig verifies
	Clean  bool // nothing differs from the signed lists, but perhaps ./oem
	Staged bool // a complete staged set verifies
	Key    KeyOwner
}

// Judge applies the rule against the evil maid: on a machine whose owner is not the
// seller, a /boot/oem that the owner's signature does not cover is tampering, and
// never an invitation. The journal is no evidence: anybody can write it.
//
//   - a staged set signed by the ROM's key: only our own run, between writing the
//     firmware and replacing /boot, leaves that; continue.
//   - covered, and all as signed by the ROM's key: whoever owns the machine asked
//     for this; offer.
//   - added after signing, all else signed by the key of this run: only the removal
//     of /boot/oem is left; continue.
//   - added after signing, all else signed by the seller's key: the order of the 2019
//     instructions, touch after signing; offer, and say so.
//   - otherwise tampering; or unexplained, while it is not known whose the key is, or
//     there is none. Both come with ErrTampering.
func Judge(e Evidence) (Verdict, error) {
	asSigned := e.Signed && e.Clean
	switch {
	case e.OEM == OEMAbsent:
		return NoTrigger, nil
	case e.Staged:
		return Continue, nil
	case asSigned && e.OEM == OEMCovered:
		return Offer, nil
	case asSigned && e.Key == KeyThisRun:
		return Continue, nil
	case asSigned && e.Key == KeySeller:
		return OfferTouched, nil
	case asSigned && e.Key == KeyUnknown:
		return Unexplained, fmt.Errorf("%w: it was put there after signing, and the seller's fingerprint is not known", ErrTampering)
	case e.Key == KeyNone:
		return Unexplained, fmt.Errorf("%w: the firmware trusts no key at all", ErrTampering)
	}
	return Tampering, ErrTampering
}

// Evidence measures a trigger. verify checks by the keys in the ROM, and r is what
// Verify has just returned for them.
func (d *Dir) Evidence(r *Report, verify Verifier, key KeyOwner) (Evidence, error) {
	e := Evidence{OEM: r.OEM, Signed: r.Signature == nil, Clean: r.matches(true), Key: key}
	st, err := d.State()
	if err != nil || st.Stage != StageComplete {
		return e, err
	}
	_, err = d.VerifyStaged(verify)
	e.Staged = err == nil
	return e, nil
}

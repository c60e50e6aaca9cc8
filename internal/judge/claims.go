package judge

// Tried is the outcome of a check of this run.
type Tried uint8

const (
	NotTried Tried = iota // could not be, or was not
	Held
	Failed
	trieds
)

// Claim is a sentence of the certificate.
type Claim uint8

const (
	ClaimPassphrase  Claim = iota // the seller's opens nothing
	ClaimVolumeKey                // is not the old one
	ClaimSecondRead               // a reader that is not the writer opens every container by the owner's passphrase
	ClaimRing                     // the chip trusts the owner's key and no other
	ClaimBoot                     // what starts is as the owner's key has signed it
	ClaimTPM                      // is owned, and its root is new
	ClaimSealed                   // the sealed secret opens
	ClaimSeller                   // is known, and all that he promised was equal
	ClaimSellersCard              // signed a challenge by the key that the chip trusted
	ClaimNothingElse              // every partition is encrypted and was verified
	ClaimCount
)

// Claims are the checks of a run. A row that does not apply (no TPM, no disk) is left out by its
// bit in Applies; one that is forgotten is not tried.
type Claims struct {
	Applies uint16
	Tried   [ClaimCount]Tried
}

// Sum counts what holds, of how many, and says whether the certificate is withheld: only a check
// that was made and failed does that. A check that was not made counts as not held.
func (c Claims) Sum() (held, of int, withheld bool) {
	for i, t := range c.Tried {
		if c.Applies&(1<<i) == 0 {
			continue
		}
		of++
		switch t {
		case Held:
			held++
		case Failed:
			withheld = true
		}
	}
	return held, of, withheld
}

// Owners says whether it may be said that the disk is the owner's alone.
func (c Claims) Owners() bool {
	return c.Tried[ClaimPassphrase] == Held && c.Tried[ClaimVolumeKey] == Held && c.Tried[ClaimSecondRead] == Held
}

// Mark is what a line of a finished machine is worth.
type Mark uint8

const (
	MarkUnknown Mark = iota // could not be read
	MarkSame
	MarkChanged // since its certificate, by somebody who holds the chip's key
	MarkBad
	marks
)

// Since compares a finished machine with its certificate, one value at a time. What the chip's key
// has signed since explains a difference: an update, a key or a TPM that was replaced in the
// firmware's menus. Nothing else does.
func Since(t Tree, c Comparison) Mark {
	switch {
	case t == TreeUnknown || c == ComparisonUnknown:
		return MarkUnknown
	case t != TreeSigned:
		return MarkBad
	case c == ComparisonDiffers:
		return MarkChanged
	}
	return MarkSame
}

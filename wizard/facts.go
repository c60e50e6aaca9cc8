package wizard

import (
	"context"
	"errors"
	"slices"

	"reown/internal/judge"
)

// past is the history of the machine, with the receipt of its open run, if there is one.
type past struct {
	judge.History
	receipt *Receipt
	owner   string // fingerprint of the key that made it
	primary string // and of that key's certificate: it is another one where the card holds subkeys
	number  uint32 // of the receipt's signature, whether it is that of an open run or not
}

// Past measures the history. What could not be measured stays the zero value.
func (s *Snapshot) Past() *past {
	p, _ := s.past.get(func() (past, error) { return s.history(), nil })
	return &p
}

func (s *Snapshot) history() (p past) {
	h, err := s.Handover()
	if err != nil {
		return p
	}
	disks, diskErr := s.Disks()
	t, tpmErr := s.tpmIfAny()
	s.noted(t, disks, &p)
	p.Trigger = h.Trigger
	s.anchor(&h, &p)
	s.ring(&h, &p)
	s.count(&p)
	s.stageFacts(&p)
	switch {
	case diskErr != nil || tpmErr != nil: // whose receipt it is cannot be told
		p.Receipt, p.receipt = judge.ReceiptUnknown, nil
	case p.Receipt == judge.ReceiptOpen && !p.bound(disks):
		p.Receipt = judge.ReceiptForeign
	}
	if p.Receipt == judge.ReceiptForeign || !p.opens() {
		p.receipt = nil
	}
	return p
}

// opens says whether the receipt is that of a run that goes on.
func (p *past) opens() bool {
	phase, _ := phaseOf(p.History)
	return phase.Running() || phase == judge.Unknown
}

// bound says whether something ties the key on the card to the owner: his chip, his TPM, or a mark
// under the new key of a disk, which nobody knows but who has his passphrase. Without that a receipt
// proves a card, and a card can be exchanged. A disk that went back is no reason to begin anew.
func (p *past) bound(disks []DiskInfo) bool {
	if p.Ring == judge.RingOwner || p.Anchor == judge.AnchorOpen {
		return true
	}
	return slices.ContainsFunc(disks, func(d DiskInfo) bool {
		v := p.receipt.rekey(d.UUID)
		if v == nil {
			return false
		}
		st := v.volume(d)
		return v.Bind != "" && (st == judge.VolumeUnderWay || st == judge.VolumeOurs) || st == judge.VolumeRegressed
	})
}

// Facts collects what package judge decides by. said and paper are what a person said and typed in
// this start. What could not be measured stays the zero value.
func (s *Snapshot) Facts(said judge.Said, paper judge.Paper) judge.Facts {
	f := judge.Facts{Who: judge.Who{Paper: paper, Said: said}}
	h, err := s.Handover()
	if err != nil {
		return f
	}
	p := s.Past()
	s.elsewhere(&h, p.receipt)
	f.History = p.History
	f.Tree = h.Tree
	s.treeFacts(p, &f)
	s.cardFacts(&h, p, &f)
	s.who(&h, p.receipt, &f)
	s.work(&h, p.receipt, &f)
	return f
}

// noted reads receipt and certificate.
func (s *Snapshot) noted(t *TPMInfo, disks []DiskInfo, f *past) {
	cert, err := s.HintCert()
	if err != nil {
		if errors.Is(err, ErrNotFound) || errors.Is(err, errNoOwner) {
			f.Receipt, f.Certificate = judge.ReceiptNone, judge.DocumentNone
		}
		return
	}
	fprs, err := s.m.PGP.Fingerprints(cert)
	if err != nil {
		return
	}
	keys, err := s.m.PGP.Keys(cert)
	if err != nil || len(keys) == 0 {
		return
	}
	f.owner, f.primary = fprs[0], keys[0]
	switch _, err := readCertificate(s.ctx, s.m, cert); {
	case err == nil:
		f.Certificate = judge.DocumentOurs
	case errors.Is(err, ErrNotFound):
		f.Certificate = judge.DocumentNone
	default:
		f.Certificate = judge.DocumentBroken
	}
	file, err := s.m.Boot.ReadHint(s.ctx, hintReceipt)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			f.Receipt = judge.ReceiptNone
		}
		return
	}
	r, err := openReceipt(file, func(doc, sig []byte) error { return s.m.PGP.Verify(cert, doc, sig) })
	switch {
	case errors.Is(err, errNotSigned):
		f.Receipt = judge.ReceiptForeign
		return
	case err != nil:
		f.Receipt = judge.ReceiptBroken
		return
	case !r.here(t, disks):
		f.Receipt = judge.ReceiptForeign
		return
	case r.Releasing:
		f.Receipt = judge.ReceiptReleasing
	case s.here != nil && slices.Equal(file, s.here):
		f.Receipt = judge.ReceiptHere
	case r.Closing:
		f.Receipt = judge.ReceiptClosing
	default:
		f.Receipt = judge.ReceiptOpen
	}
	f.receipt, f.number = r, r.Number
}

// ring says whose the chip's keys are. A run's key is told by what it has signed; a seller's, by
// a statement about this machine.
func (s *Snapshot) ring(h *Handover, f *past) {
	owner, r := f.primary, f.receipt
	fw, err := s.Firmware()
	if err != nil {
		return
	}
	noted := r != nil || f.Certificate == judge.DocumentOurs
	switch {
	case fw.Torn && r != nil:
		f.Ring = judge.RingHalf
	case len(fw.Keyring) == 0:
		f.Ring = judge.RingNone
	case len(fw.Keyring) == 1 && noted && fw.Keyring[0] == owner &&
		!(h.Signer == owner && h.Trigger == judge.TriggerCovered):
		if holds, err := s.Holds(); err == nil && holds {
			f.Ring = judge.RingOwner
		}
	case h.Signer != "" && slices.Contains(fw.Keyring, h.Signer):
		f.Ring = judge.RingSeller
	case len(fw.Keyring) > 1:
		f.Ring = judge.RingSeveral
	default:
		f.Ring = judge.RingOther
	}
}

// promisesTPM says whether somebody whose word counts says that there is a TPM.
func promisesTPM(h *Handover, r *Receipt) bool {
	return h.SRKName != "" || h.PromisesTPM || h.signedTPM() || r != nil && (r.EK != "" || r.SRK != "" || r.OldSRK != "")
}

// tpmIfAny is nil where there is none.
func (s *Snapshot) tpmIfAny() (*TPMInfo, error) {
	if s.m.TPM == nil {
		return nil, nil
	}
	t, err := s.TPM()
	return &t, err
}

func (s *Snapshot) anchor(h *Handover, f *past) {
	if s.m.TPM == nil {
		if !promisesTPM(h, f.receipt) {
			f.Anchor = judge.AnchorNoTPM
		}
		return
	}
	root, other, err := s.pinned(h, f.receipt)
	if err != nil {
		return
	}
	if a, err := s.m.TPM.Anchor(s.ctx, root); err == nil {
		if other && a.State == AnchorOpen { // by nobody whom /boot names; whatever closes still does
			a.State = AnchorAbsent
		}
		f.Anchor = a.judged(f.receipt, f.owner)
	}
}

// count is what the card's counter tells of the receipt.
func (s *Snapshot) count(f *past) {
	c, err := s.Card()
	switch {
	case errors.Is(err, ErrNoCard):
		f.Count = judge.CountNoCard
	case err != nil:
	case f.receipt == nil:
		f.Count = judge.CountOtherKey
	default:
		f.Count = f.receipt.count(c, f.owner)
	}
}

// cardFacts says whose the card in the reader is.
func (s *Snapshot) cardFacts(h *Handover, p *past, f *judge.Facts) {
	c, err := s.Card()
	if errors.Is(err, ErrNoCard) {
		f.Card = judge.CardNone
	}
	if err != nil {
		return
	}
	sellers := func(fpr string) bool { return fpr != "" && slices.Contains(h.Keys, fpr) }
	fw, err := s.Firmware()
	switch {
	case c.Terminated || c.Fingerprints == [3]string{}:
		f.Card = judge.CardBlank
	case p.owner != "" && c.Fingerprints[0] == p.owner:
		f.Card = judge.CardOurs
	case c.Serial == h.CardSerial || slices.ContainsFunc(c.Fingerprints[:], sellers):
		f.Card = judge.CardSeller
	case err == nil && slices.Contains(fw.Keyring, c.Fingerprints[0]):
		f.Card = judge.CardSeller
	default:
		f.Card = judge.CardElsewhere
	}
}

func (s *Snapshot) stageFacts(f *past) {
	if f.receipt == nil {
		f.Stage = judge.StageNone
		return
	}
	switch staged, err := s.Staged(); {
	case err != nil:
	case staged:
		f.Stage = judge.StageOurs
	default:
		f.Stage = judge.StageNone
	}
}

// treeFacts: once the chip trusts the owner, what waits counts as much as what is in place.
func (s *Snapshot) treeFacts(p *past, f *judge.Facts) {
	if p.receipt == nil || p.Ring != judge.RingOwner && p.Ring != judge.RingHalf {
		return
	}
	live, err := s.Live()
	switch {
	case err != nil || f.Stage == judge.StageUnknown:
		f.Tree = judge.TreeUnknown
	case live || f.Stage == judge.StageOurs:
		f.Tree = judge.TreeSigned
	default:
		f.Tree = judge.TreeDiffers
	}
}

// who is what is promised, by the newest that promises it.
func (s *Snapshot) who(h *Handover, r *Receipt, f *judge.Facts) {
	if r != nil && (f.Ring == judge.RingOwner || f.Ring == judge.RingHalf) { // the receipt has taken the statement's place
		f.Statement, f.Comparison = judge.StatementRing, judge.ComparisonEqual
	} else {
		f.Statement, f.Comparison = h.statement(r), h.compared(r, s.rootless(r))
	}
	s.digits(h, r, f)
}

// statement is what the seller's statement is worth, for the run of a receipt (nil: none).
func (h *Handover) statement(r *Receipt) judge.Statement {
	switch {
	case len(h.Chain) == 0 && h.Cause != nil:
		return judge.StatementBad
	case r != nil && r.Statement != "" && r.Statement != h.Statement:
		return judge.StatementBad
	case h.Signer == "":
		return judge.StatementNone
	case h.Claimed():
		return judge.StatementChain
	}
	return judge.StatementRing
}

// rootless says that a run of ours has cleared the TPM and made no storage root yet. Without one
// no reading of its registers is protected, so none is made.
func (s *Snapshot) rootless(r *Receipt) bool {
	if r == nil || !r.Clearing || r.SRK != "" {
		return false
	}
	t, err := s.tpmIfAny()
	return err == nil && t != nil && t.root() == ""
}

// compared is what the statement promises against what was measured, but for what a run of ours
// has changed since: its receipt then promises.
func (h *Handover) compared(r *Receipt, rootless bool) judge.Comparison {
	if h.Signer == "" {
		return judge.ComparisonNotProvided
	}
	var all []judge.Comparison
	for _, i := range h.Items {
		switch {
		case i.ID == "boot" && h.Tree != judge.TreeSigned: // that tells more
		case r != nil && (i.ID == "disk" || i.ID == "card" || i.ID == "tpm" && (r.SRK != "" || r.Clearing)):
		case rootless && i.PCRs && i.Unread:
		case i.Verdict == Fail:
			all = append(all, judge.ComparisonDiffers)
		case i.Verdict == Pass:
			all = append(all, judge.ComparisonEqual)
		case i.Unread: // promised, and not measured
			all = append(all, judge.ComparisonDiffers)
		}
	}
	return judge.FoldComparisons(all...)
}

// digits is what is known of the six digits before a person has compared them.
func (s *Snapshot) digits(h *Handover, r *Receipt, f *judge.Facts) {
	switch {
	case r != nil && (r.SRK != "" || r.Clearing):
		f.Digits = judge.DigitsGone
	case s.m.TPM == nil && !promisesTPM(h, r):
		f.Digits = judge.DigitsNone
	case s.m.TPM == nil:
		f.Digits = judge.DigitsWrong
	default:
		code, err := s.m.TPM.UnsealOTP(s.ctx)
		code.Wipe()
		switch {
		case err == nil && f.Said.Looked:
			f.Digits = judge.DigitsMatch
		case err == nil: // nobody has compared them yet
		case errors.Is(err, ErrNoTPMState) && !h.Sealed:
			f.Digits = judge.DigitsNotProvided
		default:
			f.Digits = judge.DigitsWrong
		}
	}
}

func (s *Snapshot) work(h *Handover, r *Receipt, f *judge.Facts) {
	if disks, err := s.Disks(); err == nil {
		f.Volumes = volumes(h, r, disks)
		alone := s.alone(r)
		for _, d := range s.m.Doubtful {
			if slices.Contains(alone, d.Path) {
				f.Volumes = append(f.Volumes, judge.VolumeLeftOut)
			} else {
				f.Volumes = append(f.Volumes, judge.VolumeAmbiguous)
			}
		}
	}
	t, tpmErr := s.tpmIfAny()
	switch {
	case tpmErr != nil:
	case t == nil && !promisesTPM(h, r):
		f.Root, f.Sealed = judge.RootNone, judge.SealedNone
	case t == nil:
	default:
		f.Root = root(h, r, t.root())
		f.Sealed = s.sealedState(r)
	}
}

// volumes judges every container that is there or was promised.
func volumes(h *Handover, r *Receipt, disks []DiskInfo) (all []judge.Volume) {
	found := func(uuid string) bool {
		return slices.ContainsFunc(disks, func(d DiskInfo) bool { return d.UUID == uuid })
	}
	for _, d := range disks {
		i := slices.IndexFunc(h.Volumes, func(v Volume) bool { return v.UUID == d.UUID })
		switch {
		case r.rekey(d.UUID) != nil:
			all = append(all, r.rekey(d.UUID).volume(d))
		case r != nil:
			all = append(all, judge.VolumeLeftOut)
		case d.Reencrypting:
			all = append(all, judge.VolumeFlagged)
		case i >= 0 && h.Volumes[i].KeyDigest != d.KeyDigest:
			all = append(all, judge.VolumeOther)
		default:
			all = append(all, judge.VolumeSeller)
		}
	}
	if r == nil {
		for _, v := range h.Volumes {
			if !found(v.UUID) {
				all = append(all, judge.VolumeMissing)
			}
		}
	} else {
		for _, v := range r.Volumes {
			if !found(v.UUID) {
				all = append(all, judge.VolumeMissing)
			}
		}
	}
	if len(all) == 0 {
		all = []judge.Volume{judge.NoVolume}
	}
	return all
}

// root judges the TPM's storage root by its name.
func root(h *Handover, r *Receipt, name string) judge.Root {
	switch {
	case r == nil && (h.SRKName == "" || h.SRKName == name):
		return judge.RootSeller
	case r == nil:
		return judge.RootOther
	case r.SRK != "" && name == r.SRK:
		return judge.RootOurs
	case r.SRK != "" && name == r.OldSRK:
		return judge.RootRegressed
	case r.SRK != "":
		return judge.RootOther
	case name == r.OldSRK:
		return judge.RootSeller
	case r.Clearing: // what stands there now was made after our receipt, and is cleared again
		return judge.RootCleared
	}
	return judge.RootOther
}

func (s *Snapshot) sealedState(r *Receipt) judge.Sealed {
	if r == nil || r.SRK == "" {
		return judge.SealedNone
	}
	ok, err := s.Sealed()
	switch {
	case errors.Is(err, ErrSealImpossible):
		return judge.SealedLater
	case err != nil:
		return judge.SealedUnknown
	case ok:
		return judge.SealedOurs
	}
	return judge.SealedNone
}

// Judge measures the machine and decides, where nobody has said or typed anything.
func Judge(ctx context.Context, m *Machine) judge.Verdict {
	return decide(measure(ctx, m).Facts(judge.Said{}, judge.PaperUnknown))
}

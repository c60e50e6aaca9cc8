package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/escape"
	"reown/internal/handover"
	"reown/internal/judge"
	"reown/wizard/msg"
)

// ReadHandover measures the machine against the seller's statement, for Check.
func ReadHandover(ctx context.Context, m *Machine) (*Handover, error) {
	s := measure(ctx, m)
	h, err := s.Handover()
	if err != nil {
		return nil, err
	}
	s.elsewhere(&h, nil)
	s.tampering(&h)
	return &h, nil
}

// Check returns nil if the machine is what the statement says, by the signatures of whom the person
// knows: signer and me are fingerprints from elsewhere, or "". No receipt and no certificate answers
// for the seller, no matter who has put them into /boot.
func (h *Handover) Check(signer, me string) error {
	signer, me = Fingerprint(signer), Fingerprint(me)
	var said judge.Said
	if signer != "" {
		said.Signer = answer(h.SoldBy(signer))
	}
	if me != "" {
		said.Me = answer(handover.CheckReceiver(h.To, me) == nil)
	}
	id, why := h.handed(said)
	switch {
	case h.Tampering:
		return fmt.Errorf("%w: %s", ErrTampering, h.Why)
	case id == judge.Proven:
		return nil
	case h.Cause != nil:
		return fmt.Errorf("%w: %w", ErrNotVerified, h.Cause)
	case why == judge.SignerDiffers && h.Signer != "":
		return fmt.Errorf("%w %s: it is by %s", handover.ErrSigner, escape.Text(signer), h.SellerKey())
	case why == judge.ReceiverDiffers && h.Signer != "":
		return handover.CheckReceiver(h.To, me)
	case why == judge.SignerNotSaid:
		return ErrSellerUnknown
	}
	return fmt.Errorf("%w: %v", ErrNotVerified, why)
}

// handed is what the seller's word is worth, for somebody who has said this.
func (h *Handover) handed(said judge.Said) (judge.Identity, judge.Reason) {
	return judge.Handed(judge.Who{Statement: h.statement(nil), Comparison: h.compared(nil, false), Tree: h.Tree,
		Said: said})
}

// tampering fills in what programs are told of the judgement.
func (s *Snapshot) tampering(h *Handover) {
	v := decide(s.Facts(judge.Said{}, judge.PaperUnknown))
	if h.Tampering = v.Phase == judge.Tampered || v.Phase == judge.Unexplained; h.Tampering {
		h.Why = why(v.Reasons[0]).In(msg.EN)
	}
}

func answer(same bool) judge.Answer {
	if same {
		return judge.Same
	}
	return judge.Different
}

// Errors of a machine that has an owner.
var (
	// ErrChangedSince says that a machine is not any more what its certificate says.
	ErrChangedSince = errors.New("the computer has changed since its certificate was made")
	// ErrOwnerUnknown says that nothing that /boot cannot reach names the key that made the certificate.
	ErrOwnerUnknown = errors.New("the certificate in /boot is by a key that neither the firmware nor the TPM names")
)

// A Recheck is a machine set against the certificate of its run, once more.
type Recheck struct {
	Reference string `json:"reference"`
	Date      string `json:"date"`
	Owner     string `json:"owner"`
	Name      string `json:"name,omitempty"` // as the owner has put it into the certificate
	// fingerprint of the one key that the firmware trusts now; "" where it is not one
	Key   string      `json:"key"`
	Keys  []string    `json:"keys"` // of all of them
	Items []CheckItem `json:"items"`
}

// Holds says whether nothing is there that somebody who holds the firmware's key does not explain.
func (r *Recheck) Holds() bool {
	return !slices.ContainsFunc(r.Items, func(i CheckItem) bool { return i.Verdict == Fail })
}

// certified is the certificate in /boot; nil: there is none. That its own key has signed it says
// nothing, anybody has a key. That key must be one that the firmware trusts, or, where it was replaced
// since, the one whose run the owner's area in the TPM says is closed, or the one that a person names.
// ErrOwnerUnknown: none of these.
func (s *Snapshot) certified(owner string) (*Certificate, error) {
	cert, err := s.HintCert()
	if errors.Is(err, ErrNotFound) || errors.Is(err, errNoOwner) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	keys, err := s.m.PGP.Keys(cert)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	fw, err := s.Firmware()
	if err != nil {
		return nil, err
	}
	c, err := readCertificate(s.ctx, s.m, cert)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	trusted := slices.Contains(fw.Keyring, keys[0])
	switch {
	case err != nil && trusted:
		return nil, err
	case err != nil:
		return nil, nil
	case trusted, owner != "" && Fingerprint(owner) == keys[0], s.closedBy(c):
		return c, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrOwnerUnknown, keys[0])
}

// closedBy says whether the owner's area in the TPM was locked at the end of the run of a certificate.
// It holds a digest of that run and its key, which nobody else can have written, and no reset leaves.
func (s *Snapshot) closedBy(c *Certificate) bool {
	if s.m.TPM == nil || c.Run == nil {
		return false
	}
	t, err := s.TPM()
	if err != nil {
		return false
	}
	root := s.signedRoot()
	if t.Family != "1.2" && root == "" {
		return false
	}
	fprs, err := s.m.PGP.Fingerprints(c.cert)
	if err != nil {
		return false
	}
	a, err := s.m.TPM.Anchor(s.ctx, root)
	return err == nil && a.State == AnchorClosed && a.Run == c.Run.anchor(fprs[0])
}

// signedRoot is the name of the storage root that a key of the firmware has signed, if the TPM answers in
// a session to that root; "" otherwise.
func (s *Snapshot) signedRoot() string {
	h, err := s.Handover()
	if err != nil || len(h.PrimaryHash) == 0 {
		return ""
	}
	name, err := s.m.TPM.RootOf(s.ctx, h.PrimaryHash)
	if err != nil || name == "" {
		return ""
	}
	if ok, err := s.m.TPM.HasRoot(s.ctx, name); err != nil || !ok {
		return ""
	}
	return name
}

// Certified compares a machine with the certificate in /boot; nil where there is none, or where
// /boot/oem asks for a new owner. It needs no security key. Whether /boot verifies by the firmware's
// keys is asked first: what differs then was changed by somebody who holds one. owner is the fingerprint of
// the key that made the certificate, as a person knows it, or "". Errors: ErrOwnerUnknown.
func Certified(ctx context.Context, m *Machine, owner string) (*Recheck, error) {
	trigger, err := m.Boot.Triggered(ctx)
	if err != nil || trigger {
		return nil, err
	}
	s := measure(ctx, m)
	c, err := s.certified(owner)
	if c == nil || err != nil {
		return nil, err
	}
	h, err := s.Handover()
	if err != nil {
		return nil, err
	}
	fw, err := s.Firmware()
	if err != nil {
		return nil, err
	}
	r := &Recheck{Reference: c.Reference, Date: c.Date, Owner: c.Owner, Name: c.Identity.text(),
		Keys: slices.Sorted(slices.Values(fw.Keyring))}
	if len(r.Keys) == 1 {
		r.Key = r.Keys[0]
	}
	r.disks(s, c, h.Tree)
	start := "the start files, as the firmware's key has signed them"
	if i := slices.IndexFunc(h.Items, func(i CheckItem) bool { return i.ID == "boot" && i.Verdict == Fail }); i >= 0 &&
		h.Tree != judge.TreeSigned {
		start = h.Items[i].Detail
	}
	r.add(h.Tree, "boot", judge.ComparisonEqual, start)
	if r.Key != c.Owner {
		r.add(h.Tree, "firmware", judge.ComparisonDiffers, "the keys that it trusts")
	}
	r.add(h.Tree, "firmware", same(fw.Digest == c.Firmware), "the chip, byte for byte")
	r.tpm(s, c, h.Tree)
	return r, nil
}

func (r *Recheck) add(tree judge.Tree, id string, cmp judge.Comparison, detail string) {
	item := CheckItem{ID: id, Verdict: Fail, Detail: detail}
	switch judge.Since(tree, cmp) {
	case judge.MarkSame:
		item.Verdict = Pass
	case judge.MarkChanged:
		item.Verdict = Changed
	case judge.MarkUnknown:
		item.Unread = true
	}
	r.Items = append(r.Items, item)
}

// bad is what no signature explains.
func (r *Recheck) bad(id, detail string, err error) {
	if err != nil {
		detail = err.Error()
	}
	r.Items = append(r.Items, CheckItem{ID: id, Verdict: Fail, Detail: detail, Unread: err != nil})
}

func (r *Recheck) disks(s *Snapshot, c *Certificate, tree judge.Tree) {
	disks, err := s.Disks()
	for _, v := range c.Volumes {
		i := slices.IndexFunc(disks, func(d DiskInfo) bool { return d.UUID == v.UUID })
		switch {
		case err != nil:
			r.bad("disk", "", err)
		case i < 0:
			r.bad("disk", v.UUID+": it is not there", nil)
		case disks[i].Reencrypting:
			r.bad("disk", v.UUID+": it says that it is being re-encrypted", nil)
		case c.before(disks[i]):
			r.bad("disk", v.UUID+": it has the key again that it had before the run", nil)
		case disks[i].KeyDigest != v.KeyDigest && r.Key == c.Owner: // what is signed for /boot names no key of a disk
			r.bad("disk", v.UUID+": it has another key than the certificate says: re-encrypted since, or a header of somebody's",
				nil)
		default: // who replaces the firmware's key in Heads can have the disk re-encrypted there, too
			r.add(tree, "disk", same(disks[i].KeyDigest == v.KeyDigest), v.UUID)
		}
	}
	for _, d := range disks {
		if !slices.ContainsFunc(c.Volumes, func(v Volume) bool { return v.UUID == d.UUID }) &&
			!slices.Contains(c.LeftOut, d.UUID) {
			r.add(tree, "disk", judge.ComparisonDiffers, d.UUID+": the certificate does not mention it")
		}
	}
}

// tpm asks the TPM in a session that is salted to the storage root of the certificate, and where it has
// another one, to the one that the firmware's key has signed since. A TPM 1.2 protects no answer: what
// is equal counts neither way.
func (r *Recheck) tpm(s *Snapshot, c *Certificate, tree judge.Tree) {
	if c.StorageRoot == "" {
		return
	}
	if s.m.TPM == nil {
		r.bad("tpm", "there is no TPM", nil)
		return
	}
	t, err := s.TPM()
	if err != nil {
		r.bad("tpm", "", err)
		return
	}
	ok, err := s.m.TPM.HasRoot(s.ctx, c.StorageRoot)
	bare, now := t.Family == "1.2", t.PrimaryName
	if err == nil && !ok && !bare {
		now = s.signedRoot()
	}
	switch {
	case err != nil:
		r.bad("tpm", "", err)
	case ok && bare:
		r.Items = append(r.Items, CheckItem{ID: "tpm", Verdict: NotProvided,
			Detail: "the storage root is equal, and this TPM does not protect what it says"})
	case ok:
		r.add(tree, "tpm", judge.ComparisonEqual, "the storage root")
	case c.Run != nil && t.PrimaryName == c.Run.OldSRK:
		r.bad("tpm", "it has the storage root again that it had before the run", nil)
	case now == "":
		r.bad("tpm", "it has another storage root, and the firmware's key has signed no such", nil)
	default:
		r.add(tree, "tpm", judge.ComparisonDiffers, "the storage root")
	}
}

func same(equal bool) judge.Comparison {
	if equal {
		return judge.ComparisonEqual
	}
	return judge.ComparisonDiffers
}

// before says whether a volume has the key that it had when the run began.
func (c *Certificate) before(d DiskInfo) bool {
	if c.Run == nil {
		return false
	}
	for _, v := range c.Run.Volumes {
		if v.UUID == d.UUID && v.KeyDigest == d.KeyDigest {
			return true
		}
	}
	return false
}

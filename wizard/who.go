package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/internal/judge"
	"reown/internal/secret"
)

// A RefusedError says that an act is not allowed as the machine is, and why.
type RefusedError struct {
	Act     judge.Act
	Verdict judge.Verdict
}

func (e *RefusedError) Error() string {
	var all []string
	for _, r := range e.Verdict.Reasons {
		all = append(all, r.String())
	}
	return fmt.Sprintf("not allowed: %v (%v: %s)", e.Act, e.Verdict.Phase, strings.Join(all, ", "))
}

// may asks once more whether acts are allowed, of the machine as it is now. It is asked before each
// act that cannot be undone, or that lends the owner's name to something.
func (j *Job) may(s *Snapshot, all ...judge.Act) error {
	said := j.said
	h, err := s.Handover()
	if s.elsewhere(&h, s.Past().receipt); err != nil || !h.shows(j.listed) {
		said.Names = false
	}
	f := s.Facts(said, s.paper(j.Secrets, said.LostKey))
	f.CardTail = j.tail
	v := decide(f)
	for _, a := range all {
		if !v.May(a) {
			return &RefusedError{a, v}
		}
	}
	return nil
}

// look measures everything anew, with what Job.measure keeps: what is signed or written next must be
// what was judged.
func (j *Job) look(ctx context.Context) *Snapshot {
	j.handover = lazy[Handover]{}
	return j.measure(ctx)
}

// paper is what was typed in this start, and was right where it is set, of the secrets that the run
// has set so far.
func (s *Snapshot) paper(k *Keys, lost bool) judge.Paper {
	disks, err := s.Disks()
	if err != nil {
		return judge.PaperUnknown
	}
	typed := func(b *secret.Buffer) judge.Paper {
		if b == nil {
			return judge.PaperUnknown
		}
		return judge.PaperOwn
	}
	r := s.Past().receipt
	if r == nil {
		papers := []judge.Paper{}
		for _, d := range disks {
			if lost { // who has lost his key has the passphrase of his disk
				papers = append(papers, typed(k.Current[d.UUID]))
			}
		}
		return judge.FoldPapers(papers...)
	}
	var papers []judge.Paper
	for _, d := range disks {
		v := r.rekey(d.UUID)
		if v == nil {
			continue
		}
		switch st := v.volume(d); {
		case st == judge.VolumeUnderWay || st == judge.VolumeOurs:
			papers = append(papers, typed(k.Disk))
		case lost:
			papers = append(papers, typed(k.Current[d.UUID]))
		}
	}
	if r.SRK != "" && s.m.TPM != nil {
		papers = append(papers, typed(k.Owner))
	}
	return judge.FoldPapers(papers...)
}

// errNotThisRun says that a disk opens, and that its key is not the one of the run that the receipt
// tells of.
var errNotThisRun = errors.New("the receipt in /boot is not of the run that this passphrase is from")

// bound says whether the passphrase is that of the run: it opens every disk that the run has set it
// on, and their keys made the marks in the receipt. Nobody can write one who has not the passphrase.
func (s *Snapshot) boundTo(ctx context.Context, pass *secret.Buffer) error {
	p := s.Past()
	disks, err := s.Disks()
	if err != nil {
		return err
	}
	for i, d := range disks {
		v := p.receipt.rekey(d.UUID)
		if v == nil {
			continue
		}
		if st := v.volume(d); st != judge.VolumeUnderWay && st != judge.VolumeOurs {
			continue
		}
		mark, err := s.m.Disks[i].Mark(ctx, pass, p.receipt.binding(p.owner))
		if err != nil {
			return err
		}
		if mark != v.Bind {
			return errNotThisRun
		}
	}
	return nil
}

// said is what the person has said so far in this start.
func (v *view) said() judge.Said {
	h := v.handover()
	said := judge.Said{Looked: v.a.looked, Serial: v.a.serial, LostKey: v.o.LostKey != nil,
		Names: h.shows(v.a.listed)}
	switch {
	case v.o.Signer != "" && !v.knows(v.o.Signer):
		said.Signer = judge.Different
	case v.o.Signer != "", v.a.sold:
		said.Signer = judge.Same
	}
	switch {
	case v.o.Me == "" || h.To == "":
	case h.To == Fingerprint(v.o.Me):
		said.Me = judge.Same
	default:
		said.Me = judge.Different
	}
	if r := v.s.Past().receipt; r != nil && v.s.Past().Ring == judge.RingOwner && v.a.keys.User != nil {
		said.PIN = judge.Same
	}
	return said
}

// knows says whether a fingerprint is that of whom the machine is from: the last who handed it on,
// or, where no statement tells, the one key that the firmware trusts. An open run has it in its
// receipt, once the chip is its owner's.
func (v *view) knows(typed string) bool {
	h, fpr := v.handover(), Fingerprint(typed)
	fw, err := v.s.Firmware()
	r := v.s.Past().receipt
	switch {
	case len(h.Chain) > 0:
		return h.SoldBy(fpr)
	case r != nil && r.SellerKey != "":
		return r.SellerKey == fpr
	}
	return err == nil && len(fw.Keyring) == 1 && slices.Contains(fw.Keyring, fpr)
}

// judged is the verdict on the machine as it was measured last, with what was said and typed.
func (v *view) judged() judge.Verdict {
	said := v.said()
	return decide(v.s.Facts(said, v.s.paper(&v.a.keys, said.LostKey)))
}

// good says whether the seller's word would do, if the person says that all is as he knows it.
func (v *view) good() bool {
	said := v.said()
	said.Looked = true
	if said.Signer == judge.NotSaid {
		said.Signer = judge.Same // asked for on a page of its own
	}
	return decide(v.s.Facts(said, judge.PaperUnknown)).Identity == judge.Proven
}

// red says that something is not as it was promised or reached.
func (v *view) red() bool { return v.judged().Level == judge.Red }

// known says that it is known whom the machine is from, or whose it is.
func (v *view) known() bool { return v.judged().Identity >= judge.Owner }

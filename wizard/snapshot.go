package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/judge"
)

// Names of our own files in /boot. All are public; none is trusted for what it says.
const (
	hintCert        = "kexec_reown.asc"              // the owner's certificate, binary or armored
	hintReceipt     = "kexec_reown.receipt"          // see Receipt
	hintJournal     = "kexec_reown.log"              // see package journal
	hintText        = "kexec_reown.certificate"      // see Certificate.Text
	hintCertificate = "kexec_reown.certificate.json" // see Certificate; there when a run is over
)

// lazy is a value that is measured when it is first asked for.
type lazy[T any] struct {
	done bool
	v    T
	err  error
}

func (l *lazy[T]) get(f func() (T, error)) (T, error) {
	if !l.done {
		l.v, l.err = f()
		l.done = true
	}
	return l.v, l.err
}

// Snapshot is the machine as measured at one time; each part is read at most once.
// It never writes.
type Snapshot struct {
	ctx  context.Context
	m    *Machine
	here []byte // the receipt that this start has written last; nil: none
	made []byte // the certificate of the keys that this start has made; nil: none

	card     lazy[CardInfo]
	hint     lazy[[]byte]
	cert     lazy[[]byte]
	receipt  lazy[*Receipt]
	handover lazy[Handover]
	disks    lazy[[]DiskInfo]
	tpm      lazy[TPMInfo]
	dukState lazy[DUKState]
	fw       lazy[FirmwareInfo]
	holds    lazy[bool]
	plan     lazy[*FirmwarePlan]
	sealed   lazy[bool]
	boot     lazy[BootInfo]
	live     lazy[bool]
	staged   lazy[bool]
	past     lazy[past]
	differ   lazy[[]string]
}

func measure(ctx context.Context, m *Machine) *Snapshot { return &Snapshot{ctx: ctx, m: m} }

// errNoReceipt says that no receipt of a run that is open is there.
var errNoReceipt = errors.New("no receipt of an open run")

// errNoOwner says that no certificate proves the card to be the owner's yet.
var errNoOwner = errors.New("no certificate of the owner yet")

func (s *Snapshot) Card() (CardInfo, error) {
	return s.card.get(func() (CardInfo, error) { return s.m.Card.Info(s.ctx) })
}

// HintCert is the certificate stored in /boot, if its own signatures hold and the
// seller's signed statement does not list it. It may be anyone's.
func (s *Snapshot) HintCert() ([]byte, error) {
	return s.hint.get(func() ([]byte, error) {
		cert, err := s.m.Boot.ReadHint(s.ctx, hintCert)
		if err != nil {
			return nil, err
		}
		fprs, err := s.m.PGP.Fingerprints(cert)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoOwner, err) // somebody else's file, or a damaged one
		}
		h, err := s.Handover()
		if err != nil {
			return nil, err
		}
		if h.Signer != "" && slices.Contains(h.Keys, fprs[0]) {
			return nil, fmt.Errorf("%w: the certificate in /boot is the seller's", errNoOwner)
		}
		return cert, nil
	})
}

// Owner is the owner's certificate: the one stored in /boot, if its own signatures
// hold, the card in the reader has exactly its keys, it is not the seller's, and this start has made
// them or an open run says so: a receipt that is not the newest, or that nothing binds to its
// owner, keeps no key.
func (s *Snapshot) Owner() ([]byte, error) {
	return s.cert.get(func() ([]byte, error) {
		cert, err := s.HintCert()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoOwner, err)
		}
		fprs, err := s.m.PGP.Fingerprints(cert)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNoOwner, err)
		}
		card, err := s.Card()
		if err != nil {
			return nil, err
		}
		if fprs != card.Fingerprints || fprs[0] == "" || card.Terminated {
			return nil, fmt.Errorf("%w: the card holds other keys than the certificate in /boot", errNoOwner)
		}
		h, err := s.Handover()
		if err != nil {
			return nil, err
		}
		if slices.Contains(h.Keys, fprs[0]) {
			return nil, fmt.Errorf("%w: the key on the card is the seller's", errNoOwner)
		}
		if s.made != nil && slices.Equal(s.made, cert) {
			return cert, nil
		}
		if p, why := phaseOf(s.Past().History); !p.Running() && p != judge.Finished {
			return nil, fmt.Errorf("%w: no run is open: %v", errNoOwner, why)
		}
		return cert, nil
	})
}

// Receipt is that of the run under way, or of the one that the certificate tells of.
func (s *Snapshot) Receipt() (*Receipt, error) {
	return s.receipt.get(func() (*Receipt, error) {
		cert, err := s.Owner()
		if err != nil {
			return nil, err
		}
		if r := s.Past().receipt; r != nil {
			return r, nil
		}
		if c, err := readCertificate(s.ctx, s.m, cert); err == nil && c.Run != nil {
			return c.Run, nil
		}
		return nil, errNoReceipt
	})
}

func (s *Snapshot) Handover() (Handover, error) {
	return s.handover.get(func() (Handover, error) { return s.m.Boot.Handover(s.ctx) })
}

func (s *Snapshot) Disks() ([]DiskInfo, error) {
	return s.disks.get(func() ([]DiskInfo, error) {
		var all []DiskInfo
		for _, d := range s.m.Disks {
			i, err := d.Info(s.ctx)
			if err != nil {
				return nil, err
			}
			all = append(all, i)
		}
		return all, nil
	})
}

func (s *Snapshot) TPM() (TPMInfo, error) {
	return s.tpm.get(func() (TPMInfo, error) { return s.m.TPM.Info(s.ctx) })
}

func (s *Snapshot) Firmware() (FirmwareInfo, error) {
	return s.fw.get(func() (FirmwareInfo, error) { return s.m.Firmware.Info(s.ctx) })
}

// Holds says whether the firmware trusts exactly the certificate stored in /boot.
func (s *Snapshot) Holds() (bool, error) {
	return s.holds.get(func() (bool, error) {
		cert, err := s.HintCert()
		if errors.Is(err, ErrNotFound) || errors.Is(err, errNoOwner) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		return s.m.Firmware.Holds(s.ctx, cert)
	})
}

func (s *Snapshot) Plan() (*FirmwarePlan, error) {
	return s.plan.get(func() (*FirmwarePlan, error) {
		cert, err := s.Owner()
		if err != nil {
			return nil, err
		}
		return s.m.Firmware.Plan(s.ctx, cert)
	})
}

func (s *Snapshot) Sealed() (bool, error) {
	return s.sealed.get(func() (bool, error) {
		p, err := s.Plan()
		if err != nil {
			return false, err
		}
		return s.m.TPM.OTPSealed(s.ctx, p.PCR7)
	})
}

func (s *Snapshot) Boot() (BootInfo, error) {
	return s.boot.get(func() (BootInfo, error) { return s.m.Boot.Info(s.ctx) })
}

// entry is the index of the boot entry that starts by default: the one that the receipt
// names, else the seller's, if what he signed is what is there, else the one to suggest.
// It is -1 when there is none.
func (s *Snapshot) entry(r *Receipt) int {
	b, err := s.Boot()
	if err != nil {
		return -1
	}
	can := func(i int) bool { return i >= 0 && i < len(b.Entries) && (b.Uncertain == nil || !b.Uncertain[i]) }
	if r != nil && r.EntryName != "" {
		i := r.Entry - 1
		if !can(i) || b.Entries[i] != r.EntryName {
			i = slices.Index(b.Entries, r.EntryName) // the menu has changed
		}
		if can(i) {
			return i
		}
	}
	if h, err := s.Handover(); err == nil && can(b.Signed) &&
		slices.ContainsFunc(h.Items, func(i CheckItem) bool { return i.ID == "boot" && i.Verdict == Pass }) {
		return b.Signed
	}
	return b.Default
}

func (s *Snapshot) Live() (bool, error) {
	return s.live.get(func() (bool, error) {
		cert, err := s.HintCert()
		if err != nil {
			return false, err
		}
		return s.m.Boot.Live(s.ctx, cert)
	})
}

func (s *Snapshot) Staged() (bool, error) {
	return s.staged.get(func() (bool, error) {
		cert, err := s.HintCert()
		if err != nil {
			return false, err
		}
		return s.m.Boot.Staged(s.ctx, cert)
	})
}

// alone are the devices in doubt that the person has left as they are, in this start or by the receipt.
func (s *Snapshot) alone(r *Receipt) (all []string) {
	for _, d := range s.m.Doubtful {
		if d.Alone || r != nil && slices.Contains(r.Alone, d.Path) {
			all = append(all, d.Path)
		}
	}
	return all
}

// selected says whether a volume is part of the run: all are until a receipt
// lists those that the owner chose.
func selected(r *Receipt, uuid string) bool {
	return r == nil || r.rekey(uuid) != nil
}

// ownership is the owner's certificate and the receipt of this run.
func (s *Snapshot) ownership() (cert []byte, r *Receipt, err error) {
	if cert, err = s.Owner(); err == nil {
		r, err = s.Receipt()
	}
	return cert, r, err
}

// ours says whether a volume is under another volume key than before the run, or on
// its way to one: by the owner's receipt, and by nothing else. A key that only differs
// from the one in the seller's statement could be anybody's on the way.
func (s *Snapshot) ours(d DiskInfo) bool {
	r, err := s.Receipt()
	if err != nil || r.rekey(d.UUID) == nil {
		return false
	}
	v := r.rekey(d.UUID).volume(d)
	return v == judge.VolumeUnderWay || v == judge.VolumeOurs
}

// rekeyed says whether a volume is wholly under another volume key than before.
func (s *Snapshot) rekeyed(d DiskInfo) bool { return !d.Reencrypting && s.ours(d) }

package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reown/internal/judge"
	"reown/internal/secret"
)

// Errors of Disk's checks.
var (
	ErrStillOpens = errors.New("a passphrase opens the disk that must not")
	ErrNoise      = errors.New("under the key of its header the disk reads as noise")
	ErrUnseen     = errors.New("the beginning of the disk cannot be read")
	ErrOtherKey   = errors.New("another reader finds another key in the disk")
)

// claimIDs are the rows of a certificate.
var claimIDs = [judge.ClaimCount]string{
	judge.ClaimPassphrase: "passphrase", judge.ClaimVolumeKey: "volume-key", judge.ClaimSecondRead: "second-reader",
	judge.ClaimRing: "firmware-key",
	judge.ClaimBoot: "boot-signature", judge.ClaimTPM: "tpm", judge.ClaimSealed: "sealed", judge.ClaimSeller: "seller",
	judge.ClaimSellersCard: "sellers-card", judge.ClaimNothingElse: "all-encrypted",
}

// A WithheldError says which checks at the end of a run were made and failed. There is no
// certificate then.
type WithheldError struct{ Failed []string }

func (e *WithheldError) Error() string {
	return "the certificate is withheld: what must hold does not: " + strings.Join(e.Failed, ", ")
}

// A Part is something on the drives that is neither encrypted nor verified at each start.
type Part struct {
	Path string `json:"path"`
	Size int64  `json:"size"` // bytes
	What string `json:"what"` // what seems to be in it, in a word: "EFI", "swap", "ext4", "unknown"
}

// check tries what must hold. What cannot be tried is a row that does not hold; what was tried and
// does not hold withholds the certificate.
func (c *Certificate) check(ctx context.Context, j *Job, s *Snapshot, r *Receipt) error {
	var all judge.Claims
	set := func(k judge.Claim, t judge.Tried) {
		all.Applies |= 1 << k
		all.Tried[k] = t
	}
	if err := c.checkDisks(ctx, j, s, r, set); err != nil {
		return err
	}
	holds, err := s.Holds()
	if err != nil {
		return err
	}
	set(judge.ClaimRing, tried(holds))
	live, err := s.Live()
	if err != nil {
		return err
	}
	set(judge.ClaimBoot, tried(live && holds))
	if err := c.checkTPM(j, s, r, set); err != nil {
		return err
	}
	set(judge.ClaimSeller, shown(r.Proven && r.Statement != ""))
	set(judge.ClaimSellersCard, shown(r.Signs))
	c.Alone = s.alone(r)
	if j.M.Plain != nil {
		c.Plain, err = j.M.Plain(ctx)
	}
	only := j.M.Plain != nil && err == nil && len(c.Plain) == 0 && c.LeftOut == nil && c.Alone == nil
	set(judge.ClaimNothingElse, shown(only))
	return c.sum(&all)
}

// sum makes the rows, and withholds what may not be said.
func (c *Certificate) sum(all *judge.Claims) error {
	var failed []string
	for k, t := range all.Tried {
		if all.Applies&(1<<k) == 0 {
			continue
		}
		opens := k == int(judge.ClaimPassphrase) && c.leftOpens // by the owner's choice, which withholds nothing
		row := Check{ID: claimIDs[k], OK: t == judge.Held, Tried: t != judge.NotTried || opens}
		if k == int(judge.ClaimPassphrase) && row.OK {
			row.Since = c.since
		}
		c.Checks = append(c.Checks, row)
		if t == judge.Failed {
			failed = append(failed, claimIDs[k])
		}
	}
	if _, _, withheld := all.Sum(); withheld {
		return &WithheldError{failed}
	}
	return nil
}

// shown is what holds or could not be tried.
func shown(held bool) judge.Tried {
	if held {
		return judge.Held
	}
	return judge.NotTried
}

func tried(held bool) judge.Tried {
	if held {
		return judge.Held
	}
	return judge.Failed
}

// worse joins what was tried on several volumes.
func worse(a, b judge.Tried) judge.Tried {
	switch {
	case a == judge.Failed || b == judge.Failed:
		return judge.Failed
	case a == judge.NotTried || b == judge.NotTried:
		return judge.NotTried
	}
	return judge.Held
}

func (c *Certificate) checkDisks(ctx context.Context, j *Job, s *Snapshot, r *Receipt,
	set func(judge.Claim, judge.Tried)) error {
	disks, err := s.Disks()
	if err != nil {
		return err
	}
	var duk DUKState
	if s.wantsDUK(r) {
		if duk, err = s.duk(r); err != nil {
			return err
		}
	}
	passphrase, keys, second := judge.Held, judge.Held, judge.Held
	for i, d := range disks {
		if !selected(r, d.UUID) {
			c.LeftOut = append(c.LeftOut, d.UUID)
			if _, t := j.tryOld(ctx, j.M.Disks[i]); t != judge.Held && j.olds() != nil {
				passphrase, c.leftOpens = worse(passphrase, judge.NotTried), true
			}
			continue
		}
		c.Volumes = append(c.Volumes, Volume{d.UUID, d.KeyDigest})
		trial, held := j.tryOld(ctx, j.M.Disks[i])
		if v := r.rekey(d.UUID); held == judge.NotTried && v.holds(ctx, j.M.Disks[i]) { // by an earlier start
			trial, held = v.Trial, judge.Held
			if c.since == "" || trial.Tried < c.since {
				c.since = trial.Tried
			}
		}
		if held == judge.Held {
			c.Trials = append(c.Trials, VolumeTrial{d.UUID, trial})
		}
		passphrase = worse(passphrase, held)
		keys = worse(keys, tried(s.rekeyed(d) && d.Keyslots == 1 && d.DUK == duk.Sealed))
		second = worse(second, readAgain(ctx, j.M.Disks[i], j.Secrets.Disk))
	}
	if len(disks) > 0 {
		set(judge.ClaimPassphrase, passphrase)
		set(judge.ClaimVolumeKey, keys)
		set(judge.ClaimSecondRead, second)
	}
	if len(c.Volumes) == 0 { // nothing was done to any
		for _, k := range []judge.Claim{judge.ClaimPassphrase, judge.ClaimVolumeKey, judge.ClaimSecondRead} {
			if len(disks) > 0 {
				set(k, judge.NotTried)
			}
		}
	}
	return nil
}

// olds are the passphrases that opened the disks before this start.
func (j *Job) olds() (all []*secret.Buffer) {
	for _, old := range j.Secrets.Current {
		if !sameSecret(old, j.Secrets.Disk) && !slices.ContainsFunc(all, old.Equal) {
			all = append(all, old)
		}
	}
	return all
}

// tryOld tries the passphrases of before on every keyslot of a disk.
func (j *Job) tryOld(ctx context.Context, d Disk) (Trial, judge.Tried) {
	t, held := Trial{Tried: j.M.Platform.Now().UTC().Format(time.RFC3339)}, judge.NotTried
	for i, old := range j.olds() {
		slots, err := d.OpensNothing(ctx, old)
		switch {
		case errors.Is(err, ErrStillOpens):
			return Trial{}, judge.Failed
		case err != nil || i > 0 && slots != t.Slots:
			return Trial{}, judge.NotTried
		}
		t.Slots, held = slots, judge.Held
	}
	if held != judge.Held {
		t = Trial{}
	}
	return t, held
}

// tryAgain tries them once more where the keyslots are others by now.
func (j *Job) tryAgain(ctx context.Context, r *Receipt) {
	for _, d := range j.M.Disks {
		i, err := d.Info(ctx)
		if err != nil {
			continue
		}
		if v := r.rekey(i.UUID); v != nil && v.Reached && j.olds() != nil && !v.holds(ctx, d) {
			v.Trial, _ = j.tryOld(ctx, d)
		}
	}
}

// holds says whether an earlier trial still counts: the keyslots are the same.
func (v *Rekey) holds(ctx context.Context, d Disk) bool {
	if v == nil || v.Tried == "" {
		return false
	}
	slots, err := d.SlotsDigest(ctx)
	return err == nil && slots == v.Slots
}

func readAgain(ctx context.Context, d Disk, pass *secret.Buffer) judge.Tried {
	if pass == nil {
		return judge.NotTried
	}
	switch err := d.SecondRead(ctx, pass); {
	case err == nil:
		return judge.Held
	case errors.Is(err, ErrWrongSecret), errors.Is(err, ErrOtherKey):
		return judge.Failed
	}
	return judge.NotTried
}

func (c *Certificate) checkTPM(j *Job, s *Snapshot, r *Receipt, set func(judge.Claim, judge.Tried)) error {
	if j.M.TPM == nil {
		return nil
	}
	t, err := s.TPM()
	if err != nil {
		return err
	}
	c.StorageRoot = t.PrimaryName
	set(judge.ClaimTPM, tried(t.root() == r.SRK && (t.PrimaryName == "" || t.PrimaryName != r.OldSRK)))
	switch ok, err := s.Sealed(); {
	case err == nil:
		set(judge.ClaimSealed, tried(ok))
	default:
		set(judge.ClaimSealed, judge.NotTried)
	}
	return nil
}

// partText names a part for people.
func partText(p Part) string {
	return fmt.Sprintf("%s, %d MiB, %s", p.Path, p.Size>>20, p.What)
}

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

// Errors of Disk's checks.
var (
	ErrStillOpens = errors.New("a passphrase opens the disk that must not")
	ErrOtherKey   = errors.New("another reader finds another key in the disk")
)

// claimIDs are the rows of a certificate.
var claimIDs = [judge.ClaimCount]string{
	judge.ClaimPassphrase: "passphrase", judge.ClaimVolumeKey: "volume-key", judge.ClaimSecondRead: "second-reader", judge.ClaimRing: "firmware-key",
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
	set(judge.ClaimSeller, judge.NotTried)
	if r.Proven && r.Statement != "" {
		set(judge.ClaimSeller, judge.Held)
	}
	set(judge.ClaimSellersCard, judge.NotTried) // nobody asks it yet
	set(judge.ClaimNothingElse, judge.NotTried)
	if j.M.Plain != nil {
		if c.Plain, err = j.M.Plain(ctx); err == nil && len(c.Plain) == 0 && c.LeftOut == nil {
			set(judge.ClaimNothingElse, judge.Held)
		}
	}
	var failed []string
	for k, t := range all.Tried {
		if all.Applies&(1<<k) == 0 {
			continue
		}
		opens := k == int(judge.ClaimPassphrase) && c.leftOpens // by the owner's choice, which withholds nothing
		c.Checks = append(c.Checks, Check{claimIDs[k], t == judge.Held, t != judge.NotTried || opens})
		if t == judge.Failed {
			failed = append(failed, claimIDs[k])
		}
	}
	if _, _, withheld := all.Sum(); withheld {
		return &WithheldError{failed}
	}
	return nil
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

func (c *Certificate) checkDisks(ctx context.Context, j *Job, s *Snapshot, r *Receipt, set func(judge.Claim, judge.Tried)) error {
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
	var olds []*secret.Buffer
	for _, old := range j.Secrets.Current {
		if !sameSecret(old, j.Secrets.Disk) && !slices.ContainsFunc(olds, old.Equal) {
			olds = append(olds, old)
		}
	}
	passphrase, keys, second := judge.Held, judge.Held, judge.Held
	if olds == nil {
		passphrase = judge.NotTried
	}
	for i, d := range disks {
		if !selected(r, d.UUID) {
			c.LeftOut = append(c.LeftOut, d.UUID)
			for _, old := range olds {
				if opensNothing(ctx, j.M.Disks[i], old) != judge.Held {
					passphrase, c.leftOpens = worse(passphrase, judge.NotTried), true
				}
			}
			continue
		}
		c.Volumes = append(c.Volumes, Volume{d.UUID, d.KeyDigest})
		for _, old := range olds {
			passphrase = worse(passphrase, opensNothing(ctx, j.M.Disks[i], old))
		}
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

func opensNothing(ctx context.Context, d Disk, pass *secret.Buffer) judge.Tried {
	switch err := d.OpensNothing(ctx, pass); {
	case err == nil:
		return judge.Held
	case errors.Is(err, ErrStillOpens):
		return judge.Failed
	}
	return judge.NotTried
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

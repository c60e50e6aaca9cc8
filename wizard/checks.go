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

// ErrChangedSince says that a machine is not any more what its certificate says.
var ErrChangedSince = errors.New("the computer has changed since its certificate was made")

// A Recheck is a machine set against the certificate of its run, once more.
type Recheck struct {
	Reference string      `json:"reference"`
	Date      string      `json:"date"`
	Owner     string      `json:"owner"`
	Key       string      `json:"key"` // fingerprint of the one key that the firmware trusts now
	Items     []CheckItem `json:"items"`
}

// Holds says whether nothing is there that whoever holds the firmware's key does not explain.
func (r *Recheck) Holds() bool {
	return !slices.ContainsFunc(r.Items, func(i CheckItem) bool { return i.Verdict == Fail })
}

// Certified compares a machine with the certificate in /boot; nil where there is none
// that the key in the firmware has signed, or where /boot/oem asks for a new owner. It
// needs no security key. Whether /boot verifies by the firmware's key is asked first: what differs
// then was changed by whoever holds it.
func Certified(ctx context.Context, m *Machine) (*Recheck, error) {
	trigger, err := m.Boot.Triggered(ctx)
	if err != nil || trigger {
		return nil, err
	}
	c, err := certified(ctx, m)
	if c == nil || err != nil {
		return nil, err
	}
	s := measure(ctx, m)
	tree := judge.TreeDiffers
	live, err := s.Live()
	switch {
	case err != nil:
		tree = judge.TreeUnknown
	case live:
		tree = judge.TreeSigned
	}
	r := &Recheck{Reference: c.Reference, Date: c.Date, Owner: c.Owner, Key: c.Owner}
	add := func(id string, cmp judge.Comparison, detail string) {
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
	bad := func(id, detail string, err error) {
		if err != nil {
			detail = err.Error()
		}
		r.Items = append(r.Items, CheckItem{ID: id, Verdict: Fail, Detail: detail, Unread: err != nil})
	}
	disks, err := s.Disks()
	for _, v := range c.Volumes {
		i := slices.IndexFunc(disks, func(d DiskInfo) bool { return d.UUID == v.UUID })
		switch {
		case err != nil:
			bad("disk", "", err)
		case i < 0:
			bad("disk", v.UUID+": it is not there", nil)
		case disks[i].Reencrypting:
			bad("disk", v.UUID+": it says that it is being re-encrypted", nil)
		case c.before(disks[i]):
			bad("disk", v.UUID+": it has the key again that it had before the run", nil)
		default:
			add("disk", same(disks[i].KeyDigest == v.KeyDigest), v.UUID)
		}
	}
	for _, d := range disks {
		if !slices.ContainsFunc(c.Volumes, func(v Volume) bool { return v.UUID == d.UUID }) && !slices.Contains(c.LeftOut, d.UUID) {
			add("disk", judge.ComparisonDiffers, d.UUID+": the certificate does not mention it")
		}
	}
	add("boot", judge.ComparisonEqual, "the start files, as the firmware's key has signed them")
	if fw, err := s.Firmware(); err != nil {
		bad("firmware", "", err)
	} else {
		add("firmware", same(fw.Digest == c.Firmware), "the chip, byte for byte")
	}
	if c.StorageRoot == "" {
		return r, nil
	}
	if m.TPM == nil {
		bad("tpm", "there is no TPM", nil)
	} else if t, err := s.TPM(); err != nil {
		bad("tpm", "", err)
	} else if t.PrimaryName != c.StorageRoot && c.Run != nil && t.PrimaryName == c.Run.OldSRK {
		bad("tpm", "it has the storage root again that it had before the run", nil)
	} else {
		add("tpm", same(t.PrimaryName == c.StorageRoot), "the storage root")
	}
	return r, nil
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

// partText names a part for people.
func partText(p Part) string {
	return fmt.Sprintf("%s, %d MiB, %s", p.Path, p.Size>>20, p.What)
}

package release

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/wizard"
)

// Errors of a run.
var (
	// ErrNotOwner says that the security key is not the owner's: its key is not the
	// one that the firmware trusts.
	ErrNotOwner = errors.New("the security key is not the one that owns this laptop")
	// ErrNeedsPIN says that the owner's card is there, and its PIN was not given.
	ErrNeedsPIN = errors.New("the security key's PIN is needed to release the laptop")
	// ErrNotReleased says that the machine, read afresh, still holds something of
	// its owner's.
	ErrNotReleased = errors.New("the laptop still holds something of its owner's")
	// ErrNoDisk says that there is no encrypted disk, and that nobody has said so.
	ErrNoDisk = errors.New("no encrypted disk was found")
)

// A MissingError says that encrypted volumes are not there that the owner's certificate or the
// seller's statement names: whatever opens them would go on doing so.
type MissingError struct{ UUIDs []string }

func (e *MissingError) Error() string {
	return "encrypted disks that this laptop had were not found: " + strings.Join(e.UUIDs, ", ")
}

// Names of the files that a release leaves in /boot. Heads neither hashes nor trusts
// names of this form.
const (
	RecordName    = "kexec_release.json"
	SignatureName = RecordName + ".asc"
	KeyName       = "kexec_release.key.asc"
)

// A DoubtError says that a device looks like an encrypted disk, and acting on it might destroy something
// else.
type DoubtError struct {
	Path string
	Err  error
}

func (e *DoubtError) Error() string {
	return fmt.Sprintf("%s may hold an encrypted disk: %v", e.Path, e.Err)
}
func (e *DoubtError) Unwrap() error { return e.Err }

// A Doubt is such a device.
type Doubt struct {
	Path string
	Err  error
}

// Options say how a laptop is given up.
type Options struct {
	PIN      *secret.Buffer // the owner's user PIN; nil: LostCard
	LostCard bool           // no card: the record is not signed, and the card keeps its keys
	To       string         // fingerprint of the next owner; "" for nobody
	Battery  bool           // run without mains power
	NoDisk   bool           // somebody has said that there is no encrypted disk
	Without  []string       // UUIDs of volumes that were said not to be there any more, paths of doubtful ones
	// Armor makes the public form of a certificate for people.
	Armor  func(cert []byte) ([]byte, error)
	Report func(step string, done, total int64)
}

type run struct {
	m     *Machine
	o     *Options
	step  string
	cert  []byte // the owner's; nil when the card is lost, or blank again
	owner string // fingerprint of its primary key
	card  wizard.CardInfo
	there bool     // a card is plugged in
	early bool     // the firmware was clean before: it could not be asked whose the card is
	gone  []string // UUIDs of promised volumes that are not there
	ended bool     // an earlier run has erased all but the card
}

// Run gives the laptop up. The error of a step is a *wizard.StepError; the run can
// then be repeated.
func Run(ctx context.Context, m *Machine, o Options) (*Record, error) {
	r := &run{m: m, o: &o}
	var rec *Record
	// No journal: nothing of the owner's stays in /boot, and the record says what was done.
	q := wizard.Sequence{Hold: m.Boot.Hold, Tasks: []wizard.Task{
		{ID: "preflight", Looks: true, Do: r.preflight},
		{ID: "note", Do: r.note},
		{ID: "tpm", Do: r.tpm}, // first, so that no anchor of the owner's says anything else
		{ID: "disk", Do: r.disks},
		{ID: "firmware", Do: r.firmware},
		{ID: "boot", Do: m.Boot.Clean},
		{ID: "record", Do: r.record},
		{ID: "card", Do: r.resetCard},
		{ID: "measure", Looks: true, Do: func(ctx context.Context) (err error) { rec, err = r.measure(ctx); return err }},
	}}
	q.Begun = func(i int) {
		r.step = q.Tasks[i].ID
		r.report(0, 0)
	}
	if end := q.Run(ctx); end.Outcome != wizard.Done {
		return nil, end.Err
	}
	return rec, nil
}

func (r *run) report(done, total int64) {
	if r.o.Report != nil {
		r.o.Report(r.step, done, total)
	}
}

// preflight finds out what could stop the run before anything is destroyed, and has
// the owner proven.
func (r *run) preflight(ctx context.Context) error {
	found := wizard.RehearseRelease(ctx, r.m.Whole, r.o.Battery, !r.o.LostCard)
	if err := r.m.Firmware.Rehearse(ctx); err != nil {
		found = append(found, wizard.DeviceProblem("firmware", err))
	}
	if len(found) > 0 {
		return &wizard.PreflightError{Problems: found}
	}
	volumes, err := r.volumes(ctx)
	if err != nil {
		return err
	}
	if err := r.prove(ctx); err != nil || r.ended {
		return err
	}
	said := judge.Said{Release: true, LostKey: r.o.LostCard, Serial: r.o.LostCard}
	if r.cert != nil {
		said.PIN = judge.Same
	}
	if may, why := judge.MayErase(volumes, said, judge.PaperUnknown); !may {
		return fmt.Errorf("%w: %s", ErrNotOwner, why)
	}
	return nil
}

// volumes looks at each container that is there or was promised.
func (r *run) volumes(ctx context.Context) (all []judge.Volume, err error) {
	var uuids []string
	for _, d := range r.m.Disks {
		i, err := d.Info(ctx)
		if err != nil {
			return nil, err
		}
		uuids, all = append(uuids, i.UUID), append(all, judge.VolumeOurs)
	}
	if r.m.Promised != nil {
		if r.gone, err = r.m.Promised(ctx); err != nil {
			return nil, err
		}
	}
	for _, d := range r.m.Doubtful {
		if !slices.Contains(r.o.Without, d.Path) {
			return nil, &DoubtError{d.Path, d.Err}
		}
	}
	r.gone = slices.DeleteFunc(r.gone, func(u string) bool { return slices.Contains(uuids, u) })
	unsaid := slices.DeleteFunc(slices.Clone(r.gone), func(u string) bool { return slices.Contains(r.o.Without, u) })
	switch {
	case len(unsaid) > 0:
		return nil, &MissingError{unsaid}
	case len(all) == 0 && !r.o.NoDisk && len(r.gone) == 0:
		return nil, ErrNoDisk
	case len(all) == 0:
		all = append(all, judge.NoVolume)
	}
	return all, nil
}

// prove checks that the card is the owner's: it signs by the key that the firmware trusts. A PIN
// alone proves nothing, since an exchanged card takes any. A run that was cut after the record has a
// card without keys, and that record to go on from; it counts only where all else was measured as
// erased, for anybody can write one.
func (r *run) prove(ctx context.Context) error {
	if r.o.LostCard {
		return nil
	}
	var err error
	if r.card, err = r.m.Card.Info(ctx); err != nil {
		return err
	}
	r.there = true
	signing := r.card.Fingerprints[0]
	blank := signing == "" || r.card.Terminated
	// The card's reset spends the tries of its PINs first. Cut there, it cannot prove anything,
	// and nothing but itself is left to protect.
	if left := r.left(ctx); left == nil {
		if _, by, err := r.signed(ctx); err == nil && (blank || slices.Contains(by, signing)) {
			r.ended = true
			return nil
		}
	} else if !errors.Is(left, ErrNotReleased) {
		return left
	}
	if blank {
		return fmt.Errorf("%w: it holds no keys, and no earlier release has erased all else", ErrNotOwner)
	}
	cert, err := r.trusted(ctx, signing)
	if err != nil {
		return err
	}
	if r.o.PIN == nil {
		return ErrNeedsPIN
	}
	if err := r.m.Card.VerifyPINs(ctx, r.o.PIN, nil); err != nil {
		return err
	}
	challenge := append([]byte("reown release: "), make([]byte, 32)...)
	_, _ = rand.Read(challenge[len(challenge)-32:]) // it never fails
	sig, err := r.m.Card.Sign(ctx, cert, r.o.PIN, challenge)
	if err == nil {
		err = r.m.PGP.Verify(cert, challenge, sig)
	}
	if err != nil {
		return fmt.Errorf("%w: it does not sign by that key: %w", ErrNotOwner, err)
	}
	r.cert = cert
	armored, err := r.o.Armor(cert)
	if err != nil {
		return err
	}
	// Once the firmware is clean, this is the only copy on the laptop.
	return r.m.Boot.Publish(ctx, KeyName, armored)
}

// trusted finds the certificate that the firmware trusts and whose signing key, the primary one or
// a subkey, is the card's. Only for a firmware that an earlier run has cleaned the one that this run
// put into /boot stands in.
func (r *run) trusted(ctx context.Context, signing string) ([]byte, error) {
	fw, err := r.m.Firmware.Info(ctx)
	if err != nil {
		return nil, err
	}
	signs := func(cert []byte) bool {
		keys, err := r.m.PGP.Keys(cert)
		return err == nil && slices.Contains(keys, signing)
	}
	for _, fpr := range fw.Keyring {
		cert, err := r.m.Firmware.Certificate(ctx, fpr)
		if err != nil {
			return nil, err
		}
		if signs(cert) {
			r.owner = fpr
			return cert, nil
		}
	}
	if clean, err := r.m.Firmware.IsClean(ctx); err != nil {
		return nil, err
	} else if !clean {
		return nil, ErrNotOwner
	}
	cert, err := r.m.Boot.ReadPublished(ctx, KeyName)
	if errors.Is(err, wizard.ErrNotFound) || err == nil && !signs(cert) {
		return nil, ErrNotOwner
	} else if err != nil {
		return nil, err
	}
	keys, err := r.m.PGP.Keys(cert)
	if err != nil {
		return nil, err
	}
	r.early, r.owner = true, keys[0]
	return cert, nil
}

// note says what is done before the first thing is erased.
func (r *run) note(ctx context.Context) error {
	if r.cert == nil { // nothing of it can be signed, or nothing is left to do
		return nil
	}
	return wizard.NoteRelease(ctx, r.m.Whole, r.cert, r.o.PIN)
}

func (r *run) disks(ctx context.Context) error {
	for i, d := range r.m.Disks {
		r.report(int64(i), int64(len(r.m.Disks)))
		if err := d.Erase(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) tpm(ctx context.Context) error {
	if r.m.TPM == nil {
		return nil
	}
	return r.m.TPM.Clear(ctx)
}

func (r *run) firmware(ctx context.Context) error {
	if clean, err := r.m.Firmware.IsClean(ctx); err != nil || clean {
		return err
	}
	if err := wizard.PowerForFlash(ctx, r.m.Platform); err != nil {
		return err
	}
	return r.m.Firmware.Clean(ctx, r.report)
}

func (r *run) resetCard(ctx context.Context) error {
	if !r.there {
		return nil
	}
	card := r.m.Card
	if r.card.Serial != "" { // one in the middle of a reset does not tell it
		card = card.At(r.card.Serial) // and no other that is plugged in meanwhile
	}
	return card.Reset(ctx)
}

// left lists what the machine still holds of its owner's, apart from the card.
func (r *run) left(ctx context.Context) error {
	var found []string
	for _, d := range r.m.Disks {
		i, err := d.Info(ctx)
		if err != nil {
			return err
		}
		if i.Keyslots != 0 || i.Reencrypting {
			found = append(found, "the disk "+i.Path)
		}
	}
	if r.m.TPM != nil {
		if i, err := r.m.TPM.Info(ctx); err != nil {
			return err
		} else if i.Owned || i.PrimaryName != "" {
			found = append(found, "the TPM")
		}
	}
	for _, part := range []struct {
		name    string
		isClean func(context.Context) (bool, error)
	}{{"the firmware", r.m.Firmware.IsClean}, {"/boot", r.m.Boot.IsClean}} {
		if yes, err := part.isClean(ctx); err != nil {
			return err
		} else if !yes {
			found = append(found, part.name)
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%w: %s", ErrNotReleased, strings.Join(found, ", "))
	}
	return nil
}

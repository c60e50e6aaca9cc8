package wizard

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// State is how far a step is, as measured.
type State struct {
	Status      ui.TaskState
	Detail      msg.M // one line, or empty
	Args        []any // for Detail; never a secret
	Done, Total int64 // of a long step that was cut short
	Later       bool  // only another start can do it; the steps after it are done without it
}

// A Step changes one thing about the machine. Probe measures and never writes.
// Apply may be repeated: it does what is missing, wherever it was cut.
type Step struct {
	ID       string
	Title    msg.M
	Does     msg.M   // what it does, in the owner's words
	Loses    msg.M   // what cannot be undone; empty if nothing
	Needs    Secrets // which secrets Apply uses
	Looks    bool    // changes nothing: done in every run, and done when Apply finds no problem
	Pausable bool    // may be stopped at any time and goes on where it was
	Unsafe   bool    // the person must not switch off; a pause waits
	Optional bool    // not shown to the person where it is not needed
	Probe    func(*Snapshot) (State, error)
	Apply    func(context.Context, *Job) error
}

// Secrets is a set of secrets.
type Secrets uint

// The secrets.
const (
	NeedDisk   Secrets = 1 << iota // the disk's new passphrase (and the present one, where it is not set yet)
	NeedUser                       // the card's PIN
	NeedAdmin                      // the card's admin PIN
	NeedOwner                      // the TPM's owner passphrase
	NeedOTP                        // the TOTP secret
	NeedDUK                        // the passphrase of the disk unlock key
	NeedBackup                     // what protects the backup on a stick
)

// Steps is the run, in order. Slow and attended things come first; what makes ROM
// and /boot disagree is the last thing but one and takes seconds.
func Steps() []Step {
	return []Step{
		{ID: "preflight", Title: msg.StepPreflight, Does: msg.DoesPreflight, Looks: true, Probe: probePreflight, Apply: applyPreflight},
		{ID: "card", Title: msg.StepCard, Does: msg.DoesCard, Loses: msg.LosesCard, Needs: NeedUser | NeedAdmin | NeedBackup, Probe: probeCard, Apply: applyCard},
		{ID: "disk", Title: msg.StepDisk, Does: msg.DoesDisk, Loses: msg.LosesDisk, Needs: NeedDisk, Pausable: true, Probe: probeDisk, Apply: applyDisk},
		{ID: "tpm", Title: msg.StepTPM, Does: msg.DoesTPM, Loses: msg.LosesTPM, Needs: NeedOwner | NeedUser, Probe: probeTPM, Apply: applyTPM},
		{ID: "seal", Title: msg.StepSeal, Does: msg.DoesSeal, Loses: msg.LosesSeal, Needs: NeedOwner | NeedOTP | NeedAdmin, Probe: probeSeal, Apply: applySeal},
		{ID: "duk", Title: msg.StepDUK, Does: msg.DoesDUK, Needs: NeedDisk | NeedOwner | NeedDUK, Optional: true, Probe: probeDUK, Apply: applyDUK},
		{ID: "boot", Title: msg.StepBoot, Does: msg.DoesBoot, Needs: NeedUser | NeedOwner, Probe: probeBoot, Apply: applyBoot},
		{ID: "firmware", Title: msg.StepFirmware, Does: msg.DoesFirmware, Loses: msg.LosesFirmware, Needs: NeedUser, Unsafe: true, Probe: probeFirmware, Apply: applyFirmware},
		{ID: "commit", Title: msg.StepCommit, Does: msg.DoesCommit, Loses: msg.LosesCommit, Needs: NeedUser, Probe: probeCommit, Apply: applyCommit},
	}
}

// Job is what a step works on: the machine, what the owner chose, and where to
// report. The step reads the secrets and neither keeps nor wipes them.
type Job struct {
	M        *Machine
	Choice   Choices
	Secrets  *Keys
	Progress Progress
	Touch    func(n, of int) // announces that the security key must be touched, and how often in all
	battery  bool            // the owner accepted to run on the battery
	problems []Problem
	cert     *Certificate // made by the last step
	handover lazy[Handover]
	copies   copies
	spare    string // serial number of the second security key that this run has filled
}

// measure takes a new look at the machine. What the seller signed is verified once
// in a run: it does not change, and verifying hashes all of /boot.
func (j *Job) measure(ctx context.Context) *Snapshot {
	s := measure(ctx, j.M)
	if j.handover.done && j.handover.err == nil {
		s.handover = j.handover
	} else if _, err := s.Handover(); err == nil {
		j.handover = s.handover
	}
	return s
}

// Choices is what the owner chose; nothing in it is secret.
type Choices struct {
	Language  string   `json:"language"`
	Layout    string   `json:"layout"`
	Identity  Identity `json:"identity"`
	Algorithm string   `json:"algorithm"` // "" for the card's recommended one
	Volumes   []string `json:"volumes"`   // UUIDs; nil for all
	Entry     int      `json:"entry"`     // boot entry, from 1; 0 for the one to suggest
	DUK       bool     `json:"duk"`       // a TPM disk unlock key is wanted
	Backup    Backup   `json:"backup"`    // of the key
	Stick     string   `json:"-"`         // ID of the stick that it goes to
	Card      string   `json:"-"`         // serial number of the card that the person was shown; "" for the one in the reader
}

// Keys are the secrets of a run, in locked memory.
type Keys struct {
	Current map[string]*secret.Buffer // by volume UUID: what opens it now
	Disk    *secret.Buffer
	User    *secret.Buffer
	Admin   *secret.Buffer
	Owner   *secret.Buffer
	OTP     *secret.Buffer
	DUK     *secret.Buffer
	Backup  *secret.Buffer // protects the secret keys on a stick
}

// Wipe clears all of them.
func (k *Keys) Wipe() {
	for _, b := range k.Current {
		b.Wipe()
	}
	for _, b := range []*secret.Buffer{k.Disk, k.User, k.Admin, k.Owner, k.OTP, k.DUK, k.Backup} {
		b.Wipe()
	}
	*k = Keys{}
}

func completed(detail msg.M, args ...any) State {
	return State{Status: ui.Completed, Detail: detail, Args: args}
}

func notStarted(detail msg.M, args ...any) State {
	return State{Status: ui.NotStarted, Detail: detail, Args: args}
}

// ---------------------------------------------------------------- preflight

func probePreflight(s *Snapshot) (State, error) {
	p := preflight(s, false)
	if len(p) == 0 {
		return completed(msg.M{}), nil
	}
	return State{Status: ui.Trouble, Detail: p[0].What, Args: p[0].Args}, nil
}

func applyPreflight(ctx context.Context, j *Job) error {
	if j.copies.main != "" {
		return nil // found no problem in this run; another security key may be in the reader now
	}
	j.problems = preflight(j.measure(ctx), j.battery)
	if len(j.problems) > 0 {
		return &PreflightError{Problems: j.problems}
	}
	return nil
}

// ---------------------------------------------------------------- card

func probeCard(s *Snapshot) (State, error) {
	card, err := s.Card()
	if errors.Is(err, ErrNoCard) {
		return State{Status: ui.CannotStart, Detail: msg.CardMissing}, nil
	} else if err != nil {
		return State{}, err
	}
	if card.Terminated {
		return State{Status: ui.InProgress, Detail: msg.CardHalfReset}, nil
	}
	if _, err := s.Owner(); err == nil {
		if _, err := s.Receipt(); err != nil {
			return State{Status: ui.InProgress, Detail: msg.CardNoReceipt}, nil
		}
		return completed(msg.CardDone, short(card.Fingerprints[0])), nil
	} else if !errors.Is(err, errNoOwner) {
		return State{}, err
	}
	return notStarted(msg.CardNotYours, card.Vendor, card.Serial), nil
}

func applyCard(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	cert, err := s.Owner()
	switch {
	case err == nil:
		// The keys are there; what is missing is the receipt.
		if err := j.M.Card.VerifyPINs(ctx, j.Secrets.User, nil); err != nil {
			return err
		}
	case !errors.Is(err, errNoOwner):
		return err
	default:
		if err := j.shownCard(ctx); err != nil {
			return err
		}
		if j.Choice.Backup == NoBackup {
			cert, err = newKeys(ctx, j)
		} else {
			cert, err = newKeysWithBackup(ctx, j)
		}
		if err != nil {
			return err
		}
	}
	r, err := j.newReceipt(ctx, j.measure(ctx))
	if err != nil {
		return err
	}
	return writeReceipt(ctx, j.M, cert, j.Secrets.User, r)
}

// shownCard makes sure that the card in the reader, which will be erased, is the one
// that the person was shown. One in the middle of a reset does not tell its number.
func (j *Job) shownCard(ctx context.Context) error {
	c := &j.copies
	if j.Choice.Card == "" || c.main != "" {
		return nil
	}
	info, err := j.M.Card.Info(ctx)
	if err != nil || info.Terminated || info.Serial == j.Choice.Card {
		return err
	}
	c.main = j.Choice.Card
	return &waitError{plugMain}
}

// newKeys makes the card the owner's from scratch.
func newKeys(ctx context.Context, j *Job) ([]byte, error) {
	card := j.M.Card
	before, err := card.Info(ctx)
	if err != nil {
		return nil, err
	}
	if !before.Terminated {
		card = card.At(before.Serial) // and no other that is plugged in meanwhile
	}
	if err := card.Reset(ctx); err != nil {
		return nil, fmt.Errorf("resetting the security key: %w", err)
	}
	info, err := card.Info(ctx)
	if err != nil {
		return nil, err
	}
	card = card.At(info.Serial)
	// A key in the middle of a reset does not tell its number, so nobody could compare
	// it before.
	if h, err := j.measure(ctx).Handover(); err == nil && before.Terminated && h.CardSerial != "" && h.CardSerial != info.Serial {
		return nil, ErrOtherCard
	}
	spec := KeySpec{Algorithm: j.Choice.Algorithm, Created: j.M.Platform.Now().UTC().Truncate(time.Second)}
	if spec.Algorithm == "" && len(info.Algorithms) > 0 {
		spec.Algorithm = info.Algorithms[0]
	}
	if j.Touch != nil && info.Touch != "" {
		j.Touch(1, 1)
	}
	if err := card.Generate(ctx, spec, j.Progress); err != nil {
		return nil, fmt.Errorf("making keys in the security key: %w", err)
	}
	if err := card.SetPINs(ctx, j.Secrets.User, j.Secrets.Admin); err != nil {
		return nil, fmt.Errorf("setting the PINs: %w", err)
	}
	if err := j.afterReset(ctx); err != nil {
		return nil, err
	}
	cert, err := card.Certify(ctx, j.Choice.Identity, j.Secrets.User)
	if err != nil {
		return nil, fmt.Errorf("making the certificate: %w", err)
	}
	fprs, err := j.M.PGP.Fingerprints(cert)
	if err != nil {
		return nil, fmt.Errorf("checking the new certificate: %w", err)
	}
	if info, err = card.Info(ctx); err != nil {
		return nil, err
	}
	if fprs != info.Fingerprints {
		return nil, errors.New("the new certificate is not that of the keys on the card")
	}
	if err := j.M.Boot.WriteHint(ctx, hintCert, cert); err != nil {
		return nil, fmt.Errorf("storing the certificate: %w", err)
	}
	return cert, nil
}

// afterReset mends what the card's reset broke in the token that it is a part of.
func (j *Job) afterReset(ctx context.Context) error {
	token := j.M.HOTP(ctx)
	if token == nil {
		return nil
	}
	if err := token.AfterReset(ctx, j.Secrets.Admin); err != nil {
		return fmt.Errorf("after the security key's reset: %w", err)
	}
	return nil
}

// newReceipt notes how the machine is before the run.
func (j *Job) newReceipt(ctx context.Context, s *Snapshot) (*Receipt, error) {
	r := &Receipt{Started: j.M.Platform.Now().UTC().Format(time.RFC3339), Language: j.Choice.Language, Layout: j.Choice.Layout, DUK: j.Choice.DUK,
		Backup: j.Choice.Backup, Spare: j.spare}
	disks, err := s.Disks()
	if err != nil {
		return nil, err
	}
	h, err := s.Handover()
	if err != nil {
		return nil, err
	}
	i := j.Choice.Entry - 1
	if i < 0 {
		i = s.entry(nil)
	}
	if b, err := s.Boot(); err == nil && i >= 0 && i < len(b.Entries) {
		r.Entry, r.EntryName = i+1, b.Entries[i]
	}
	for _, d := range disks {
		if j.Choice.Volumes != nil && !slices.Contains(j.Choice.Volumes, d.UUID) {
			continue
		}
		r.Volumes = append(r.Volumes, Volume{UUID: d.UUID, KeyDigest: d.KeyDigest})
	}
	if h.Signer != "" {
		r.Seller, r.SellerKey, r.Order, r.Statement = h.Seller, h.Signer, h.Order, h.Statement
		if len(h.Chain) > 0 {
			r.SellerKey = h.SellerKey()
		}
	}
	if j.M.TPM != nil {
		t, err := s.TPM()
		if err != nil {
			return nil, err
		}
		r.OldSRK = t.root()
	}
	return r, nil
}

// ---------------------------------------------------------------- disk

func probeDisk(s *Snapshot) (State, error) {
	disks, err := s.Disks()
	if err != nil {
		return State{}, err
	}
	r, _ := s.Receipt()
	st := State{Status: ui.NotNeeded, Detail: msg.DiskNone}
	chosen, ready := 0, 0
	for _, d := range disks {
		if !selected(r, d.UUID) {
			continue
		}
		chosen++
		switch {
		case d.Reencrypting && s.ours(d):
			st.Status = ui.InProgress
			st.Done, st.Total = st.Done+d.Done, st.Total+d.Total
		case s.rekeyed(d):
			ready++
			st.Done, st.Total = st.Done+d.Size, st.Total+d.Size
		default:
			st.Total += d.Size
		}
	}
	switch {
	case chosen == 0:
	case ready == chosen:
		return completed(msg.DiskDone, chosen), nil
	case st.Status == ui.InProgress || ready > 0:
		st.Status, st.Detail, st.Args = ui.InProgress, msg.DiskPart, []any{percent(st.Done, st.Total)}
	default:
		return notStarted(msg.DiskNotYours, chosen, gigabytes(st.Total)), nil
	}
	return st, nil
}

func applyDisk(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	r, err := s.Receipt()
	if err != nil {
		return err
	}
	disks, err := s.Disks()
	if err != nil {
		return err
	}
	var total, before int64
	for _, d := range disks {
		if selected(r, d.UUID) {
			total += d.Size
		}
	}
	// First the passphrases, then the long part: a new volume key is never
	// wrapped under a passphrase that the seller knows.
	for i, d := range disks {
		if !selected(r, d.UUID) || s.ours(d) {
			continue
		}
		old := j.Secrets.Current[d.UUID]
		if old == nil {
			old = j.Secrets.Disk
			if err := j.M.Disks[i].CheckPassphrase(ctx, old); err != nil {
				return fmt.Errorf("the present passphrase of %s was not given: %w", d.Path, err)
			}
		}
		if d.Reencrypting { // somebody else's, to a key that he may know: finished, then done again
			if err := j.M.Disks[i].Reencrypt(ctx, old, nil); err != nil {
				return fmt.Errorf("finishing what was begun on %s: %w", d.Path, err)
			}
		}
		if err := j.M.Disks[i].SetPassphrase(ctx, old, j.Secrets.Disk); err != nil {
			return fmt.Errorf("setting the passphrase of %s: %w", d.Path, err)
		}
	}
	for i, d := range disks {
		if !selected(r, d.UUID) {
			continue
		}
		if !s.rekeyed(d) {
			if err := j.M.Disks[i].Reencrypt(ctx, j.Secrets.Disk, func(done, of int64) {
				if j.Progress != nil && of > 0 {
					j.Progress(before+int64(float64(done)/float64(of)*float64(d.Size)), total)
				}
			}); err != nil {
				return fmt.Errorf("re-encrypting %s: %w", d.Path, err)
			}
		}
		before += d.Size
	}
	return nil
}

// ---------------------------------------------------------------- tpm

func probeTPM(s *Snapshot) (State, error) {
	if s.m.TPM == nil {
		return State{Status: ui.NotNeeded, Detail: msg.TPMNone}, nil
	}
	t, err := s.TPM()
	if err != nil {
		return State{}, err
	}
	if r, err := s.Receipt(); err == nil && r.SRK != "" && r.SRK == t.root() && t.Owned && t.SetUp {
		return completed(msg.TPMDone, t.Family), nil
	}
	return notStarted(msg.TPMNotYours, t.Family), nil
}

func applyTPM(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	if err := j.M.TPM.Reset(ctx, j.Secrets.Owner); err != nil {
		return fmt.Errorf("resetting the TPM: %w", err)
	}
	if err := j.M.TPM.CheckOwner(ctx, j.Secrets.Owner); err != nil {
		return fmt.Errorf("checking the TPM's new passphrase: %w", err)
	}
	t, err := j.M.TPM.Info(ctx)
	if err != nil {
		return err
	}
	r.SRK = t.root()
	return writeReceipt(ctx, j.M, cert, j.Secrets.User, r)
}

// ---------------------------------------------------------------- seal

func probeSeal(s *Snapshot) (State, error) {
	if s.m.TPM == nil && s.m.HOTP(s.ctx) == nil {
		return State{Status: ui.NotNeeded, Detail: msg.SealNone}, nil
	}
	r, err := s.Receipt()
	if err != nil {
		return notStarted(msg.SealLater), nil
	}
	if s.m.TPM == nil {
		p, err := s.Plan()
		if err != nil {
			return State{}, err
		}
		if r.HOTPFor == hex.EncodeToString(p.Image[:]) {
			return completed(msg.SealDone), nil
		}
		return notStarted(msg.SealNotYours), nil
	}
	t, err := s.TPM()
	if err != nil {
		return State{}, err
	}
	if t.root() != r.SRK || !t.Owned || !t.SetUp {
		return notStarted(msg.SealLater), nil
	}
	ok, err := s.Sealed()
	if errors.Is(err, ErrSealImpossible) {
		return afterRestart(), nil
	} else if err != nil {
		return State{}, err
	}
	if ok {
		return completed(msg.SealDone), nil
	}
	return notStarted(msg.SealNotYours), nil
}

func applySeal(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	plan, err := s.Plan()
	if err != nil {
		return err
	}
	if j.M.TPM == nil {
		return hotpFromImage(ctx, j, s, plan)
	}
	if _, err := s.Sealed(); err != nil {
		return err
	}
	// The token first: once the TPM's object is there, this step counts as done.
	if token := j.M.HOTP(ctx); token != nil {
		if err := token.Set(ctx, j.Secrets.OTP, j.Secrets.Admin, j.Touch); err != nil {
			return fmt.Errorf("giving the secret to the security key: %w", err)
		}
	}
	if err := j.M.TPM.SealOTP(ctx, j.Secrets.Owner, j.Secrets.OTP, plan.PCR7); err != nil {
		return fmt.Errorf("sealing the secret in the TPM: %w", err)
	}
	return nil
}

// hotpFromImage is what Heads does on a machine without a TPM: the secret is the
// digest of the firmware itself.
func hotpFromImage(ctx context.Context, j *Job, s *Snapshot, plan *FirmwarePlan) error {
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	token := j.M.HOTP(ctx)
	if token == nil {
		return ErrNoCard
	}
	otp := secret.New(20)
	defer otp.Wipe()
	copy(otp.Bytes(), plan.Image[:])
	if err := token.Set(ctx, otp, j.Secrets.Admin, j.Touch); err != nil {
		return fmt.Errorf("giving the secret to the security key: %w", err)
	}
	r.HOTPFor = hex.EncodeToString(plan.Image[:])
	return writeReceipt(ctx, j.M, cert, j.Secrets.User, r)
}

// ---------------------------------------------------------------- boot

// bootKey names what a staged /boot belongs to: the TPM's state, and the disk unlock
// key with the headers that it is sealed to.
func (s *Snapshot) bootKey(r *Receipt) (string, error) {
	key := r.SRK
	if key == "" {
		key = "no tpm"
	}
	files, err := s.dukFiles(r)
	if err == nil && len(files) > 0 {
		key += " duk " + digestOfFiles(files)
	}
	return key, err
}

func probeBoot(s *Snapshot) (State, error) {
	r, err := s.Receipt()
	if err != nil {
		return notStarted(msg.BootNotYours), nil
	}
	if key, err := s.bootKey(r); err != nil {
		return State{}, err
	} else if r.BootFor != key {
		return notStarted(msg.BootNotYours), nil
	}
	if ok, err := s.Staged(); err != nil {
		return State{}, err
	} else if ok {
		return completed(msg.BootStaged), nil
	}
	if ok, err := s.Live(); err != nil {
		return State{}, err
	} else if ok {
		return completed(msg.BootInstalled), nil
	}
	return notStarted(msg.BootNotYours), nil
}

func applyBoot(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	key, err := s.bootKey(r)
	if err != nil {
		return err
	}
	if r.BootFor != "" && r.BootFor != key {
		// Cut between the new set and the receipt, the old key must not vouch for it.
		r.BootFor = ""
		if err := writeReceipt(ctx, j.M, cert, j.Secrets.User, r); err != nil {
			return err
		}
	}
	spec := BootSpec{Cert: cert, Entry: s.entry(r)}
	if spec.Entry < 0 {
		return &PreflightError{[]Problem{noEntry}}
	}
	if spec.DUK, err = s.dukFiles(r); err != nil {
		return fmt.Errorf("reading the disks' headers: %w", err)
	}
	if j.M.TPM != nil {
		if spec.Rollback, err = j.M.TPM.Counter(ctx, j.Secrets.Owner); err != nil {
			return fmt.Errorf("making the rollback counter: %w", err)
		}
		if spec.PrimaryHash, err = j.M.TPM.PrimaryHash(ctx); err != nil {
			return fmt.Errorf("reading the TPM's storage root: %w", err)
		}
	}
	if token := j.M.HOTP(ctx); token != nil {
		spec.HOTPCounter = token.CounterFile()
	}
	sign := func(data []byte) ([]byte, error) { return j.M.Card.Sign(ctx, cert, j.Secrets.User, data) }
	if err := j.M.Boot.Stage(ctx, spec, sign, j.Progress); err != nil {
		return fmt.Errorf("preparing /boot: %w", err)
	}
	if ok, err := j.M.Boot.Staged(ctx, cert); err != nil {
		return fmt.Errorf("checking the prepared /boot: %w", err)
	} else if !ok {
		return errors.New("the prepared /boot does not verify with the new key")
	}
	r.BootFor = key
	return writeReceipt(ctx, j.M, cert, j.Secrets.User, r)
}

// ---------------------------------------------------------------- firmware

func probeFirmware(s *Snapshot) (State, error) {
	ok, err := s.Holds()
	if err != nil {
		return State{}, err
	}
	if ok {
		return completed(msg.FirmwareDone), nil
	}
	return notStarted(msg.FirmwareNotYours), nil
}

func applyFirmware(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	cert, err := s.Owner()
	if err != nil {
		return err
	}
	plan, err := s.Plan()
	if err != nil {
		return err
	}
	// After this the machine starts only what the new key has signed: look once
	// more that there is something, and that the TPM will open its secret, where this
	// start can know that.
	if ok, err := s.Staged(); err != nil {
		return err
	} else if live, err := s.Live(); err != nil {
		return err
	} else if !ok && !live {
		return ErrNotPrepared
	}
	if j.M.TPM != nil {
		if _, err := s.putOff(); err != nil {
			return err
		}
	}
	if err := PowerForFlash(ctx, j.M.Platform); err != nil {
		return err
	}
	sign := func(data []byte) ([]byte, error) { return j.M.Card.Sign(ctx, cert, j.Secrets.User, data) }
	if err := j.M.Firmware.Write(ctx, plan, cert, sign, j.Progress); err != nil {
		return fmt.Errorf("writing the firmware chip: %w", err)
	}
	if ok, err := j.M.Firmware.Holds(ctx, cert); err != nil {
		return fmt.Errorf("checking the firmware chip: %w", err)
	} else if !ok {
		return errors.New("the firmware chip does not hold the new key after writing")
	}
	return nil
}

// minFlash is the charge below which the chip is not written on the battery, in percent.
const minFlash = 30

// PowerForFlash looks once more before the seconds in which a cut is unsafe: hours may
// have passed. It returns ErrPowerUnreliable.
func PowerForFlash(ctx context.Context, p Platform) error {
	if now, err := p.Power(ctx); err != nil {
		return err
	} else if now.Known && !now.Mains && now.Percent < minFlash {
		return ErrPowerUnreliable
	}
	return nil
}

// ---------------------------------------------------------------- commit

func probeCommit(s *Snapshot) (State, error) {
	trigger, err := s.m.Boot.Triggered(s.ctx)
	if err != nil {
		return State{}, err
	}
	if _, err := s.HintCert(); err != nil || trigger {
		return notStarted(msg.CommitNot), nil
	}
	if ok, err := s.Live(); err != nil {
		return State{}, err
	} else if !ok {
		return notStarted(msg.CommitNot), nil
	}
	return completed(msg.CommitDone), nil
}

func applyCommit(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	cert, err := s.Owner()
	if err != nil {
		return err
	}
	if ok, err := s.Holds(); err != nil {
		return err
	} else if !ok {
		return ErrNotPrepared
	}
	later, err := s.putOff()
	if err != nil {
		return err
	}
	live, err := s.Live()
	if err != nil {
		return err
	}
	// One that is staged is newer than the one in place, even if that is good.
	staged, err := s.Staged()
	if err != nil {
		return err
	}
	if staged || !live {
		if err := j.M.Boot.Install(ctx); err != nil {
			return fmt.Errorf("putting the new /boot in place: %w", err)
		}
		if ok, err := j.M.Boot.Live(ctx, cert); err != nil {
			return fmt.Errorf("checking the new /boot: %w", err)
		} else if !ok {
			return errors.New("the new /boot does not verify with the new key")
		}
	}
	if later {
		return ErrSealImpossible
	}
	c, err := certify(ctx, j, j.measure(ctx), cert)
	if err != nil {
		return err
	}
	j.cert = c
	if err := j.M.Boot.RemoveTrigger(ctx); err != nil {
		return fmt.Errorf("removing /boot/oem: %w", err)
	}
	// From here on a new /boot/oem is somebody else's doing; see phase.
	if err := j.M.Boot.WriteHint(ctx, hintCertificate, c.json); err != nil {
		return fmt.Errorf("storing the certificate: %w", err)
	}
	// A receipt that stays would always look like a run that was cut.
	if err := j.M.Boot.RemoveHint(ctx, hintReceipt); err != nil {
		return fmt.Errorf("removing the receipt: %w", err)
	}
	return nil
}

// ---------------------------------------------------------------- small things

// short is a fingerprint as people compare it: its first and last eight digits.
func short(fpr string) string {
	if len(fpr) != 40 {
		return fpr
	}
	return fpr[:4] + " " + fpr[4:8] + " ... " + fpr[32:36] + " " + fpr[36:]
}

func percent(done, total int64) int64 {
	if total <= 0 {
		return 0
	}
	return int64(float64(done) / float64(total) * 100)
}

func gigabytes(n int64) string {
	if n < 100e6 {
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	if n < 10e9 {
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.0f GB", float64(n)/1e9)
}

func digestOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

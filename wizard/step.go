package wizard

import (
	"context"
	"slices"

	"reown/internal/judge"
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

// A Step changes one thing about the machine. Probe measures, Rehearse looks for what
// could stop Apply, and neither writes. Apply may be repeated: it does what is missing, wherever it was cut. Each is
// made by
// one file, step_ID.go.
type Step struct {
	ID       string
	Title    msg.M
	Does     msg.M   // what it does, in the owner's words
	Loses    msg.M   // what cannot be undone; empty if nothing
	Needs    Secrets // which secrets Apply uses
	Looks    bool    // changes nothing: done in every run, and done when Apply finds no problem
	Pausable bool    // may be stopped at any time and goes on where it was
	Bytes    bool    // its progress counts bytes of the disks
	Unsafe   bool    // the person must not switch off; a pause waits
	Waits    bool    // may wait for something that a person must plug in
	Late     bool    // may be put off to another start
	Optional bool    // not shown to the person where it is not needed
	Follows  bool    // takes nothing away that other steps leave: no row on the last page before the run
	Shows    Shown   // what that page shows beside what the step does
	// Chosen says whether the owner wants an Optional step, which Probe cannot know
	// before the receipt; nil: it is not asked.
	Chosen func(Choices) bool
	Probe  func(*Snapshot) (State, error)
	// Rehearse adds every problem that could stop Apply and that is there before the
	// run; it writes nothing. Nil: there is none.
	Rehearse func(*Rehearsal)
	Apply    func(context.Context, *Job) error
}

// Shown is what the last page before the run shows of a step.
type Shown int

// What there is to show beside what is lost.
const (
	ShowNothing Shown = iota
	ShowCard          // its number, and where else its keys go
	ShowDisks         // each of them, and how long it takes
	ShowTouches       // how often the security key must be touched
	ShowChip          // what becomes of the chip's other content
)

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
		stepPreflight(), stepCard(), stepDisk(), stepTPM(), stepSeal(), stepDUK(), stepBoot(), stepFirmware(), stepCommit(),
	}
}

// probe measures one step; an error becomes the state "problem".
func probe(st Step, s *Snapshot) State {
	state, err := st.Probe(s)
	if err != nil {
		return State{Status: ui.Trouble, Detail: msg.Technical, Args: []any{err}}
	}
	return state
}

func finished(s State) bool { return s.Status == ui.Completed || s.Status == ui.NotNeeded }

func completed(detail msg.M, args ...any) State {
	return State{Status: ui.Completed, Detail: detail, Args: args}
}

func notStarted(detail msg.M, args ...any) State {
	return State{Status: ui.NotStarted, Detail: detail, Args: args}
}

// Job is what the acts of a step work on: the machine, what its owner or seller chose,
// and where to report. An act reads the secrets and neither keeps nor wipes them.
type Job struct {
	M        *Machine
	Choice   Choices
	Secrets  *Keys
	Progress Progress // nil: nobody wants to know
	// Touch announces that the security key must be touched, and how often in all; nil: to nobody.
	Touch func(n, of int)

	surveys  *surveys     // of the disks; nil: none
	battery  bool         // the owner accepted to run on the battery
	cert     *Certificate // made by the last step
	handover lazy[Handover]
	copies   copies
	spare    string // serial number of the second security key that this run has filled
	said     judge.Said
	resumed  bool     // an earlier start has made the keys of the run
	tail     bool     // a security key that works for something else may be erased
	here     []byte   // the receipt that this start has written last
	made     []byte   // the certificate of the keys that this start has made
	signs    bool     // the seller's card has signed a challenge
	listed   *listing // in /boot when said.Names was said
	gone     []string // names in /boot that no firmware reads, which this start has shown
}

// measure takes a new look at the machine. What the seller signed is verified once
// in a run: it does not change, and verifying hashes all of /boot.
func (j *Job) measure(ctx context.Context) *Snapshot {
	s := measure(ctx, j.M)
	s.here, s.made = j.here, j.made
	if j.handover.done && j.handover.err == nil {
		s.handover = j.handover
	} else if _, err := s.Handover(); err == nil {
		j.handover = s.handover
	}
	return s
}

// agreed are the names in /boot that may go: shown in this start, or when the run began.
func (j *Job) agreed(r *Receipt) []string { return slices.Concat(j.gone, r.Gone) }

// note has a receipt signed and stored.
func (j *Job) note(ctx context.Context, cert []byte, r *Receipt) (err error) {
	j.here, err = writeReceipt(ctx, j.M, cert, j.Secrets.User, r)
	return err
}

// renew makes the receipt the newest signature of the card again, before others follow: a cut among
// those must not make the run look as if it were over.
func (j *Job) renew(ctx context.Context, cert []byte, r *Receipt) error {
	c, err := j.M.Card.Info(ctx)
	if err != nil || r.Number == 0 || c.Signatures == r.Number && c.Serial == r.Card {
		return err
	}
	return j.note(ctx, cert, r)
}

// sign returns what signs with the card's key, which cert is the certificate of.
func (j *Job) sign(ctx context.Context, cert []byte) func([]byte) ([]byte, error) {
	return func(data []byte) ([]byte, error) { return j.M.Card.Sign(ctx, cert, j.Secrets.User, data) }
}

// Choices is what the owner chose; nothing in it is secret.
type Choices struct {
	Language  string   `json:"language"`
	Layout    string   `json:"layout"`
	Identity  Identity `json:"identity"`
	Algorithm string   `json:"algorithm"` // "" for the card's recommended one
	// UUIDs of disks that read as noise, and on which nothing is, as a person says in this start
	Noise   []string `json:"-"`
	Volumes []string `json:"volumes"` // UUIDs; nil for all
	Entry   int      `json:"entry"`   // boot entry, from 1; 0 for the one to suggest
	DUK     bool     `json:"duk"`     // a TPM disk unlock key is wanted
	Fill    bool     `json:"fill"`    // what was never written on a disk is overwritten, too
	// Lost are parts of disks that cannot be read and that the owner gives up, by UUID.
	Lost   map[string][]Stretch `json:"-"`
	Backup Backup               `json:"backup"` // of the key
	Stick  string               `json:"-"`      // ID of the stick that it goes to
	// Card is the serial number of the card that the person was shown; "" for the one in the reader.
	Card string `json:"-"`
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

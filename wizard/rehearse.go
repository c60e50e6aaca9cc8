package wizard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
	"reown/wizard/msg"
)

// Kind is a stable word for what stands in the way of a run; what its Args are.
type Kind string

// The kinds of problems.
const (
	OnBattery     Kind = "on battery"       // percent of its charge
	WrongClock    Kind = "wrong clock"      // the time that it shows
	CardMissing   Kind = "card missing"     //
	CardOld       Kind = "card too old"     // its vendor
	CardNoReset   Kind = "card no reset"    // its vendor
	TokenNoLight  Kind = "token no light"   //
	DiskNoKeyslot Kind = "disk no keyslot"  // its path
	LittleMemory  Kind = "little memory"    // MiB that are needed, MiB that are there
	NoEntry       Kind = "no boot entry"    //
	Unreadable    Kind = "device not ready" // which one, and what it said

	CardAlgorithm Kind = "card algorithm"         // its vendor, the kind of key
	CardPIN       Kind = "card pin"               // its vendor, shortest and longest that it takes
	CardName      Kind = "card name"              //
	CardImport    Kind = "card import"            // its vendor, why
	DiskNoise     Kind = "disk noise"             // its path
	DiskUnseen    Kind = "disk unseen"            // its path
	DiskRefuses   Kind = "disk refuses"           // its path, why
	DiskAmbiguous Kind = "disk ambiguous"         // its path, why
	EntryRefuses  Kind = "entry cannot boot"      // its name, why
	BootOdd       Kind = "odd in boot"            // what
	BootFull      Kind = "boot full"              // what
	BootFixed     Kind = "boot fixed"             // what, also where it is read-only
	BootBroken    Kind = "boot broken"            // what
	ChipUnread    Kind = "chip unread"            // why
	ChipSeveral   Kind = "chip several"           // which it may be
	ChipLocked    Kind = "chip locked"            // where
	ChipFull      Kind = "chip full"              // what
	ChipLayout    Kind = "chip layout"            // what
	TPMBank       Kind = "tpm bank"               // what was measured; so with those below
	TPMKeyType    Kind = "tpm key type"           //
	TPMSlots      Kind = "tpm slots"              //
	TPMRoom       Kind = "tpm room"               //
	TPMPresence   Kind = "tpm presence"           //
	TPMLocked     Kind = "tpm locked"             //
	TPMNoEK       Kind = "tpm no endorsement key" //
)

// Action is what can be done about a problem.
type Action string

// The actions.
const (
	PlugInPower Action = "plug in power"
	UseBattery  Action = "use battery" // by the program, see Options.Battery
	SetClock    Action = "set clock"   // by the program, if somebody says what time it is
	PlugInCard  Action = "plug in card"
	OtherCard   Action = "other card"
	OtherPIN    Action = "other pin"
	OtherName   Action = "other name"
	NoBackups   Action = "no backup"
	TryAgain    Action = "try again"
	AskSeller   Action = "ask seller"
	LeaveOut    Action = "leave out"   // by the program, where there is another disk
	UseDisk     Action = "use disk"    // by the program: a person says that nothing is on it
	OtherEntry  Action = "other entry" // by the program, where there is one
	ChooseChip  Action = "choose chip" // by the program: a person says which
	WithoutDUK  Action = "without duk" // by the program, see Choices
	RemoveOld   Action = "remove old"  // kernels, in the installed system
	Restart     Action = "restart"
)

// Remedy is an action, in words.
type Remedy struct {
	Action Action
	Text   msg.M
}

// kinds says of each kind what it is, and what can be done, in the order in which it
// should be tried: put right before go without before give up; what the program can do
// before what a person must; what loses less first.
var kinds = map[Kind]struct {
	what     msg.M
	remedies []Remedy
}{
	OnBattery:     {msg.ProblemPower, []Remedy{{PlugInPower, msg.RemedyPower}, {UseBattery, msg.ButtonBattery}}},
	WrongClock:    {msg.ProblemClock, []Remedy{{SetClock, msg.RemedyClock}}},
	CardMissing:   {msg.ProblemCard, []Remedy{{PlugInCard, msg.RemedyCard}}},
	CardOld:       {msg.ProblemCardOld, []Remedy{{OtherCard, msg.RemedyCardOld}}},
	CardNoReset:   {msg.ProblemNoReset, []Remedy{{OtherCard, msg.RemedyCardOld}}},
	TokenNoLight:  {msg.ProblemToken, []Remedy{{OtherCard, msg.RemedyToken}}},
	DiskNoKeyslot: {msg.ProblemKeyslots, []Remedy{{LeaveOut, msg.RemedyLeaveOut}, {AskSeller, msg.RemedyKeyslots}}},
	LittleMemory:  {msg.ProblemMemory, []Remedy{{AskSeller, msg.RemedyMemory}, {LeaveOut, msg.RemedyLeaveOut}}},
	NoEntry:       {msg.ProblemEntries, []Remedy{{AskSeller, msg.RemedyEntries}}},
	Unreadable:    {msg.ProblemDevice, []Remedy{{TryAgain, msg.RemedyDevice}}},
	CardAlgorithm: {msg.ProblemAlgorithm, []Remedy{{OtherCard, msg.RemedyCardOld}}},
	CardPIN:       {msg.ProblemPIN, []Remedy{{OtherPIN, msg.RemedyPIN}, {OtherCard, msg.RemedyCardOld}}},
	CardName:      {msg.NameBad, []Remedy{{OtherName, msg.NameEmpty}}},
	CardImport:    {msg.ProblemImport, []Remedy{{NoBackups, msg.RemedyNoBackup}, {OtherCard, msg.RemedyCardOld}}},
	DiskNoise: {msg.ProblemNoise, []Remedy{{AskSeller, msg.RemedyNoise}, {LeaveOut, msg.RemedyLeaveOut},
		{UseDisk, msg.ButtonNoise}}},
	DiskUnseen: {msg.ProblemUnseen, []Remedy{{AskSeller, msg.RemedyUnseen}, {LeaveOut, msg.RemedyLeaveOut},
		{UseDisk, msg.ButtonNoise}}},
	DiskRefuses:   {msg.ProblemRefuses, []Remedy{{LeaveOut, msg.RemedyLeaveOut}, {AskSeller, msg.RemedyKeyslots}}},
	DiskAmbiguous: {msg.ProblemAmbiguous, []Remedy{{LeaveOut, msg.RemedyAlone}, {AskSeller, msg.RemedyKeyslots}}},
	EntryRefuses:  {msg.ProblemEntry, []Remedy{{OtherEntry, msg.RemedyEntry}, {AskSeller, msg.RemedyEntries}}},
	BootOdd:       {msg.ProblemOdd, []Remedy{{AskSeller, msg.RemedyOdd}}},
	BootFull:      {msg.ProblemFull, []Remedy{{RemoveOld, msg.RemedyFull}}},
	BootFixed:     {msg.ProblemFixed, []Remedy{{AskSeller, msg.RemedyFixed}}},
	BootBroken:    {msg.ProblemBootDisk, []Remedy{{AskSeller, msg.RemedyEntries}}},
	ChipLocked:    {msg.ProblemLocked, []Remedy{{Restart, msg.RemedyLocked}}},
	ChipSeveral:   {msg.ProblemSeveral, []Remedy{{ChooseChip, msg.RemedySeveral}, {AskSeller, msg.RemedyEntries}}},
	ChipUnread:    {msg.ProblemReach, []Remedy{{Restart, msg.RemedyLocked}}},
	ChipFull:      {msg.ProblemNoRoom, []Remedy{{AskSeller, msg.RemedyLayout}}},
	ChipLayout:    {msg.ProblemLayout, []Remedy{{AskSeller, msg.RemedyLayout}}},
	TPMBank:       {msg.ProblemTPMBank, []Remedy{{AskSeller, msg.RemedyTPMBank}}},
	TPMKeyType:    {msg.ProblemTPMKeyType, []Remedy{{AskSeller, msg.RemedyLayout}}},
	TPMSlots:      {msg.ProblemTPMSlots, []Remedy{{WithoutDUK, msg.RemedyWithoutDUK}, {AskSeller, msg.RemedyEntries}}},
	TPMRoom:       {msg.ProblemTPMRoom, []Remedy{{AskSeller, msg.RemedyEntries}}},
	TPMPresence:   {msg.ProblemTPMPresence, []Remedy{{AskSeller, msg.RemedyTPMPresence}}},
	TPMLocked:     {msg.ProblemTPMLocked, []Remedy{{Restart, msg.RemedyLocked}}},
	TPMNoEK:       {msg.ProblemTPMNoEK, []Remedy{{AskSeller, msg.RemedyEntries}}},
}

// Problem is something that must be put right before a run, and how.
type Problem struct {
	// of the device: power, clock, card, token, tpm, disk, format, keyslots, memory, firmware, boot, entries
	ID       string
	Kind     Kind
	What     msg.M
	Args     []any    // for What
	Remedies []Remedy // in the order in which to try them; at least one
	Err      error    // what programs know it by; nil: nothing but the kind
	Volume   string   // UUID of the disk that it is about; "" where it is about none
}

func newProblem(id string, kind Kind, err error, args ...any) Problem {
	k := kinds[kind]
	return Problem{ID: id, Kind: kind, What: k.what, Args: args, Remedies: slices.Clone(k.remedies), Err: err}
}

// Offers says whether an action is among the remedies.
func (p Problem) Offers(a Action) bool {
	return slices.ContainsFunc(p.Remedies, func(r Remedy) bool { return r.Action == a })
}

// without is the problem without a remedy that cannot be followed here.
func (p *Problem) without(a Action) {
	p.Remedies = slices.DeleteFunc(p.Remedies, func(r Remedy) bool { return r.Action == a })
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: %s", p.ID, p.What.In(msg.EN, p.Args...))
}

// A Finding is what a device would refuse in the run. It is an error, too.
type Finding struct {
	Kind Kind
	Args []any // of the kind's text
	Err  error // what programs know it by
}

func (f *Finding) Error() string {
	if f.Err != nil {
		return f.Err.Error()
	}
	return kinds[f.Kind].what.In(msg.EN, f.Args...)
}

func (f *Finding) Unwrap() error { return f.Err }

// What the devices look at for a rehearsal. None of it changes anything, and an error
// says that the device cannot be used now.
type (
	// TPMRehearsal finds what clearing the TPM and setting it up would stop at. duk: with a
	// disk unlock key.
	TPMRehearsal interface {
		Rehearse(ctx context.Context, duk bool) ([]*Finding, error)
	}
	// DiskRehearsal builds every header of the disk's run in memory. passphrase: it also gets
	// a new one.
	DiskRehearsal interface {
		Rehearse(ctx context.Context, passphrase bool) ([]*Finding, error)
	}
	// CardRehearsal finds what a security key would refuse after its reset. One in the middle
	// of a reset tells nothing.
	CardRehearsal interface {
		Rehearse(ctx context.Context, plan CardPlan) ([]*Finding, error)
	}
	// BootRehearsal is of /boot.
	BootRehearsal interface {
		// Rehearse builds the whole set for an entry (index, from 0) in memory, and has it
		// judged by the firmware's rules.
		Rehearse(ctx context.Context, entry int) ([]*Finding, error)
		// Trial replaces each file that a run replaces or removes by one with the same content,
		// and tries whether there is room: only a write tells. Afterwards all is as before.
		// entry is as above, or -1: nothing is made anew.
		Trial(ctx context.Context, entry int) ([]*Finding, error)
	}
)

// CardPlan is what a security key gets in a run.
type CardPlan struct {
	User, Admin *secret.Buffer // the PINs; nil where they are not known yet
	Algorithm   string         // of the keys; "" for the recommended one
	Import      bool           // keys from outside, not made in it
	Identity    Identity       // the name on the keys
}

// Rehearsal is what the steps' Rehearse look at: the machine as measured. They do all
// of a step's thinking on what is really there, and change nothing.
type Rehearsal struct {
	*Snapshot
	choice  Choices
	battery bool                      // to run on it is accepted
	anew    bool                      // a seller's: nothing that is there counts as done
	tries   bool                      // /boot may be written to with what it holds
	pins    [2]*secret.Buffer         // user and admin PIN, as far as they are known
	current map[string]*secret.Buffer // what opens the disks, as far as it is known
	found   []Problem
}

func (r *Rehearsal) add(id string, kind Kind, err error, args ...any) {
	r.found = append(r.found, newProblem(id, kind, err, args...))
}

// fail adds that a device cannot be used, or what it would refuse.
func (r *Rehearsal) fail(id string, err error) { r.found = append(r.found, DeviceProblem(id, err)) }

// device adds what a device's own rehearsal has found.
func (r *Rehearsal) device(id string, found []*Finding, err error) {
	for _, f := range found {
		r.add(id, f.Kind, f.Err, f.Args...)
	}
	if err != nil {
		r.fail(id, err)
	}
}

// DeviceProblem says that a device cannot be used, or what it would refuse.
func DeviceProblem(id string, err error) Problem {
	if f := (*Finding)(nil); errors.As(err, &f) {
		return newProblem(id, f.Kind, err, f.Args...)
	}
	return newProblem(id, Unreadable, err, device(id), msg.Say(msg.Technical, err.Error()))
}

// device is a device's name in a sentence.
type device string

// In says it.
func (d device) In(l msg.Lang) string {
	if m, ok := itemNames[string(d)]; ok && l != msg.EN {
		return m.In(l)
	}
	return string(d)
}

// run has every step rehearsed.
func (r *Rehearsal) run() []Problem {
	for _, st := range Steps() {
		if st.Rehearse != nil {
			st.Rehearse(r)
		}
	}
	return r.found
}

// done says that a step is done, and is not done again.
func (r *Rehearsal) done(probe func(*Snapshot) (State, error)) bool {
	if r.anew {
		return false
	}
	s, err := probe(r.Snapshot)
	return err == nil && finished(s)
}

// chosen says whether a disk is part of the run.
func (r *Rehearsal) chosen(uuid string) bool {
	if r.anew {
		return true
	}
	if receipt, err := r.Receipt(); err == nil {
		return selected(receipt, uuid)
	}
	return r.choice.Volumes == nil || slices.Contains(r.choice.Volumes, uuid)
}

// starts is the index of the boot entry that would start by default; -1: none.
func (r *Rehearsal) starts() int {
	b, err := r.Boot()
	if err != nil {
		return -1
	}
	if r.anew {
		return b.Default
	}
	if i := r.choice.Entry - 1; i >= 0 && i < len(b.Entries) {
		return i
	}
	receipt, _ := r.Receipt()
	return r.entry(receipt)
}

// duk says whether there is to be a disk unlock key.
func (r *Rehearsal) duk() bool {
	if receipt, err := r.Receipt(); err == nil && !r.anew {
		return receipt.DUK
	}
	return r.choice.DUK && !r.anew
}

// preflight finds all that can stop an owner's run before the first write, but for what
// only a trial tells.
func preflight(s *Snapshot, choice Choices, battery bool) []Problem {
	return (&Rehearsal{Snapshot: s, choice: choice, battery: battery}).run()
}

// rehearsal is preflight with a trial, and with the PINs that are to be set.
func rehearsal(s *Snapshot, choice Choices, battery bool, keys *Keys) []Problem {
	r := &Rehearsal{Snapshot: s, choice: choice, battery: battery, tries: true}
	if keys != nil {
		r.pins, r.current = [2]*secret.Buffer{keys.User, keys.Admin}, keys.Current
	}
	return r.run()
}

// RehearseRelease finds all that can stop the laptop's being given up before anything is
// destroyed. battery: to run on it is accepted; card: the owner's security key is there.
func RehearseRelease(ctx context.Context, m *Machine, battery, card bool) []Problem {
	r := &Rehearsal{Snapshot: measure(ctx, m), battery: battery, anew: true}
	rehearsePreflight(r)
	if card {
		switch c, err := r.Card(); {
		case errors.Is(err, ErrNoCard):
			r.add("card", CardMissing, err)
		case err != nil:
			r.fail("card", err)
		case c.NoReset:
			r.add("card", CardNoReset, nil, c.Vendor)
		}
	}
	if _, err := r.Disks(); err != nil {
		r.fail("disk", err)
	}
	if m.TPM != nil {
		found, err := m.TPM.Rehearse(ctx, false)
		found = slices.DeleteFunc(found, func(f *Finding) bool {
			return f.Kind != TPMPresence &&
				f.Kind != TPMLocked
		}) // nothing is made
		r.device("tpm", found, err)
	}
	found, err := m.Boot.Trial(ctx, -1)
	r.device("boot", found, err)
	return r.found
}

// Rehearse finds all that can stop a run in which every step is done anew, which is a
// seller's. Of the choices the kind of key counts. battery: to run on it is accepted.
func Rehearse(ctx context.Context, m *Machine, choice Choices, battery bool) []Problem {
	return (&Rehearsal{Snapshot: measure(ctx, m), choice: choice, battery: battery, anew: true, tries: true}).run()
}

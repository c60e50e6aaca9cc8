package wizard

import (
	"context"
	"fmt"
	"slices"

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
	DiskFormat    Kind = "disk format"      // its path and format
	DiskNoKeyslot Kind = "disk no keyslot"  // its path
	LittleMemory  Kind = "little memory"    // MiB that are needed, MiB that are there
	NoEntry       Kind = "no boot entry"    //
	Unreadable    Kind = "device not ready" // which one, and what it said
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
	TryAgain    Action = "try again"
	AskSeller   Action = "ask seller"
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
	DiskFormat:    {msg.ProblemFormat, []Remedy{{AskSeller, msg.RemedyFormat}}},
	DiskNoKeyslot: {msg.ProblemKeyslots, []Remedy{{AskSeller, msg.RemedyKeyslots}}},
	LittleMemory:  {msg.ProblemMemory, []Remedy{{AskSeller, msg.RemedyMemory}}},
	NoEntry:       {msg.ProblemEntries, []Remedy{{AskSeller, msg.RemedyEntries}}},
	Unreadable:    {msg.ProblemDevice, []Remedy{{TryAgain, msg.RemedyDevice}}},
}

// Problem is something that must be put right before a run, and how.
type Problem struct {
	ID       string // of the device: power, clock, card, token, tpm, disk, format, keyslots, memory, firmware, boot, entries
	Kind     Kind
	What     msg.M
	Args     []any    // for What
	Remedies []Remedy // in the order in which to try them; at least one
	Err      error    // what programs know it by; nil: nothing but the kind
}

func newProblem(id string, kind Kind, err error, args ...any) Problem {
	k := kinds[kind]
	return Problem{ID: id, Kind: kind, What: k.what, Args: args, Remedies: slices.Clone(k.remedies), Err: err}
}

// Offers says whether an action is among the remedies.
func (p Problem) Offers(a Action) bool {
	return slices.ContainsFunc(p.Remedies, func(r Remedy) bool { return r.Action == a })
}

func (p Problem) String() string {
	return fmt.Sprintf("%s: %s", p.ID, p.What.In(msg.EN, p.Args...))
}

// Rehearsal is what the steps' Rehearse look at: the machine as measured. They do all
// of a step's thinking on what is really there, and write nothing.
type Rehearsal struct {
	*Snapshot
	battery bool // to run on it is accepted
	anew    bool // a seller's: nothing that is there counts as done
	found   []Problem
}

func (r *Rehearsal) add(id string, kind Kind, err error, args ...any) {
	r.found = append(r.found, newProblem(id, kind, err, args...))
}

// fail adds that a device cannot be used.
func (r *Rehearsal) fail(id string, err error) { r.found = append(r.found, DeviceProblem(id, err)) }

// DeviceProblem says that a device cannot be used.
func DeviceProblem(id string, err error) Problem {
	return newProblem(id, Unreadable, err, id, err.Error())
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

// preflight finds all that can stop an owner's run before the first write.
func preflight(s *Snapshot, battery bool) []Problem {
	return (&Rehearsal{Snapshot: s, battery: battery}).run()
}

// Rehearse finds all that can stop a run in which every step is done anew, which is a
// seller's. battery: to run on it is accepted.
func Rehearse(ctx context.Context, m *Machine, battery bool) []Problem {
	return (&Rehearsal{Snapshot: measure(ctx, m), battery: battery, anew: true}).run()
}

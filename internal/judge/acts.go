package judge

import "math/bits"

// Act is something that cannot be taken back, or that lends the owner's name to something.
type Act uint8

const (
	ResetCard     Act = iota // and make keys and the first receipt
	SetPassphrase            // of a container, and destroy the others
	Reencrypt                // a container
	ClearTPM                 // and own it
	Seal                     // to the TPM
	SignReceipt              // of an open run
	SignTree                 // what the chip's key has signed already, by the owner's key
	// what the owner's key has signed already, where only TPM root, counter and LUKS headers are new
	SignSame
	WriteChip
	Install // the staged set
	Certify
	RemoveTrigger // of a file that nobody entitled to put there, or at the end
	EndRun        // closes the area, removes the receipt
	Erase         // all that is the owner's, to give the laptop up
	actCount
)

// Acts is a set of them.
type Acts uint16

// Has says whether an act is in the set.
func (a Acts) Has(x Act) bool { return x < actCount && a&(1<<x) != 0 }

// Len is how many there are.
func (a Acts) Len() int { return bits.OnesCount16(uint16(a)) }

// gate is what the fourth stage sees: the results of the three before it, and the few facts that
// an act needs for itself.
type gate struct {
	phase    Phase
	identity Identity
	progress Progress
	trigger  Trigger
	tree     Tree
	stage    Stage
	count    Count
	card     Card
	tail     bool
	said     Said
	paper    Paper
}

// rules say of each act when it is allowed, in a phase that is known.
var rules = [actCount]func(gate) bool{
	ResetCard:     func(g gate) bool { return g.measured() && g.begins() && g.card.Disposable(g.tail) },
	SetPassphrase: func(g gate) bool { return g.phase == Begun && g.works() },
	Reencrypt:     func(g gate) bool { return g.phase == Begun && g.works() },
	ClearTPM:      func(g gate) bool { return g.phase == Begun && g.works() },
	Seal:          func(g gate) bool { return g.open() && g.works() },
	SignReceipt:   func(g gate) bool { return g.open() && g.works() && g.hand() },
	SignTree:      func(g gate) bool { return g.before() && g.works() && g.hand() && g.starts() },
	SignSame:      func(g gate) bool { return g.afterwards() && g.hand() },
	WriteChip: func(g gate) bool {
		return g.before() && g.works() && g.hand() && g.starts() && g.stage == StageOurs && g.ready()
	},
	Install:       func(g gate) bool { return g.afterwards() && g.stage == StageOurs },
	Certify:       gate.ends,
	RemoveTrigger: func(g gate) bool { return g.ends() || g.added() && (g.phase == Closing || g.phase == Tampered) },
	EndRun:        func(g gate) bool { return g.ends() || g.phase == Closing },
	Erase:         func(g gate) bool { return g.said.Release && g.phase != Flashing && g.measured() && g.releases() },
}

// acts is the fourth stage.
func acts(g gate) (a Acts) {
	if g.phase == Unknown {
		return 0
	}
	for x, allowed := range rules {
		if allowed(g) {
			a |= 1 << x
		}
	}
	return a
}

// measured says that every device was, and that none is gone or went back.
func (g gate) measured() bool { return g.progress != Unmeasured && g.progress != Stopped }

// works says that the person may go on: who goes on has the paper; a run that has set nothing yet has
// none. What is another's is replaced by who is known from outside, and, once the chip is the owner's,
// not any more.
func (g gate) works() bool {
	paper := g.paper == PaperOwn || g.paper == PaperNone
	if g.progress == Foreign {
		return paper && g.identity >= Typed && g.phase != Owned
	}
	return paper && g.identity >= Owner && g.measured()
}

func (g gate) open() bool { return g.phase.open() }

// before says that a run is open and the chip is not the owner's yet.
func (g gate) before() bool { return g.phase == Begun || g.phase == Flashing }

// hand says that the card is there that made the receipt, and has made no later one.
func (g gate) hand() bool { return g.count == CountWithin || g.count == CountNone }

// starts says that what starts is signed, and for this TPM unless who asks knows the signer; or that each
// difference was shown to who has lost his key.
func (g gate) starts() bool {
	return g.tree == TreeSigned || g.tree == TreeElsewhere && g.identity >= Typed || g.identity == Lost && g.said.Names
}

func (g gate) ready() bool { return g.progress == Done || g.progress == Later }

// afterwards says that the chip is the owner's, and that what starts is what his key has signed.
func (g gate) afterwards() bool { return g.phase == Owned && g.works() && g.tree == TreeSigned }

func (g gate) ends() bool { return g.afterwards() && g.hand() && g.progress == Done }

// added says that the trigger alone is not signed.
func (g gate) added() bool { return g.trigger == TriggerAdded && g.tree == TreeSigned }

// begins says whether a run may be begun: on a machine whose seller is known; on one that has an
// owner, by who has lost his key, or has the card that the chip trusts, and its PIN. A half-written
// chip keeps its key.
func (g gate) begins() bool {
	if g.phase == Flashing {
		return false
	}
	if g.identity == Lost || g.identity >= Typed && g.said.PIN == Same {
		return true
	}
	switch g.phase {
	case Idle, Delivered, Begun, Unexplained, Releasing:
		return g.identity >= Typed
	}
	return false
}

// releases says whether the person may give the laptop up: by a signature of the chip's key, or
// without the card by the disk's passphrase or its serial number.
func (g gate) releases() bool {
	return g.said.PIN == Same || g.said.LostKey && (g.paper == PaperOwn || g.said.Serial)
}

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
	SignSame                 // what the owner's key has signed already, where only TPM root, counter and LUKS headers are new
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

// acts is the fourth stage.
func acts(g gate) Acts {
	var a Acts
	allow := func(x Act, ok bool) {
		if ok {
			a |= 1 << x
		}
	}
	if g.phase == Unknown {
		return 0
	}
	measured := g.progress != Unmeasured && g.progress != Stopped
	allow(ResetCard, measured && g.begins() && g.card.Disposable(g.tail))
	known := g.identity >= Owner
	if g.progress == Foreign {
		known = g.identity >= Typed
	}
	// Who goes on has the paper; a run that has set nothing yet has none.
	paper := g.paper == PaperOwn || g.paper == PaperNone
	work := measured && known && paper
	open := g.phase == Begun || g.phase == Flashing || g.phase == Owned
	hand := g.count == CountWithin || g.count == CountNone
	same := g.tree == TreeSigned || g.identity == Lost && g.said.Names
	ready := g.progress == Done || g.progress == Later
	whole := g.phase != Owned || g.progress != Foreign // once the chip is the owner's, nothing is replaced any more

	allow(SetPassphrase, work && g.phase == Begun)
	allow(Reencrypt, work && g.phase == Begun)
	allow(ClearTPM, work && g.phase == Begun)
	allow(Seal, work && open && whole)
	allow(SignReceipt, work && open && hand && whole)
	allow(SignTree, work && (g.phase == Begun || g.phase == Flashing) && hand && same)
	allow(SignSame, work && g.phase == Owned && hand && g.tree == TreeSigned && whole)
	allow(WriteChip, work && (g.phase == Begun || g.phase == Flashing) && hand && ready && g.stage == StageOurs && same)
	allow(Install, work && g.phase == Owned && g.stage == StageOurs && g.tree == TreeSigned && whole)
	ends := work && g.phase == Owned && hand && g.progress == Done && g.tree == TreeSigned
	allow(Certify, ends)
	added := g.trigger == TriggerAdded && g.tree == TreeSigned
	allow(RemoveTrigger, ends || added && (g.phase == Closing || g.phase == Tampered))
	allow(EndRun, ends || g.phase == Closing)
	allow(Erase, g.said.Release && g.phase != Flashing && measured && g.releases())
	return a
}

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

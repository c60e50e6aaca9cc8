package judge

// History is what tells which part of a laptop's life this is.
type History struct {
	Trigger     Trigger
	Ring        Ring
	Anchor      Anchor
	Count       Count
	Receipt     Receipt
	Certificate Document
	Stage       Stage
}

// Trigger is /boot/oem.
type Trigger uint8

const (
	TriggerUnknown Trigger = iota
	TriggerAbsent
	TriggerCovered // by the signature of a key that the chip trusts
	TriggerAdded   // after signing
	TriggerOdd     // no regular file, or not the one that was signed
	triggers
)

// Ring is whose keys the chip trusts.
type Ring uint8

const (
	RingUnknown Ring = iota
	RingNone         // no key at all
	RingSeller       // the one that signed the statement about this machine, before any run of ours
	RingOwner        // the one that made the receipt or certificate in /boot
	RingSeveral      // more than one
	RingOther        // one, and nothing here says whose
	RingHalf         // the chip is half written, by the blocks that the receipt lists
	rings
)

// Anchor is the owner's area in the TPM: where /boot cannot reach.
type Anchor uint8

const (
	AnchorUnknown Anchor = iota
	AnchorNoTPM          // no TPM, or one in which no such area can be protected
	AnchorAbsent         // none, and the receipt names no storage root of ours
	AnchorOpen           // for the run of the receipt
	AnchorClosing        // that run has ended but for its last second
	AnchorClosed         // a run has ended; whichever
	AnchorGone           // none, and the receipt names a storage root of ours: somebody cleared the TPM
	AnchorForeign        // open or closing, for another run than that of the receipt
	anchors
)

// Count is how far the card's signature counter has moved since the receipt was signed.
type Count uint8

const (
	CountUnknown  Count = iota
	CountNoCard         // no card is plugged in
	CountOtherKey       // the card holds another key than the one that made the receipt
	CountNone           // the right card, and it does not count
	CountWithin         // at most what the run signs before its next receipt, see Slack
	CountBeyond
	counts
)

// Slack is how many signatures a run makes at most between two receipts. A receipt whose number
// is further behind the card's counter is not the newest.
const Slack = 4

// Counted says what the card's signature counter tells of a receipt that calls itself number n.
// The counter has 24 bits and stays at its end.
func Counted(n, counter uint32) Count {
	const full = 1<<24 - 1
	if n == 0 || counter < n || counter-n > Slack || counter >= full {
		return CountBeyond
	}
	return CountWithin
}

// Receipt is the note of the run under way. Every value from ReceiptOpen to ReceiptReleasing means:
// the right signature, this machine, this format.
type Receipt uint8

const (
	ReceiptUnknown Receipt = iota
	ReceiptNone
	ReceiptHere      // byte for byte the one that this very start has written
	ReceiptOpen      // of an earlier start
	ReceiptClosing   // the last one of a run
	ReceiptReleasing // of a release
	ReceiptForeign   // another key's, machine's or run's
	ReceiptBroken    // cannot be read, or of another format
	receipts
)

// Document is the certificate of a finished run.
type Document uint8

const (
	DocumentUnknown Document = iota
	DocumentNone
	DocumentOurs // signed by the chip's key
	DocumentForeign
	DocumentBroken
	documents
)

// Stage is the set of files that waits to be put into /boot.
type Stage uint8

const (
	StageUnknown Stage = iota
	StageNone
	StageOurs // complete, and verifies by the key of the run
	StageOdd
	stages
)

// Who is what tells whom the machine is from, and who sits in front of it.
type Who struct {
	Statement  Statement
	Comparison Comparison
	Digits     Digits
	Tree       Tree
	Paper      Paper
	Said       Said
}

// Statement is the seller's.
type Statement uint8

const (
	StatementUnknown Statement = iota
	StatementNone              // there is none
	StatementRing              // by the key that the chip trusts, or by those of the open run's receipt
	StatementChain             // the last who handed the machine on is known by his file alone
	StatementBad               // does not verify, or names another machine
	statements
)

// Comparison is what statement and receipt promise, set against what is measured. What could not
// be read counts as ComparisonDiffers where it is promised.
type Comparison uint8

const (
	ComparisonUnknown     Comparison = iota
	ComparisonEqual                  // all that is promised
	ComparisonNotProvided            // nothing is promised, or an older form leaves some of it out
	ComparisonDiffers
	comparisons
)

// Digits are the six digits of the seller's TPM secret.
type Digits uint8

const (
	DigitsUnknown     Digits = iota
	DigitsMatch              // the person says that the phone shows the same
	DigitsNone               // the statement says that there is no such secret
	DigitsNotProvided        // the statement does not say
	DigitsGone               // our own run has reset the TPM: the receipt names the root that is there
	DigitsWrong              // promised, and absent, or not opened, or other digits
	digitses
)

// Tree is the files that start the system.
type Tree uint8

const (
	TreeUnknown   Tree = iota
	TreeSigned         // all but oem verifies by the chip's key, in place or as the complete stage
	TreeElsewhere      // the same, and what was signed says that it is of another TPM, or of an earlier time
	TreeDiffers        // signed, and other files than those that are there
	TreeUnsigned
	trees
)

// Paper is what the person typed of the secrets that the run has set so far.
type Paper uint8

const (
	PaperUnknown Paper = iota // not asked for yet
	PaperNone                 // the run has set none so far
	PaperOwn                  // all of them
	PaperSeller               // one that opens, and is the seller's
	PaperWrong                // opens nothing
	papers
)

// Answer is what a person said, set against what is measured.
type Answer uint8

const (
	NotSaid Answer = iota
	Same
	Different
	answers
)

// Said is what a person said in this start, never what a file says.
type Said struct {
	Signer  Answer // the whole fingerprint of who handed the machine on, or of the chip's one key
	Me      Answer // the fingerprint of the key that it was handed to
	Looked  bool   // the page that shows whom the machine is from was answered with yes
	Serial  bool   // the last four characters of the disk's serial number, on the page that says what is not proven
	LostKey bool   // the command of an owner who has lost his key
	Names   bool   // the names that differ from a signed list in /boot were shown and typed for
	PIN     Answer // the PIN of the card whose key the chip trusts: a signature of this start verifies by the chip's key
	Release bool   // the command that gives the laptop up
}

// Work is how far the devices are.
type Work struct {
	Volumes []Volume // each container that was found or promised
	Root    Root
	Sealed  Sealed
}

// Volume is one container.
type Volume uint8

const (
	VolumeUnknown   Volume = iota
	VolumeSeller           // as the statement has it
	VolumeSet              // under the owner's passphrase, not yet under a new key
	VolumeUnderWay         // being re-encrypted to the key that the receipt names
	VolumeOurs             // the value that the receipt calls reached
	VolumeLeftOut          // the person left it out
	VolumeFlagged          // a re-encryption that the receipt does not name
	VolumeAmbiguous        // more than one way to read what is there
	VolumeMissing          // promised, and not found
	VolumeRegressed        // was further than it is
	VolumeOther            // neither what the statement nor what the receipt names
	NoVolume               // none is there, and none is promised
	volumes
)

// Root is the TPM's storage root.
type Root uint8

const (
	RootUnknown   Root = iota
	RootNone           // there is no TPM, and none is promised
	RootSeller         // as the statement has it, or as it was found where nothing is promised
	RootCleared        // our own run is about to reset it, and it is clear
	RootOurs           // the one that the receipt names
	RootOther          // neither
	RootRegressed      // the seller's again
	roots
)

// Sealed is the secret that our run seals to the TPM.
type Sealed uint8

const (
	SealedUnknown Sealed = iota
	SealedNone           // not yet, or there is no TPM
	SealedOurs           // opens in a start as planned
	SealedLater          // only another start can tell or do it
	sealeds
)

// Card is what the card in the reader is, its slots compared with every key that is known.
type Card uint8

const (
	CardUnknown   Card = iota
	CardNone           // none
	CardBlank          // holds no key, or a reset of it was begun
	CardSeller         // the key that the chip trusts, or as the seller's statement lists it
	CardOurs           // the key of this run
	CardElsewhere      // a key that works for something else, or that nobody here knows
	CardSigner         // the one that is to sign later: the shop's own, the spare of this run
	cards
)

// Facts is all that was measured at one moment.
type Facts struct {
	History
	Who
	Work
	Card     Card
	CardTail bool // the last four characters of the serial number of a card that works elsewhere were typed
}

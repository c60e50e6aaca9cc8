package judge

// Reason is why something was decided: a closed kind that the caller puts into words.
type Reason uint8

const (
	_ Reason = iota
	// What could not be measured.
	UnreadTrigger
	UnreadRing
	UnreadAnchor
	UnreadReceipt
	UnreadCard
	UnreadTree
	UnreadStatement
	UnreadComparison
	UnreadDigits
	UnreadDisk
	UnreadTPM
	UnreadSealed
	// Phases.
	NothingAsked
	RunIsOpen
	CardIsNeeded
	CardHasOtherKey
	CardDoesNotCount
	ReceiptIsOld
	AreaIsClosed
	ChipIsHalf
	ChipIsHalfAndNoRun
	ChipTrustsNobody
	ChipTrustsSeveral
	SignedTrigger
	TouchedTrigger
	TriggerIsOdd
	LastSecond
	ReleaseBegun
	// Who.
	SignerDiffers
	ReceiverDiffers
	TreeIsOther
	TreeIsUnsigned
	TreeIsElsewhere
	NoStatement
	StatementIsBad
	PromiseIsNotKept
	PromisesLittle
	PromisesNoDigits
	DigitsAreWrong
	NotLookedAt
	SignerNotSaid
	StatementProves
	FingerprintProves
	PaperProves
	PaperIsSellers
	PaperIsWrong
	PaperNotAsked
	NothingOnPaper
	// Work.
	DiskWentBack
	DiskIsMissing
	DiskIsAmbiguous
	DiskIsOther
	DiskIsFlagged
	TPMWentBack
	TPMIsOther
	WorkIsLeft
	SealsLater
	WorkIsDone
	// Cards.
	CardWorksElsewhere
	CardSigns
	ReasonCount
)

// Level is how loud a verdict must be.
type Level uint8

const (
	Quiet Level = iota // nothing to show
	Plain
	Yellow // something is not proven, or could not be measured
	Red    // something is not as it was promised or reached
	levels
)

// levelOf has the reasons that a person must be shown as such; the others are plain.
var levelOf = [ReasonCount]Level{
	UnreadTrigger:      Yellow,
	UnreadRing:         Yellow,
	UnreadAnchor:       Yellow,
	UnreadReceipt:      Yellow,
	UnreadCard:         Yellow,
	UnreadTree:         Yellow,
	UnreadStatement:    Yellow,
	UnreadComparison:   Yellow,
	UnreadDigits:       Yellow,
	UnreadDisk:         Yellow,
	UnreadTPM:          Yellow,
	UnreadSealed:       Yellow,
	CardIsNeeded:       Plain,
	CardDoesNotCount:   Yellow,
	ChipIsHalfAndNoRun: Red,
	ChipTrustsNobody:   Yellow,
	ChipTrustsSeveral:  Red,
	LastSecond:         Yellow,
	ReleaseBegun:       Yellow,
	TriggerIsOdd:       Red,
	SignerDiffers:      Red,
	ReceiverDiffers:    Red,
	TreeIsOther:        Red,
	TreeIsUnsigned:     Red,
	TreeIsElsewhere:    Red,
	NoStatement:        Yellow,
	StatementIsBad:     Red,
	PromiseIsNotKept:   Red,
	PromisesLittle:     Yellow,
	PromisesNoDigits:   Yellow,
	DigitsAreWrong:     Red,
	PaperIsSellers:     Yellow,
	PaperIsWrong:       Plain,
	DiskWentBack:       Red,
	DiskIsMissing:      Red,
	DiskIsAmbiguous:    Yellow,
	DiskIsOther:        Red,
	DiskIsFlagged:      Red,
	TPMWentBack:        Red,
	TPMIsOther:         Red,
	CardWorksElsewhere: Yellow,
	CardSigns:          Yellow,
}

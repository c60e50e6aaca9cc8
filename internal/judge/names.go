package judge

// The names are part of the JSON forms of status and verify, and of the log: they are added to, never changed.

var phaseNames = [phases]string{
	Unknown:     "unknown",
	Idle:        "idle",
	Delivered:   "delivered",
	Begun:       "begun",
	Flashing:    "flashing",
	Owned:       "owned",
	Closing:     "closing",
	Finished:    "finished",
	Releasing:   "releasing",
	Unexplained: "unexplained",
	Tampered:    "tampered",
}

func (p Phase) String() string { return phaseNames[p] }

var identityNames = [identities]string{
	Unproven: "unproven",
	Wrong:    "wrong",
	Owner:    "owner",
	Typed:    "typed",
	Proven:   "proven",
	Lost:     "lost",
}

func (i Identity) String() string { return identityNames[i] }

var actNames = [actCount]string{
	ResetCard:     "reset card",
	SetPassphrase: "set passphrase",
	Reencrypt:     "reencrypt",
	ClearTPM:      "clear tpm",
	Seal:          "seal",
	SignReceipt:   "sign receipt",
	SignTree:      "sign tree",
	SignSame:      "sign same",
	WriteChip:     "write chip",
	Install:       "install",
	Certify:       "certify",
	RemoveTrigger: "remove trigger",
	EndRun:        "end run",
	Erase:         "erase",
}

func (a Act) String() string { return actNames[a] }

var reasonNames = [ReasonCount]string{
	UnreadTrigger:      "unread trigger",
	UnreadRing:         "unread ring",
	UnreadAnchor:       "unread anchor",
	UnreadReceipt:      "unread receipt",
	UnreadCard:         "unread card",
	UnreadTree:         "unread tree",
	UnreadStatement:    "unread statement",
	UnreadComparison:   "unread comparison",
	UnreadDigits:       "unread digits",
	UnreadDisk:         "unread disk",
	UnreadTPM:          "unread tpm",
	UnreadSealed:       "unread sealed",
	NothingAsked:       "nothing asked",
	RunIsOpen:          "run is open",
	CardIsNeeded:       "card is needed",
	CardHasOtherKey:    "card has other key",
	CardDoesNotCount:   "card does not count",
	ReceiptIsOld:       "receipt is old",
	AreaIsClosed:       "area is closed",
	ChipIsHalf:         "chip is half",
	ChipIsHalfAndNoRun: "chip is half and no run",
	ChipTrustsNobody:   "chip trusts nobody",
	ChipTrustsSeveral:  "chip trusts several",
	SignedTrigger:      "signed trigger",
	TouchedTrigger:     "touched trigger",
	TriggerIsOdd:       "trigger is odd",
	LastSecond:         "last second",
	ReleaseBegun:       "release begun",
	SignerDiffers:      "signer differs",
	ReceiverDiffers:    "receiver differs",
	TreeIsOther:        "tree is other",
	TreeIsUnsigned:     "tree is unsigned",
	TreeIsElsewhere:    "tree is from elsewhere",
	NoStatement:        "no statement",
	StatementIsBad:     "statement is bad",
	PromiseIsNotKept:   "promise is not kept",
	PromisesLittle:     "promises little",
	PromisesNoDigits:   "promises no digits",
	DigitsAreWrong:     "digits are wrong",
	NotLookedAt:        "not looked at",
	SignerNotSaid:      "signer not said",
	StatementProves:    "statement proves",
	FingerprintProves:  "fingerprint proves",
	PaperProves:        "paper proves",
	PaperIsSellers:     "paper is sellers",
	PaperIsWrong:       "paper is wrong",
	PaperNotAsked:      "paper not asked",
	NothingOnPaper:     "nothing on paper",
	DiskWentBack:       "disk went back",
	DiskIsMissing:      "disk is missing",
	DiskIsAmbiguous:    "disk is ambiguous",
	DiskIsOther:        "disk is other",
	DiskIsFlagged:      "disk is flagged",
	TPMWentBack:        "tpm went back",
	TPMIsOther:         "tpm is other",
	WorkIsLeft:         "work is left",
	SealsLater:         "seals later",
	WorkIsDone:         "work is done",
	CardWorksElsewhere: "card works elsewhere",
	CardSigns:          "card signs",
}

func (r Reason) String() string { return reasonNames[r] }

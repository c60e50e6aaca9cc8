package judge

// Identity is whom the machine is from, or whose it is, as far as this start has shown.
type Identity uint8

const (
	Unproven Identity = iota
	Wrong             // the person named another key than the one that is here
	Owner             // by the secrets that the run under way has set
	Typed             // by a fingerprint that the person knows, though not all is proven
	Proven            // all that the seller promised was measured and is equal
	Lost              // the owner, by the disk passphrase, who says that he has lost his key
	identities
)

// identify is the second stage.
func identify(p Phase, w Who) (Identity, Reason) {
	switch {
	case w.Said.Signer == Different:
		return Wrong, SignerDiffers
	case w.Said.Me == Different:
		return Wrong, ReceiverDiffers
	}
	if w.Said.LostKey && w.Paper == PaperOwn && (w.Tree == TreeSigned || w.Said.Names) {
		return Lost, PaperProves
	}
	id, why := w.seller()
	if id != Unproven || p != Begun && p != Flashing && p != Owned {
		return id, why
	}
	if why = w.owner(p); why != 0 {
		return Unproven, why
	}
	return Owner, PaperProves
}

// seller says whether whom the machine is from is known. What is promised and differs, and what
// is not promised, both want what nobody can put into a file: a fingerprint from elsewhere.
func (w Who) seller() (Identity, Reason) {
	why := w.doubt()
	switch {
	case w.Tree != TreeSigned && w.Tree != TreeElsewhere:
		return Unproven, why
	case why == 0 && w.Said.Looked && (w.Statement == StatementRing || w.Said.Signer == Same):
		return Proven, StatementProves
	case w.Said.Signer == Same && w.Said.Serial:
		return Typed, FingerprintProves
	case why != 0:
		return Unproven, why
	case !w.Said.Looked:
		return Unproven, NotLookedAt
	}
	return Unproven, SignerNotSaid
}

// doubt is what stands in the way of the seller's word; 0 for nothing.
func (w Who) doubt() Reason {
	switch w.Tree {
	case TreeUnknown:
		return UnreadTree
	case TreeDiffers:
		return TreeIsOther
	case TreeUnsigned:
		return TreeIsUnsigned
	case TreeElsewhere:
		return TreeIsElsewhere
	}
	switch w.Statement {
	case StatementUnknown:
		return UnreadStatement
	case StatementNone:
		return NoStatement
	case StatementBad:
		return StatementIsBad
	}
	if why := w.differs(); why != 0 {
		return why
	}
	switch {
	case w.Comparison == ComparisonNotProvided:
		return PromisesLittle
	case w.Digits == DigitsNotProvided:
		return PromisesNoDigits
	}
	return 0
}

// differs is what is promised and is not so; 0 for nothing.
func (w Who) differs() Reason {
	switch w.Comparison {
	case ComparisonUnknown:
		return UnreadComparison
	case ComparisonDiffers:
		return PromiseIsNotKept
	}
	switch w.Digits {
	case DigitsUnknown:
		return UnreadDigits
	case DigitsWrong:
		return DigitsAreWrong
	}
	return 0
}

// owner says why the person is not the one who began the run under way; 0: he is. A PIN proves
// nothing where a card can have been exchanged, since another one takes any; once the chip trusts
// the run's key, a signature by it does.
func (w Who) owner(p Phase) Reason {
	switch {
	case w.Tree != TreeSigned || w.Statement == StatementUnknown || w.Statement == StatementBad:
		return w.doubt()
	case w.differs() != 0:
		return w.differs()
	case w.Paper == PaperOwn, p == Owned && w.Paper == PaperNone && w.Said.PIN == Same:
		return 0
	case w.Paper == PaperSeller:
		return PaperIsSellers
	case w.Paper == PaperWrong:
		return PaperIsWrong
	case w.Paper == PaperNone:
		return NothingOnPaper
	}
	return PaperNotAsked
}

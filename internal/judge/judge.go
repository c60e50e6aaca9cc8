package judge

// Ask is what a person must be shown or asked before more is allowed, in this order.
type Ask uint8

const (
	AskCard       Ask = iota // to be plugged in
	AskBegan                 // "did you begin this?", first of all
	AskPaper                 // the secrets that the run has set, from the paper
	AskPIN                   // a signature by the chip's key
	AskLook                  // the page that shows whom the machine is from
	AskSigner                // the whole fingerprint of who handed it on
	AskSerial                // on the page that says what is not proven
	AskCardTail              // the last four characters of the card's serial number
	AskRemoveFile            // "remove the file and start my system"
	askCount
)

// Verdict is all that was decided.
type Verdict struct {
	Phase    Phase
	Identity Identity
	Progress Progress
	Acts     Acts     // what may be done now
	Asks     []Ask    // what would allow more
	Reasons  []Reason // the phase's first, then identity, work and card
	Level    Level
	Silent   bool // no file and no person asks for anything: no page is due
}

// May says whether an act is allowed.
func (v Verdict) May(a Act) bool { return v.Acts.Has(a) }

// Says tells whether a reason is among those of the verdict.
func (v Verdict) Says(r Reason) bool {
	for _, x := range v.Reasons {
		if x == r {
			return true
		}
	}
	return false
}

// Judge decides. It must be asked again before each act that cannot be undone.
func Judge(f Facts) Verdict {
	var v Verdict
	var why [3]Reason
	volume := FoldVolumes(f.Volumes)
	v.Phase, why[0] = phase(f.History)
	v.Identity, why[1] = identify(v.Phase, f.Who)
	v.Progress, why[2] = progress(volume, f.Root, f.Sealed)
	g := gate{phase: v.Phase, identity: v.Identity, progress: v.Progress, trigger: f.Trigger, tree: f.Tree,
		stage: f.Stage, count: f.Count, card: f.Card, tail: f.CardTail, said: f.Said, paper: f.Paper}
	v.Acts = acts(g)
	rests := v.Phase == Idle || v.Phase == Finished || v.Phase == Unknown && f.Receipt == ReceiptNone
	v.Silent = rests && f.Trigger == TriggerAbsent && f.Said == (Said{})
	v.Reasons = why[:1]
	if v.asksWho() {
		v.Reasons = append(v.Reasons, why[1])
	}
	if v.Phase != Tampered && v.Phase != Closing && v.Phase != Releasing {
		v.Reasons = append(v.Reasons, why[2])
	}
	switch f.Card {
	case CardElsewhere:
		v.Reasons = append(v.Reasons, CardWorksElsewhere)
	case CardSigner:
		v.Reasons = append(v.Reasons, CardSigns)
	}
	v.Asks = asks(v, f)
	v.Level = v.level()
	return v
}

// asksWho says whether it matters in a phase who asks.
func (v Verdict) asksWho() bool {
	switch v.Phase {
	case Delivered, Begun, Flashing, Owned, Unexplained:
		return true
	}
	return v.Identity != Unproven
}

func (v Verdict) level() Level {
	if v.Silent {
		return Quiet
	}
	l, why := Plain, v.Reasons[0]
	for _, r := range v.Reasons {
		l = max(l, levelOf[r])
	}
	switch {
	case v.Phase == Tampered && why != CardDoesNotCount && why != SignedTrigger:
		l = Red
	case v.Phase == Tampered || v.Phase == Unexplained:
		l = max(l, Yellow)
	}
	return l
}

// asked says when each thing would allow more.
var asked = [askCount]func(Verdict, Facts) bool{
	AskCard: func(v Verdict, f Facts) bool {
		return v.Reasons[0] == CardIsNeeded || v.Phase.open() && f.Count == CountNoCard || v.Phase == Delivered &&
			f.Card == CardNone
	},
	AskBegan: func(v Verdict, f Facts) bool { return v.Phase.open() && !v.known() && f.Receipt != ReceiptHere },
	AskPaper: func(v Verdict, f Facts) bool {
		return v.Phase.open() && !v.known() && (f.Paper == PaperUnknown || f.Paper == PaperWrong || f.Paper == PaperSeller)
	},
	AskPIN:  func(v Verdict, f Facts) bool { return v.Phase == Owned && !v.known() && f.Paper == PaperNone },
	AskLook: func(v Verdict, f Facts) bool { return v.anew(f) && !v.known() && !f.Said.Looked },
	AskSigner: func(v Verdict, f Facts) bool {
		return v.unsure(f) && f.Said.Signer == NotSaid &&
			(f.doubt() != 0 || v.Phase == Unexplained || f.Statement == StatementChain)
	},
	AskSerial:     func(v Verdict, f Facts) bool { return v.unsure(f) && f.doubt() != 0 && !f.Said.Serial },
	AskCardTail:   func(_ Verdict, f Facts) bool { return f.Card == CardElsewhere && !f.CardTail },
	AskRemoveFile: func(v Verdict, _ Facts) bool { return v.Phase == Tampered && v.May(RemoveTrigger) },
}

// asks lists what would allow more.
func asks(v Verdict, f Facts) (list []Ask) {
	for a, due := range asked {
		if due(v, f) {
			list = append(list, Ask(a))
		}
	}
	return list
}

func (v Verdict) known() bool { return v.Identity >= Owner }

// anew says that a run is begun, or begun anew, which the pages of a first start lead to.
func (v Verdict) anew(f Facts) bool {
	return v.Phase == Delivered || v.Phase == Begun && (f.Paper == PaperNone || f.Paper == PaperSeller)
}

// unsure says that a fingerprint would help whom nothing else has named.
func (v Verdict) unsure(f Facts) bool {
	if v.Phase == Unexplained { // where nobody can be named, nobody is asked for
		return !v.known() && v.Reasons[0] == TouchedTrigger
	}
	return !v.known() && (v.Phase.open() || v.anew(f))
}

// Handed judges the seller's word alone, for who asks about it and about no run: without the six
// digits, which only a person compares, and whatever an owner has typed.
func Handed(w Who) (Identity, Reason) {
	w.Digits, w.Paper, w.Said = DigitsNone, PaperUnknown, Said{Looked: true, Signer: w.Said.Signer, Me: w.Said.Me}
	return identify(Delivered, w)
}

// PhaseOf is the first stage alone, for somebody who only has to know whether a run is open.
func PhaseOf(h History) (Phase, Reason) { return phase(h) }

// Running says whether a run is open, or over but for its last second.
func (p Phase) Running() bool { return p.open() || p == Closing }

func (p Phase) open() bool { return p == Begun || p == Flashing || p == Owned }

package judge

// Phase is the part of a laptop's life that this is.
type Phase uint8

const (
	Unknown     Phase = iota // cannot be told: something could not be measured, or the card is missing
	Idle                     // nobody asked for anything
	Delivered                // waits for its owner; no run is open
	Begun                    // a run is open, and the chip trusts who it is from
	Flashing                 // a run is open, and the chip is half written
	Owned                    // a run is open, and the chip trusts the owner's key
	Closing                  // a run is over but for its last second
	Finished                 // the laptop has an owner, and nobody asked for anything
	Releasing                // its owner is giving it up
	Unexplained              // would be the seller's doing if the chip's key is his
	Tampered                 // somebody asks, and nobody entitled to
	phases
)

// phase is the first stage. The certificate decides nothing: somebody who deletes it would then be
// less watched.
func phase(h History) (Phase, Reason) {
	switch {
	case h.Trigger == TriggerUnknown:
		return Unknown, UnreadTrigger
	case h.Ring == RingUnknown:
		return Unknown, UnreadRing
	case h.Anchor == AnchorUnknown:
		return Unknown, UnreadAnchor
	case h.Receipt == ReceiptUnknown:
		return Unknown, UnreadReceipt
	case h.Count == CountUnknown && h.Receipt.ours():
		return Unknown, UnreadCard
	}
	if p, why := releasing(h); p != Unknown {
		return p, why
	}
	if p, why := closing(h); p != Unknown {
		return p, why
	}
	fresh, why := h.open()
	if fresh == isOpen {
		return running(h)
	}
	if fresh == needsCard {
		return Unknown, why
	}
	return resting(h, why)
}

// ours says that a receipt has the right signature, machine and format.
func (r Receipt) ours() bool { return r >= ReceiptHere && r <= ReceiptReleasing }

type freshness uint8

const (
	isClosed freshness = iota
	needsCard
	isOpen
)

// open says whether the receipt is that of a run which is not over: from the TPM's area and the
// card's counter. Closed by either is closed.
func (h History) open() (freshness, Reason) {
	switch {
	case h.Receipt != ReceiptHere && h.Receipt != ReceiptOpen:
		return isClosed, TouchedTrigger // the file is what is left to explain
	case h.Count == CountOtherKey:
		return isClosed, CardHasOtherKey
	case h.Count == CountBeyond:
		return isClosed, ReceiptIsOld
	}
	area := h.area()
	if h.Receipt == ReceiptHere { // our own memory is an anchor, too
		if area == areaEnds {
			return isClosed, AreaIsClosed
		}
		return isOpen, RunIsOpen
	}
	switch {
	case area == areaEnds:
		return isClosed, AreaIsClosed
	case area == areaOpen:
		return isOpen, RunIsOpen
	case h.Count == CountNone && (h.Ring != RingHalf || h.Anchor != AnchorNoTPM):
		// A chip that is half written is told by itself: only a run leaves that.
		return isClosed, CardDoesNotCount
	case area == areaSilent && h.Count == CountNoCard:
		return needsCard, CardIsNeeded
	case area == areaSilent:
		return isOpen, RunIsOpen
	}
	return isClosed, AreaIsClosed
}

type area uint8

const (
	areaEnds   area = iota // no run can be open
	areaSilent             // says nothing about this run yet: the card's counter decides
	areaOpen
)

// area is what the TPM says about the run of the receipt, which depends on whose the chip is:
// before the TPM is the owner's there is none, and afterwards there must be one.
func (h History) area() area {
	here := h.Receipt == ReceiptHere
	switch h.Anchor {
	case AnchorOpen:
		return areaOpen
	case AnchorNoTPM:
		if h.Ring.unnamed() && !here { // only a file says that this run is not the maid's
			return areaEnds
		}
		return areaSilent
	case AnchorAbsent, AnchorForeign:
		if h.Ring == RingSeller || h.Ring.unnamed() && here {
			return areaSilent
		}
	case AnchorClosed: // of an earlier owner, whose run is not this one
		if here && (h.Ring == RingSeller || h.Ring.unnamed()) {
			return areaSilent
		}
	}
	return areaEnds
}

// unnamed says that nothing here tells whose the chip's keys are.
func (r Ring) unnamed() bool { return r == RingOther || r == RingSeveral }

// running is the phase of an open run.
func running(h History) (Phase, Reason) {
	switch h.Ring {
	case RingSeller, RingOther, RingSeveral:
		return Begun, RunIsOpen
	case RingHalf:
		return Flashing, ChipIsHalf
	case RingOwner:
		return Owned, RunIsOpen
	}
	return Unexplained, ChipTrustsNobody
}

// closing is the phase of a run that is over but for its last second. It has no power of its own:
// nothing is signed in it.
func closing(h History) (Phase, Reason) {
	if h.Ring != RingOwner {
		return Unknown, 0
	}
	last := h.Receipt == ReceiptClosing
	switch {
	case h.Anchor == AnchorClosing, last && h.Anchor == AnchorNoTPM && h.Count == CountWithin:
		return Closing, LastSecond
	case last && h.Anchor == AnchorOpen && (h.Count == CountWithin || h.Count == CountNone): // cut in between
		return Closing, LastSecond
	}
	return Unknown, 0
}

// releasing is the phase of a laptop that is being given up. Once its TPM is clear, the card's
// counter says so.
func releasing(h History) (Phase, Reason) {
	cleared := h.Anchor == AnchorNoTPM || h.Anchor == AnchorAbsent || h.Anchor == AnchorGone
	if cleared && h.Receipt == ReceiptReleasing && h.Count == CountWithin {
		return Releasing, ReleaseBegun
	}
	return Unknown, 0
}

// resting is the phase where no run is open; why says why not.
func resting(h History, why Reason) (Phase, Reason) {
	asked := h.Trigger != TriggerAbsent
	switch h.Ring {
	case RingHalf:
		return Unknown, ChipIsHalfAndNoRun
	case RingOwner:
		return owned(h, why)
	case RingNone:
		if !asked {
			return Idle, NothingAsked
		}
		return Unexplained, ChipTrustsNobody
	}
	switch {
	case h.Trigger == TriggerCovered:
		return Delivered, SignedTrigger
	case h.Anchor == AnchorClosed || h.Anchor == AnchorClosing: // the files that named its owner were taken away
		if !asked {
			return Finished, AreaIsClosed
		}
		return Tampered, AreaIsClosed
	case !asked:
		return Idle, NothingAsked
	case h.Trigger == TriggerOdd:
		return Tampered, TriggerIsOdd
	case h.Ring == RingSeller:
		return Delivered, TouchedTrigger
	case h.Ring == RingSeveral:
		return Unexplained, ChipTrustsSeveral
	}
	return Unexplained, TouchedTrigger
}

// owned is the phase of a laptop with an owner and without an open run.
func owned(h History, why Reason) (Phase, Reason) {
	switch {
	case h.Trigger == TriggerAbsent:
		return Finished, NothingAsked
	case h.Trigger == TriggerCovered:
		return Tampered, SignedTrigger // by somebody who holds the owner's key: who has the card begins anew
	case h.Receipt == ReceiptClosing && h.Count == CountNoCard && (h.Anchor == AnchorNoTPM || h.Anchor == AnchorOpen):
		return Unknown, CardIsNeeded
	}
	return Tampered, why
}

package judge

import (
	"fmt"
	"os"
	"testing"
)

var soak = os.Getenv("REOWN_SOAK") == "1"

// eachHistory calls f with every history.
func eachHistory(f func(History)) {
	var h History
	for h.Trigger = range triggers {
		for h.Ring = range rings {
			for h.Anchor = range anchors {
				for h.Count = range counts {
					for h.Receipt = range receipts {
						for h.Certificate = range documents {
							for h.Stage = range stages {
								f(h)
							}
						}
					}
				}
			}
		}
	}
}

// unmeasured are the same histories with one fact less.
func unmeasured(h History) (list [7]History) {
	for i := range list {
		list[i] = h
	}
	list[0].Trigger, list[1].Ring, list[2].Anchor, list[3].Count = 0, 0, 0, 0
	list[4].Receipt, list[5].Certificate, list[6].Stage = 0, 0, 0
	return list
}

// fileActs are what somebody who can write to /boot can make of a history: take away, spoil, put
// back what is not the newest, or add the trigger. What they leave alone is what /boot cannot reach.
// Nobody signs, and what an earlier hand has spoilt is not mended.
func fileActs(h History) (list []History) {
	with := func(f func(*History)) {
		n := h
		f(&n)
		list = append(list, n)
	}
	if h.Trigger == TriggerCovered || h.Trigger == TriggerAdded {
		with(func(n *History) { n.Trigger = TriggerAbsent })
	}
	with(func(n *History) { n.Trigger = TriggerOdd })
	if h.Trigger == TriggerAbsent {
		with(func(n *History) { n.Trigger = TriggerAdded })
	}
	for _, r := range []Receipt{ReceiptNone, ReceiptForeign, ReceiptBroken} {
		with(func(n *History) { n.Receipt = r })
	}
	if h.Receipt == ReceiptHere {
		with(func(n *History) { n.Receipt = ReceiptOpen })
	}
	if h.Receipt == ReceiptNone && h.Anchor != AnchorOpen {
		for _, r := range []Receipt{ReceiptOpen, ReceiptClosing, ReceiptReleasing} {
			for _, c := range []Count{CountBeyond, CountOtherKey, CountNoCard} {
				if r == ReceiptReleasing && c == CountNoCard || h.Ring == RingHalf {
					continue
				}
				with(func(n *History) { n.Receipt, n.Count = r, c })
			}
		}
	}
	for _, d := range []Document{DocumentNone, DocumentOurs, DocumentForeign, DocumentBroken} {
		with(func(n *History) { n.Certificate = d })
	}
	for _, s := range []Stage{StageNone, StageOdd} {
		with(func(n *History) { n.Stage = s })
	}
	return list
}

// impliesPhase is the second table of the first stage: what must hold where a phase was decided.
var impliesPhase = []struct {
	what  string
	phase Phase
	holds func(History) bool
}{
	{"nobody asks where there is no file", Tampered, func(h History) bool { return h.Trigger != TriggerAbsent }},
	{"idle asks for nothing", Idle, func(h History) bool { return h.Trigger == TriggerAbsent }},
	{"finished asks for nothing", Finished, func(h History) bool { return h.Trigger == TriggerAbsent }},
	{"begun needs a receipt of ours", Begun,
		func(h History) bool { return h.Receipt == ReceiptHere || h.Receipt == ReceiptOpen }},
	{"begun needs a chip that is not the owner's yet", Begun, func(h History) bool {
		return h.Ring == RingSeller || h.Ring == RingOther || h.Ring == RingSeveral
	}},
	{"a chip of nobody known is begun by the TPM or this start", Begun, func(h History) bool {
		return h.Ring == RingSeller || h.Receipt == ReceiptHere || h.Anchor == AnchorOpen
	}},
	{"a closed area ends what an earlier start began", Begun,
		func(h History) bool { return h.Anchor != AnchorClosed || h.Receipt == ReceiptHere }},
	{"a cleared TPM ends a run", Begun, func(h History) bool {
		return h.Anchor != AnchorGone && h.Anchor != AnchorClosing
	}},
	{"a receipt behind the counter begins nothing", Begun,
		func(h History) bool { return h.Count != CountBeyond && h.Count != CountOtherKey }},
	{"without the TPM the card counts", Begun, func(h History) bool {
		return h.Receipt == ReceiptHere || h.Anchor == AnchorOpen || h.Count == CountWithin
	}},
	{"flashing needs a half-written chip", Flashing, func(h History) bool { return h.Ring == RingHalf }},
	{"flashing needs an open run", Flashing, func(h History) bool {
		return (h.Receipt == ReceiptHere || h.Receipt == ReceiptOpen) &&
			(h.Anchor == AnchorOpen || h.Anchor == AnchorNoTPM) &&
			h.Count != CountBeyond && h.Count != CountOtherKey
	}},
	{"owned needs the owner's key", Owned, func(h History) bool { return h.Ring == RingOwner }},
	{"owned needs the TPM, where there is one", Owned,
		func(h History) bool { return h.Anchor == AnchorOpen || h.Anchor == AnchorNoTPM }},
	{"owned needs a receipt of ours", Owned,
		func(h History) bool { return h.Receipt == ReceiptHere || h.Receipt == ReceiptOpen }},
	{"owned without a TPM needs the newest receipt", Owned, func(h History) bool {
		return h.Anchor == AnchorOpen || h.Receipt == ReceiptHere || h.Count == CountWithin
	}},
	{"a receipt behind the counter continues nothing", Owned,
		func(h History) bool { return h.Count != CountBeyond && h.Count != CountOtherKey }},
	{"closing needs the owner's key", Closing, func(h History) bool { return h.Ring == RingOwner }},
	{"closing is in the TPM, or the newest receipt", Closing, func(h History) bool {
		last := h.Receipt == ReceiptClosing && h.Count != CountBeyond && h.Count != CountOtherKey && h.Count != CountNoCard
		return h.Anchor == AnchorClosing || last && h.Anchor == AnchorNoTPM && h.Count == CountWithin || last &&
			h.Anchor == AnchorOpen
	}},
	{"releasing is the newest receipt, and no area", Releasing, func(h History) bool {
		none := h.Anchor == AnchorNoTPM || h.Anchor == AnchorAbsent || h.Anchor == AnchorGone
		return none && h.Receipt == ReceiptReleasing && h.Count == CountWithin
	}},
	{"delivered is asked for", Delivered, func(h History) bool {
		return h.Trigger == TriggerCovered ||
			h.Trigger == TriggerAdded
	}},
	{"delivered is not the owner's", Delivered,
		func(h History) bool { return h.Ring != RingOwner && h.Ring != RingNone && h.Ring != RingHalf }},
	{"a trigger that nobody signed is the seller's only by his statement", Delivered, func(h History) bool {
		return h.Trigger == TriggerCovered || h.Ring == RingSeller && h.Anchor != AnchorClosed && h.Anchor != AnchorClosing
	}},
	{"unexplained never comes after a run that is over", Unexplained, func(h History) bool {
		return h.Ring == RingNone || h.Anchor != AnchorClosed && h.Anchor != AnchorClosing
	}},
}

func TestEveryHistory(t *testing.T) {
	seen, reached := 0, [phases]bool{}
	pairs := map[[2]Phase]string{}
	bad := 0
	eachHistory(func(h History) {
		if bad > 5 {
			return
		}
		seen++
		p, why := phase(h)
		reached[p] = true
		if why == 0 || why >= ReasonCount {
			bad++
			t.Errorf("%+v: %d without a reason", h, p)
		}
		if (h.Trigger == 0 || h.Ring == 0 || h.Anchor == 0 || h.Receipt == 0) != (p == Unknown) && p != Unknown {
			bad++
			t.Errorf("%+v: phase %d, and something was not measured", h, p)
		}
		for _, r := range impliesPhase {
			if r.phase == p && !r.holds(h) {
				bad++
				t.Errorf("%+v: phase %d, but %s", h, p, r.what)
			}
		}
		for _, n := range unmeasured(h) {
			if q, _ := phase(n); q != p {
				if _, ok := pairs[[2]Phase{q, p}]; !ok {
					pairs[[2]Phase{q, p}] = fmt.Sprintf("%+v, less measured", h)
				}
			}
		}
		if p == Unknown {
			return // what could not be measured, somebody may make measurable
		}
		for _, n := range fileActs(h) {
			if q, _ := phase(n); q != p {
				if _, ok := pairs[[2]Phase{q, p}]; !ok {
					pairs[[2]Phase{q, p}] = fmt.Sprintf("%+v, made %+v", h, n)
				}
			}
		}
	})
	for p, ok := range reached {
		if !ok {
			t.Errorf("no history is phase %d", p)
		}
	}
	// Each phase that one fact less or one file leads to allows no more, no matter who asks and whatever is done already.
	tables := newTables()
	for pair, how := range pairs {
		if why := tables.phaseBelow(pair[0], pair[1]); why != "" {
			t.Errorf("phase %d allows more than %d: %s (%s)", pair[0], pair[1], why, how)
		}
	}
	t.Logf("%d histories, %d pairs of neighbours", seen, len(pairs))
}

// ---------------------------------------------------------------- who

// eachWho calls f with everybody. Answers that decide alike are tried once, but in a soak.
func eachWho(f func(Who)) {
	me, pin, release := []Answer{NotSaid}, []Answer{NotSaid, Same}, []bool{false}
	if soak {
		me, pin, release = []Answer{NotSaid, Same, Different}, []Answer{NotSaid, Same, Different}, []bool{false, true}
	}
	bools := []bool{false, true}
	var w Who
	for w.Statement = range statements {
		for w.Comparison = range comparisons {
			for w.Digits = range digitses {
				for w.Tree = range trees {
					for w.Paper = range papers {
						for w.Said.Signer = range answers {
							for _, w.Said.Me = range me {
								for _, w.Said.PIN = range pin {
									for n := range 16 {
										w.Said.Looked, w.Said.Serial, w.Said.LostKey, w.Said.Names = bools[n&1], bools[n>>1&1], bools[n>>2&1],
											bools[n>>3&1]
										for _, w.Said.Release = range release {
											f(w)
										}
									}
								}
							}
						}
					}
				}
			}
		}
	}
}

// lesser are the same people where less is measured, or where somebody changed a file. A statement
// that the open run's receipt names cannot be taken away: it is then missing, which is bad.
func lesser(p Phase, w Who) (list []Who) {
	with := func(f func(*Who)) {
		n := w
		f(&n)
		if n != w {
			list = append(list, n)
		}
	}
	with(func(n *Who) { n.Statement = StatementUnknown })
	with(func(n *Who) { n.Comparison = ComparisonUnknown })
	with(func(n *Who) { n.Digits = DigitsUnknown })
	with(func(n *Who) { n.Tree = TreeUnknown })
	with(func(n *Who) { n.Paper = PaperUnknown })
	with(func(n *Who) { n.Statement = StatementBad })
	if w.Tree == TreeSigned {
		with(func(n *Who) { n.Tree = TreeElsewhere })
	}
	with(func(n *Who) { n.Tree = TreeDiffers })
	with(func(n *Who) { n.Tree = TreeUnsigned })
	if p != Begun && p != Flashing && p != Owned {
		with(func(n *Who) { n.Statement, n.Comparison = StatementNone, ComparisonNotProvided })
		with(func(n *Who) {
			n.Statement, n.Comparison = StatementNone, ComparisonNotProvided
			if n.Digits != DigitsMatch {
				n.Digits = DigitsNotProvided
			}
		})
	}
	return list
}

// impliesWho is the second table of the second stage.
var impliesWho = []struct {
	what     string
	identity Identity
	holds    func(Phase, Who) bool
}{
	{"proven is all that was promised", Proven, func(_ Phase, w Who) bool { return w.Comparison == ComparisonEqual }},
	{"proven has a statement", Proven, func(_ Phase, w Who) bool {
		return w.Statement == StatementRing ||
			w.Statement == StatementChain
	}},
	{"proven is looked at", Proven, func(_ Phase, w Who) bool { return w.Said.Looked }},
	{"a chain is proven by somebody who knows its end", Proven,
		func(_ Phase, w Who) bool { return w.Statement == StatementRing || w.Said.Signer == Same }},
	{"proven digits are the same, promised away, or gone by our step", Proven, func(_ Phase, w Who) bool {
		return w.Digits == DigitsMatch || w.Digits == DigitsNone || w.Digits == DigitsGone
	}},
	{"proven starts what is signed", Proven, func(_ Phase, w Who) bool { return w.Tree == TreeSigned }},
	{"typed is a whole fingerprint", Typed, func(_ Phase, w Who) bool { return w.Said.Signer == Same && w.Said.Serial }},
	{"typed starts what is signed", Typed, func(_ Phase, w Who) bool {
		return w.Tree == TreeSigned ||
			w.Tree == TreeElsewhere
	}},
	{"an owner has a run under way", Owner,
		func(p Phase, _ Who) bool { return p == Begun || p == Flashing || p == Owned }},
	{"an owner has the paper, or the chip's key", Owner, func(p Phase, w Who) bool {
		return w.Paper == PaperOwn || p == Owned && w.Paper == PaperNone && w.Said.PIN == Same
	}},
	{"an owner's promises hold", Owner, func(_ Phase, w Who) bool {
		return w.Comparison != ComparisonDiffers && w.Comparison != ComparisonUnknown && w.Digits != DigitsWrong &&
			w.Digits != DigitsUnknown &&
			w.Statement != StatementUnknown && w.Statement != StatementBad
	}},
	{"an owner starts what is signed", Owner, func(_ Phase, w Who) bool { return w.Tree == TreeSigned }},
	{"who has lost a key opens the disk", Lost,
		func(_ Phase, w Who) bool { return w.Said.LostKey && w.Paper == PaperOwn }},
	{"who has lost a key starts what is signed, or was shown", Lost,
		func(_ Phase, w Who) bool { return w.Tree == TreeSigned || w.Said.Names }},
}

func TestEverybody(t *testing.T) {
	tables := newTables()
	var below [phases][identities][identities]bool
	for p := range phases {
		for a := range identities {
			for b := range identities {
				below[p][a][b] = tables.identityBelow(p, a, b)
			}
		}
	}
	seen, bad := 0, 0
	fail := func(format string, args ...any) {
		if bad++; bad < 6 {
			t.Errorf(format, args...)
		}
	}
	eachWho(func(w Who) {
		seen++
		for p := range phases {
			id, why := identify(p, w)
			if why == 0 || why >= ReasonCount {
				fail("phase %d, %+v: identity %d without a reason", p, w, id)
			}
			if (w.Said.Signer == Different || w.Said.Me == Different) != (id == Wrong) {
				fail("phase %d, %+v: identity %d", p, w, id)
			}
			for _, r := range impliesWho {
				if r.identity == id && !r.holds(p, w) {
					fail("phase %d, %+v: identity %d, but %s", p, w, id, r.what)
				}
			}
			for _, n := range lesser(p, w) {
				if m, _ := identify(p, n); !below[p][m][id] {
					fail("phase %d: %+v is %d, and %+v is %d", p, w, id, n, m)
				}
			}
		}
	})
	t.Logf("%d", seen)
}

// ---------------------------------------------------------------- work

func TestEveryDevice(t *testing.T) {
	for v := range volumes {
		for r := range roots {
			for s := range sealeds {
				p, why := progress(v, r, s)
				if why == 0 || why >= ReasonCount {
					t.Errorf("%d %d %d: no reason", v, r, s)
				}
				if (v == 0 || r == 0 || s == 0) != (p == Unmeasured) {
					t.Errorf("%d %d %d: %d", v, r, s, p)
				}
				for _, i := range []struct {
					what  string
					at    Progress
					holds bool
				}{
					{"done has every disk", Done, v == VolumeOurs || v == VolumeLeftOut || v == NoVolume},
					{"done has the TPM", Done, r == RootOurs || r == RootNone},
					{"done has the secret", Done, s == SealedOurs || r == RootNone},
					{"later has every disk", Later, v == VolumeOurs || v == VolumeLeftOut || v == NoVolume},
					{"undone has nothing that is gone", Undone, v != VolumeRegressed && v != VolumeMissing && v != VolumeAmbiguous &&
						r != RootRegressed && r != RootOther},
					{"undone has nothing of another's", Undone, v != VolumeOther && v != VolumeFlagged},
					{"foreign has nothing that is gone", Foreign, v != VolumeRegressed && v != VolumeMissing && v != VolumeAmbiguous &&
						r != RootRegressed},
				} {
					if i.at == p && !i.holds {
						t.Errorf("%d %d %d: %d, but %s", v, r, s, p, i.what)
					}
				}
			}
		}
	}
}

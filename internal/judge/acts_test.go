package judge

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// impliesAct is the second table of the fourth stage, an act at a time.
var impliesAct = []struct {
	what  string
	acts  []Act
	holds func(gate) bool
}{
	{"the phase is known", all(), func(g gate) bool { return g.phase != Unknown }},
	{"every device was measured", but(RemoveTrigger, EndRun), func(g gate) bool { return g.progress != Unmeasured }},
	{"nothing went back or is missing", but(RemoveTrigger, EndRun), func(g gate) bool { return g.progress != Stopped }},
	{"somebody is known", but(RemoveTrigger, EndRun, Erase), func(g gate) bool { return g.identity >= Owner }},
	{"a person whose key is another's changes nothing", but(RemoveTrigger, EndRun, Erase),
		func(g gate) bool { return g.identity != Wrong }},
	{"what is another's is replaced by who is known from outside", []Act{SetPassphrase, Reencrypt, ClearTPM},
		func(g gate) bool { return g.progress != Foreign || g.identity >= Typed }},
	{"disks and TPM change in a run that is begun", []Act{SetPassphrase, Reencrypt, ClearTPM},
		func(g gate) bool { return g.phase == Begun }},
	{"a tree is signed before the chip is the owner's", []Act{SignTree},
		func(g gate) bool { return g.phase == Begun || g.phase == Flashing }},
	{"a signature needs the card that made the receipt", []Act{SignReceipt, SignTree, SignSame, WriteChip, Certify},
		func(g gate) bool { return g.count == CountWithin || g.count == CountNone }},
	{"a tree is signed as it was signed, or shown", []Act{SignTree, WriteChip}, func(g gate) bool {
		return g.tree == TreeSigned || g.tree == TreeElsewhere && g.identity >= Typed || g.identity == Lost && g.said.Names
	}},
	{"once the chip is the owner's, only what he has signed is signed", []Act{SignSame, Install, Certify},
		func(g gate) bool { return g.phase == Owned && g.tree == TreeSigned }},
	{"the chip is written when all else is done", []Act{WriteChip},
		func(g gate) bool { return g.progress == Done || g.progress == Later }},
	{"the chip is written when /boot waits", []Act{WriteChip}, func(g gate) bool { return g.stage == StageOurs }},
	{"the chip is written once", []Act{WriteChip}, func(g gate) bool { return g.phase == Begun || g.phase == Flashing }},
	{"a certificate has everything", []Act{Certify}, func(g gate) bool { return g.progress == Done }},
	{"the last second signs nothing", []Act{SignReceipt, SignTree, SignSame, Certify, Seal},
		func(g gate) bool { return g.phase != Closing && g.phase != Finished && g.phase != Tampered }},
	{"who cannot explain the file signs nothing",
		[]Act{SignReceipt, SignTree, SignSame, Certify, Seal, WriteChip, Install},
		func(g gate) bool { return g.phase == Begun || g.phase == Flashing || g.phase == Owned }},
	{"a file is removed where all else is signed", []Act{RemoveTrigger},
		func(g gate) bool { return g.tree == TreeSigned }},
	{"a signed file is removed only at the end", []Act{RemoveTrigger}, func(g gate) bool {
		return g.trigger == TriggerAdded || g.phase == Owned && g.progress == Done
	}},
	{"a run is closed at its end", []Act{EndRun},
		func(g gate) bool { return g.phase == Closing || g.phase == Owned && g.progress == Done }},
	{"another's card is erased by its number, the signing one never", []Act{ResetCard}, func(g gate) bool {
		return g.card == CardBlank || g.card == CardSeller || g.card == CardOurs || g.card == CardElsewhere && g.tail
	}},
	{"while the chip is half written, the card keeps its key", []Act{ResetCard, Erase},
		func(g gate) bool { return g.phase != Flashing }},
	{"an owned machine is begun anew by its owner", []Act{ResetCard}, func(g gate) bool {
		owner := g.phase == Tampered || g.phase == Finished || g.phase == Owned || g.phase == Closing
		return !owner || g.identity == Lost || g.said.PIN == Same
	}},
	{"a run is continued by who has the paper",
		[]Act{SetPassphrase, Reencrypt, ClearTPM, Seal, SignReceipt, SignTree, SignSame, WriteChip, Install, Certify},
		func(g gate) bool { return g.paper == PaperOwn || g.paper == PaperNone }},
	{"a run is begun by who knows whom it is from", []Act{ResetCard}, func(g gate) bool { return g.identity >= Typed }},
	{"giving up is a command", []Act{Erase}, func(g gate) bool { return g.said.Release }},
	{"giving up wants the key, or two things without it", []Act{Erase}, func(g gate) bool {
		return g.said.PIN == Same || g.said.LostKey && (g.paper == PaperOwn || g.said.Serial)
	}},
}

func all() (list []Act) {
	for a := range actCount {
		list = append(list, a)
	}
	return list
}

func but(not ...Act) (list []Act) {
next:
	for a := range actCount {
		for _, n := range not {
			if a == n {
				continue next
			}
		}
		list = append(list, a)
	}
	return list
}

// rest are the gates of one phase and person, everything else tried.
type who4 struct {
	tree  Tree
	said  Said
	paper Paper
}

func eachWho4(f func(who4)) {
	for tree := range trees {
		for _, paper := range []Paper{PaperUnknown, PaperOwn, PaperNone} {
			for n := range 32 {
				s := Said{LostKey: n&1 != 0, Names: n&2 != 0, Serial: n&4 != 0, Release: n&8 != 0}
				if n&16 != 0 {
					s.PIN = Same
				}
				f(who4{tree, s, paper})
			}
		}
	}
}

// cardKinds are the cards that decide differently; a soak tries all.
func cardKinds() []Card {
	if soak {
		return []Card{CardUnknown, CardNone, CardBlank, CardSeller, CardOurs, CardElsewhere, CardSigner}
	}
	return []Card{CardUnknown, CardBlank, CardElsewhere}
}

func eachRest(g gate, f func(gate)) {
	for g.progress = range progresses {
		for g.trigger = range triggers {
			for g.stage = range stages {
				for g.count = range counts {
					for _, g.card = range cardKinds() {
						for _, g.tail = range []bool{false, true} {
							if g.tail && g.card != CardElsewhere {
								continue
							}
							f(g)
						}
					}
				}
			}
		}
	}
}

// tables compares what phases and identities allow, where what an act needs besides is there and where it is not.
type tables struct {
	acts map[tableKey][]Acts
}

type tableKey struct {
	p  Phase
	id Identity
	w  who4
}

func newTables() *tables { return &tables{acts: map[tableKey][]Acts{}} }

func (t *tables) of(k tableKey) []Acts {
	if a, ok := t.acts[k]; ok {
		return a
	}
	var list []Acts
	g := gate{phase: k.p, identity: k.id, tree: k.w.tree, said: k.w.said, paper: k.w.paper, trigger: TriggerAdded}
	for g.progress = range progresses {
		for _, g.stage = range []Stage{StageNone, StageOurs} {
			for _, g.count = range []Count{CountNoCard, CountWithin} {
				for _, g.card = range []Card{CardNone, CardBlank} {
					list = append(list, acts(g))
				}
			}
		}
	}
	t.acts[k] = list
	return list
}

// harmless acts put nothing of the owner's at stake: they take away what others have put into /boot, and close.
const harmless = Acts(1<<RemoveTrigger | 1<<EndRun)

func subset(a, b []Acts) bool {
	for i := range a {
		if a[i]&^b[i]&^harmless != 0 {
			return false
		}
	}
	return true
}

func (t *tables) identityBelow(p Phase, a, b Identity) bool {
	ok := true
	eachWho4(func(w who4) { ok = ok && subset(t.of(tableKey{p, a, w}), t.of(tableKey{p, b, w})) })
	return ok
}

// People as the fourth stage sees them: who they are in each phase, and what of them it looks at.
type people struct {
	w  who4
	id [phases]Identity
}

// everybody lists them; each once.
var everybody = sync.OnceValue(func() (list []people) {
	seen := map[people]bool{}
	eachWho(func(w Who) {
		k := people{w: who4{w.Tree, Said{LostKey: w.Said.LostKey, Names: w.Said.Names, Serial: w.Said.Serial,
			Release: w.Said.Release, PIN: w.Said.PIN}, w.Paper}}
		if k.w.paper != PaperOwn && k.w.paper != PaperNone {
			k.w.paper = PaperUnknown
		}
		if k.w.said.PIN != Same {
			k.w.said.PIN = NotSaid
		}
		for p := range phases {
			k.id[p], _ = identify(p, w)
		}
		seen[k] = true
	})
	for k := range seen {
		list = append(list, k)
	}
	return list
})

// phaseBelow returns "" if phase q allows nobody more than p does.
func (t *tables) phaseBelow(q, p Phase) string {
	for _, k := range everybody() {
		if !subset(t.of(tableKey{q, k.id[q], k.w}), t.of(tableKey{p, k.id[p], k.w})) {
			return fmt.Sprintf("identity %d, %d: %+v", k.id[q], k.id[p], k.w)
		}
	}
	return ""
}

func TestEveryAct(t *testing.T) {
	seen, bad, part := 0, 0, rand.IntN(16)
	var allowed Acts
	eachWho4(func(w who4) {
		for p := range phases {
			for id := range identities {
				if part++; part%16 != 0 && !soak {
					continue
				}
				eachRest(gate{phase: p, identity: id, tree: w.tree, said: w.said, paper: w.paper}, func(g gate) {
					if bad > 5 {
						return
					}
					seen++
					a := acts(g)
					allowed |= a
					for _, i := range impliesAct {
						for _, x := range i.acts {
							if a.Has(x) && !i.holds(g) {
								bad++
								t.Errorf("%+v allows %d, but %s", g, x, i.what)
							}
						}
					}
					less := [...]gate{g, g, g, g, g, g, g}
					less[0].progress, less[1].trigger, less[2].tree, less[3].stage, less[4].count, less[5].card, less[6].paper = 0, 0,
						0, 0, 0, 0, 0
					for _, n := range less {
						if x := acts(n); x&^a != 0 {
							bad++
							t.Errorf("%+v allows %b, and with less measured, %+v, %b", g, a, n, x)
						}
					}
				})
			}
		}
	})
	for a := range actCount {
		if !allowed.Has(a) {
			t.Errorf("nothing ever allows act %d", a)
		}
	}
	t.Logf("%d", seen)
}

package judge

import (
	"math/rand/v2"
	"testing"
)

func pick[T ~uint8](r *rand.Rand, n T) T { return T(r.IntN(int(n))) }

// random facts, of which many are what an honest machine has, so that something is allowed.
func random(r *rand.Rand) (f Facts) {
	good := honest[r.IntN(len(honest))].facts
	f = good
	for range r.IntN(5) {
		n := Facts{History: History{pick(r, triggers), pick(r, rings), pick(r, anchors), pick(r, counts), pick(r, receipts),
			pick(r, documents), pick(r, stages)},
			Who: Who{Statement: pick(r, statements), Comparison: pick(r, comparisons), Digits: pick(r, digitses),
				Tree: pick(r, trees), Paper: pick(r, papers)},
			Work: Work{Volumes: []Volume{pick(r, volumes)}, Root: pick(r, roots), Sealed: pick(r, sealeds)},
			Card: pick(r, cards)}
		switch r.IntN(15) {
		case 0:
			f.Trigger = n.Trigger
		case 1:
			f.Ring = n.Ring
		case 2:
			f.Anchor = n.Anchor
		case 3:
			f.Count = n.Count
		case 4:
			f.Receipt = n.Receipt
		case 5:
			f.Stage = n.Stage
		case 6:
			f.Statement = n.Statement
		case 7:
			f.Comparison = n.Comparison
		case 8:
			f.Digits = n.Digits
		case 9:
			f.Tree = n.Tree
		case 10:
			f.Paper = n.Paper
		case 11:
			f.Volumes = n.Volumes
		case 12:
			f.Root, f.Sealed = n.Root, n.Sealed
		case 13:
			f.Card = n.Card
		case 14:
			f.Said = Said{pick(r, answers), pick(r, answers), r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(4) == 0, r.IntN(4) == 0,
				pick(r, answers), r.IntN(8) == 0}
		}
	}
	return f
}

// TestLessIsNeverMore: one fact less, anywhere in the whole, allows nothing more.
func TestLessIsNeverMore(t *testing.T) {
	n := 40_000
	if soak {
		n = 3_000_000
	}
	r := rand.New(rand.NewPCG(15, 1))
	allowed := 0
	for range n {
		f := random(r)
		v := Judge(f)
		allowed += v.Acts.Len()
		var less []Facts
		for _, h := range unmeasured(f.History) {
			x := f
			x.History = h
			less = append(less, x)
		}
		for i := range 9 {
			x := f
			switch i {
			case 0:
				x.Statement = 0
			case 1:
				x.Comparison = 0
			case 2:
				x.Digits = 0
			case 3:
				x.Tree = 0
			case 4:
				x.Paper = 0
			case 5:
				x.Volumes = []Volume{0}
			case 6:
				x.Root = 0
			case 7:
				x.Sealed = 0
			case 8:
				x.Card = 0
			}
			less = append(less, x)
		}
		for _, x := range less {
			if u := Judge(x); u.Acts&^v.Acts != 0 {
				t.Fatalf("%+v\nallows %b, and with less measured\n%+v\n%b", f, v.Acts, x, u.Acts)
			}
		}
	}
	if allowed < n {
		t.Errorf("%d cases allow only %d acts: nothing was tried", n, allowed)
	}
}

func TestNothingMeasuredAllowsNothing(t *testing.T) {
	v := Judge(Facts{})
	if v.Acts != 0 || v.Phase != Unknown || v.Identity != Unproven || v.Progress != Unmeasured || v.Level < Yellow ||
		v.Silent {
		t.Errorf("%+v", v)
	}
}

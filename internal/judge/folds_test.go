package judge

import (
	"slices"
	"testing"
)

func TestFoldVolumes(t *testing.T) {
	if FoldVolumes(nil) != VolumeUnknown || FoldVolumes([]Volume{}) != VolumeUnknown ||
		FoldVolumes([]Volume{volumes}) != VolumeUnknown {
		t.Error("no list at all is something")
	}
	if !slices.Equal(slices.Compact(slices.Sorted(slices.Values(badness[:]))), slices.Sorted(slices.Values(badness[:]))) {
		t.Error("two containers are equally bad")
	}
	for a := range volumes {
		if FoldVolumes([]Volume{a}) != a {
			t.Errorf("%d alone is %d", a, FoldVolumes([]Volume{a}))
		}
		for b := range volumes {
			ab := FoldVolumes([]Volume{a, b})
			if ab != FoldVolumes([]Volume{b, a}) || ab != a && ab != b || FoldVolumes([]Volume{a, b, a, NoVolume}) != ab {
				t.Errorf("%d and %d are %d", a, b, ab)
			}
			// No container gets better by another: what may be done with both, may be done with each.
			for r := range roots {
				for s := range sealeds {
					x, _ := progress(ab, r, s)
					y, _ := progress(a, r, s)
					if x > y {
						t.Errorf("%d and %d are %d: %d, and one alone %d", a, b, ab, x, y)
					}
				}
			}
			if (a == VolumeUnknown || b == VolumeUnknown) && ab != VolumeUnknown {
				t.Errorf("%d and %d are %d", a, b, ab)
			}
		}
	}
	for _, v := range []Volume{VolumeUnknown, VolumeRegressed, VolumeMissing, VolumeAmbiguous, VolumeOurs, VolumeLeftOut,
		NoVolume} {
		if v.Writable() {
			t.Errorf("%d may be written to", v)
		}
	}
}

func TestFoldPapers(t *testing.T) {
	if FoldPapers() != PaperNone {
		t.Error("nothing that was set is something")
	}
	for a := range papers {
		for b := range papers {
			got := FoldPapers(a, b)
			own := (a == PaperOwn || a == PaperNone) && (b == PaperOwn || b == PaperNone) && a+b != 2*PaperNone
			if own != (got == PaperOwn) {
				t.Errorf("%d and %d are %d", a, b, got)
			}
			if (a == PaperUnknown || b == PaperUnknown) != (got == PaperUnknown) {
				t.Errorf("%d and %d are %d", a, b, got)
			}
		}
	}
}

func TestFoldComparisons(t *testing.T) {
	if FoldComparisons() != ComparisonNotProvided {
		t.Error("nothing promised is something")
	}
	all := []Comparison{ComparisonUnknown, ComparisonEqual, ComparisonNotProvided, ComparisonDiffers}
	for _, a := range all {
		for _, b := range all {
			for _, c := range all {
				got, list := FoldComparisons(a, b, c), []Comparison{a, b, c}
				want := ComparisonEqual
				for _, worst := range []Comparison{ComparisonNotProvided, ComparisonUnknown, ComparisonDiffers} {
					if slices.Contains(list, worst) {
						want = worst
					}
				}
				if got != want {
					t.Errorf("%v are %d, want %d", list, got, want)
				}
			}
		}
	}
}

func TestFoldTree(t *testing.T) {
	if FoldTree() != TreeUnknown {
		t.Error("no set is something")
	}
	for a := range trees {
		if FoldTree(a) != a {
			t.Errorf("%d alone is %d", a, FoldTree(a))
		}
		for b := range trees {
			got := FoldTree(a, b)
			unknown := a == TreeUnknown || b == TreeUnknown
			if unknown != (got == TreeUnknown) || !unknown && (a == TreeSigned || b == TreeSigned) != (got == TreeSigned) ||
				got != FoldTree(b, a) {
				t.Errorf("%d and %d are %d", a, b, got)
			}
		}
	}
}

// TestClaims: a check that was not made never counts as held, and only one that failed withholds.
func TestClaims(t *testing.T) {
	for n := range 59049 { // 3 to the number of claims
		var c Claims
		held, failed := 0, false
		for i, x := 0, n; i < int(ClaimCount); i, x = i+1, x/3 {
			c.Tried[i] = Tried(x % 3)
			c.Applies |= 1 << i
			if c.Tried[i] == Held {
				held++
			}
			failed = failed || c.Tried[i] == Failed
		}
		h, of, withheld := c.Sum()
		if h != held || of != int(ClaimCount) || withheld != failed {
			t.Fatalf("%v: %d of %d, %v", c.Tried, h, of, withheld)
		}
		if c.Owners() && (c.Tried[ClaimPassphrase] != Held || c.Tried[ClaimVolumeKey] != Held ||
			c.Tried[ClaimSecondRead] != Held) {
			t.Fatalf("%v: the owner's alone", c.Tried)
		}
	}
	if h, of, _ := (Claims{Tried: [ClaimCount]Tried{ClaimTPM: Held}}).Sum(); h != 0 || of != 0 {
		t.Error("a row that does not apply counts")
	}
}

func TestSince(t *testing.T) {
	for tree := range trees {
		for c := range comparisons {
			got := Since(tree, c)
			if (got == MarkSame || got == MarkChanged) && tree != TreeSigned || got == MarkSame && c == ComparisonDiffers ||
				got == MarkBad && tree == TreeSigned || (tree == 0 || c == 0) != (got == MarkUnknown) {
				t.Errorf("%d, %d: %d", tree, c, got)
			}
		}
	}
}

// TestNames: everything that is decided has a name of its own.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	check := func(s string) {
		if s == "" || seen[s] {
			t.Errorf("%q is no name", s)
		}
		seen[s] = true
	}
	for p := range phases {
		check(p.String())
	}
	clear(seen)
	for i := range identities {
		check(i.String())
	}
	clear(seen)
	for a := range actCount {
		check(a.String())
	}
	clear(seen)
	for r := Reason(1); r < ReasonCount; r++ {
		check(r.String())
	}
}

// TestEveryReasonIsGiven: a reason that nothing gives is prose that nobody reads.
func TestEveryReasonIsGiven(t *testing.T) {
	given := map[Reason]bool{}
	eachHistory(func(h History) {
		_, why := phase(h)
		given[why] = true
	})
	eachWho(func(w Who) {
		for _, p := range []Phase{Delivered, Begun, Owned} {
			_, why := identify(p, w)
			given[why] = true
		}
	})
	w := Who{Said: Said{Me: Different}}
	_, why := identify(Delivered, w)
	given[why] = true
	for v := range volumes {
		for r := range roots {
			for s := range sealeds {
				_, why := progress(v, r, s)
				given[why] = true
			}
		}
	}
	for c := range cards {
		for _, r := range Judge(Facts{Card: c}).Reasons {
			given[r] = true
		}
	}
	for r := Reason(1); r < ReasonCount; r++ {
		if !given[r] {
			t.Errorf("nothing gives %q", r)
		}
	}
}

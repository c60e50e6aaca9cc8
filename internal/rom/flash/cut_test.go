package flash

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"testing"

	"reown/internal/rom"
)

// cuts writes a plan again and again, with the power going at each single erase
// and program step, and returns how many steps there are and how many cuts leave
// a board that does not start. After each other cut the board starts again and
// goes on: from the old image, of which somebody kept the blocks, and (aligned
// plans only) from nothing but what the chip holds.
func cuts(t *testing.T, p *rom.Plan, n int, ways ...torn) (steps, erases, bad int) {
	t.Helper()
	ctx, broken := context.Background(), small.Checker()
	c := newChip(p.Old)
	if _, err := Write(ctx, c.backend(), p, nil); err != nil {
		t.Fatal(err)
	}
	steps = len(c.names)
	for _, name := range c.names {
		if name[0] == 'e' {
			erases++
		}
	}
	for cut := range steps {
		breaks := false
		for _, how := range ways {
			c := newChip(p.Old)
			c.cut, c.how = cut, how
			if _, err := Write(ctx, c.backend(), p, nil); !errors.Is(err, ErrDamaged) || !errors.Is(err, errPower) {
				t.Fatalf("cut %d: %v", cut, err)
			}
			if name := broken(c.data); name != "" {
				breaks = true
				continue // it will not come to a second run
			}
			from := [][]byte{p.Old}
			if p.Shared == 0 {
				from = append(from, bytes.Clone(c.data))
			}
			for i, old := range from {
				again := newChip(c.data)
				next, err := rom.NewPlan(old, owner(n))
				if err != nil {
					t.Fatalf("cut %d (%s) in %q: planning anew: %v", cut, how, c.names[cut], err)
				}
				if _, err := Write(ctx, again.backend(), next, nil); err != nil {
					t.Fatalf("cut %d (%s) in %q: writing anew: %v", cut, how, c.names[cut], err)
				}
				files, want := small.Coreboot(again.data), small.Coreboot(p.New)
				if next.LostConfig || len(next.Dropped) > 0 {
					delete(files, rom.NameConfig)
					delete(want, rom.NameConfig)
				}
				if i == 0 && !bytes.Equal(again.data, p.New) || !maps.Equal(files, want) || !next.Aligned ||
					next.Shared > p.Shared {
					t.Fatalf("cut %d (%s) in %q: another image at the end", cut, how, c.names[cut])
				}
			}
		}
		if breaks {
			bad++
		}
	}
	return steps, erases, bad
}

func TestPowerCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("enumerates all cuts")
	}
	first := plan(t, sold(t, small), 3000)

	// The aligned layout: every later change.
	for _, n := range []int{2000, 200, 9000} {
		ways := []torn{nothing, half, garbage, lengths, all}
		if os.Getenv("REOWN_SOAK") != "1" {
			if n > 3000 {
				continue
			}
			ways = []torn{half, lengths}
		}
		second := plan(t, first.New, n)
		steps, erases, bad := cuts(t, second, n, ways...)
		t.Logf("aligned layout, a keyring of %d bytes instead of 3000: %d steps, %d erases; cuts that damage a boot-critical file: %d", n, steps, erases, bad)
		if bad != 0 || second.Shared != 0 || steps == 0 {
			t.Errorf("%d damaging cuts, %d shared blocks, %d steps; want 0, 0 and some", bad, second.Shared, steps)
		}
	}

	// An image without any file of an owner, as it comes from the build.
	fresh := plan(t, small.Build(), 3000)
	steps, erases, bad := cuts(t, fresh, 3000, half, garbage)
	t.Logf("no files yet, first conversion: %d steps, %d erases; damaging cuts: %d", steps, erases, bad)
	if bad > 0 && fresh.Shared == 0 {
		t.Error("a plan without shared blocks damages the firmware")
	}

	// The same image, prepared by its maker.
	prepared, err := rom.Align(small.Build(), 0)
	if err != nil {
		t.Fatal(err)
	}
	steps, erases, bad = cuts(t, plan(t, prepared.New, 3000), 3000, half, garbage, lengths)
	t.Logf("no files yet, prepared: %d steps, %d erases; damaging cuts: %d", steps, erases, bad)
	if bad != 0 {
		t.Errorf("%d damaging cuts", bad)
	}

	// Heads' own layout: the seller's files begin in the payload's last block. One
	// write of that block cannot be avoided.
	steps, erases, bad = cuts(t, first, 3000, half, garbage)
	t.Logf("Heads' layout, first conversion: %d steps, %d erases; damaging cuts: %d", steps, erases, bad)
	if first.Shared == 0 || bad == 0 {
		t.Errorf("%d shared blocks and %d damaging cuts: the simulation sees nothing", first.Shared, bad)
	}
}

// A run that was cut may go on with another key than before.
func TestAnotherKeyAfterACut(t *testing.T) {
	aligned := plan(t, sold(t, small), 3000).New
	p := plan(t, aligned, 9000)
	c := newChip(aligned)
	c.cut, c.how = 7, garbage
	if _, err := Write(context.Background(), c.backend(), p, nil); err == nil {
		t.Fatal("a cut went unnoticed")
	}
	// From the old image that was kept, and from what the chip holds.
	for _, from := range [][]byte{aligned, bytes.Clone(c.data)} {
		again := newChip(c.data)
		next := plan(t, from, 200)
		if _, err := Write(context.Background(), again.backend(), next, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.data, next.New) {
			t.Fatal("another image at the end")
		}
	}
}

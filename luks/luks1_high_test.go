package luks_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// Keyslots 6 and 7 of LUKS1 are described beyond the sector that decides the
// version. They keep their numbers on the way up and back, open at every point of
// it, and survive a re-encryption.
func TestLUKS1HighSlots(t *testing.T) {
	f := format1(t, 64<<10, 7, "--key-size", "512")
	ctx := context.Background()
	v := open(t, f.img)
	for slot := range 6 {
		if err := v.KillKeyslot(ctx, slot, pass("slot7")); err != nil {
			t.Fatal(err)
		}
	}
	v.Close()
	numbers := func(when, img string) {
		t.Helper()
		for slot := 6; slot < 8; slot++ {
			f.Run("open", "--test-passphrase", "--key-slot", fmt.Sprint(slot), "--key-file", f.Path(fmt.Sprintf("key%d", slot)),
				img)
		}
		if got := f.tries("key", "key5", "key6", "key7"); got != "key6 key7" {
			t.Errorf("%s: opens with %q", when, got)
		}
	}
	numbers("before", f.img)
	base := f.image()
	d := lukstest.NewDisk(slices.Clone(base), 512)
	d.Record()
	for _, version := range []int{2, 1} {
		v, err := f.open(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Convert(ctx, version); err != nil {
			t.Fatal(err)
		}
		f.put(d.Bytes())
		numbers(fmt.Sprintf("as LUKS%d", version), f.img)
	}
	log := d.Log()
	r := rand.New(rand.NewPCG(2, 3))
	points := 0
	for k := range len(log) + 1 {
		for i, ops := range [][]lukstest.Op{log[:k], lukstest.Torn(log, k, 512, r), lukstest.PowerLoss(log, k, 512, 0.5, r)} {
			v, err := f.open(lukstest.NewDisk(lukstest.Replay(base, ops), 512))
			if err != nil {
				t.Fatal(k, i, err)
			}
			points++
			for slot := 6; slot < 8; slot++ {
				if got, err := v.Unlock(ctx, pass(fmt.Sprintf("slot%d", slot))); err != nil || got != slot {
					t.Errorf("after %d of %d operations (%d): passphrase %d opens %d, %v", k, len(log), i, slot, got, err)
				}
			}
		}
	}
	t.Logf("%d operations, %d points", len(log), points)

	v = open(t, f.img)
	if err := v.Reencrypt(ctx, pass("slot7"), luks.ReencryptOptions{BackToLUKS1: true}); err != nil {
		t.Fatal(err)
	}
	if vk := f.judge(t, f.Path("key7"), 512); bytes.Equal(vk, f.oldKey) {
		t.Error("the old volume key")
	}
	if out := f.Run("luksDump", f.img); !strings.Contains(out, "Key Slot 7: ENABLED") ||
		strings.Count(out, "ENABLED") != 1 {
		t.Errorf("not LUKS1 with only slot 7:\n%s", out)
	}
}

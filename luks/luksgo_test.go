package luks_test

import (
	"context"
	"testing"

	luksgo "github.com/anatol/luks.go"

	"reown/luks"
)

// A third implementation of LUKS, which shares no code with cryptsetup or with us,
// opens what we leave.
func TestJudgedByLuksGo(t *testing.T) {
	for name, f := range map[string]*fixture{
		"LUKS2": format(t, shape{size: 1 << 20, sector: 512, slots: 1}),
		"LUKS1": format1(t, 1<<20, 1),
	} {
		v := open(t, f.img)
		ctx := context.Background()
		if err := v.SetPassphrase(ctx, pass("slot1"), pass("second")); err != nil {
			t.Fatal(name, err)
		}
		if err := v.Reencrypt(ctx, pass("second"), luks.ReencryptOptions{BackToLUKS1: name == "LUKS1"}); err != nil {
			t.Fatal(name, err)
		}
		v.Close()
		dev, err := luksgo.Open(f.img)
		if err != nil {
			t.Fatal(name, err)
		}
		if s := dev.Slots(); len(s) != 1 || s[0] != 1 {
			t.Errorf("%s: slots %v", name, s)
		}
		if _, err := dev.UnsealVolume(1, []byte("second")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := dev.UnsealVolume(1, []byte("slot1")); err == nil {
			t.Errorf("%s: the old passphrase opens it", name)
		}
		dev.Close()
	}
}

package luks_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// cryptsetup makes a LUKS1 header unusable and then finds that it cannot go on. The
// header comes back if the data shows that none of it was re-encrypted, and only then.
func TestLUKS1Aside(t *testing.T) {
	ctx := context.Background()
	f := format1(t, 1<<20, 0)
	// A file system begins with something; further on there are compressed files.
	plain := append(make([]byte, 4096), lukstest.Random(1<<20-4096, 3)...)
	f.replacePlain(plain, 512)
	sound := f.image()
	if out, err := f.Try("reencrypt", "--batch-mode", "--key-file", f.key, f.img); err == nil {
		t.Skipf("this cryptsetup and kernel re-encrypt LUKS1: %s", out)
	}
	aside := f.image()
	if bytes.Equal(aside, sound) {
		t.Skip("this cryptsetup leaves the header alone")
	}
	if _, err := luks.Open(ctx, f.img, luks.Options{}); !errors.Is(err, luks.ErrLUKS1Interrupted) {
		t.Errorf("opened without being asked to: %v", err)
	}
	begun := slices.Clone(aside)
	copy(begun[f.offset:], lukstest.Random(512, 4)) // the first sector is under another key
	for _, c := range []struct {
		name string
		img  []byte
		pass string
		o    luks.RescueOptions
		want error
	}{
		{"wrong passphrase", aside, "wrong", luks.RescueOptions{InOrder: true}, luks.ErrWrongPassphrase},
		{"begun", begun, "first", luks.RescueOptions{InOrder: true}, luks.ErrLUKS1Interrupted},
		{"power lost, data of which nothing follows", aside, "first", luks.RescueOptions{}, luks.ErrUnproven1},
		{"dry run", aside, "first", luks.RescueOptions{InOrder: true, DryRun: true}, nil},
		{"not begun", aside, "first", luks.RescueOptions{InOrder: true}, nil},
	} {
		f.put(c.img)
		v, err := luks.Open(ctx, f.img, luks.Options{LUKS1Aside: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{}); !errors.Is(err, luks.ErrLUKS1Interrupted) {
			t.Errorf("re-encryption of a header set aside: %v", err)
		}
		_, err = v.Rescue(ctx, pass(c.pass), c.o)
		v.Close()
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		want := c.img
		if c.name == "not begun" {
			want = sound
		}
		if !bytes.Equal(f.image(), want) {
			t.Errorf("%s: the disk is not what it should be", c.name)
		}
	}
	f.judge(t, f.key, 512)
}

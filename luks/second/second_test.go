package second_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"reown/internal/secret"
	"reown/luks"
	"reown/luks/lukstest"
	"reown/luks/second"
)

func pass(s string) *secret.Buffer { return secret.From([]byte(s)) }

// Volumes of cryptsetup, opened by both readers: one key has one mark, another key
// another.
func TestSecondReader(t *testing.T) {
	p := lukstest.NewPeer(t)
	key := p.Write("key", []byte("first"))
	ctx, salt := context.Background(), lukstest.Random(16, 1)
	for name, args := range map[string][]string{
		"LUKS1":  {"--type", "luks1", "--pbkdf-force-iterations", "1000"},
		"PBKDF2": {"--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"},
		"Argon2": {"--type", "luks2", "--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "65536"},
	} {
		for _, offset := range []int64{0, 1 << 20} {
			if offset > 0 && name != "PBKDF2" {
				continue
			}
			part := p.Write("part", make([]byte, 5<<20))
			p.Run(append([]string{"luksFormat", "--batch-mode", "--offset", "8192", "--key-file", key, part}, args...)...)
			img := p.Write("img", append(make([]byte, offset), p.Read("part")...))
			v, err := luks.Open(ctx, img, luks.Options{Offset: offset, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			mark, err := v.Mark(ctx, pass("first"), salt)
			if err != nil {
				t.Fatal(err)
			}
			try := func(pw string, salt []byte) error { return second.Open(ctx, img, offset, 0, 0, pass(pw), salt, mark) }
			if err := try("first", salt); err != nil {
				t.Errorf("%s at %d: %v", name, offset, err)
			}
			if err := try("other", salt); !errors.Is(err, second.ErrCannot) || !errors.Is(err, luks.ErrWrongPassphrase) {
				t.Errorf("%s, a wrong passphrase: %v", name, err)
			}
			if err := try("first", lukstest.Random(16, 2)); !errors.Is(err, second.ErrDiffers) {
				t.Errorf("%s, another mark: %v", name, err)
			}
		}
	}
	if err := second.Open(ctx, os.DevNull, 0, 0, 0, pass("first"), salt, luks.Mark{}); !errors.Is(err, second.ErrCannot) {
		t.Error(err)
	}
}

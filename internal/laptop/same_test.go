package laptop

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"reown/boot"
	"reown/wizard"
)

// TestSignedAgain: once the chip trusts the owner's key, nothing is signed by it that it has not signed
// before, but for what is new about the machine. The card is not even asked.
func TestSignedAgain(t *testing.T) {
	owner, maid := newSigner(t, "Owner"), newSigner(t, "Maid")
	spec := func(rollback string) wizard.BootSpec {
		return wizard.BootSpec{Cert: owner.cert, Rollback: []byte(rollback), PrimaryHash: []byte(rollback)}
	}
	for name, c := range map[string]struct {
		by     *signer
		change func(t *testing.T, dir string, s *wizard.BootSpec)
		want   []string // files that differ; nil: it is signed
		err    error
	}{
		"another TPM root and counter": {owner, func(_ *testing.T, _ string, s *wizard.BootSpec) { *s = spec("2") }, nil,
			nil},
		"another kernel": {owner, func(t *testing.T, dir string, _ *wizard.BootSpec) {
			if err := os.WriteFile(filepath.Join(dir, "vmlinuz"), []byte("evil"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, []string{"kexec_default_hashes.txt", "kexec_hashes.txt"}, nil},
		"a file more": {owner, func(t *testing.T, dir string, _ *wizard.BootSpec) {
			if err := os.WriteFile(filepath.Join(dir, "more"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}, []string{"kexec_hashes.txt", "kexec_tree.txt"}, nil},
		"another entry": {owner, func(_ *testing.T, _ string, s *wizard.BootSpec) { s.Entry = 1 },
			[]string{"kexec_default.1.txt", "kexec_default.2.txt"}, nil},
		"the set was taken away": {owner, func(t *testing.T, dir string, _ *wizard.BootSpec) {
			if err := os.RemoveAll(filepath.Join(dir, "kexec_reown.stage")); err != nil {
				t.Fatal(err)
			}
		}, nil, boot.ErrNoSignature},
		"a set of somebody else's": {maid, func(*testing.T, string, *wizard.BootSpec) {}, nil, boot.ErrBadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for n, text := range map[string]string{"vmlinuz": "kernel", "initrd.img": "initrd",
				"grub/grub.cfg": "menuentry 'A' {\n linux /vmlinuz root=/dev/sda1\n initrd /initrd.img\n}\nmenuentry 'B' {\n linux /vmlinuz single\n initrd /initrd.img\n}\n"} {
				p := filepath.Join(dir, n)
				if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			d, err := boot.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			b := &bootAdapter{dir: d, verify: openPGP{}.Verify}
			if err := b.Stage(t.Context(), spec("1"), c.by.sign, nil); err != nil {
				t.Fatal(err)
			}
			again := spec("1")
			c.change(t, dir, &again)
			again.Same = true
			asked := 0
			err = b.Stage(t.Context(), again, func(data []byte) ([]byte, error) { asked++; return owner.sign(data) }, nil)
			var differs *boot.StartError
			switch {
			case c.err != nil:
				if !errors.Is(err, c.err) || asked != 0 {
					t.Errorf("%v, signed %d times", err, asked)
				}
			case c.want != nil:
				if !errors.As(err, &differs) || !slices.Equal(differs.Files, c.want) || asked != 0 {
					t.Errorf("%v, signed %d times", err, asked)
				}
			case err != nil || asked != 1:
				t.Errorf("%v, signed %d times", err, asked)
			}
		})
	}
}

package laptop

import (
	"errors"
	"slices"
	"testing"

	"reown/boot"
)

// TestBootInfo: the wizard learns which entries can be the default, which one is so now,
// and which one to suggest.
func TestBootInfo(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "vmlinuz", "kernel", 0o644)
	put(t, dir, "grub/grub.cfg", "menuentry 'rescue' {\n\tlinux /vmlinuz\n}\nmenuentry 'two' {\n\tlinux /vmlinuz\n}\nmenuentry 'spoils' {\n\tlinux /vmlinuz-$v\n}\nmenuentry 'four' {\n\tlinux /vmlinuz a\n}\n", 0o644)
	d, err := boot.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := &bootAdapter{dir: d}
	i, err := a.Info(t.Context())
	if err != nil || i.Default != 1 || i.Signed != -1 || !slices.Equal(i.Uncertain, []bool{false, false, true, true}) {
		t.Fatalf("%+v %v", i, err)
	}
	e, err := d.Entries()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "kexec_default.1.txt", e[0].Line+"\n", 0o644)
	if i, err = a.Info(t.Context()); err != nil || i.Default != 1 || i.Signed != 0 {
		t.Errorf("%+v %v", i, err)
	}
}

// TestBootInfoOdd: what the step could not sign is known before the run.
func TestBootInfoOdd(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "vmlinuz", "kernel", 0o644)
	put(t, dir, "grub/grub.cfg", "menuentry 'a' {\n\tlinux /vmlinuz\n}\n", 0o644)
	d, err := boot.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := &bootAdapter{dir: d}
	if _, err := a.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "kexec_reown.1/grub.cfg", "", 0o644)
	var odd *boot.OddError
	if i, err := a.Info(t.Context()); !errors.As(err, &odd) || len(odd.Findings) != 1 || len(i.Entries) != 1 {
		t.Errorf("%+v %v", i, err)
	}
}

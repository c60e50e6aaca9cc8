package laptop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"reown/boot"
	"reown/internal/judge"
	"reown/wizard"
)

// TestStartFiles: what /boot/oem is, and what the files that start the system are worth, on directories
// as they arise, by the keys that the chip trusts and no others. What follows from it is package judge's.
func TestStartFiles(t *testing.T) {
	seller, owner, maid := newSigner(t, "Seller"), newSigner(t, "Owner"), newSigner(t, "Maid")
	by := func(s *signer) boot.Verifier {
		return func(sig, data []byte) error { return openPGP{}.Verify(s.cert, data, sig) }
	}
	put := func(dir, name, text string) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	open := func(dir string) *boot.Dir {
		t.Helper()
		d, err := boot.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	stage := func(dir string, s *signer, keepOEM bool) *boot.Dir {
		t.Helper()
		d := open(dir)
		set, err := d.Build(context.Background(), boot.BuildOptions{Entry: 1, KeepOEM: keepOEM})
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.sign(set.SignedBytes())
		if err == nil {
			err = d.Stage(set, sig)
		}
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	sign := func(dir string, s *signer, keepOEM bool) {
		t.Helper()
		d := stage(dir, s, keepOEM)
		if _, err := d.VerifyStaged(by(s)); err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(by(s)); err != nil {
			t.Fatal(err)
		}
	}
	layout := func() string {
		dir := t.TempDir()
		put(dir, "vmlinuz", "kernel")
		put(dir, "initrd.img", "initrd")
		put(dir, "grub/grub.cfg", "menuentry 'Debian' {\n linux /vmlinuz root=/dev/sda1\n initrd /initrd.img\n}\n")
		return dir
	}
	shipped := func() string {
		dir := layout()
		put(dir, "oem", "")
		sign(dir, seller, true)
		return dir
	}
	owned := func() string {
		dir := shipped()
		sign(dir, owner, false)
		return dir
	}
	changed := func(dir string) string { put(dir, "vmlinuz", "evil"); return dir }
	touched := func(dir string) string { put(dir, "oem", ""); return dir }
	unsigned := func(dir string) string {
		if err := os.Remove(filepath.Join(dir, "kexec.sig")); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	// updated is a system that was updated, with what updaters leave, and signed by Heads afterwards.
	updated := func() string {
		dir := owned()
		put(dir, "vmlinuz", "a newer kernel")
		put(dir, "lost+found/#12", "a fragment")
		if err := errors.Join(os.Link(filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "vmlinuz.old")),
			os.Link(filepath.Join(dir, "initrd.img"), filepath.Join(dir, "initrd.img.bak"))); err != nil {
			t.Fatal(err)
		}
		sign(dir, owner, false)
		return dir
	}
	order2019 := func() string { dir := layout(); sign(dir, seller, false); return touched(dir) }
	maids := func() string { dir := touched(unsigned(owned())); sign(dir, maid, true); return dir }
	for _, c := range []struct {
		name    string
		dir     string
		ring    *signer // nil: the chip holds no key
		trigger judge.Trigger
		tree    judge.Tree
		staged  bool // a complete set waits, by the ring
	}{
		{"as shipped", shipped(), seller, judge.TriggerCovered, judge.TreeSigned, false},
		{"as shipped, then changed", changed(shipped()), seller, judge.TriggerOdd, judge.TreeDiffers, false},
		{"as shipped, signature dropped", unsigned(shipped()), seller, judge.TriggerOdd, judge.TreeUnsigned, false},
		{"the order of 2019", order2019(), seller, judge.TriggerAdded, judge.TreeSigned, false},
		{"the order of 2019, then changed", changed(order2019()), seller, judge.TriggerOdd, judge.TreeDiffers, false},
		{"owned", owned(), owner, judge.TriggerAbsent, judge.TreeSigned, false},
		{"owned, updated and signed again", updated(), owner, judge.TriggerAbsent, judge.TreeSigned, false},
		{"owned, updated and not signed", changed(owned()), owner, judge.TriggerAbsent, judge.TreeDiffers, false},
		{"owned, trigger added", touched(owned()), owner, judge.TriggerAdded, judge.TreeSigned, false},
		{"owned, the seller's /boot put back", shipped(), owner, judge.TriggerOdd, judge.TreeUnsigned, false},
		{"owned, all signed by the maid's key", maids(), owner, judge.TriggerOdd, judge.TreeUnsigned, false},
		{"owned, a set staged by the maid", stage(touched(owned()), maid, true).Path(), owner, judge.TriggerAdded,
			judge.TreeSigned, false},
		{"our run, the chip written", stage(shipped(), owner, false).Path(), owner, judge.TriggerOdd, judge.TreeUnsigned,
			true},
		{"our run, the chip written, then changed", changed(stage(shipped(), owner, false).Path()), owner, judge.TriggerOdd,
			judge.TreeUnsigned, false},
		{"the chip holds no key", shipped(), nil, judge.TriggerOdd, judge.TreeUnsigned, false},
	} {
		ring := map[string][]byte{}
		if c.ring != nil {
			ring["x"] = c.ring.cert
		}
		d := open(c.dir)
		h := &handoverReader{dir: d, verify: openPGP{}.Verify}
		report, err := d.Verify(h.anyOf(ring))
		if err != nil {
			t.Fatal(err)
		}
		trigger, tree := measured(report)
		if trigger != c.trigger || tree != c.tree {
			t.Errorf("%s: trigger %d, tree %d (%v)", c.name, trigger, tree, report.Err())
		}
		out := wizard.Handover{}
		if startFiles(report, &out); (len(out.Names) > 0) != (tree != judge.TreeSigned) {
			t.Errorf("%s: names %q", c.name, out.Names)
		}
		if sum, err := boot.TreeDigest(t.Context(), c.dir, nil); err != nil || out.Sum != sum {
			t.Errorf("%s: the sum is %q, that of the files %q, %v", c.name, out.Sum, sum, err)
		}
		staged, err := (&bootAdapter{dir: d, verify: openPGP{}.Verify}).Staged(t.Context(), append([]byte{}, ring["x"]...))
		if err != nil || staged != c.staged {
			t.Errorf("%s: staged %v, %v", c.name, staged, err)
		}
	}
}

package boot

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// publish is what the seller's side does last: the files of a hand-over that were
// there go, its own appear, the statement last; then the notes of the run go.
func publish(d *Dir) error {
	if err := d.ClearKept(); err != nil {
		return err
	}
	for _, n := range []string{".key", ".asc", ""} {
		if err := d.WriteKept("kexec_handover.json"+n, []byte("the new "+n)); err != nil {
			return err
		}
	}
	return d.ClearHints()
}

// TestSellersWrites cuts the power at each write of the seller's hand-over: a statement
// never stands beside another one's signature, and the same again ends it.
func TestSellersWrites(t *testing.T) {
	old := map[string]string{"kexec_handover.json": "the old ", "kexec_handover.json.asc": "the old .asc",
		"kexec_handover.json.key": "the old .key",
		"kexec_handover.1.json":   "x", "kexec_handover.1.json.asc": "x", "kexec_reown.log": "x",
		"kexec_reown.stage/kexec.sig": "x", "kexec.sig": "stays", "oem": ""}
	base := t.TempDir()
	writeTree(t, base, old)
	full := t.TempDir()
	copyTree(t, base, full)
	rec := &recorder{quickFS: quickFS{osFS{full}}, failAt: -1}
	d, err := OpenFS(full, rec)
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(d); err != nil {
		t.Fatal(err)
	}
	want := snapshot(t, full)
	var ops []string
	for _, w := range rec.writes {
		ops = append(ops, w.op)
	}
	for _, op := range []string{"kept.clear:kexec_handover.1.json", "kept.write:kexec_handover.json",
		"kept.rename:kexec_handover.json", "hints.clear:kexec_reown.log", "hints.clear:kexec_reown.stage"} {
		if !slices.Contains(ops, op) {
			t.Errorf("no write is called %s: %q", op, ops)
		}
	}
	for n := range rec.writes {
		for _, all := range []bool{true, false} {
			dir := t.TempDir()
			copyTree(t, base, dir)
			replay(t, dir, rec.writes, n, true, func(int) bool { return all })
			statement, err := os.ReadFile(filepath.Join(dir, "kexec_handover.json"))
			sig, _ := os.ReadFile(filepath.Join(dir, "kexec_handover.json.asc"))
			if err == nil && len(sig) > 0 && !strings.HasPrefix(string(sig), string(statement)) {
				t.Errorf("cut at %s: %q stands beside %q", ops[n], statement, sig)
			}
			d, err := OpenFS(dir, quickFS{osFS{dir}})
			if err != nil {
				t.Fatal(err)
			}
			if err := publish(d); err != nil {
				t.Fatal(err)
			}
			sameTree(t, want, snapshot(t, dir))
		}
		failing := &recorder{quickFS: quickFS{osFS{t.TempDir()}}, failAt: n}
		copyTree(t, base, failing.root)
		if d, err = OpenFS(failing.root, failing); err != nil {
			t.Fatal(err)
		}
		if err := publish(d); !errors.Is(err, errCut) {
			t.Errorf("%s failed and the error is %v", ops[n], err)
		}
	}
}

// TestSellersNames: nothing but a hand-over's own files can be written or removed so.
func TestSellersNames(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"kexec.sig": "x", "kexec_hashes.txt": "x", "vmlinuz": "x"})
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dir)
	for _, n := range []string{"kexec.sig", "kexec_hashes.txt", "vmlinuz", "kexec_handover.json/../kexec.sig",
		"kexec_handover.txt", "kexec_reown.log", ""} {
		if err := errors.Join(d.WriteKept(n, nil)); !errors.Is(err, ErrSetName) {
			t.Errorf("%q: %v", n, err)
		}
		if err := d.RemoveKept(n); !errors.Is(err, ErrSetName) {
			t.Errorf("%q: %v", n, err)
		}
	}
	if err := d.RemoveKept("kexec_handover.7.json"); err != nil {
		t.Error(err)
	}
	sameTree(t, before, snapshot(t, dir))
}

// TestSignatureIsReplacedAtOnce: a signature that is added to a statement's file is there
// or not, wherever the power is cut; what is read is bounded.
func TestSignatureIsReplacedAtOnce(t *testing.T) {
	const name = "kexec_handover.json.asc"
	base := t.TempDir()
	writeTree(t, base, map[string]string{"kexec_handover.json": "a statement", name: "one"})
	full := t.TempDir()
	copyTree(t, base, full)
	rec := &recorder{quickFS: quickFS{osFS{full}}, failAt: -1}
	d, err := OpenFS(full, rec)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.WriteKept(name, []byte("one and two")); err != nil {
		t.Fatal(err)
	}
	if len(rec.writes) < 3 {
		t.Fatalf("%d named writes", len(rec.writes))
	}
	for n := range rec.writes {
		for _, all := range []bool{true, false} {
			dir := t.TempDir()
			copyTree(t, base, dir)
			replay(t, dir, rec.writes, n, true, func(int) bool { return all })
			d, err := OpenFS(dir, quickFS{osFS{dir}})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := d.ReadKept(name, 11); err != nil || string(got) != "one" && string(got) != "one and two" {
				t.Errorf("cut at %s: %q, %v", rec.writes[n].op, got, err)
			}
			if err := d.WriteKept(name, []byte("one and two")); err != nil {
				t.Fatal(err)
			}
			if got, err := d.ReadKept(name, 11); err != nil || string(got) != "one and two" {
				t.Errorf("cut at %s, repeated: %q, %v", rec.writes[n].op, got, err)
			}
		}
	}
	if _, err := d.ReadKept(name, 10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if _, err := d.ReadKept("kexec.sig", 10); !errors.Is(err, ErrSetName) {
		t.Errorf("%v", err)
	}
}

// TestNamesFitFAT: every name that a run writes is one that a FAT with long names can
// hold, and no two of them are one there.
func TestNamesFitFAT(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	ownerSign, owner := fakeKey("owner")
	dir := makeLayout(t, "debian")
	ship(t, dir, sellerSign, seller)
	rec := &recorder{quickFS: quickFS{osFS{dir}}, failAt: -1}
	d, err := OpenFS(dir, rec)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(takeOver(d, ownerSign, owner), publish(d), d.WriteHint("certificate.json.asc", nil),
		d.AppendHint("log", nil)); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, w := range rec.writes {
		for _, n := range []string{w.name, w.to} {
			if strings.ContainsAny(n, `\:*?"<>|+,;=[]`) || strings.HasSuffix(n, ".") && n != "." || strings.HasSuffix(n, " ") ||
				len(n) > 200 {
				t.Errorf("%s: a FAT cannot hold %q", w.op, n)
			}
			if other, ok := seen[strings.ToLower(n)]; ok && other != n {
				t.Errorf("%q and %q are one name on a FAT", n, other)
			}
			seen[strings.ToLower(n)] = n
		}
	}
}

package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reown/internal/atomicfile"
)

// ship makes dir what the seller ships: all covered by his signature, the trigger too.
func ship(t testing.TB, dir string, sign func([]byte) []byte, verify Verifier) *Dir {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.WriteTrigger(nil); err != nil {
		t.Fatal(err)
	}
	replace(t, d, BuildOptions{KeepOEM: true, Extra: map[string][]byte{
		"kexec_rollback.txt": rollback, "kexec_package_trigger_post.txt": []byte("Install: x\n"),
	}}, sign, verify)
	return d
}

// replace builds, signs, stages, checks and commits.
func replace(t testing.TB, d *Dir, o BuildOptions, sign func([]byte) []byte, verify Verifier) *Set {
	t.Helper()
	set, err := d.Build(context.Background(), o)
	if err == nil {
		err = d.Stage(set, sign(set.SignedBytes()))
	}
	if err == nil {
		_, err = d.VerifyStaged(verify)
	}
	if err == nil {
		err = d.Commit(verify, "kexec_old")
	}
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestLayouts hands every layout over from the seller to the owner, with real
// signatures, and lets Heads's commands judge both states.
func TestLayouts(t *testing.T) {
	seller, owner := gpgPair(t)
	for _, name := range layouts {
		t.Run(name, func(t *testing.T) {
			dir := makeLayout(t, name)
			d := ship(t, dir, func(b []byte) []byte { return seller.sign(t, b) }, seller.verify)
			if code, _ := heads(t, dir, seller.keyring); code != 0 {
				t.Fatalf("as shipped: Heads's commands exit with %d", code)
			}
			if r, err := d.Verify(seller.verify); err != nil || r.Err() != nil || r.OEM != OEMCovered {
				t.Fatalf("as shipped: %+v, %v", r, err)
			}
			entries, err := d.Entries()
			if err != nil {
				t.Fatal(err)
			}
			index := Suggest(entries)
			set := replace(t, d, BuildOptions{
				Entry: index,
				Extra: map[string][]byte{"kexec_hotp_counter": []byte("2\n"), "kexec_rollback.txt": rollback},
			}, func(b []byte) []byte { return owner.sign(t, b) }, owner.verify)
			code, signed := heads(t, dir, owner.keyring)
			if code != 0 || !bytes.Equal(signed, set.SignedBytes()) {
				t.Fatalf("Heads's commands exit with %d, same bytes: %v", code, bytes.Equal(signed, set.SignedBytes()))
			}
			if code, _ := heads(t, dir, seller.keyring); code != 94 {
				t.Fatalf("the seller's key still verifies /boot (%d)", code)
			}
			r, err := d.Verify(owner.verify)
			if err != nil || r.Err() != nil || !r.DefaultOK || r.Default != index || r.Unlisted != nil {
				t.Fatalf("%+v, %v", r, err)
			}
			if _, err := os.Lstat(filepath.Join(dir, "oem")); !os.IsNotExist(err) {
				t.Fatal("the trigger is still there")
			}
		})
	}
}

// TestSameVerdictAsHeads changes one thing at a time: our verdict and that of Heads's
// commands must be the same, good or bad.
func TestSameVerdictAsHeads(t *testing.T) {
	_, owner := gpgPair(t)
	good := makeLayout(t, "debian")
	d, err := Open(good)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, d, BuildOptions{Entry: 1}, func(b []byte) []byte { return owner.sign(t, b) }, owner.verify)
	write := func(name, data string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644) }
	}
	edit := func(name string, f func(string) string) func(string) error {
		return func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			return write(name, f(string(b)))(dir)
		}
	}
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
	}
	cases := map[string]func(dir string) error{
		"untouched":             func(string) error { return nil },
		"kernel changed":        write("vmlinuz-6.1.0-18-amd64", "evil"),
		"file added":            write("grub/new", ""),
		"trigger added":         write("oem", ""),
		"empty directory added": func(dir string) error { return os.Mkdir(filepath.Join(dir, "grub/d"), 0o755) },
		"link added":            func(dir string) error { return os.Symlink("x", filepath.Join(dir, "l")) },
		"file removed":          remove("config-6.1.0-18-amd64"),
		"empty directory gone":  remove("grub/empty"),
		"link removed":          remove("dangling"),
		"link to another file": func(dir string) error {
			p := filepath.Join(dir, "initrd.img")
			return errors.Join(os.Remove(p), os.Symlink("vmlinuz-6.1.0-18-amd64", p))
		},
		"file became a link to its copy": func(dir string) error {
			p := filepath.Join(dir, "config-6.1.0-18-amd64")
			return errors.Join(os.Rename(p, filepath.Join(dir, "kexec_hidden")), os.Symlink("kexec_hidden", p))
		},
		"file became a directory": func(dir string) error {
			p := filepath.Join(dir, "config-6.1.0-18-amd64")
			return errors.Join(os.Remove(p), os.Mkdir(p, 0o755))
		},
		"unsigned kexec file":     write("kexec_old", "x"),
		"unsigned kexec tree":     func(dir string) error { return os.MkdirAll(filepath.Join(dir, "kexec_d/grub"), 0o755) },
		"listed file added":       write("kexec_zz.txt", "x"),
		"listed file removed":     remove("kexec_default.1.txt"),
		"tree edited":             edit("kexec_tree.txt", func(s string) string { return s + "./x\x00" }),
		"hashes edited":           edit("kexec_hashes.txt", func(s string) string { return strings.Replace(s, "a", "b", 1) }),
		"signature cut":           edit("kexec.sig", func(s string) string { return s[:len(s)/2] }),
		"signature removed":       remove("kexec.sig"),
		"counter moved":           write("kexec_hotp_counter", "99\n"),
		"counter removed":         remove("kexec_hotp_counter"),
		"permissions changed":     func(dir string) error { return os.Chmod(filepath.Join(dir, "grub/grub.cfg"), 0o600) },
		"everything of ours gone": func(dir string) error { return clean(dir) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyTree(t, good, dir)
			if err := change(dir); err != nil {
				t.Fatal(err)
			}
			code, _ := heads(t, dir, owner.keyring)
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			r, err := d.Verify(owner.verify)
			if err != nil {
				t.Fatal(err)
			}
			// Heads follows a link to what it does not hash, and passes over what it finds
			// in a kexec folder.
			stricter := name == "file became a link to its copy" || name == "unsigned kexec tree"
			if stricter && (code != 0 || len(r.Odd) != 1) {
				t.Errorf("Heads's commands exit with %d, odd: %v", code, r.Odd)
			}
			if (code == 0 && !stricter) != (r.Err() == nil) {
				t.Errorf("Heads's commands exit with %d, ours say %v", code, r.Err())
			}
			if name == "untouched" && code != 0 || name == "kernel changed" && code == 0 {
				t.Errorf("the harness is wrong: %d", code)
			}
			if only := name == "trigger added"; r.OnlyOEM != only || (r.OEM == OEMAdded) != only ||
				r.ErrButOEM() == nil != (r.Err() == nil || only) {
				t.Errorf("the trigger: %+v", r)
			}
		})
	}
}

func clean(dir string) error {
	m, err := filepath.Glob(filepath.Join(dir, "kexec*"))
	for _, n := range m {
		err = errors.Join(err, os.RemoveAll(n))
	}
	return err
}

// snapshot reads a directory into a map: name to content, "-> target", or "/".
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case e.IsDir():
			out[rel+"/"] = ""
		case e.Type()&os.ModeSymlink != 0:
			l, err := os.Readlink(p)
			out[rel] = "-> " + l
			return err
		default:
			b, err := os.ReadFile(p)
			out[rel] = string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	writeTree(t, to, snapshot(t, from))
}

// TestRefusedNames: each name that assert_signable refuses is refused, and named.
func TestRefusedNames(t *testing.T) {
	for _, n := range []string{"tab\tx", "new\nline", `back\slash`, "umlaut-\xc3\xa4", "del\x7f", "bell\a", "latin-\xe4"} {
		for _, where := range []string{"", "grub/", "kexec_reown.x/"} {
			dir := t.TempDir()
			writeTree(t, dir, map[string]string{"grub/grub.cfg": "", where + n: "x"})
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.Build(context.Background(), BuildOptions{})
			var odd *OddError
			if !errors.As(err, &odd) || !slices.Contains(odd.Findings, Finding{"./" + where + n, OddName}) ||
				!signable(strings.ReplaceAll(err.Error(), `\`, "")) {
				t.Errorf("%q: %v", where+n, err)
			}
		}
	}
	// The opposite: what looks odd but is allowed.
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"grub/grub.cfg": "", " lead": "", "trail ": "", `q"uo'te`: "", "-dash": "",
		"a  b": "", "*?[x]": "", "~!@#$%^&(){};|<>,`": ""})
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, d, BuildOptions{}, sign, goodSig)
	if code, _ := heads(t, dir, ""); code != 0 {
		t.Errorf("Heads's commands exit with %d", code)
	}
}

// TestSpecialFiles: what is not a file is listed and not hashed; what must be a file
// and is not is refused, without hanging on a FIFO.
func TestSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"grub/grub.cfg": "", "a": "-> grub", "b": "-> /etc/passwd"})
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	set := replace(t, d, BuildOptions{}, sign, goodSig)
	if code, _ := heads(t, dir, ""); code != 0 {
		t.Errorf("Heads's commands exit with %d", code)
	}
	if got := string(set.Files["kexec_tree.txt"]); got != "./\x00./a\x00./b\x00./grub\x00./grub/grub.cfg\x00" {
		t.Errorf("tree %q", got)
	}
	for _, bad := range []string{"kexec_hashes.txt", "kexec_x.txt", "kexec.sig"} {
		p := filepath.Join(dir, bad)
		old, _ := os.ReadFile(p)
		os.Remove(p)
		if err := unix.Mkfifo(p, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Verify(goodSig); !errors.Is(err, atomicfile.ErrNotRegular) {
			t.Errorf("%s as a FIFO: %v", bad, err)
		}
		os.Remove(p)
		if old != nil {
			os.WriteFile(p, old, 0o644)
		}
	}
}

// TestManyFiles: 10,000 files in 100 directories.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 100 {
		sub := filepath.Join(dir, fmt.Sprintf("dir %02d", i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		for j := range 100 {
			if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("file %d.mod", j)), fmt.Append(nil, i, j), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var last, total int64
	set := replace(t, d, BuildOptions{Progress: func(d, n int64) {
		if d < last || d > n {
			t.Errorf("progress went from %d to %d of %d", last, d, n)
		}
		last, total = d, n
	}}, sign, goodSig)
	if last != total || total == 0 {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	if n := bytes.Count(set.Files["kexec_hashes.txt"], []byte("\n")); n != 10000 {
		t.Errorf("%d hashes", n)
	}
	if code, _ := heads(t, dir, ""); code != 0 {
		t.Errorf("Heads's commands exit with %d", code)
	}
}

// TestBuildStops: a cancelled context ends the hashing; nothing is written.
func TestBuildStops(t *testing.T) {
	dir := makeLayout(t, "debian")
	before := snapshot(t, dir)
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Build(ctx, BuildOptions{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	sameTree(t, before, snapshot(t, dir))
}

func sameTree(t testing.TB, want, got map[string]string) {
	t.Helper()
	for n, c := range want {
		if g, ok := got[n]; !ok {
			t.Errorf("%s is gone", n)
		} else if g != c {
			t.Errorf("%s: %.40q, want %.40q", n, g, c)
		}
	}
	for n := range got {
		if _, ok := want[n]; !ok {
			t.Errorf("%s was left behind", n)
		}
	}
}

// TestBuildRefuses: what cannot become a set.
func TestBuildRefuses(t *testing.T) {
	d, err := Open(makeLayout(t, "hostile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"kexec.sig", "kexec_tree.txt", "kexec_default.1.txt", "oem", "kexec_a/b.txt",
		"../kexec.txt", "kexec_reown.x.txt", "kexec_x", ""} {
		if _, err := d.Build(context.Background(), BuildOptions{Extra: map[string][]byte{n: nil}}); !errors.Is(err,
			ErrSetName) {
			t.Errorf("%q: %v", n, err)
		}
	}
	for _, i := range []int{-1, 2, 3, 4, 99} {
		if _, err := d.Build(context.Background(), BuildOptions{Entry: i}); !errors.Is(err, ErrEntry) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	empty, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Build(context.Background(), BuildOptions{Entry: 1}); !errors.Is(err, ErrNoEntries) {
		t.Error(err)
	}
}

// TestChangedMeanwhile: a set that is exchanged between the check and the commit, or
// a file that changes between signing and staging, is refused.
func TestChangedMeanwhile(t *testing.T) {
	dir := makeLayout(t, "debian")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := d.Build(context.Background(), BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Stage(set, sign(set.SignedBytes())); err != nil {
		t.Fatal(err)
	}
	if _, err := d.VerifyStaged(goodSig); err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, stageDir, "kexec_hashes.txt")
	b, _ := os.ReadFile(p)
	os.WriteFile(p, append(b, '\n'), 0o644)
	if err := d.Commit(goodSig, "kexec_old"); !errors.Is(err, ErrChanged) {
		t.Fatal(err)
	}
	if _, err := d.VerifyStaged(goodSig); !errors.Is(err, ErrBadSignature) {
		t.Fatal(err)
	}
	if err := d.Stage(set, sign(set.SignedBytes())); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "vmlinuz-6.1.0-17-amd64"), []byte("other"), 0o644)
	var mm *MismatchError
	if _, err := d.VerifyStaged(goodSig); !errors.As(err, &mm) {
		t.Fatal(err)
	}
	if err := d.Commit(goodSig, "kexec_old"); !errors.Is(err, ErrNotStaged) {
		t.Fatal(err)
	}
}

// TestLegacySignature: the seller's may be over absolute names, ours never.
func TestLegacySignature(t *testing.T) {
	dir := makeLayout(t, "debian")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	set := replace(t, d, BuildOptions{}, sign, goodSig)
	legacy := sign(signedBytes(set.Files, "/boot/"))
	if !bytes.Contains(legacy, []byte("  /boot/kexec_hashes.txt\n")) {
		t.Fatal("not the legacy form")
	}
	if err := os.WriteFile(filepath.Join(dir, sigName), legacy, 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Verify(goodSig); err != nil || r.Err() != nil || !r.Legacy {
		t.Errorf("%+v, %v", r, err)
	}
	d.SetForm(FormNames)
	if err := d.Stage(set, legacy); err != nil {
		t.Fatal(err)
	}
	if _, err := d.VerifyStaged(goodSig); !errors.Is(err, ErrBadSignature) {
		t.Error(err)
	}
}

// TestListedTwice: a hostile list names a file many times, or one outside /boot.
func TestListedTwice(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"k": "x"})
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	sum := digest{"./k", sha256.Sum256([]byte("x"))}.line()
	other := digest{"./k", sha256.Sum256([]byte("y"))}.line()
	outside := digest{"./../k", sha256.Sum256([]byte("x"))}.line()
	for list, want := range map[string]string{
		strings.Repeat(sum, 3): "", sum + other: "changed", other + sum: "changed", sum + outside: "unreadable", sum +
			"x": "unreadable",
	} {
		writeTree(t, dir, map[string]string{"kexec_hashes.txt": list, "kexec_tree.txt": "./\x00./k\x00", sigName: ""})
		r, err := d.Verify(func(_, _ []byte) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && r.Err() != nil || want != "" && (len(r.Problems) != 1 || r.Problems[0].What != want) {
			t.Errorf("%q: %+v", list, r)
		}
	}
}

package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An act is something that somebody who can write to /boot does, without any key.
type act struct {
	name string
	do   func(dir string) error
	odd  OddKind // how it is named; "" if the lists must catch it
}

const evilCfg = "menuentry 'evil' {\n\tlinux /%s/vmlinuz\n}\n"

// acts are the attacks on /boot of whole kinds: each at several names and places.
func acts(outside string) (out []act) {
	mkdir := func(dir, name string, files map[string]string) error {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
		for n, c := range files {
			if err := os.WriteFile(filepath.Join(dir, name, n), []byte(c), 0o644); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range []string{"kexec_reown.1", "kexec_reown.stage/sub", "kexec", "kexec_x", "kexec_default.1.txt.d",
		"kexec_reown.log.d"} {
		out = append(out, act{"folder " + f, func(dir string) error {
			return mkdir(dir, f, map[string]string{"grub.cfg": fmt.Sprintf(evilCfg, f), "vmlinuz": "evil"})
		}, OddFolder})
	}
	out = append(out, act{"menu in the stage", func(dir string) error {
		return mkdir(dir, stageDir, map[string]string{"grub.cfg": fmt.Sprintf(evilCfg, stageDir)})
	}, OddFolder})
	for _, to := range []string{"kexec_reown.x", "kexec_reown.log", "kexec.sig.old", "kexec_reown.stage/kexec_x.txt"} {
		for _, f := range []string{"grub/grub.cfg", "vmlinuz-6.1.0-18-amd64", "grub/grubenv", "initrd.img-6.1.0-17-amd64"} {
			for _, abs := range []bool{false, true} {
				out = append(out, act{fmt.Sprintf("%s a link to %s, absolute %v", f, to, abs), func(dir string) error {
					target := strings.Repeat("../", strings.Count(f, "/")) + to
					if abs {
						target = "/boot/" + to
					}
					os.Remove(filepath.Join(dir, f))
					return errors.Join(mkdir(dir, filepath.Dir(to), map[string]string{filepath.Base(to): fmt.Sprintf(evilCfg, "x")}),
						os.Symlink(target, filepath.Join(dir, f)))
				}, OddLink})
			}
		}
	}
	for _, f := range []string{"grub/grub.cfg", "grub/grubenv", "loader", "more/grub.cfg"} {
		out = append(out, act{f + " a link out of /boot", func(dir string) error {
			os.RemoveAll(filepath.Join(dir, f))
			return errors.Join(mkdir(dir, filepath.Dir(f), nil),
				os.Symlink(filepath.Join(outside, "menu"), filepath.Join(dir, f)))
		}, OddMenuLink})
	}
	for _, f := range []string{"kexec_hashes.txt", "kexec.sig", "kexec_reown.log", "kexec_reown.stage", "oem",
		"kexec_x.txt"} {
		for _, target := range []string{".", "grub", "grub/grub.cfg", outside, "nowhere"} {
			out = append(out, act{f + " a link to " + filepath.Base(target), func(dir string) error {
				os.RemoveAll(filepath.Join(dir, f))
				return os.Symlink(target, filepath.Join(dir, f))
			}, OddNotFile})
		}
	}
	for _, f := range []string{"grub/x", "kexec_x", "vmlinuz-6.1.0-18-amd64"} {
		out = append(out,
			act{f + " a pipe", func(dir string) error {
				os.Remove(filepath.Join(dir, f))
				return unix.Mkfifo(filepath.Join(dir, f), 0o644)
			}, OddPipe},
			act{f + " a device", func(dir string) error {
				os.Remove(filepath.Join(dir, f))
				return unix.Mknod(filepath.Join(dir, f), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 200)))
			}, OddDevice},
			act{f + " with a name elsewhere", func(dir string) error {
				os.Remove(filepath.Join(dir, f))
				return os.Link(filepath.Join(outside, "file"), filepath.Join(dir, f))
			}, OddLinks})
	}
	for _, f := range []string{"kexec_reown.log\n", "grub/new\nline", "umlaut-\xc3\xa4", `back\slash`} {
		out = append(out, act{fmt.Sprintf("the name %q", f), func(dir string) error {
			return os.WriteFile(filepath.Join(dir, f), nil, 0o644)
		}, OddName})
	}
	return out
}

// TestActs: each act on the seller's laptop stops the owner's set, by name; on the
// owner's it is no good /boot. What the act does not touch stays as it was, and nothing
// outside is read or written.
func TestActs(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	ownerSign, owner := fakeKey("owner")
	shipped := makeLayout(t, "debian")
	ship(t, shipped, sellerSign, seller)
	owned := t.TempDir()
	copyTree(t, shipped, owned)
	d, err := Open(owned)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, d, BuildOptions{Entry: 1}, ownerSign, owner)
	outside := t.TempDir()
	for n, c := range map[string]string{"menu": fmt.Sprintf(evilCfg, "x"), "file": "outside"} {
		if err := os.WriteFile(filepath.Join(outside, n), []byte(c), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := snapshot(t, outside)
	for _, a := range acts(outside) {
		t.Run(a.name, func(t *testing.T) {
			dir := t.TempDir()
			copyTree(t, shipped, dir)
			if err := a.do(dir); errors.Is(err, syscall.EPERM) {
				t.Skip("needs root")
			} else if err != nil {
				t.Fatal(err)
			}
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			before := snapshotAny(t, dir)
			odd, err := d.Odd()
			if err != nil || !slices.ContainsFunc(odd, func(f Finding) bool { return f.Kind == a.odd }) {
				t.Errorf("odd: %v, %v; want %q", odd, err, a.odd)
			}
			var oe *OddError
			if _, err := d.Build(context.Background(), BuildOptions{}); !errors.As(err, &oe) {
				t.Errorf("built: %v", err)
			}
			if _, _, err := d.Rehearse(context.Background(), BuildOptions{}); !errors.As(err, &oe) {
				t.Errorf("rehearsed: %v", err)
			}
			if err := d.Trial(context.Background(), 0); !errors.As(err, &oe) {
				t.Errorf("tried: %v", err)
			}
			if entries, err := d.Entries(); err == nil {
				for _, e := range entries {
					if e.Name == "evil" && e.Startable() {
						t.Errorf("startable: %+v", e)
					}
				}
			}
			if _, err := d.Verify(owner); err != nil && !strings.Contains(err.Error(), "not a regular file") {
				t.Error(err)
			}
			sameTree(t, before, snapshotAny(t, dir))
			// On the finished machine.
			dir = t.TempDir()
			copyTree(t, owned, dir)
			if err := a.do(dir); err != nil {
				t.Fatal(err)
			}
			if d, err = Open(dir); err != nil {
				t.Fatal(err)
			}
			if r, err := d.Verify(owner); err == nil && r.Err() == nil {
				t.Errorf("the owner's /boot verifies: %+v", r)
			}
			sameTree(t, want, snapshot(t, outside))
		})
	}
}

// snapshotAny is snapshot for directories with pipes and devices.
func snapshotAny(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		out[p] = e.Type().String()
		if e.Type().IsRegular() {
			b, err := os.ReadFile(p)
			out[p] += string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHardLinksInside: a file whose names are all in /boot is ordinary, and none of the
// others changes when one is written.
func TestHardLinksInside(t *testing.T) {
	for _, f := range []string{"kexec_reown.log", "kexec_hashes.txt", "kexec.sig", "kexec_reown.receipt", "grub/copy",
		"kexec_reown.tmp"} {
		t.Run(f, func(t *testing.T) {
			dir := makeLayout(t, "debian")
			os.Remove(filepath.Join(dir, f))
			cfg := filepath.Join(dir, "grub/grub.cfg")
			before, err := os.ReadFile(cfg)
			if err == nil {
				err = os.Link(cfg, filepath.Join(dir, f))
			}
			if err != nil {
				t.Fatal(err)
			}
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if odd, err := d.Odd(); odd != nil || err != nil {
				t.Fatal(odd, err)
			}
			if err := d.Trial(context.Background(), 4096); err != nil {
				t.Error(err)
			}
			replace(t, d, BuildOptions{Entry: 1}, sign, goodSig)
			for range 2 {
				if err := errors.Join(d.AppendHint("log", []byte("line\n")), d.WriteHint("receipt", []byte("r"))); err != nil {
					t.Fatal(err)
				}
			}
			if after, err := os.ReadFile(cfg); err != nil || !bytes.Equal(before, after) {
				t.Errorf("grub.cfg became %.80q, %v", after, err)
			}
			if log, err := d.ReadHint("log"); err != nil || !bytes.HasSuffix(log, []byte("line\nline\n")) {
				t.Errorf("the journal: %.80q, %v", log, err)
			}
			if r, err := d.Verify(goodSig); err != nil || r.Err() != nil {
				t.Error(r, err)
			}
		})
	}
}

// TestJournalThroughLinks: what lies at a hint's name, nothing is written through it.
func TestJournalThroughLinks(t *testing.T) {
	for _, target := range []string{"grub/grub.cfg", "kexec.sig", "nowhere", ".", "OUT"} {
		dir, out := makeLayout(t, "debian"), filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(out, []byte("out"), 0o644); err != nil {
			t.Fatal(err)
		}
		if target == "OUT" {
			target = out
		}
		before := snapshot(t, dir)
		if err := os.Symlink(target, filepath.Join(dir, "kexec_reown.log")); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.AppendHint("log", []byte("x\n")); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		before["kexec_reown.log"] = "x\n"
		sameTree(t, before, snapshot(t, dir))
		if b, _ := os.ReadFile(out); string(b) != "out" {
			t.Errorf("%s: outside is %q", target, b)
		}
	}
}

// TestStageIsALink: staging touches nothing that a link at its name leads to.
func TestStageIsALink(t *testing.T) {
	for _, target := range []string{".", "grub", "/tmp", "kexec.sig", "nowhere"} {
		dir := makeLayout(t, "debian")
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		set, err := d.Build(context.Background(), BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, dir)
		if err := os.Symlink(target, filepath.Join(dir, stageDir)); err != nil {
			t.Fatal(err)
		}
		if err := d.Stage(set, sign(set.SignedBytes())); err != nil {
			t.Fatalf("%s: %v", target, err)
		}
		after := snapshot(t, dir)
		for n := range after {
			if strings.HasPrefix(n, stageDir) {
				delete(after, n)
			}
		}
		sameTree(t, before, after)
	}
}

// TestUnknownNames: what no version of Heads writes is listed as that.
func TestUnknownNames(t *testing.T) {
	dir := makeLayout(t, "debian")
	for n, unknown := range map[string]bool{
		"kexec_hotp_key": false, "kexec_default.12.txt": false, "kexec_package_trigger_pre.txt": false,
		"kexec_reown.x":  false,
		"kexec_menu.txt": true, "kexec_default..txt": true, "kexec_default.x.txt": true, "kexec_root": true,
		"kexec.sig.bak": true, "kexecx.txt": true,
	} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if st, err := d.State(); err != nil || slices.Contains(st.Unknown, n) != unknown {
			t.Errorf("%s: %v, %v", n, st.Unknown, err)
		}
	}
}

// TestAppeared: what nobody knows goes if it was shown. Where another name is there nothing is written,
// also where it looks like one of this program's own.
func TestAppeared(t *testing.T) {
	for _, name := range []string{"kexec_menu.txt", "kexec.sig.bak", "kexec_reown.x.txt", "kexec_root"} {
		sign, verify := fakeKey("owner")
		dir := makeLayout(t, "debian")
		put := func(n string) {
			if err := os.WriteFile(filepath.Join(dir, n), []byte("x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		put("kexec_shown.txt")
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		set, err := d.Build(context.Background(), BuildOptions{Entry: 1})
		if err == nil {
			err = d.Stage(set, sign(set.SignedBytes()))
		}
		if err == nil {
			_, err = d.VerifyStaged(verify)
		}
		if err != nil {
			t.Fatal(err)
		}
		put(name)
		before, got := list(t, dir), new(AppearedError)
		if err := d.Install(verify, "kexec_old", "kexec_shown.txt"); !errors.As(err, &got) ||
			!slices.Equal(got.Names, []string{name}) {
			t.Fatalf("%s: %v", name, err)
		}
		if after := list(t, dir); !slices.Equal(before, after) {
			t.Fatalf("%s: %q, was %q", name, after, before)
		}
		if _, err := d.VerifyStaged(verify); err != nil {
			t.Fatal(err)
		}
		if err := d.Install(verify, "kexec_old", "kexec_shown.txt", name); err != nil {
			t.Fatal(err)
		}
		if after := list(t, dir); slices.Contains(after, name) || slices.Contains(after, "kexec_shown.txt") {
			t.Errorf("left: %q", after)
		}
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// TestOnlyMachine: what may be new in a set that is signed again.
func TestOnlyMachine(t *testing.T) {
	_, owner := fakeKey("owner")
	ownerSign, _ := fakeKey("owner")
	dir := makeLayout(t, "debian")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	build := func(entry int, extra map[string]string) *Set {
		t.Helper()
		o := BuildOptions{Entry: entry, Extra: map[string][]byte{}}
		for n, c := range extra {
			o.Extra[n] = []byte(c)
		}
		s, err := d.Build(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := d.Signed(owner); !errors.Is(err, ErrBadSignature) {
		t.Fatal(err)
	}
	first := build(1, map[string]string{"kexec_rollback.txt": "1", "kexec_primhdl_hash.txt": "a"})
	if err := d.Stage(first, ownerSign(first.SignedBytes())); err != nil {
		t.Fatal(err)
	}
	signed, err := d.Signed(owner)
	if err != nil || !signed.equal(first) {
		t.Fatal(err)
	}
	good := []map[string]string{
		{"kexec_rollback.txt": "2", "kexec_primhdl_hash.txt": "b"},
		{"kexec_rollback.txt": "2"},
		{"kexec_rollback.txt": "2", "kexec_primhdl_hash.txt": "b", "kexec_lukshdr_hash.txt": "h",
			"kexec_key_devices.txt": "d", "kexec_hotp_counter": "7", CrypttabFile: "x"},
	}
	for _, extra := range good {
		if err := build(1, extra).OnlyMachine(signed); err != nil {
			t.Errorf("%v: %v", extra, err)
		}
	}
	bad := func(s *Set, want ...string) {
		t.Helper()
		var se *StartError
		if err := s.OnlyMachine(signed); !errors.As(err, &se) || !slices.Equal(se.Files, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	bad(build(2, good[0]), "kexec_default.1.txt", "kexec_default.2.txt")
	bad(build(0, good[0]), "kexec_default.1.txt", "kexec_default_hashes.txt")
	bad(build(1, map[string]string{"kexec_root_dirs.txt": "x"}), "kexec_root_dirs.txt")
	bad(&Set{}, "kexec_default.1.txt", "kexec_default_hashes.txt", "kexec_hashes.txt", "kexec_tree.txt")
	writeTree(t, dir, map[string]string{"vmlinuz-6.1.0-17-amd64": "evil"})
	bad(build(1, good[0]), "kexec_hashes.txt")
	writeTree(t, dir, map[string]string{"new": ""})
	bad(build(1, good[0]), "kexec_hashes.txt", "kexec_tree.txt")
	signed.Files[CrypttabFile], signed.Files["kexec_key_devices.txt"] = []byte("x"), []byte("d")
	s := build(0, nil)
	s.Files = map[string][]byte{}
	for n, b := range signed.Files {
		s.Files[n] = b
	}
	s.Files[CrypttabFile] = []byte("y")
	bad(s, CrypttabFile)
}

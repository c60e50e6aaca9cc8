package boot

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// verifyCommand is what check_config runs, of either form, written down from the
// documented commands: of Heads since April 2026, and of those before.
var verifyCommand = map[Form]string{
	FormNames: `(cd "$1" && sha256sum kexec*.txt) | gpgv --keyring "$2" "$1/kexec.sig" -`,
	FormPaths: `sha256sum $(find $1/kexec*.txt) | gpgv --keyring "$2" $1/kexec.sig -`,
}

// scripts are check_config's lines that matter, in the shapes of several years.
var scripts = map[string]Form{
	"check_config() {\n\tif ! sha256sum `find $1/kexec*.txt` | gpgv $1/kexec.sig - ; then\n\t\tdie x\n\tfi\n}\n":                                                                                                                                      FormPaths,
	"a() {\n\t(cd x && sha256sum y)\n}\n\ncheck_config() {\n\t# (cd \"$1\" && sha256sum\n\tif ! sha256sum $(find $1/kexec*.txt) | gpgv $1/kexec.sig -; then\n\t\tdie x\n\tfi\n}\n":                                                                    FormPaths,
	"check_config() {\n\tDEBUG \"sha256sum $(find $1/kexec*.txt)\"\n\t\tif ! (cd \"$paramsdir\" && sha256sum \"${param_files[@]}\") |\n\t\t\tgpgv.sh x - 2> >(SINK_LOG); then\n\t\t\tDIE x\n\t\tfi\n}\nb() {\n\tsha256sum $(find $1/kexec*.txt)\n}\n": FormNames,
	"check_config() {\n\tverify_everything\n}\n":                                        "",
	"check_config() {\n\t(cd a && sha256sum b)\n\tsha256sum $(find $1/kexec*.txt)\n}\n": "",
}

func TestFirmwareForm(t *testing.T) {
	for text, want := range scripts {
		for _, name := range []string{"functions", "functions.sh"} {
			root := t.TempDir()
			writeTree(t, root, map[string]string{"etc/" + name: text})
			f, err := FirmwareForm(root)
			if f != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrForm) {
				t.Errorf("%q: %q, %v; want %q", text, f, err, want)
			}
		}
	}
	if f, err := FirmwareForm(t.TempDir()); f != "" || err != nil {
		t.Error(f, err)
	}
	if src := os.Getenv("REOWN_HEADS"); src != "" {
		if f, err := FirmwareForm(filepath.Join(src, "initrd")); f != FormNames || err != nil {
			t.Errorf("Heads's own: %q, %v", f, err)
		}
	}
	for s, want := range map[string]Form{"": "", "auto": "", "names": FormNames, "paths": FormPaths} {
		if f, err := ParseForm(s); f != want || err != nil {
			t.Errorf("%q: %q, %v", s, f, err)
		}
	}
	if _, err := ParseForm("absolute"); !errors.Is(err, ErrForm) {
		t.Error(err)
	}
}

// TestForms: what is signed in a form, the commands of that form verify, and those of the
// other refuse.
func TestForms(t *testing.T) {
	needPeers(t, "bash", "gpgv", "sha256sum")
	_, owner := gpgPair(t)
	for form := range verifyCommand {
		// The commands of old have the directory's name in what they hash.
		dir := makeLayout(t, "debian")
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		d.SetForm(form)
		set := replace(t, d, BuildOptions{Entry: 1}, func(b []byte) []byte { return owner.sign(t, b) }, owner.verify)
		if r, err := d.Verify(owner.verify); err != nil || r.Err() != nil || r.Form != form {
			t.Fatalf("%s: %+v, %v", form, r, err)
		}
		for other, command := range verifyCommand {
			if other == FormPaths {
				// In the firmware the directory is /boot.
				command = `sha256sum $(find $1/kexec*.txt) | sed "s|  $1/|  /boot/|" | gpgv --keyring "$2" $1/kexec.sig -`
			}
			out, err := exec.Command("bash", "-c", "set -o pipefail; export LC_ALL=C; "+command, "check_config", dir,
				owner.keyring).CombinedOutput()
			if (err == nil) != (other == form) {
				t.Errorf("signed as %s, checked as %s: %v\n%s", form, other, err, out)
			}
		}
		// Staged in the other form, it is not accepted where the firmware is known.
		sig := owner.sign(t, set.SignedBytes())
		if err := d.Stage(set, sig); err != nil {
			t.Fatal(err)
		}
		for other := range verifyCommand {
			d.SetForm(other)
			if _, err := d.VerifyStaged(owner.verify); (err == nil) != (other == form) {
				t.Errorf("staged as %s, checked as %s: %v", form, other, err)
			}
		}
	}
}

// TestFormOfTheSeller: without a firmware to ask, the seller's good signature decides;
// one that nobody has checked does not.
func TestFormOfTheSeller(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	ownerSign, owner := fakeKey("owner")
	dir := makeLayout(t, "debian")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	d.SetForm(FormPaths)
	replace(t, d, BuildOptions{}, sellerSign, seller)
	if d, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Verify(owner); err != nil {
		t.Fatal(err)
	}
	if f, known := d.Form(); f != FormNames || known {
		t.Error(f, known)
	}
	if _, err := d.Verify(seller); err != nil {
		t.Fatal(err)
	}
	if f, known := d.Form(); f != FormPaths || !known {
		t.Error(f, known)
	}
	set := replace(t, d, BuildOptions{}, ownerSign, owner)
	if set.Form != FormPaths {
		t.Error(set.Form)
	}
	// Cut before the end, at the next start, the form is the staged signature's.
	if err := d.Stage(set, ownerSign(set.SignedBytes())); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := d.VerifyStaged(owner); err != nil {
		t.Fatal(err)
	}
	if err := d.Install(owner, "kexec_old"); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Verify(owner); err != nil || r.Form != FormPaths {
		t.Error(r, err)
	}
}

// TestRehearse: it writes nothing, and finds what Build would.
func TestRehearse(t *testing.T) {
	for _, name := range layouts {
		dir := makeLayout(t, name)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := d.Entries()
		if err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, dir)
		for _, e := range append(entries, Entry{Index: 0, Line: "x", Type: "elf"}, Entry{Index: 99, Uncertain: "none"}) {
			set, bytes, err := d.Rehearse(context.Background(), BuildOptions{Entry: e.Index})
			if e.Startable() != (err == nil) || err != nil && !errors.Is(err, ErrEntry) {
				t.Errorf("%s %d: %v", name, e.Index, err)
			}
			if err == nil && (bytes < 1<<20 || len(set.Files) < 3) {
				t.Errorf("%s %d: %d bytes", name, e.Index, bytes)
			}
		}
		sameTree(t, before, snapshot(t, dir))
		best := entries[Suggest(entries)-1]
		for _, f := range best.Files {
			if err := os.Remove(filepath.Join(dir, f)); err != nil {
				continue
			}
		}
		if again, err := d.Entries(); err == nil && Suggest(again) != 0 && again[Suggest(again)-1].Line == best.Line {
			t.Errorf("%s: suggested without its files", name)
		}
	}
}

package boot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fixedFS is a /boot some of whose names cannot be replaced, as chattr +i makes them.
type fixedFS struct {
	FS
	fixed map[string]error
}

func (f fixedFS) at(name string, do func() error) error {
	if err := f.fixed[name]; err != nil {
		return &os.PathError{Op: "x", Path: name, Err: err}
	}
	return do()
}

func (f fixedFS) WriteFile(op, name string, data []byte) error {
	return f.at(name, func() error { return f.FS.WriteFile(op, name, data) })
}

func (f fixedFS) Rename(op, from, to string) error {
	return f.at(to, func() error { return f.FS.Rename(op, from, to) })
}

func (f fixedFS) Remove(op, name string) error {
	return f.at(name, func() error { return f.FS.Remove(op, name) })
}

// TestTrial: each file that the run replaces or removes is tried, and named; nothing is
// changed, whichever of its writes fails.
func TestTrial(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	base := makeLayout(t, "debian")
	ship(t, base, sellerSign, seller)
	writeTree(t, base, map[string]string{stageDir + "/kexec_hashes.txt": "x", "kexec_reown.log": "log",
		"kexec_unknown": "x"})
	all := snapshot(t, base)
	errs := map[error]TrialKind{syscall.EPERM: TrialFixed, syscall.EROFS: TrialReadOnly, syscall.ENOSPC: TrialFull,
		syscall.EIO: TrialBroken}
	for name := range all {
		touched := strings.HasPrefix(name, "kexec") && !strings.HasSuffix(name, "/") || name == "oem"
		for e, kind := range errs {
			dir := t.TempDir()
			copyTree(t, base, dir)
			d, err := OpenFS(dir, fixedFS{quickFS{osFS{dir}}, map[string]error{name: e}})
			if err != nil {
				t.Fatal(err)
			}
			err = d.Trial(context.Background(), 1<<16)
			var te *TrialError
			if !touched && err != nil || touched &&
				(!errors.As(err, &te) || !slices.Equal(te.Problems, []TrialProblem{{name, kind}})) {
				t.Errorf("%s, %v: %v", name, e, err)
			}
			sameTree(t, all, snapshot(t, dir))
		}
	}
	// The temporary name itself, or all of /boot.
	for e, kind := range errs {
		d, err := OpenFS(base, fixedFS{quickFS{osFS{base}}, map[string]error{tmpName: e}})
		if err != nil {
			t.Fatal(err)
		}
		var te *TrialError
		if err := d.Trial(context.Background(), 1); !errors.As(err, &te) || te.Problems[0] != (TrialProblem{".", kind}) {
			t.Errorf("%v: %v", e, err)
		}
	}
	// Several are all named.
	fixed := map[string]error{"oem": syscall.EPERM, "kexec_hashes.txt": syscall.EPERM, "kexec.sig": syscall.EPERM,
		stageDir + "/kexec_hashes.txt": syscall.EPERM}
	d, err := OpenFS(base, fixedFS{quickFS{osFS{base}}, fixed})
	if err != nil {
		t.Fatal(err)
	}
	var te *TrialError
	if err := d.Trial(context.Background(), 1); !errors.As(err, &te) || len(te.Problems) != len(fixed) {
		t.Errorf("%v", err)
	}
	sameTree(t, all, snapshot(t, base))
}

// TestTrialImmutable asks the kernel, where the file system has such attributes.
func TestTrialImmutable(t *testing.T) {
	for _, name := range []string{"kexec_hashes.txt", "oem", "kexec.sig"} {
		dir := makeLayout(t, "debian")
		p := filepath.Join(dir, name)
		flags := func(set uint32) error {
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			old, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
			if err != nil {
				return err
			}
			return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(old&^0x10|set))
		}
		if err := flags(0x10); err != nil { // FS_IMMUTABLE_FL
			t.Skipf("no immutable files here: %v", err)
		}
		defer flags(0)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, dir)
		var te *TrialError
		if err := d.Trial(context.Background(), 1); !errors.As(err, &te) ||
			!slices.Equal(te.Problems, []TrialProblem{{name, TrialFixed}}) {
			t.Errorf("%s: %v", name, err)
		}
		sameTree(t, before, snapshot(t, dir))
	}
}

// TestStartsCounter: no name that begins with kexec keeps anything from anybody: the file
// of the count of starts is removed like every other, whatever it says.
func TestStartsCounter(t *testing.T) {
	dir := makeLayout(t, "debian")
	writeTree(t, dir, map[string]string{"kexec_reown.starts": "9"})
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ClearHints(); err != nil {
		t.Fatal(err)
	}
	if st, err := d.State(); err != nil || len(st.Hints) != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if d, err = OpenFS(dir, fixedFS{quickFS{osFS{dir}},
		map[string]error{"kexec_reown.starts": syscall.EPERM}}); err != nil {
		t.Fatal(err)
	}
	writeTree(t, dir, map[string]string{"kexec_reown.starts": "9"})
	var te *TrialError
	if err := d.Trial(context.Background(), 1); !errors.As(err, &te) || te.Problems[0].Name != "kexec_reown.starts" {
		t.Error(err)
	}
}

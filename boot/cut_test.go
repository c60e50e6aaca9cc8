package boot

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A write is one operation on the FS, as recorded.
type write struct {
	kind, op, name, to string
	data               []byte
}

// quickFS writes like osFS but waits for no disk.
type quickFS struct{ osFS }

func (f quickFS) WriteFile(_, name string, data []byte) error {
	return os.WriteFile(filepath.Join(f.root, name), data, 0o644)
}

func (quickFS) SyncDir(_, _ string) error { return nil }

// recorder passes writes on and remembers them; at the write numbered failAt it
// returns an error instead.
type recorder struct {
	quickFS
	writes []write
	failAt int
}

var errCut = errors.New("the power went")

func (r *recorder) note(w write) error {
	r.writes = append(r.writes, w)
	if len(r.writes)-1 == r.failAt {
		return errCut
	}
	return nil
}

func (r *recorder) Mkdir(op, name string) error {
	if err := r.note(write{kind: "mkdir", op: op, name: name}); err != nil {
		return err
	}
	return r.quickFS.Mkdir(op, name)
}

func (r *recorder) WriteFile(op, name string, data []byte) error {
	if err := r.note(write{kind: "write", op: op, name: name, data: slices.Clone(data)}); err != nil {
		return err
	}
	return r.quickFS.WriteFile(op, name, data)
}

func (r *recorder) Append(op, name string, data []byte) error {
	if err := r.note(write{kind: "append", op: op, name: name, data: slices.Clone(data)}); err != nil {
		return err
	}
	return r.quickFS.Append(op, name, data)
}

func (r *recorder) Rename(op, oldName, newName string) error {
	if err := r.note(write{kind: "rename", op: op, name: oldName, to: newName}); err != nil {
		return err
	}
	return r.quickFS.Rename(op, oldName, newName)
}

func (r *recorder) Remove(op, name string) error {
	if err := r.note(write{kind: "remove", op: op, name: name}); err != nil {
		return err
	}
	return r.quickFS.Remove(op, name)
}

func (r *recorder) SyncDir(op, name string) error {
	if err := r.note(write{kind: "sync", op: op, name: name}); err != nil {
		return err
	}
	return r.quickFS.SyncDir(op, name)
}

// replay applies the first n writes to dir as a disk may hold them after a cut: what
// a SyncDir has made last is there; of the changes of names after it, those that keep
// says. If torn, half of write n is there, too.
func replay(t testing.TB, dir string, writes []write, n int, torn bool, keep func(i int) bool) {
	t.Helper()
	fs := quickFS{osFS{dir}}
	lasting := make([]bool, n)
	synced := map[string]bool{}
	for i := n - 1; i >= 0; i-- {
		w := writes[i]
		if w.kind == "sync" {
			synced[path.Clean(w.name)] = true
			continue
		}
		lasting[i] = synced[path.Dir(w.name)]
	}
	var err error
	for i, w := range writes[:n] {
		if !lasting[i] && !keep(i) {
			continue
		}
		switch w.kind {
		case "mkdir":
			err = fs.Mkdir("", w.name)
		case "write":
			err = fs.WriteFile("", w.name, w.data)
		case "append":
			err = fs.Append("", w.name, w.data)
		case "rename":
			err = fs.Rename("", w.name, w.to)
		case "remove":
			err = fs.Remove("", w.name)
		}
		// A change whose directory or source did not last did not last either.
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if !torn || n == len(writes) {
		return
	}
	switch w := writes[n]; w.kind {
	case "remove": // of a directory: the last half of its names
		list, _ := os.ReadDir(filepath.Join(dir, w.name))
		for _, e := range list[len(list)/2:] {
			if err := fs.Remove("", w.name+"/"+e.Name()); err != nil {
				t.Fatal(err)
			}
		}
	case "write":
		err := os.WriteFile(filepath.Join(dir, w.name), w.data[:len(w.data)/2], 0o644)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// Two signers without cryptography, so that many cuts take little time.
func fakeKey(name string) (sign func([]byte) []byte, verify Verifier) {
	return func(b []byte) []byte { return []byte(name + testDigest(b)) },
		func(sig, data []byte) error {
			if string(sig) != name+testDigest(data) {
				return errors.New("not by " + name)
			}
			return nil
		}
}

// takeOver is the owner's run, or the rest of it after a cut: what the wizard does.
func takeOver(d *Dir, sign func([]byte) []byte, verify Verifier) error {
	what, err := d.Resume(verify, "kexec_old")
	if err != nil || what != ResumedNothing {
		return err
	}
	if r, err := d.Verify(verify); err == nil && r.Err() == nil {
		return nil // done already
	}
	entries, err := d.Entries()
	if err != nil {
		return err
	}
	set, err := d.Build(context.Background(), BuildOptions{Entry: Suggest(entries), Extra: map[string][]byte{
		"kexec_hotp_counter": []byte("2\n"), "kexec_rollback.txt": rollback}})
	if err != nil {
		return err
	}
	if err := d.Stage(set, sign(set.SignedBytes())); err != nil {
		return err
	}
	if _, err := d.VerifyStaged(verify); err != nil {
		return err
	}
	return d.Commit(verify, "kexec_old")
}

// cutState is what must hold of /boot whenever the power comes back.
func cutState(t *testing.T, dir string, seller, owner Verifier) {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	st, err := d.State()
	if err != nil {
		t.Fatal(err)
	}
	if !st.Signed || len(st.Listed) == 0 {
		t.Errorf("Heads would start the system without a check")
	}
	byOwner, err := d.Verify(owner)
	if err != nil {
		t.Fatal(err)
	}
	bySeller, err := d.Verify(seller)
	if err != nil {
		t.Fatal(err)
	}
	if !st.OEM && byOwner.Err() != nil {
		t.Errorf("the trigger is gone and /boot is not the owner's: %v", byOwner.Err())
	}
	if bySeller.Err() != nil && byOwner.ErrButOEM() != nil && st.Stage != StageComplete {
		t.Errorf("neither the seller's nor the owner's /boot, and nothing staged")
	}
	if sig, _ := os.ReadFile(filepath.Join(dir, sigName)); whole(sig) && byOwner.ErrButOEM() != nil {
		t.Errorf("the owner's signature is there before what it signs: %v", byOwner.ErrButOEM())
	}
	if sig, _ := os.ReadFile(filepath.Join(dir, stageDir, sigName)); whole(sig) {
		if _, err := d.VerifyStaged(owner); err != nil {
			t.Errorf("the staged signature is there before what it signs: %v", err)
		}
	}
}

// TestCutAnywhere cuts the power at every write of a run, with what had not been
// synced kept, dropped, or in part; looks at what is there; and lets the run go on.
func TestCutAnywhere(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	ownerSign, owner := fakeKey("owner")
	base := makeLayout(t, "debian")
	ship(t, base, sellerSign, seller)
	// Remains of an earlier, cut attempt with another set.
	writeTree(t, base, map[string]string{stageDir + "/kexec_hashes.txt": "old", stageDir + "/kexec.sig": "old",
		tmpName: "old"})

	full := t.TempDir()
	copyTree(t, base, full)
	rec := &recorder{quickFS: quickFS{osFS{full}}, failAt: -1}
	d, err := OpenFS(full, rec)
	if err != nil {
		t.Fatal(err)
	}
	if err := takeOver(d, ownerSign, owner); err != nil {
		t.Fatal(err)
	}
	want := snapshot(t, full)
	names := make(map[string]bool)
	for _, w := range rec.writes {
		names[w.op] = true
	}
	if len(names) != len(rec.writes) {
		t.Errorf("%d writes have %d names", len(rec.writes), len(names))
	}
	if last := rec.writes[len(rec.writes)-2]; last.op != "commit.unlink:oem" {
		t.Errorf("the last write is %s", last.op)
	}
	rounds := 1
	if os.Getenv("REOWN_SOAK") == "1" {
		rounds = 40
	}
	r := rand.New(rand.NewPCG(1, 2))
	cuts := 0
	for n := range len(rec.writes) + 1 {
		op := "the end"
		if n < len(rec.writes) {
			op = rec.writes[n].op
		}
		for round := range rounds + 3 {
			keep := func(int) bool { return r.IntN(2) == 0 }
			switch round {
			case 0:
				keep = func(int) bool { return true }
			case 1:
				keep = func(int) bool { return false }
			case 2:
				keep = func(i int) bool { return i == n-1 }
			}
			t.Run(fmt.Sprintf("%d %s/%d", n, strings.ReplaceAll(op, "/", "_"), round), func(t *testing.T) {
				cuts++
				dir := t.TempDir()
				copyTree(t, base, dir)
				replay(t, dir, rec.writes, n, round < 2 || r.IntN(2) == 0, keep)
				cutState(t, dir, seller, owner)
				// The run goes on, and is cut once more at a write of its own.
				again := &recorder{quickFS: quickFS{osFS{dir}}, failAt: r.IntN(40)}
				d, err := OpenFS(dir, again)
				if err != nil {
					t.Fatal(err)
				}
				if err := takeOver(d, ownerSign, owner); err != nil && !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				cutState(t, dir, seller, owner)
				if d, err = OpenFS(dir, quickFS{osFS{dir}}); err != nil {
					t.Fatal(err)
				}
				if err := takeOver(d, ownerSign, owner); err != nil {
					t.Fatal(err)
				}
				sameTree(t, want, snapshot(t, dir))
			})
		}
	}
	t.Logf("%d writes, %d cuts", len(rec.writes), cuts)
}

// TestErrorAnywhere fails every write once: the error comes back with its cause, and
// the same call again succeeds.
func TestErrorAnywhere(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	ownerSign, owner := fakeKey("owner")
	base := makeLayout(t, "arch")
	ship(t, base, sellerSign, seller)
	for n := 0; ; n++ {
		dir := t.TempDir()
		copyTree(t, base, dir)
		rec := &recorder{quickFS: quickFS{osFS{dir}}, failAt: n}
		d, err := OpenFS(dir, rec)
		if err != nil {
			t.Fatal(err)
		}
		err = takeOver(d, ownerSign, owner)
		if len(rec.writes) <= n {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, errCut) {
			t.Errorf("%s failed and the run says %v", rec.writes[n].op, err)
		}
		cutState(t, dir, seller, owner)
		if err := takeOver(d, ownerSign, owner); err != nil {
			t.Errorf("again after %s: %v", rec.writes[n].op, err)
		}
		if r, err := d.Verify(owner); err != nil || r.Err() != nil {
			t.Errorf("after %s: %v, %v", rec.writes[n].op, r, err)
		}
	}
}

// TestResumeLeavesSellersAlone: with nothing of the owner's there, nothing happens.
func TestResumeLeavesSellersAlone(t *testing.T) {
	sellerSign, seller := fakeKey("seller")
	_, owner := fakeKey("owner")
	dir := makeLayout(t, "qubes")
	d := ship(t, dir, sellerSign, seller)
	before := snapshot(t, dir)
	if what, err := d.Resume(owner); err != nil || what != ResumedNothing {
		t.Fatal(what, err)
	}
	// Covered by the signature: not the remains of a commit.
	if what, err := d.Resume(seller); err != nil || what != ResumedNothing {
		t.Fatal(what, err)
	}
	if err := d.FinishCommit(seller); !errors.Is(err, ErrNotStaged) {
		t.Fatal(err)
	}
	sameTree(t, before, snapshot(t, dir))
}

func testDigest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// whole reports a signature of the owner's that was not cut in half.
func whole(sig []byte) bool {
	return strings.HasPrefix(string(sig), "owner") && len(sig) == len("owner")+2*sha256.Size
}

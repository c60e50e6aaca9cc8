package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Verifier checks a detached OpenPGP signature over data and returns nil only for
// a good one by the key that the caller expects.
type Verifier func(sig, data []byte) error

// Stage writes a set and its signature to kexec_reown.stage/, the signature last.
// Nothing that Heads reads changes. A set staged before is discarded.
func (d *Dir) Stage(s *Set, sig []byte) error {
	d.verified = nil
	if len(sig) == 0 {
		return fmt.Errorf("staging the boot files: %w", ErrNoSignature)
	}
	for n := range s.Files {
		if !setName(n) {
			return fmt.Errorf("staging the boot files: %q: %w", n, ErrSetName)
		}
	}
	if err := d.discard("stage"); err != nil {
		return err
	}
	if err := d.w.Mkdir("stage.mkdir", stageDir); err != nil {
		return fmt.Errorf("staging the boot files: %w", err)
	}
	write := func(n string, data []byte) error {
		if err := d.w.WriteFile("stage.write:"+n, stageDir+"/"+n, data); err != nil {
			return fmt.Errorf("staging %s: %w", n, err)
		}
		return nil
	}
	for _, n := range sortedNames(s.Files) {
		if err := write(n, s.Files[n]); err != nil {
			return err
		}
	}
	if err := d.w.SyncDir("stage.sync:files", stageDir); err != nil {
		return fmt.Errorf("staging the boot files: %w", err)
	}
	if err := write(sigName, sig); err != nil {
		return err
	}
	if err := d.w.SyncDir("stage.sync:kexec.sig", stageDir); err != nil {
		return fmt.Errorf("staging the boot files: %w", err)
	}
	return d.sync("stage.sync:boot")
}

// discard removes the staged set, its signature first, so that what a cut leaves is
// seen to be partial.
func (d *Dir) discard(op string) error {
	d.verified = nil
	i, err := d.stat(stageDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err == nil && !i.Type.IsDir():
		err = d.w.Remove(op+".discard", stageDir) // not what it leads to
	case err == nil:
		err = errors.Join(
			d.w.Remove(op+".discard:kexec.sig", stageDir+"/"+sigName),
			d.w.SyncDir(op+".discard.sync", stageDir),
			d.w.Remove(op+".discard", stageDir))
	}
	if err != nil {
		return fmt.Errorf("removing an earlier staged set: %w", err)
	}
	return nil
}

// VerifyStaged reads the staged set back and checks it as Heads will check it in
// place: the signature over the recomputed bytes, every hash, and the tree, which
// may differ from the disk by ./oem alone. After it, Commit may be called.
func (d *Dir) VerifyStaged(verify Verifier) (*Report, error) {
	d.verified = nil
	st, err := d.State()
	if err != nil {
		return nil, err
	}
	if st.Stage != StageComplete {
		return nil, fmt.Errorf("checking the staged boot files: %w", ErrNotStaged)
	}
	t, err := walk(d.path)
	if err != nil {
		return nil, err
	}
	defer t.close()
	set, sig, err := t.readSet(stageDir)
	if err != nil {
		return nil, err
	}
	// Somebody who staged it knew the form; without a firmware to ask, either is his.
	forms := []Form{FormNames, FormPaths}
	if d.form != "" {
		forms = []Form{d.form}
	}
	r, err := d.check(t, set, sig, verify, forms)
	if err != nil {
		return nil, err
	}
	if err := r.ErrButOEM(); err != nil {
		return r, err
	}
	set.OEM, set.Form = r.OEM == OEMCovered, r.Form
	d.verified = set
	return r, nil
}

// Commit is Install, and then, as the last act, /boot/oem removed, unless the set
// covers it. After a cut, VerifyStaged and Commit again.
func (d *Dir) Commit(verify Verifier, agreed ...string) error {
	covered := d.verified != nil && d.verified.OEM
	if err := d.Install(verify, agreed...); err != nil || covered {
		return err
	}
	return d.removeOEM()
}

// Install puts the set that VerifyStaged accepted in place: each file written under a
// temporary name, synced and renamed; what is left of the previous owner removed;
// kexec.sig replaced last; and the result verified by Heads's rules. While files are
// being replaced the old signature stays and no longer matches, so that Heads
// refuses to start rather than starts unverified. A /boot/oem that the set does not
// cover stays; FinishCommit removes it. Of the names that no version of Heads writes only
// the agreed ones are removed; with any other it returns an *AppearedError and writes nothing.
func (d *Dir) Install(verify Verifier, agreed ...string) error {
	want := d.verified
	if want == nil {
		return fmt.Errorf("putting the boot files in place: %w", ErrNotStaged)
	}
	d.verified = nil
	set, sig, err := d.installable()
	if err != nil {
		return err
	}
	if !set.equal(want) || sig == nil {
		return fmt.Errorf("putting the boot files in place: %w", ErrChanged)
	}
	if err := d.Appeared(agreed); err != nil {
		return fmt.Errorf("putting the boot files in place: %w", err)
	}
	for _, n := range sortedNames(set.Files) {
		if err := d.replace("commit", n, set.Files[n]); err != nil {
			return err
		}
	}
	if err := d.removeStale(set, agreed); err != nil {
		return err
	}
	if err := d.sync("commit.sync:files"); err != nil {
		return err
	}
	if err := d.replace("commit", sigName, sig); err != nil {
		return err
	}
	if err := d.sync("commit.sync:kexec.sig"); err != nil {
		return err
	}
	r, err := d.Verify(verify)
	if err != nil {
		return err
	}
	if err = r.ErrButOEM(); err == nil && r.Form != want.Form {
		err = ErrChanged
	}
	if err != nil {
		return fmt.Errorf("checking the boot files in place: %w", err)
	}
	if err := d.discard("commit"); err != nil {
		return err
	}
	return d.sync("commit.sync:stage")
}

// installable reads the staged set, once more looks for what must not be there.
func (d *Dir) installable() (set *Set, sig []byte, err error) {
	t, err := walk(d.path)
	if err != nil {
		return nil, nil, err
	}
	defer t.close()
	if odd := t.odd(); odd != nil {
		return nil, nil, fmt.Errorf("putting the boot files in place: %w", &OddError{odd})
	}
	return t.readSet(stageDir)
}

// An AppearedError names what nobody knows, and has agreed to remove.
type AppearedError struct{ Names []string }

func (e *AppearedError) Error() string {
	return fmt.Sprintf("in /boot are files that no firmware reads, and that were not shown: %q", e.Names)
}

// Appeared returns an *AppearedError where a name is in /boot that no version of Heads writes,
// and that is not among the agreed ones.
func (d *Dir) Appeared(agreed []string) error {
	st, err := d.State()
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(st.Unknown, func(n string) bool { return slices.Contains(agreed, n) })
	if len(names) > 0 {
		return &AppearedError{names}
	}
	return nil
}

// removeStale removes what the previous owner left: every kexec* that is not in the
// set, not expected, and not kexec.sig, which stays until its successor is there. A name that
// appeared a moment ago is none of his.
func (d *Dir) removeStale(set *Set, agreed []string) error {
	list, err := d.names()
	if err != nil {
		return err
	}
	for _, n := range list {
		if !strings.HasPrefix(n, "kexec") || n == sigName || keptName(n) || strings.HasPrefix(n, ownName) && !isListed(n) {
			continue
		}
		if _, ok := set.Files[n]; ok || !known(n) && !slices.Contains(agreed, n) {
			continue
		}
		if err := d.w.Remove("commit.remove:"+n, n); err != nil {
			return fmt.Errorf("removing the previous owner's /boot/%s: %w", n, err)
		}
	}
	return nil
}

// removeOEM removes the trigger and makes that last.
func (d *Dir) removeOEM() error {
	if err := d.w.Remove("commit.unlink:oem", oemName); err != nil {
		return fmt.Errorf("removing /boot/oem: %w", err)
	}
	return d.sync("commit.sync:oem")
}

// FinishCommit removes a /boot/oem that is all that is left of an interrupted
// Commit: the set in place is verified first and must differ from the disk by ./oem
// alone, or not at all. It returns a *MismatchError otherwise.
func (d *Dir) FinishCommit(verify Verifier) error {
	r, err := d.Verify(verify)
	if err != nil {
		return err
	}
	if err := r.ErrButOEM(); err != nil {
		return err
	}
	if r.OEM == OEMCovered {
		return fmt.Errorf("removing /boot/oem: %w: the signature covers it", ErrNotStaged)
	}
	if err := d.discard("finish"); err != nil {
		return err
	}
	return d.removeOEM()
}

// hasOEM reports whether a tree lists the trigger.
func hasOEM(tree []string) bool { return slices.Contains(tree, oemPath) }

// Resumed says what Resume did.
type Resumed string

const (
	ResumedNothing Resumed = "nothing" // nothing to finish
	ResumedCommit  Resumed = "commit"  // a staged set was put in place
	ResumedUnlink  Resumed = "unlink"  // the set was in place; only /boot/oem was left
)

// Resume finishes an interrupted Commit, judged by what is on the disk and by the
// key alone: a complete staged set that verify accepts is put in place; a set in
// place that verify accepts and that differs only by ./oem has that removed. A
// staged set that was cut or does not verify is left for Stage to replace.
func (d *Dir) Resume(verify Verifier, agreed ...string) (Resumed, error) {
	if r, err := d.VerifyStaged(verify); err == nil {
		return ResumedCommit, d.Commit(verify, agreed...)
	} else if r == nil && !errors.Is(err, ErrNotStaged) {
		return ResumedNothing, err
	}
	r, err := d.Verify(verify)
	if err != nil {
		return ResumedNothing, err
	}
	if r.OEM == OEMAdded && r.ErrButOEM() == nil {
		return ResumedUnlink, d.FinishCommit(verify)
	}
	return ResumedNothing, nil
}

package boot

import (
	"bytes"
	"fmt"
	"slices"
)

// A StartError lists the files in which a new set would let the machine start something
// that its owner's key has not signed before.
type StartError struct{ Files []string }

func (e *StartError) Error() string {
	return "what is to be signed differs from what the owner's key has signed: " + quoted(e.Files)
}

// machineFiles are what may be new in a set that is signed again: the TPM's root, its
// counter, and which LUKS headers the disk unlock key is for.
var machineFiles = []string{
	"kexec_rollback.txt", "kexec_primhdl_hash.txt",
	"kexec_lukshdr_hash.txt", "kexec_key_devices.txt", "kexec_key_lvm.txt",
}

// OnlyMachine returns nil if this set starts exactly what another does: hashes, tree,
// default entry and all else byte for byte, but for the files about TPM root, counter and
// LUKS headers. What the other has of the crypttab may be missing there and new here: it
// follows from the default entry's initrd, which is hashed. A *StartError otherwise.
func (s *Set) OnlyMachine(signed *Set) error {
	var differ []string
	check := func(n string) {
		if !isListed(n) || slices.Contains(machineFiles, n) || slices.Contains(differ, n) {
			return
		}
		a, there := s.Files[n]
		b, before := signed.Files[n]
		if n == CrypttabFile && !before && signed.Files["kexec_key_devices.txt"] == nil {
			return
		}
		if there != before || !bytes.Equal(a, b) {
			differ = append(differ, n)
		}
	}
	for _, n := range append(sortedNames(s.Files), sortedNames(signed.Files)...) {
		check(n)
	}
	if s.Files["kexec_hashes.txt"] == nil || s.Files["kexec_tree.txt"] == nil {
		differ = append(differ, "kexec_hashes.txt", "kexec_tree.txt")
	}
	if differ != nil {
		slices.Sort(differ)
		return &StartError{slices.Compact(differ)}
	}
	return nil
}

// Signed returns the set in /boot that verify accepts, or else the staged one: what the
// owner's key has signed before. It does not compare the lists with the files.
// ErrNoSignature or ErrBadSignature if there is none.
func (d *Dir) Signed(verify Verifier) (*Set, error) {
	t, err := walk(d.path)
	if err != nil {
		return nil, err
	}
	defer t.close()
	result := fmt.Errorf("looking for what was signed before: %w", ErrNoSignature)
	for _, sub := range []string{"", stageDir} {
		set, sig, err := t.readSet(sub)
		if err != nil {
			return nil, err
		}
		var r Report
		r.signature(set, sig, verify, []Form{FormNames, FormPaths})
		if r.Signature == nil {
			set.Form = r.Form
			return set, nil
		}
		if sig != nil {
			result = fmt.Errorf("looking for what was signed before: %w", r.Signature)
		}
	}
	return nil, result
}

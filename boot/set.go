package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// A Set is every kexec* file that goes into /boot together. kexec.sig covers those
// ending in .txt; the others (kexec_hotp_counter) are written with them.
type Set struct {
	Files map[string][]byte
	// OEM is set if the lists include /boot/oem: the seller's order, trigger first,
	// signature second. Committing such a set leaves /boot/oem in place.
	OEM bool
	// Form is how the signature names the files; "" is FormNames.
	Form Form
}

// BuildOptions says what a set holds besides the hashes and the tree.
type BuildOptions struct {
	// Extra files by name, such as kexec_rollback.txt; kexec_hotp_counter is not signed.
	Extra map[string][]byte
	// Entry is the index of the default boot entry, from 1; 0 sets none.
	Entry int
	// KeepOEM makes a set that includes /boot/oem (the seller's side).
	KeepOEM bool
	// Progress of the hashing; may be nil.
	Progress Progress
}

// Build makes a set for /boot as it is, in memory. It returns an *OddError if there is
// anything that must not be signed, and ErrEntry if the entry cannot be the default.
func (d *Dir) Build(ctx context.Context, o BuildOptions) (*Set, error) {
	t, err := walk(d.path)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return d.build(ctx, t, o)
}

func (d *Dir) build(ctx context.Context, t *tree, o BuildOptions) (*Set, error) {
	s := &Set{Files: maps.Clone(o.Extra), OEM: o.KeepOEM}
	s.Form, _ = d.Form()
	if d.formErr != nil {
		return nil, fmt.Errorf("building the set of boot files: %w", d.formErr)
	}
	if s.Files == nil {
		s.Files = make(map[string][]byte)
	}
	for n := range s.Files {
		if !setName(n) || Built(n) {
			return nil, fmt.Errorf("building the set of boot files: %q: %w", n, ErrSetName)
		}
	}
	if o.Entry != 0 {
		if err := t.addDefault(ctx, s, o.Entry); err != nil {
			return nil, err
		}
	}
	hashes, tree, err := t.hash(ctx, o.KeepOEM, o.Progress)
	if err != nil {
		return nil, fmt.Errorf("building the set of boot files: %w", err)
	}
	s.Files["kexec_hashes.txt"], s.Files["kexec_tree.txt"] = hashes, tree
	return s, nil
}

// addDefault adds kexec_default.N.txt and kexec_default_hashes.txt.
func (t *tree) addDefault(ctx context.Context, s *Set, index int) error {
	entries, err := t.entries()
	if err != nil {
		return err
	}
	if index < 1 || index > len(entries) {
		return fmt.Errorf("%w: there is no entry %d", ErrEntry, index)
	}
	e := entries[index-1]
	if e.Uncertain != "" {
		return fmt.Errorf("%w: entry %d: %s", ErrEntry, index, e.Uncertain)
	}
	if len(e.Gone) > 0 {
		return fmt.Errorf("%w: entry %d: %w", ErrEntry, index, &GoneError{e.Gone})
	}
	sums, err := t.entrySums(ctx, e)
	if err != nil {
		return err
	}
	s.Files["kexec_default."+strconv.Itoa(index)+".txt"] = []byte(e.Line + "\n")
	s.Files["kexec_default_hashes.txt"] = hashLines(sums)
	return nil
}

// entrySums are the hashes of what an entry loads, under the names that it gives. Links
// are followed on the walk, as sha256sum follows them.
func (t *tree) entrySums(ctx context.Context, e Entry) ([]digest, error) {
	var files []named
	for _, f := range e.Files {
		n, err := t.covered(f)
		if err != nil {
			return nil, err
		}
		files = append(files, named{f, n})
	}
	return t.sums(ctx, files, nil)
}

// Built reports the names of files that Build makes itself: they cannot be extras.
func Built(n string) bool {
	return n == "kexec_hashes.txt" || n == "kexec_tree.txt" || n == "kexec_default_hashes.txt" ||
		strings.HasPrefix(n, "kexec_default.")
}

// setName reports the names that a set may hold.
func setName(n string) bool {
	return topName(n) && (isListed(n) && !strings.HasPrefix(n, ownName) || n == "kexec_hotp_counter")
}

// SignedBytes returns what Heads gives to gpg, in the form of the set.
func (s *Set) SignedBytes() []byte { return signedBytes(s.Files, s.Form.prefix()) }

// signedBytes is what kexec.sig signs: the output of `sha256sum kexec*.txt` in /boot, the names
// in the order of the C locale. Other names are passed over.
func signedBytes(files map[string][]byte, prefix string) []byte {
	var sums []digest
	for _, n := range sortedNames(files) {
		if isListed(n) {
			sums = append(sums, digest{prefix + n, sha256.Sum256(files[n])})
		}
	}
	return hashLines(sums)
}

// equal reports whether two sets are the same to the byte.
func (s *Set) equal(o *Set) bool {
	return maps.EqualFunc(s.Files, o.Files, func(a, b []byte) bool { return bytes.Equal(a, b) })
}

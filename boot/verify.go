package boot

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// OEMState says how /boot/oem stands to the signed lists.
type OEMState string

const (
	OEMAbsent  OEMState = "absent"  // no trigger on the disk
	OEMCovered OEMState = "covered" // on the disk, in the tree and in the hashes
	OEMAdded   OEMState = "added"   // on the disk, not in the tree: put there after signing
)

// A Problem is one file that is not what the signed lists say.
type Problem struct {
	Path string `json:"path"`
	What string `json:"what"` // "changed", "missing", "unreadable"
}

// A Report is the outcome of Heads's checks. Nothing in it but Signature may be
// trusted unless Signature is nil.
type Report struct {
	Signature error     `json:"-"`      // nil: good; ErrNoSignature or ErrBadSignature otherwise
	Form      Form      `json:"form"`   // how the good signature names the files; "" if there is none
	Legacy    bool      `json:"legacy"` // FormPaths
	Listed    []string  `json:"listed"` // the files that kexec.sig covers
	Problems  []Problem `json:"problems"`
	Added     []string  `json:"added"`    // on the disk, not in the tree
	Gone      []string  `json:"gone"`     // in the tree, not on the disk
	TreeOrder bool      `json:"order"`    // same names, other order: cmp fails all the same
	Unlisted  []string  `json:"unlisted"` // kexec* names that nothing covers and nobody expects
	Odd       []Finding `json:"odd"`      // what is nothing that may be signed
	OEM       OEMState  `json:"oem"`
	OnlyOEM   bool      `json:"onlyOem"` // the tree differs from the disk by ./oem and nothing else
	Default   int       `json:"default"` // index of the default entry; 0 if none
	DefaultOK bool      `json:"defaultOk"`
	Entry     string    `json:"entry"` // name of the default entry
	// Tree is what TreeDigest returns for the files as they are, from the sums that
	// the check took; "" where they do not match the lists.
	Tree string `json:"-"`
	// Now is the same whether they match or not; "" where something in /boot cannot be signed.
	Now string `json:"-"`
	// Files are those that start the system, where no good signature covers them, the largest first:
	// kernels and what they load stand at the top.
	Files []string `json:"-"`
}

// Err returns nil if Heads would call this /boot verified, ErrNoSignature or
// ErrBadSignature (wrapped) or a *MismatchError otherwise.
func (r *Report) Err() error { return r.err(false) }

// ErrButOEM is Err, but lets pass a /boot/oem that is on the disk and not in the
// signed lists: the state between Install and FinishCommit.
func (r *Report) ErrButOEM() error { return r.err(true) }

func (r *Report) err(allowOEM bool) error {
	if r.Signature != nil {
		return r.Signature
	}
	if r.matches(allowOEM) {
		return nil
	}
	return &MismatchError{r}
}

// matches reports whether the disk is what the lists say, no matter who signed them.
func (r *Report) matches(allowOEM bool) bool {
	return len(r.Problems) == 0 && len(r.Odd) == 0 && !r.TreeOrder &&
		(len(r.Added)+len(r.Gone) == 0 || allowOEM && r.OnlyOEM && r.OEM == OEMAdded)
}

func (r *Report) summary() string {
	if r.OnlyOEM && len(r.Problems)+len(r.Odd) == 0 {
		return "/boot differs from its signed list only by ./oem"
	}
	var parts []string
	count := func(n int, what string) {
		if n > 0 {
			parts = append(parts, strconv.Itoa(n)+" "+what)
		}
	}
	count(len(r.Problems), "changed, missing or unreadable")
	count(len(r.Added), "added")
	count(len(r.Gone), "gone")
	count(len(r.Odd), "that nobody can sign")
	if r.TreeOrder {
		parts = append(parts, "the list is out of order")
	}
	return "/boot does not match its signed list: " + strings.Join(parts, ", ")
}

// Verify checks /boot as Heads does. The error is for what could not be read; what
// was read and is wrong is in the report.
func (d *Dir) Verify(verify Verifier) (*Report, error) {
	t, err := walk(d.path)
	if err != nil {
		return nil, err
	}
	defer t.close()
	set, sig, err := t.readSet("")
	if err != nil {
		return nil, err
	}
	// Either form shows whose /boot it is.
	r, err := d.check(t, set, sig, verify, []Form{FormNames, FormPaths})
	if err == nil && r.Form != "" {
		d.seen = r.Form
	}
	return r, err
}

// check applies Heads's rules to a set, against the files on the disk. The signature may
// have any of the forms.
func (d *Dir) check(t *tree, set *Set, sig []byte, verify Verifier, forms []Form) (*Report, error) {
	r := &Report{OEM: OEMAbsent}
	r.signature(set, sig, verify, forms)
	hashes, tree := set.Files["kexec_hashes.txt"], set.Files["kexec_tree.txt"]
	for _, n := range []string{"kexec_hashes.txt", "kexec_tree.txt"} {
		if _, ok := set.Files[n]; !ok {
			r.Problems = append(r.Problems, Problem{n, "missing"})
		}
	}
	listed, err := parseHashes(hashes)
	if err != nil {
		r.Problems = append(r.Problems, Problem{"kexec_hashes.txt", "unreadable"})
	}
	r.Odd = t.odd()
	sums, err := t.checkHashes(r, listed)
	if err != nil {
		return nil, err
	}
	t.checkTree(r, tree, listed, sums)
	if err := t.checkNow(r, sums); err != nil {
		return nil, err
	}
	t.checkDefault(r, set)
	st, err := d.State()
	if err != nil {
		return nil, err
	}
	r.Unlisted = st.Unlisted
	return r, nil
}

func (r *Report) signature(set *Set, sig []byte, verify Verifier, forms []Form) {
	for _, n := range sortedNames(set.Files) {
		if isListed(n) {
			r.Listed = append(r.Listed, n)
		}
	}
	if sig == nil || len(r.Listed) == 0 {
		r.Signature = ErrNoSignature
		return
	}
	var bad error
	for _, f := range forms {
		err := verify(sig, signedBytes(set.Files, f.prefix()))
		if err == nil {
			r.Form, r.Legacy = f, f == FormPaths
			return
		}
		if bad == nil {
			bad = err
		}
	}
	r.Signature = fmt.Errorf("%w: %w", ErrBadSignature, bad)
}

// checkHashes is `sha256sum -c`. A file that is listed twice is hashed once, and is
// changed if the two sums differ. It returns what was hashed.
func (t *tree) checkHashes(r *Report, listed []hashLine) ([]digest, error) {
	want := make(map[string]string, len(listed))
	var present []named
	for _, l := range listed {
		if w, ok := want[l.path]; ok {
			if w != l.sum {
				want[l.path] = ""
			}
			continue
		}
		want[l.path] = l.sum
		n, err := t.covered(l.path)
		switch {
		case err == nil:
			present = append(present, named{l.path, n})
		case errors.Is(err, fs.ErrNotExist):
			r.Problems = append(r.Problems, Problem{l.path, "missing"})
		default: // it would lead out of /boot, to what is not signed, or is no file
			r.Problems = append(r.Problems, Problem{l.path, "unreadable"})
		}
	}
	sums, err := t.sums(context.Background(), present, nil)
	if err != nil {
		return nil, fmt.Errorf("checking /boot's files: %w", err)
	}
	for _, s := range sums {
		if hex.EncodeToString(s.sum[:]) != want[s.path] {
			r.Problems = append(r.Problems, Problem{s.path, "changed"})
		}
	}
	return sums, nil
}

// checkTree is the comparison of kexec_tree.txt with `find | sort -z`.
func (t *tree) checkTree(r *Report, tree []byte, listed []hashLine, sums []digest) {
	var now []string
	for _, n := range t.nodes {
		if !excluded(n.path) {
			now = append(now, n.path)
		}
	}
	slices.Sort(now)
	was := splitZ(tree)
	inOrder := slices.IsSorted(was) && len(slices.Compact(slices.Clone(was))) == len(was)
	slices.Sort(was)
	was = slices.Compact(was)
	for len(now) > 0 || len(was) > 0 {
		switch {
		case len(was) == 0 || len(now) > 0 && now[0] < was[0]:
			r.Added = append(r.Added, now[0])
			now = now[1:]
		case len(now) == 0 || was[0] < now[0]:
			r.Gone = append(r.Gone, was[0])
			was = was[1:]
		default:
			if now[0] == oemPath {
				r.OEM = OEMCovered
			}
			now, was = now[1:], was[1:]
		}
	}
	r.TreeOrder = !inOrder
	if slices.Contains(r.Added, oemPath) {
		r.OEM = OEMAdded
	}
	if r.OEM == OEMCovered && !slices.ContainsFunc(listed, func(l hashLine) bool { return l.path == oemPath }) {
		r.OEM = OEMAdded // a name without a hash is not covered
	}
	r.OnlyOEM = len(r.Added)+len(r.Gone) == 1 && (hasOEM(r.Added) || hasOEM(r.Gone))
	if r.matches(true) {
		r.Tree = treeOf(t.nodes, sums)
	}
}

// checkNow takes the sums that no list asked for, so that what a person is shown can be told from what
// is there later.
func (t *tree) checkNow(r *Report, sums []digest) error {
	if r.Signature != nil {
		r.Files = t.files()
	}
	if r.Now = r.Tree; r.Now != "" || len(r.Odd) > 0 {
		return nil
	}
	have := make(map[string]bool, len(sums))
	for _, s := range sums {
		have[s.path] = true
	}
	var rest []named
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.typ.IsRegular() && !excluded(n.path) && n.path != oemPath && !have[n.path] {
			rest = append(rest, named{n.path, n})
		}
	}
	more, err := t.sums(context.Background(), rest, nil)
	if err != nil {
		return fmt.Errorf("checking /boot's files: %w", err)
	}
	r.Now = treeOf(t.nodes, append(more, sums...))
	return nil
}

// files are the names that are no directories, the largest first.
func (t *tree) files() (all []string) {
	var nodes []node
	for _, n := range t.nodes {
		if !n.typ.IsDir() && !excluded(n.path) && n.path != oemPath {
			nodes = append(nodes, n)
		}
	}
	slices.SortFunc(nodes, func(a, b node) int {
		return cmp.Or(cmp.Compare(b.size, a.size),
			strings.Compare(a.path, b.path))
	})
	for _, n := range nodes {
		all = append(all, n.path)
	}
	return all
}

// treeOf is TreeDigest from sums that were taken already; "" if one is missing.
func treeOf(nodes []node, sums []digest) string {
	have := make(map[string]digest, len(sums))
	for _, s := range sums {
		have[s.path] = s
	}
	var files []digest
	var names []byte
	for _, n := range nodes {
		if excluded(n.path) || n.path == oemPath {
			continue
		}
		names = append(append(names, n.path...), 0)
		if n.typ.IsRegular() {
			s, ok := have[n.path]
			if !ok {
				return ""
			}
			files = append(files, s)
		}
	}
	slices.SortFunc(files, func(a, b digest) int { return strings.Compare(a.path, b.path) })
	return treeDigest(hashLines(files), sortZ(names))
}

// checkDefault is default_select: the default's line must be the menu's line, and
// its files must have their hashes.
func (t *tree) checkDefault(r *Report, set *Set) {
	for _, n := range sortedNames(set.Files) {
		rest, ok := strings.CutPrefix(n, "kexec_default.")
		if !ok {
			continue
		}
		index, err := strconv.Atoi(strings.TrimSuffix(rest, ".txt"))
		if err != nil || index < 1 {
			return
		}
		r.Default = index
		entries, err := t.entries()
		if err != nil || index > len(entries) || entries[index-1].Line+"\n" != string(set.Files[n]) {
			return
		}
		e := entries[index-1]
		r.Entry = e.Name
		sums, err := t.entrySums(context.Background(), e)
		r.DefaultOK = err == nil && string(hashLines(sums)) == string(set.Files["kexec_default_hashes.txt"])
		return
	}
}

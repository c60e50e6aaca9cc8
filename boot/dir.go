package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"reown/internal/atomicfile"
)

// Names in /boot. All begin with "kexec" except the trigger, so Heads neither
// hashes nor lists them.
const (
	oemName  = "oem"
	oemPath  = "./" + oemName
	sigName  = "kexec.sig"
	stageDir = "kexec_reown.stage"
	tmpName  = "kexec_reown.tmp"
	ownName  = "kexec_reown." // prefix of this program's own files

	keptPrefix = "kexec_handover."
)

// Dir is a /boot directory.
type Dir struct {
	path     string
	w        FS
	verified *Set // the staged set that VerifyStaged accepted
	mount    mount
	form     Form  // SetForm
	formErr  error // why it is not known, although there is a firmware to ask
	seen     Form  // of the last good signature that Verify saw
}

// Open opens a /boot directory of the running system.
func Open(path string) (*Dir, error) { return OpenFS(path, osFS{path}) }

// OpenFS is Open with the writes going through w; reads come from path.
func OpenFS(path string, w FS) (*Dir, error) {
	path = filepath.Clean(path)
	fi, err := os.Stat(path)
	if err == nil && !fi.IsDir() {
		err = fmt.Errorf("%s: %w", path, atomicfile.ErrNotRegular)
	}
	if err != nil {
		return nil, fmt.Errorf("opening /boot: %w", err)
	}
	return &Dir{path: path, w: w}, nil
}

// Path returns the directory given to Open.
func (d *Dir) Path() string { return d.path }

// StageState says how far a staged set got.
type StageState string

const (
	StageNone     StageState = "none"
	StagePartial  StageState = "partial"  // cut while it was being written; worthless
	StageComplete StageState = "complete" // its signature was written last, so all is there
)

// State is what the names in /boot show; no content is read and nothing is believed.
type State struct {
	OEM      bool       `json:"oem"`    // the trigger /boot/oem exists
	Signed   bool       `json:"signed"` // kexec.sig exists
	Stage    StageState `json:"stage"`
	Listed   []string   `json:"listed"`            // kexec*.txt, which kexec.sig covers, in signing order
	Handover bool       `json:"handover"`          // kexec_handover.json exists
	Hints    []string   `json:"hints"`             // files of this program, kexec_reown.*
	Unlisted []string   `json:"unlisted"`          // kexec* that no signature covers and that nobody expects
	Unknown  []string   `json:"unknown"`           // kexec* that no version of Heads writes: removed with consent
	GrubDir  bool       `json:"grubDir"`           // Heads mounts a partition as /boot only if it has /grub*
	Problem  string     `json:"problem,omitempty"` // a name of the wrong type
}

// State lists the top of /boot.
func (d *Dir) State() (State, error) {
	s := State{Stage: StageNone}
	names, err := d.names()
	if err != nil {
		return s, err
	}
	err = d.at(func(top *atomicfile.Dir) error {
		for _, n := range names {
			i, err := top.Stat(n)
			if err != nil {
				return err
			}
			s.add(top, n, i)
		}
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("listing /boot: %w", err)
	}
	return s, nil
}

func (s *State) add(top *atomicfile.Dir, n string, i atomicfile.Info) {
	switch {
	case n == oemName:
		s.OEM = true
		if !i.Type.IsRegular() {
			s.Problem = "oem is not a regular file"
		}
	case n == sigName:
		s.Signed = true
	case n == stageDir && i.Type.IsDir():
		s.Stage = StagePartial
		if i, err := top.Stat(stageDir + "/" + sigName); err == nil && i.Type.IsRegular() {
			s.Stage = StageComplete
		}
	case strings.HasPrefix(n, ownName) && !isListed(n):
		s.Hints = append(s.Hints, n)
	case isListed(n):
		s.Listed = append(s.Listed, n)
		if !known(n) {
			s.Unknown = append(s.Unknown, n)
		}
	case n == "kexec_handover.json":
		s.Handover = true
	case strings.HasPrefix(n, "grub"):
		s.GrubDir = true
	case strings.HasPrefix(n, "kexec") && !expected(n):
		s.Unlisted = append(s.Unlisted, n)
		if !known(n) {
			s.Unknown = append(s.Unknown, n)
		}
	}
}

// at calls do with a handle of the directory.
func (d *Dir) at(do func(top *atomicfile.Dir) error) error {
	top, err := atomicfile.Open(d.path)
	if err != nil {
		return err
	}
	defer top.Close()
	return do(top)
}

// names lists the top of /boot in byte order.
func (d *Dir) names() (names []string, err error) {
	err = d.at(func(top *atomicfile.Dir) error {
		return top.Names(func(n string) error { names = append(names, n); return nil })
	})
	if err != nil {
		return nil, fmt.Errorf("listing /boot: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// readTop reads a regular file at the top of /boot, at most max bytes.
func (d *Dir) readTop(name string, max int64) (b []byte, err error) {
	err = d.at(func(top *atomicfile.Dir) error {
		b, err = readAt(top, name, max)
		return err
	})
	return b, err
}

// headsFiles are the kexec* files that Heads writes, or has written in some version
// since 2018, apart from kexec_default.N.txt. kexec_menu.txt, which it reads in the place
// of its own menu and never writes to /boot, is none.
var headsFiles = []string{
	sigName, "kexec_hashes.txt", "kexec_tree.txt", "kexec_default_hashes.txt",
	"kexec_rollback.txt", "kexec_primhdl_hash.txt", "kexec_hotp_counter", "kexec_hotp_key",
	"kexec_key_devices.txt", "kexec_key_lvm.txt", "kexec_lukshdr_hash.txt", CrypttabFile,
	"kexec_root_hashes.txt", "kexec_root_dirs.txt", "kexec_package_trigger_pre.txt", "kexec_package_trigger_post.txt",
}

// known reports the names that some version of Heads writes.
func known(n string) bool {
	index, ok := strings.CutPrefix(n, "kexec_default.")
	index, txt := strings.CutSuffix(index, ".txt")
	return slices.Contains(headsFiles, n) || ok && txt && index != "" && strings.Trim(index, "0123456789") == ""
}

// isListed is the glob kexec*.txt.
func isListed(n string) bool { return strings.HasPrefix(n, "kexec") && strings.HasSuffix(n, ".txt") }

// expected reports names beginning with kexec that need no signature of kexec.sig:
// Heads's HOTP counter, which changes at every start, our own, and those that carry
// a signature of their own.
func expected(n string) bool {
	return n == "kexec_hotp_counter" || strings.HasPrefix(n, ownName) || keptName(n)
}

// keptName reports the hand-over statements, the record of a release, and their
// signatures and certificates.
func keptName(n string) bool {
	if strings.HasPrefix(n, "kexec_release.") {
		return !isListed(n)
	}
	n = strings.TrimSuffix(strings.TrimSuffix(n, ".asc"), ".key")
	return strings.HasPrefix(n, keptPrefix) && strings.HasSuffix(n, ".json")
}

// ReadFile reads one kexec* file at the top of /boot, at most 64 MiB. It returns an
// error that is fs.ErrNotExist if there is none.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	if !topName(name) {
		return nil, fmt.Errorf("reading %q: %w", name, ErrSetName)
	}
	b, err := d.readTop(name, maxListed)
	if err != nil {
		return nil, fmt.Errorf("reading /boot/%s: %w", name, err)
	}
	return b, nil
}

// ReadKept is ReadFile for a hand-over statement or what belongs to one, with a limit of
// its own: somebody who can write to /boot can make it any size. Larger is ErrTooLarge.
func (d *Dir) ReadKept(name string, max int64) ([]byte, error) {
	if !topName(name) || !keptName(name) {
		return nil, fmt.Errorf("reading %q: %w", name, ErrSetName)
	}
	b, err := d.readTop(name, max)
	if err != nil {
		return nil, fmt.Errorf("reading /boot/%s: %w", name, err)
	}
	return b, nil
}

func topName(n string) bool {
	return strings.HasPrefix(n, "kexec") && !strings.Contains(n, "/") && signable(n)
}

// ReadHint reads kexec_reown.NAME. A hint says what was being attempted; nobody
// vouches for it.
func (d *Dir) ReadHint(name string) ([]byte, error) { return d.ReadFile(ownName + name) }

// WriteHint replaces kexec_reown.NAME so that a cut leaves the old or the new one.
// name must not be one that kexec.sig would cover (*.txt), "tmp" or "stage".
func (d *Dir) WriteHint(name string, data []byte) error {
	n := ownName + name
	if !topName(n) || isListed(n) || n == tmpName || n == stageDir {
		return fmt.Errorf("writing hint %q: %w", name, ErrSetName)
	}
	return d.put("hint", n, data)
}

// AppendHint adds to kexec_reown.NAME, creating it, and syncs: for a journal whose
// torn last line is ignored.
func (d *Dir) AppendHint(name string, data []byte) error {
	n := ownName + name
	if !topName(n) || isListed(n) || n == tmpName || n == stageDir {
		return fmt.Errorf("adding to hint %q: %w", name, ErrSetName)
	}
	i, err := d.stat(n)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && i.Type.IsRegular() && i.Links == 1:
		err = d.w.Append("hint.append:"+n, n, data)
	case err == nil:
		// A link, or a file with further names, which must not change with this one.
		old, _ := d.readTop(n, maxListed)
		return d.put("hint", n, append(old, data...))
	}
	if err != nil {
		return fmt.Errorf("adding to /boot/%s: %w", n, err)
	}
	if i.Links > 0 {
		return nil
	}
	return d.sync("hint.syncdir:" + n)
}

// WriteKept replaces a hand-over statement, the record of a release, or what belongs
// to one: its signature or key.
func (d *Dir) WriteKept(name string, data []byte) error {
	if !topName(name) || !keptName(name) {
		return fmt.Errorf("writing %q: %w", name, ErrSetName)
	}
	return d.put("kept", name, data)
}

// RemoveKept removes one such file; one that does not exist is not an error.
func (d *Dir) RemoveKept(name string) error {
	if !topName(name) || !keptName(name) {
		return fmt.Errorf("removing %q: %w", name, ErrSetName)
	}
	ok, err := d.exists(name)
	if err == nil && ok {
		err = d.w.Remove("kept.remove:"+name, name)
	}
	if err != nil {
		return fmt.Errorf("removing /boot/%s: %w", name, err)
	}
	if !ok {
		return nil
	}
	return d.sync("kept.remove.syncdir:" + name)
}

// ClearKept removes every hand-over file, of all chains.
func (d *Dir) ClearKept() error { return d.clear("kept", keptPrefix) }

// ClearHints removes every file of this program's own that former runs have left.
func (d *Dir) ClearHints() error { return d.clear("hints", ownName) }

// clear removes what begins with prefix, and makes that last.
func (d *Dir) clear(op, prefix string) error {
	list, err := d.names()
	if err != nil {
		return err
	}
	for _, n := range list {
		if !strings.HasPrefix(n, prefix) {
			continue
		}
		if err := d.w.Remove(op+".clear:"+n, n); err != nil {
			return fmt.Errorf("removing /boot/%s, which a former run left: %w", n, err)
		}
	}
	return d.sync(op + ".clear.syncdir")
}

// WriteTrigger writes /boot/oem, which makes the next start offer re-ownership. It
// is the OEM's last step but one: the signature made after it covers it.
func (d *Dir) WriteTrigger(data []byte) error { return d.put("trigger", oemName, data) }

// put replaces a file at the top of /boot through a temporary name, and syncs.
func (d *Dir) put(op, name string, data []byte) error {
	if err := d.replace(op, name, data); err != nil {
		return err
	}
	return d.sync(op + ".syncdir:" + name)
}

func (d *Dir) replace(op, name string, data []byte) error {
	if err := d.w.WriteFile(op+".write:"+name, tmpName, data); err != nil {
		return fmt.Errorf("writing /boot/%s: %w", name, err)
	}
	if err := d.w.Rename(op+".rename:"+name, tmpName, name); err != nil {
		return fmt.Errorf("replacing /boot/%s: %w", name, err)
	}
	return nil
}

func (d *Dir) sync(op string) error {
	if err := d.w.SyncDir(op, "."); err != nil {
		return fmt.Errorf("making /boot's changes last: %w", err)
	}
	return nil
}

// readSet reads what a signature covers, or would, from /boot or the stage:
// kexec*.txt and the unsigned files that belong to a set. sig is nil if there is none.
func (t *tree) readSet(sub string) (set *Set, sig []byte, err error) {
	dir := "."
	if sub != "" {
		dir = "./" + sub
	}
	set = &Set{Files: make(map[string][]byte)}
	for n := range t.below(dir) {
		name := strings.TrimPrefix(n.path, dir+"/")
		if strings.Contains(name, "/") || name != sigName && !isListed(name) && (sub == "" || !setName(name)) {
			continue
		}
		b, err := t.read(n, maxListed)
		if err != nil {
			return nil, nil, fmt.Errorf("reading /boot/%s: %w", name, err)
		}
		if name == sigName {
			sig = b
			continue
		}
		set.Files[name] = b
	}
	return set, sig, nil
}

// stat looks at a name in /boot.
func (d *Dir) stat(name string) (i atomicfile.Info, err error) {
	err = d.at(func(top *atomicfile.Dir) error {
		i, err = top.Stat(name)
		return err
	})
	return i, err
}

// exists reports whether a name at the top of /boot exists.
func (d *Dir) exists(name string) (bool, error) {
	_, err := d.stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func sortedNames(m map[string][]byte) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// RemoveHint removes kexec_reown.NAME; one that does not exist is not an error.
func (d *Dir) RemoveHint(name string) error {
	n := ownName + name
	if !topName(n) || isListed(n) || n == stageDir {
		return fmt.Errorf("removing hint %q: %w", name, ErrSetName)
	}
	if err := d.w.Remove("hint.remove:"+n, n); err != nil {
		return fmt.Errorf("removing /boot/%s: %w", n, err)
	}
	return d.sync("hint.remove.syncdir:" + n)
}

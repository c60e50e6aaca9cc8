package boot

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// An Entry is one line of Heads's boot menu.
type Entry struct {
	Index     int      `json:"index"` // its line number in Heads's menu, from 1
	Name      string   `json:"name"`
	Type      string   `json:"type"`  // "elf" (Linux) or "xen"
	Line      string   `json:"line"`  // the menu's line, without newline: content of kexec_default.N.txt
	Files     []string `json:"files"` // what it loads, "./vmlinuz-6.1", in order
	Source    string   `json:"source"`
	Uncertain string   `json:"uncertain,omitempty"` // why Heads's own reading cannot be predicted; "" if it can
	Gone      []string `json:"gone,omitempty"`      // of Files: not in /boot, or no plain file that the signature covers
	Hidden    string   `json:"hidden,omitempty"`    // why the system's own menu does not show it; "" if it does, or may

	line int // of its source
	rank int // Suggest takes the lowest
}

// Limits on the menu; Heads has none, but a kernel takes 2 KiB of command line.
const (
	maxEntries = 4096
	maxLine    = 64 << 10 // bytes of one entry
)

// Entries lists the boot entries with the numbers that Heads gives them:
// scan_boot_options with grub.cfg, then, if that yields nothing, BLS.
func (d *Dir) Entries() ([]Entry, error) {
	t, err := walk(d.path)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return t.entries()
}

func (t *tree) entries() ([]Entry, error) {
	names := t.patterns()
	configs := t.configs()
	out, spoiled, err := t.grub(configs, names)
	if err == nil && len(out) == 0 {
		if out, err = t.bls(configs, names); spoiled != "" {
			doubt(out, spoiled)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case len(out) == 0:
		return nil, t.noEntries(configs)
	case len(out) > maxEntries:
		return nil, fmt.Errorf("%w: more than %d boot entries", ErrTooLarge, maxEntries)
	}
	for i := range out {
		out[i].Index = i + 1
		out[i].fill()
		for _, f := range out[i].Files {
			if _, err := t.covered(f); err != nil {
				out[i].Gone = append(out[i].Gone, f)
			}
		}
	}
	return out, nil
}

// grub lists what the menus hold. spoiled says why Heads may see the entries behind them otherwise.
func (t *tree) grub(configs []config, names []string) (out []Entry, spoiled string, err error) {
	for i, c := range configs {
		if c.efi() {
			continue
		}
		data, why, err := t.config(c)
		if err != nil {
			return nil, "", err
		}
		list, after := parseGrub(data, c.dir(), t.readable, names...)
		m := readMenu(data, t.grubenv(c), c.dir(), t.isThere)
		for j := range list {
			e := &list[j]
			e.Source = c.name
			e.rank, e.Hidden = m.rank(e.line)
			e.rank += 4 * i
		}
		if why != "" {
			doubt(list, why)
		}
		if spoiled != "" {
			doubt(list, spoiled)
		}
		if after == "" && len(data) == 0 {
			after = why
		}
		if spoiled == "" {
			spoiled = after
		}
		out = append(out, list...)
	}
	return out, spoiled, nil
}

func doubt(list []Entry, why string) {
	for i := range list {
		list[i].Uncertain = why
	}
}

// A config is a grub.cfg on the walk.
type config struct {
	name string // "/grub/grub.cfg"
	node *node
}

func (c config) dir() string { return path.Dir(c.name) }

// efi reports the configurations that scan_boot_options passes over.
func (c config) efi() bool {
	return strings.Contains(c.name, "EFI") || strings.Contains(c.name, "efi")
}

// configs is `find /boot -name grub.cfg`.
func (t *tree) configs() (out []config) {
	for i := range t.nodes {
		if n := &t.nodes[i]; path.Base(n.path) == "grub.cfg" {
			out = append(out, config{strings.TrimPrefix(n.path, "."), n})
		}
	}
	return out
}

// patterns are the names that a pattern in a menu could match: where Heads's scripts
// run, and at the top of /boot.
func (t *tree) patterns() []string {
	names := slices.Clone(headsTop)
	for _, n := range t.nodes[1:] {
		if strings.Count(n.path, "/") == 1 {
			names = append(names, n.path[2:])
		}
	}
	return names
}

// config reads one grub.cfg; nil if Heads's scripts fail at its name. why is not empty if
// what Heads reads there is not what the signature covers. Heads gives the name to
// dirname unquoted, so one in a directory whose name has a blank or a pattern yields
// nothing.
func (t *tree) config(c config) (data []byte, why string, err error) {
	if strings.ContainsAny(c.name, ifs+"*?[") {
		return nil, "", nil
	}
	n, err := t.resolve(c.node.path)
	switch {
	case errors.Is(err, errOutside):
		return []byte{}, "a start menu, " + strconv.QuoteToASCII(c.name) + ", is a link that leads out of /boot", nil
	case err != nil, !n.typ.IsRegular():
		return []byte{}, "", nil // a dangling link, a directory: nothing in it, but BLS files beside it are read
	case excluded(n.path), excluded(c.node.path):
		why = "it stands in a file that the signature does not cover"
	}
	data, err = t.read(n, maxConfig)
	if err != nil {
		return nil, "", fmt.Errorf("reading boot entries: %w", err)
	}
	return data, why, nil
}

// readable is `[ -r "$bootdir$path" ]` for root: the name exists, links followed. A link
// that leads out of /boot counts, as it may for Heads; what it loads is Gone.
func (t *tree) readable(p string) bool {
	_, err := t.resolve(p)
	return err == nil || errors.Is(err, errOutside)
}

// isThere is GRUB's test of a file on the partition of /boot.
func (t *tree) isThere(p string, test byte) tri {
	n, err := t.resolve(p)
	switch {
	case errors.Is(err, errOutside):
		return maybe
	case err != nil,
		test == 'd' && !n.typ.IsDir(),
		test == 'f' && n.typ.IsDir(),
		test == 's' && n.size == 0:
		return no
	}
	return yes
}

// rank orders the entries of a menu for Suggest: 0 is what the menu starts by itself.
// hidden says why the menu would not show an entry; "" if it would, or that is not known.
func (m *grubMenu) rank(line int) (rank int, hidden string) {
	rank = 2
	chosen := m.choose()
	each(m.items, yes, func(it *menuItem, shown tri) {
		switch {
		case it.submenu || it.line != line:
		case it == chosen:
			rank = 0
		default:
			rank = 3 - int(shown)
		}
		if !it.submenu && it.line == line && shown == no {
			hidden = "the system's own menu does not show it"
		}
	})
	return rank, hidden
}

// fill takes the menu line apart as kexec-boot.sh -f does.
func (e *Entry) fill() {
	f := strings.Split(e.Line, "|")
	e.Name = strings.TrimSpace(f[0])
	if len(f) > 1 {
		e.Type = f[1]
	}
	for _, p := range f[min(2, len(f)):] {
		w, _ := words(p)
		if len(w) < 2 {
			continue
		}
		switch w[0] {
		case "kernel", "module", "initrd":
			e.Files = append(e.Files, "."+w[1])
			// xargs gives a meaning to quotes, and a name that is no path from the
			// top would be looked up elsewhere.
			if e.Uncertain == "" && (w[1][0] != '/' || strings.ContainsAny(w[1], `'"\`)) {
				e.Uncertain = "it loads a file by a name that is not a plain path"
			}
		}
	}
	if e.Uncertain == "" && (len(e.Files) == 0 || e.Type != "elf" && e.Type != "xen") {
		e.Uncertain = "its parts cannot be told apart"
	}
}

// Suggest returns the index of the entry to offer first, or 0: what the system's own menu
// starts by itself, if that can be the default; or else the first that can, of those that
// the menu shows, if possible, and that are not there for a rescue.
func Suggest(entries []Entry) int {
	best := 0
	for i := range entries {
		e := &entries[i]
		n := strings.ToLower(e.Name)
		rescue := strings.Contains(n, "rescue") || strings.Contains(n, "recovery") || strings.Contains(n, "memtest")
		if !e.Startable() || e.Hidden != "" || rescue {
			continue
		}
		if best == 0 || e.rank < entries[best-1].rank {
			best = i + 1
		}
	}
	if best == 0 {
		return 0
	}
	return entries[best-1].Index
}

// Startable reports whether an entry can be the default: its line is known, and its files
// are there and covered by the signature.
func (e *Entry) Startable() bool { return e.Uncertain == "" && len(e.Gone) == 0 }

// Default returns the index of the entry that the set in /boot makes the default, as far
// as the menu still has it; otherwise 0. Who signed the set, Verify says.
func (d *Dir) Default(entries []Entry) int {
	t, err := walk(d.path)
	if err != nil {
		return 0
	}
	defer t.close()
	set, _, err := t.readSet("")
	if err != nil {
		return 0
	}
	for i, e := range entries {
		if line, ok := set.Files["kexec_default."+strconv.Itoa(i+1)+".txt"]; ok && string(line) == e.Line+"\n" {
			return i + 1
		}
	}
	return 0
}

// compareVersions compares names so that "6.10" follows "6.9".
func compareVersions(a, b string) int {
	split := func(s string) []string {
		var out []string
		for s != "" {
			digit := func(c byte) bool { return c >= '0' && c <= '9' }
			n := 1
			for n < len(s) && digit(s[n]) == digit(s[0]) {
				n++
			}
			out, s = append(out, s[:n]), s[n:]
		}
		return out
	}
	return slices.CompareFunc(split(a), split(b), func(x, y string) int {
		if x[0] >= '0' && x[0] <= '9' && y[0] >= '0' && y[0] <= '9' {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
		}
		return strings.Compare(x, y)
	})
}

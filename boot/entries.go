package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
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
}

// Limits on the menu; Heads has none, but a kernel takes 2 KiB of command line.
const (
	maxEntries = 4096
	maxLine    = 64 << 10 // bytes of one entry
)

// Entries lists the boot entries with the numbers that Heads gives them:
// scan_boot_options with grub.cfg, then, if that yields nothing, BLS.
func (d *Dir) Entries() ([]Entry, error) {
	nodes, err := walk(d.path)
	var names *NameError
	if err != nil && !errors.As(err, &names) {
		return nil, err
	}
	var configs []string // "/grub/grub.cfg"
	for _, n := range nodes {
		if path.Base(n.path) == "grub.cfg" {
			configs = append(configs, strings.TrimPrefix(n.path, "."))
		}
	}
	var out []Entry
	spoiled := ""
	for _, c := range configs {
		if p := "/boot" + c; strings.Contains(p, "EFI") || strings.Contains(p, "efi") {
			continue
		}
		e, why, err := d.config(c, func(data []byte) ([]Entry, string) {
			return parseGrub(data, path.Dir(c), d.readable)
		})
		if err != nil {
			return nil, err
		}
		for i := range e {
			if spoiled != "" {
				e[i].Uncertain = spoiled
			}
		}
		if spoiled == "" {
			spoiled = why
		}
		out = append(out, e...)
	}
	if len(out) == 0 {
		if out, err = d.bls(nodes, configs); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, ErrNoEntries
	}
	if len(out) > maxEntries {
		return nil, fmt.Errorf("%w: more than %d boot entries", ErrTooLarge, maxEntries)
	}
	for i := range out {
		out[i].Index = i + 1
		out[i].fill()
	}
	return out, nil
}

// config reads and parses one grub.cfg. Heads gives its name to dirname unquoted,
// so one in a directory whose name has a blank or a pattern yields nothing.
func (d *Dir) config(name string, parse func([]byte) ([]Entry, string)) (out []Entry, spoiled string, err error) {
	if strings.ContainsAny(name, ifs+"*?[") {
		return nil, "", nil
	}
	data, err := readRegular(filepath.Join(d.path, name), maxConfig, true)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotRegular) {
		return nil, "", nil // a dangling link, a directory
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading boot entries: %w", err)
	}
	out, spoiled = parse(data)
	for i := range out {
		out[i].Source = name
	}
	return out, spoiled, nil
}

// readable is `[ -r "$bootdir$path" ]` for root: the name exists, links followed.
func (d *Dir) readable(p string) bool {
	_, err := os.Stat(d.path + p)
	return err == nil
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

// Suggest returns the index of the entry to offer first, or 0: the first that can
// be the default in a grub.cfg, where the system's own default stands first, and
// the one with the highest version among BLS entries, whose order is the disk's; of
// two with one name, which a second grub.cfg makes, the one with kernel options.
func Suggest(entries []Entry) int {
	var best *Entry
	for i := range entries {
		e := &entries[i]
		n := strings.ToLower(e.Name)
		if e.Uncertain != "" || strings.Contains(n, "rescue") || strings.Contains(n, "recovery") || strings.Contains(n, "memtest") {
			continue
		}
		if best == nil {
			best = e
		} else if strings.HasSuffix(e.Source, ".conf") {
			if c := compareVersions(best.Name, e.Name); c < 0 || c == 0 && len(best.Line) < len(e.Line) {
				best = e
			}
		}
	}
	if best == nil {
		return 0
	}
	return best.Index
}

// Default returns the index of the entry that the set in /boot makes the default, as far
// as the menu still has it; otherwise 0. Who signed the set, Verify says.
func (d *Dir) Default(entries []Entry) int {
	set, _, err := d.readSet("")
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

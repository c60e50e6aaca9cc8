package boot

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// noEntries is ErrNoEntries with each menu that is there, and why the firmware gets
// nothing from it.
func (t *tree) noEntries(configs []config) error {
	var why []string
	add := func(name, reason string) {
		if len(why) < 5 {
			why = append(why, strconv.QuoteToASCII(name)+": "+reason)
		}
	}
	for _, c := range configs {
		add(c.name, t.whyNothing(c))
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		name, lower := strings.TrimPrefix(n.path, "."), strings.ToLower(n.path)
		switch path.Base(lower) {
		case "extlinux.conf", "syslinux.cfg", "isolinux.cfg":
			add(name, "the firmware does not read menus of syslinux here, only GRUB's grub.cfg")
		case "loader.conf":
			if len(configs) == 0 {
				add(name, "the firmware reads the entries of systemd-boot only where there is a grub.cfg, too")
			}
		case "entries":
			usual := name == "/loader/entries" || name == "/boot/loader/entries"
			if n.typ.IsDir() && !usual && strings.HasSuffix(lower, "/loader/entries") {
				add(name, "the firmware looks for such entries in /loader/entries only")
			}
		}
		if strings.HasSuffix(lower, ".efi") && strings.Contains(lower, "/efi/linux/") {
			add(name, "the firmware cannot start unified kernel images")
		}
	}
	if why == nil {
		return fmt.Errorf("%w: there is no grub.cfg", ErrNoEntries)
	}
	return fmt.Errorf("%w: %s", ErrNoEntries, strings.Join(why, "; "))
}

// whyNothing says why a grub.cfg yields no entry.
func (t *tree) whyNothing(c config) string {
	if strings.ContainsAny(c.name, ifs+"*?[") {
		return "the firmware cannot read a file below a folder with such a name"
	}
	n, err := t.resolve(c.node.path)
	if err != nil {
		return "it is a link that leads to no file in /boot"
	}
	if !n.typ.IsRegular() {
		return "it is no file"
	}
	data, err := t.read(n, maxConfig)
	if err != nil {
		return err.Error()
	}
	m := readMenu(data, nil, c.dir(), t.isThere)
	entry := slices.Contains(strings.Fields(string(data)), "menuentry")
	switch {
	case c.efi() && entry:
		return "the firmware passes over menus in folders of EFI"
	case entry && bytes.Contains(data, []byte("\r\n")):
		return "its lines end as in files of DOS (CRLF), so that the firmware sees no end of an entry"
	case entry:
		return t.whyNoEntry(data, c)
	case m.blscfg:
		return "it takes its entries from /loader/entries, where the firmware finds none"
	case m.other != "":
		return "it only refers to " + strconv.QuoteToASCII(m.other) + ", which the firmware does not follow"
	}
	return "it has no entry"
}

// whyNoEntry looks for the files that entries name: Heads lists none whose kernel or
// initrd is missing.
func (t *tree) whyNoEntry(data []byte, c config) string {
	var gone []string
	all, _ := parseGrub(data, c.dir(), func(string) bool { return true }, t.patterns()...)
	for _, e := range all {
		e.fill()
		for _, f := range e.Files {
			if !t.readable(f) {
				gone = append(gone, f)
			}
		}
	}
	if gone != nil {
		return "all its entries name files that are not there: " + quoted(gone)
	}
	return "its entries are made by functions or conditions on one line, which the firmware does not read"
}

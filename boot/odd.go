package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// An OddKind says why a name in /boot is nothing that this program signs, hashes or
// writes over.
type OddKind string

const (
	OddLinks    OddKind = "a file with further names outside /boot"
	OddDevice   OddKind = "a device"
	OddPipe     OddKind = "a pipe or socket"
	OddUnknown  OddKind = "neither file, folder nor link"
	OddFolder   OddKind = "a folder whose content the firmware does not check"
	OddLink     OddKind = "a link to what the signature does not cover"
	OddNotFile  OddKind = "not a plain file, where the firmware expects one"
	OddName     OddKind = "a name that the firmware cannot check"
	OddMenuLink OddKind = "a link in the place of a start menu's file, which leads out of /boot"
)

// A Finding is one such name.
type Finding struct {
	Name string  `json:"name"` // "./grub/x", as it is: show it escaped
	Kind OddKind `json:"kind"`
}

// An OddError lists what has to go from /boot before anything is changed.
type OddError struct{ Findings []Finding }

func (e *OddError) Error() string {
	var parts []string
	for i, f := range e.Findings {
		if i == 5 {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.Findings)-i))
			break
		}
		parts = append(parts, strconv.QuoteToASCII(f.Name)+" is "+string(f.Kind))
	}
	return "in /boot: " + strings.Join(parts, "; ")
}

// Odd lists what in /boot is nothing that this program signs, hashes or writes over; nil
// if there is nothing. A run must not begin while there is.
func (d *Dir) Odd() ([]Finding, error) {
	t, err := walk(d.path)
	if err != nil {
		return nil, err
	}
	defer t.close()
	return t.odd(), nil
}

// odd is Odd on a walk. Files whose names are all on the walk are ordinary: package
// managers leave such, and nothing here writes into a file.
func (t *tree) odd() (out []Finding) {
	names := make(map[fileID]uint64)
	for _, n := range t.nodes {
		if n.typ.IsRegular() && n.links > 1 {
			names[n.file]++
		}
	}
	for i := range t.nodes {
		n := &t.nodes[i]
		if kind := t.oddNode(n, names[n.file]); kind != "" {
			out = append(out, Finding{n.path, kind})
		}
	}
	return out
}

func (t *tree) oddNode(n *node, names uint64) OddKind {
	regular, dir := n.typ.IsRegular(), n.typ.IsDir()
	depth := strings.Count(n.path, "/")
	switch {
	case n.path == "./":
		return ""
	case !signable(n.path):
		return OddName
	case n.typ&fs.ModeDevice != 0:
		return OddDevice
	case n.typ&(fs.ModeNamedPipe|fs.ModeSocket) != 0:
		return OddPipe
	case regular && n.links > 1 && n.links > names:
		return OddLinks
	case excluded(n.path) && depth > 1:
		return oddBelow(n, depth)
	case excluded(n.path) && dir && n.path != "./"+stageDir:
		return OddFolder
	case excluded(n.path) && !dir && !regular, n.path == oemPath && !regular:
		return OddNotFile
	case n.typ == fs.ModeSymlink:
		return t.oddLink(n)
	case !regular && !dir:
		return OddUnknown
	}
	return ""
}

// oddBelow looks at what lies in a folder that begins with kexec: in the stage, nothing
// but the files of a set. Other such folders are named themselves.
func oddBelow(n *node, depth int) OddKind {
	if !strings.HasPrefix(n.path, "./"+stageDir+"/") {
		return ""
	}
	name := path.Base(n.path)
	if !n.typ.IsRegular() || depth != 2 || name != sigName && !setName(name) {
		return OddFolder
	}
	return ""
}

// oddLink: a link to nothing, or out of /boot, is everyday, and counts for nothing. Not
// so where the firmware looks for a menu, or if it leads to a file of this program's own
// or of Heads's, which change without a signature.
func (t *tree) oddLink(n *node) OddKind {
	to, err := t.resolve(n.path)
	base := path.Base(n.path)
	menu := slices.Contains([]string{"grub.cfg", "grubenv", "loader", "entries"}, base) || strings.HasSuffix(base, ".conf")
	switch {
	case err == nil && excluded(to.path):
		return OddLink
	case errors.Is(err, errOutside) && menu:
		return OddMenuLink
	}
	return ""
}

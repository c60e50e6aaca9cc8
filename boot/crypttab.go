package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"reown/internal/initrd"
)

// CrypttabFile is where Heads keeps what it puts in the place of an initrd's crypttab.
const CrypttabFile = "kexec_initrd_crypttab_overrides.txt"

// ErrCrypttab says that an initrd cannot be read, or that its crypttab says something that
// Heads would garble or that does not take a key from a file.
var ErrCrypttab = errors.New("how the system's initrd opens its disk cannot be told for sure")

// A Crypttab is what Heads makes of the crypttab of an entry's initrd, so that the disk is
// opened by the key that Heads lays beside it.
type Crypttab struct {
	// Overrides is the content of CrypttabFile; nil: there is no crypttab in the initrd,
	// and Heads brings one of its own.
	Overrides []byte
	// Tables are the lines that take the key, of each file that has any entry.
	Tables [][]CrypttabLine
}

// A CrypttabLine opens a device under a name.
type CrypttabLine struct{ Name, Device string }

// Crypttab reads the initrd of an entry as kexec-save-default.sh does: it is the one file
// of the entry with "initr" in its name. Anything that Heads would write down differently
// from how it is meant is ErrCrypttab.
func (d *Dir) Crypttab(ctx context.Context, e Entry) (*Crypttab, error) {
	if e.Uncertain != "" {
		return nil, fmt.Errorf("%w: %s", ErrCrypttab, e.Uncertain)
	}
	name := e.Initrd()
	if name == "" {
		return &Crypttab{}, nil
	}
	t, err := walk(d.path)
	if err != nil {
		return nil, err
	}
	defer t.close()
	n, err := t.covered(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCrypttab, err)
	}
	f, err := t.open(n)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCrypttab, err)
	}
	defer f.Close()
	// find -type f | grep crypttab
	files, err := initrd.Find(ctxReader{ctx, f}, func(p string) bool { return strings.Contains(p, "crypttab") })
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCrypttab, name, err)
	}
	c, err := overrides(files)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCrypttab, name, err)
	}
	return c, nil
}

// Initrd is the file of an entry that Heads takes for its initrd when it looks for a
// crypttab; "" if there is none, or more than one, and Heads looks into none.
func (e Entry) Initrd() (name string) {
	for _, f := range e.Files {
		if !strings.Contains(f, "initr") {
			continue
		}
		if name != "" {
			return ""
		}
		name = f
	}
	return name
}

// overrides is what kexec-save-default.sh writes, and what of it takes the key.
func overrides(files []initrd.File) (*Crypttab, error) {
	c := &Crypttab{}
	// By name: Heads' order is that of its file system, and it has no meaning.
	slices.SortFunc(files, func(a, b initrd.File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files {
		// kexec-insert-key.sh takes the lines apart at colons, and names are not quoted there.
		if strings.ContainsFunc(f.Path, func(r rune) bool {
			return r <= ' ' || r > '~' ||
				strings.ContainsRune(":\\'\"*?[]", r)
		}) {
			return nil, fmt.Errorf("the name %q cannot be written down", f.Path)
		}
		var lines []string
		var table []CrypttabLine
		for _, l := range strings.Split(string(f.Data), "\n") {
			if strings.HasPrefix(l, "#") { // grep -v "^#"
				continue
			}
			line, err := crypttabLine(l)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Path, err)
			}
			if line != nil {
				table = append(table, *line)
			}
			lines = append(lines, l)
		}
		entries := 0
		for _, l := range lines {
			if w := strings.Fields(l); len(w) > 0 && w[0][0] != '#' {
				entries++
			}
		}
		if entries == 0 {
			continue // Heads' script ends where a file has no lines; such a file opens nothing
		}
		for len(lines) > 0 && lines[len(lines)-1] == "" { // $(...) drops empty lines at the end
			lines = lines[:len(lines)-1]
		}
		for _, l := range lines {
			// read trims blanks; sed has no idea of fields
			l = strings.ReplaceAll(strings.Trim(l, " \t"), "none", "/secret.key")
			c.Overrides = append(c.Overrides, f.Path+":"+l+"\n"...)
		}
		c.Tables = append(c.Tables, table)
	}
	return c, nil
}

// noKeyFile are options with which a key in a file is not all, or nothing at all.
var noKeyFile = []string{
	"keyscript", "header", "keyfile-offset", "keyfile-size", "keyfile-erase", "tpm2-device", "fido2-device", "pkcs11-uri",
	"plain", "swap", "tmp", "tcrypt", "bitlk", "offset", "skip",
}

// crypttabLine reads a line (crypttab(5)); nil: it takes no key, or is no entry.
func crypttabLine(l string) (*CrypttabLine, error) {
	if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' || r == '\\' || r == ':' }) {
		return nil, fmt.Errorf("the line %q has signs that Heads would garble", l)
	}
	w := strings.Fields(l)
	if len(w) == 0 || w[0][0] == '#' {
		return nil, nil
	}
	if len(w) < 2 {
		return nil, fmt.Errorf("the line %q is none", l)
	}
	takes := len(w) > 2 && w[2] == "none"
	if n := strings.Count(l, "none"); takes && n != 1 || !takes && n != 0 {
		return nil, fmt.Errorf("the line %q has a name that Heads would garble", l)
	}
	if !takes {
		return nil, nil
	}
	if len(w) > 3 {
		for _, o := range strings.Split(w[3], ",") {
			if name, _, _ := strings.Cut(o, "="); slices.Contains(noKeyFile, name) {
				return nil, fmt.Errorf("the line %q does not take a key from a file alone", l)
			}
		}
	}
	return &CrypttabLine{Name: w[0], Device: w[1]}, nil
}

// UUID is the UUID of the volume that a line opens, if it names that; else "".
func (l CrypttabLine) UUID() string {
	for _, p := range []string{"UUID=", "/dev/disk/by-uuid/"} {
		if u, ok := strings.CutPrefix(l.Device, p); ok {
			return strings.ToLower(strings.Trim(u, `"`))
		}
	}
	return ""
}

// ctxReader stops reading when its context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// KeyUUIDs are the volumes that a kexec_key_devices.txt names.
func KeyUUIDs(keyDevices []byte) (uuids []string) {
	for l := range bytes.Lines(keyDevices) {
		if w := strings.Fields(string(l)); len(w) == 2 {
			uuids = append(uuids, w[1])
		}
	}
	return uuids
}

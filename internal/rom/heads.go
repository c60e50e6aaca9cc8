package rom

import (
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// Names of the owner's files in a Heads image.
const (
	ownerPrefix = "heads/"
	// InitrdPrefix is what Heads' cbfs-init cuts off to get the path of a file
	// in its initrd, all but the last slash.
	InitrdPrefix = "heads/initrd/"

	NamePubring = InitrdPrefix + ".gnupg/pubring.kbx"
	NameTrustDB = InitrdPrefix + ".gnupg/trustdb.gpg"
	NameConfig  = InitrdPrefix + "etc/config.user"
)

// ErrNotMeasurable says that Heads' start script would not measure the files of
// this image in a way that can be foretold.
var ErrNotMeasurable = errors.New("what Heads will measure cannot be foretold")

// A Measured is one file as Heads' cbfs-init measures it into PCR 7: first the
// name (such as "/.gnupg/pubring.kbx"), then the data.
type Measured struct {
	Name string
	Data []byte // refers to the image
}

// PCR7Files lists what Heads measures into PCR 7, in the order in which it does
// so: each raw file below "heads/initrd/", in flash order, found the way Heads'
// own cbfs walks. It returns ErrNotMeasurable for names that the shell of
// cbfs-init would split or expand.
func PCR7Files(image []byte) ([]Measured, error) {
	im, err := Parse(image)
	if err != nil {
		return nil, err
	}
	return im.PCR7Files()
}

// PCR7Files is like the function of that name.
func (im *Image) PCR7Files() ([]Measured, error) {
	if !im.hasMaster {
		return nil, fmt.Errorf("%w: there is no CBFS master header, so Heads finds no file", ErrNotMeasurable)
	}
	var list []Measured
	first := map[string][]byte{}
	for _, f := range im.files {
		if f.Type != TypeRaw || !strings.HasPrefix(f.Name, InitrdPrefix) {
			continue
		}
		if strings.ContainsAny(f.Name, " \t\n*?[\\") {
			return nil, fmt.Errorf("%w: file name %q", ErrNotMeasurable, f.Name)
		}
		name := f.Name[len(InitrdPrefix)-1:]
		if name == "/" {
			return nil, fmt.Errorf("%w: file name %q", ErrNotMeasurable, f.Name)
		}
		// Of two files with one name Heads reads the first, twice.
		if _, ok := first[name]; !ok {
			first[name] = im.bytes(f.data())
		}
		list = append(list, Measured{name, first[name]})
	}
	return list, nil
}

// PCR7 returns the value of PCR 7 after Heads has started from this image, in
// the SHA-1 and in the SHA-256 bank. Nothing else extends PCR 7.
func PCR7(image []byte) (sha1Bank [sha1.Size]byte, sha256Bank [sha256.Size]byte, err error) {
	files, err := PCR7Files(image)
	if err != nil {
		return sha1Bank, sha256Bank, err
	}
	for _, f := range files {
		for _, b := range [][]byte{[]byte(f.Name), f.Data} {
			extend(sha1.New, sha1Bank[:], b)
			extend(sha256.New, sha256Bank[:], b)
		}
	}
	return sha1Bank, sha256Bank, nil
}

// extend does what TPM2_PCR_Extend does with the digest of event.
func extend(newHash func() hash.Hash, pcr, event []byte) {
	h := newHash()
	h.Write(event)
	digest := h.Sum(nil)
	h = newHash()
	h.Write(pcr)
	h.Write(digest)
	copy(pcr, h.Sum(nil))
}

// MaxConfig is the largest config.user, in bytes.
const MaxConfig = 64 << 10

// ErrBadSetting says that a setting's name or value cannot stand in config.user.
var ErrBadSetting = errors.New("bad setting for config.user")

// A Setting is one line of config.user: export NAME="Value". The name is
// CONFIG_ and capitals, digits and underscores; the value is printable ASCII
// without quotes, backslash, dollar sign and back quote.
type Setting struct{ Name, Value string }

// ParseConfig reads config.user, which Heads' shell executes at each start. It
// returns the settings in order (the last of a name counts) and, verbatim, the
// lines that are anything but a comment or a plain assignment: such a line could
// run a command.
func ParseConfig(b []byte) (settings []Setting, rejected []string) {
	for _, line := range configLines(b) {
		if s, ok := parseSetting(line); ok {
			settings = append(settings, s)
		} else if !isComment(line) {
			rejected = append(rejected, line)
		}
	}
	return settings, rejected
}

func configLines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func isComment(line string) bool {
	t := strings.TrimLeft(line, " \t")
	if t == "" {
		return true
	}
	return t[0] == '#' && !strings.ContainsFunc(t, func(r rune) bool { return r < ' ' && r != '\t' })
}

func parseSetting(line string) (Setting, bool) {
	name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
	if !ok {
		return Setting{}, false
	}
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	} else if !plainWord(value) {
		return Setting{}, false
	}
	s := Setting{name, value}
	return s, s.check() == nil
}

// plainWord says that an unquoted value means itself to a shell.
func plainWord(v string) bool {
	for _, c := range v {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_./:,+@%-", c)) {
			return false
		}
	}
	return true
}

func (s Setting) check() error {
	rest, ok := strings.CutPrefix(s.Name, "CONFIG_")
	ok = ok && rest != ""
	for _, c := range rest {
		ok = ok && (c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
	}
	for _, c := range s.Value {
		ok = ok && c >= ' ' && c <= '~' && !strings.ContainsRune("\"'\\$`", c)
	}
	if !ok || len(s.Value) > 1024 {
		return fmt.Errorf("%w: %q", ErrBadSetting, s.Name)
	}
	return nil
}

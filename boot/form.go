package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"reown/internal/atomicfile"
)

// A Form is how kexec.sig names the files that it covers. A Heads verifies one of them and
// refuses to start from the other.
type Form string

const (
	// FormNames is the output of `cd /boot && sha256sum kexec*.txt`: Heads since April
	// 2026 (linuxboot/heads be86fd02).
	FormNames Form = "names"
	// FormPaths is that of `sha256sum /boot/kexec*.txt`: Heads before.
	FormPaths Form = "paths"
)

// ErrForm: a word that is no form, or firmware scripts that fit none.
var ErrForm = errors.New("not a form of signature that is known")

// ParseForm reads "names" or "paths"; "" and "auto" are no choice.
func ParseForm(s string) (Form, error) {
	switch f := Form(s); f {
	case FormNames, FormPaths:
		return f, nil
	case "", "auto":
		return "", nil
	}
	return "", fmt.Errorf("%w: %q is neither names nor paths", ErrForm, s)
}

func (f Form) prefix() string {
	if f == FormPaths {
		return "/boot/"
	}
	return ""
}

// maxScript bounds a script of the firmware, in bytes.
const maxScript = 4 << 20

// FirmwareForm reads from the scripts of the firmware below root ("/" where reown runs
// beside them) which form its check_config verifies. "" if there are no such scripts;
// ErrForm if there are, and they do it in a way that is not known.
func FirmwareForm(root string) (Form, error) {
	d, err := atomicfile.Open(root)
	if err != nil {
		return "", fmt.Errorf("looking for the firmware's scripts: %w", err)
	}
	defer d.Close()
	for _, name := range []string{"etc/functions.sh", "etc/functions"} {
		b, err := readAt(d, name, maxScript)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("reading the firmware's /%s: %w", name, err)
		}
		if _, body, ok := strings.Cut("\n"+string(b), "\ncheck_config() {"); ok {
			body, _, _ = strings.Cut(body, "\n}")
			return formOf(body, name)
		}
	}
	return "", nil
}

// formOf looks at the commands of check_config.
func formOf(body, name string) (Form, error) {
	found := make(map[Form]bool)
	for l := range strings.Lines(body) {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, "#") || strings.HasPrefix(l, "DEBUG ") || !strings.Contains(l, "sha256sum") {
			continue
		}
		if strings.Contains(l, "(cd ") && strings.Contains(l, "&& sha256sum") {
			found[FormNames] = true
		} else if strings.Contains(l, "find $1/kexec") {
			found[FormPaths] = true
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%w: check_config in the firmware's /%s", ErrForm, name)
	}
	for f := range found {
		return f, nil
	}
	return "", nil
}

// SetForm makes this the form that sets are signed and checked in: what the firmware's
// scripts say, or the person. "" leaves it to the signature that is in /boot.
func (d *Dir) SetForm(f Form) { d.form, d.formErr = f, nil }

// DetectForm is SetForm with the form that the firmware below root verifies. Where it has
// scripts that fit none, Build refuses until SetForm is called.
func (d *Dir) DetectForm(root string) { d.form, d.formErr = FirmwareForm(root) }

// Form returns the form that the next set will be signed in: the one that was set; or that
// of the last good signature that Verify has seen, which is the seller's at first; or
// FormNames. known is false for the last: ask.
func (d *Dir) Form() (f Form, known bool) {
	for _, f := range []Form{d.form, d.seen} {
		if f != "" {
			return f, true
		}
	}
	return FormNames, false
}

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/ccid"
	"reown/internal/pcsc"
)

// TestWhatIsMissingIsTold: no device, one that somebody else has, no such socket, nobody
// behind it, no permission, no such file, and a reader that is of no use are things of
// their own.
func TestWhatIsMissingIsTold(t *testing.T) {
	seen := map[string]error{}
	for _, err := range []error{gpgcard.ErrNoReader, gpgcard.ErrNoCard, gpgcard.ErrBusy, pcsc.ErrNoSocket,
		pcsc.ErrNotRunning, pcsc.ErrDenied, pcsc.ErrHung,
		fs.ErrNotExist, fs.ErrPermission, gpgcard.ErrUnanswered, ccid.ErrCharacters, ccid.ErrT0, ccid.ErrUnsupported} {
		what := explain(err).What
		if seen[what] != nil || strings.Contains(what, "no explanation") {
			t.Errorf("%v and %v: %q", err, seen[what], what)
		}
		seen[what] = err
	}
	// From the command line; a cause is printed once.
	dir := t.TempDir()
	for args, want := range map[string]string{
		"card status --card pcsc:" + filepath.Join(dir, "none"):                  explain(pcsc.ErrNoSocket).What,
		"card sign --cert " + filepath.Join(dir, "none") + " --card usb data":    explain(fs.ErrNotExist).What,
		"card pin user --new-pin-file " + filepath.Join(dir, "no-such-pin-file"): explain(fs.ErrNotExist).What,
	} {
		var out bytes.Buffer
		code := run(t.Context(), &cli.Env{Stdin: os.Stdin, Stdout: &out, Stderr: &out}, strings.Fields(args))
		if code == 0 || !strings.Contains(out.String(), want) || strings.Count(out.String(), "no such") > 1 {
			t.Errorf("%s: %d\n%s", args, code, &out)
		}
	}
}

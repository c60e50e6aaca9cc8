package laptop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"reown/boot"
	"reown/wizard"
)

// hintPrefix begins the names of this program's own files in /boot.
const hintPrefix = "kexec_reown."

// maxHint bounds such a file, in bytes: somebody who can write to /boot can make it
// any size.
const maxHint = 1 << 20

// bootAdapter shows a boot.Dir to the wizard. verify checks a signature by one
// certificate, and hand reads the seller's hand-over file.
type bootAdapter struct {
	dir    *boot.Dir
	verify func(cert, data, sig []byte) error
	hand   func(ctx context.Context) (wizard.Handover, error)
	cert   []byte // the one Stage or Staged was last given
	// crypttab is what goes with a disk unlock key; see crypttabs.overrides.
	crypttab func(ctx context.Context, entry int, uuids []string) ([]byte, error)
}

func (a *bootAdapter) verifier(cert []byte) boot.Verifier {
	return func(sig, data []byte) error { return a.verify(cert, data, sig) }
}

func (a *bootAdapter) Triggered(context.Context) (bool, error) {
	_, err := os.Lstat(filepath.Join(a.dir.Path(), "oem"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Info is an error, *boot.OddError, while there is anything in /boot that cannot be signed:
// the step that signs would stop there, when the rest has been done.
func (a *bootAdapter) Info(context.Context) (wizard.BootInfo, error) {
	st, err := a.dir.State()
	if err != nil {
		return wizard.BootInfo{}, err
	}
	info := wizard.BootInfo{Trigger: st.OEM, Unknown: st.Unknown, Default: -1, Signed: -1}
	entries, err := a.dir.Entries()
	if err != nil {
		return info, err
	}
	for _, e := range entries {
		info.Entries = append(info.Entries, e.Name)
		info.Uncertain = append(info.Uncertain, !e.Startable())
	}
	info.Default, info.Signed = boot.Suggest(entries)-1, a.dir.Default(entries)-1
	odd, err := a.dir.Odd()
	if err == nil && odd != nil {
		err = &boot.OddError{Findings: odd}
	}
	return info, err
}

// Hold keeps /boot writable between the writes until the release.
func (a *bootAdapter) Hold() (release func() error) { return a.dir.Hold() }

// writing runs f while /boot is writable and leaves it as it was found.
func (a *bootAdapter) writing(f func() error) error {
	restore, err := a.dir.Writable()
	if err != nil {
		return err
	}
	return errors.Join(f(), restore())
}

func (a *bootAdapter) Stage(ctx context.Context, spec wizard.BootSpec, sign func([]byte) ([]byte, error),
	progress wizard.Progress) error {
	extra := map[string][]byte{}
	for name, data := range map[string][]byte{"kexec_rollback.txt": spec.Rollback,
		"kexec_primhdl_hash.txt": spec.PrimaryHash, "kexec_hotp_counter": spec.HOTPCounter} {
		if data != nil {
			extra[name] = data
		}
	}
	for name, data := range spec.DUK {
		extra[name] = data
	}
	if devices := spec.DUK["kexec_key_devices.txt"]; devices != nil {
		// Like the hash of the entry's files, this follows from /boot and the entry.
		tab, err := a.crypttab(ctx, spec.Entry, boot.KeyUUIDs(devices))
		if err != nil {
			return err
		}
		if tab != nil {
			extra[boot.CrypttabFile] = tab
		}
	}
	a.cert = spec.Cert
	if err := a.dir.Appeared(spec.Gone); err != nil {
		return err
	}
	set, err := a.dir.Build(ctx, boot.BuildOptions{Extra: extra, Entry: spec.Entry + 1, Progress: boot.Progress(progress)})
	if err != nil {
		return err
	}
	if spec.Same {
		signed, err := a.dir.Signed(a.verifier(spec.Cert))
		if err != nil {
			return err
		}
		if err := set.OnlyMachine(signed); err != nil {
			return err
		}
	}
	sig, err := sign(set.SignedBytes())
	if err != nil {
		return err
	}
	return a.writing(func() error { return a.dir.Stage(set, sig) })
}

func (a *bootAdapter) Staged(_ context.Context, cert []byte) (bool, error) {
	a.cert = cert
	st, err := a.dir.State()
	if err != nil || st.Stage != boot.StageComplete {
		return false, err
	}
	_, err = a.dir.VerifyStaged(a.verifier(cert)) // a difference by ./oem alone is none
	return verifies(err)
}

func (a *bootAdapter) Live(_ context.Context, cert []byte) (bool, error) {
	a.cert = cert
	report, err := a.dir.Verify(a.verifier(cert))
	if err != nil {
		return false, err
	}
	return verifies(report.ErrButOEM())
}

// verifies turns an error into an answer: what could not be read is an error, what
// does not verify is a no.
func verifies(err error) (bool, error) {
	var mismatch *boot.MismatchError
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, boot.ErrNoSignature), errors.Is(err, boot.ErrBadSignature), errors.Is(err, boot.ErrNotStaged),
		errors.As(err, &mismatch):
		return false, nil
	}
	return false, err
}

// Install needs the certificate that Stage or Staged was last asked about: what is
// put in place is verified by it once more.
func (a *bootAdapter) Install(_ context.Context, gone []string) error {
	return a.writing(func() error {
		if _, err := a.dir.VerifyStaged(a.verifier(a.cert)); err != nil {
			return err
		}
		return a.dir.Install(a.verifier(a.cert), gone...)
	})
}

func (a *bootAdapter) RemoveTrigger(ctx context.Context) error {
	if there, err := a.Triggered(ctx); err != nil || !there {
		return err
	}
	return a.writing(func() error { return a.dir.FinishCommit(a.verifier(a.cert)) })
}

func (a *bootAdapter) Handover(ctx context.Context) (wizard.Handover, error) { return a.hand(ctx) }

// hint is the name of one of this program's files without the prefix.
func hint(name string) (string, error) {
	short, ok := strings.CutPrefix(name, hintPrefix)
	if !ok {
		return "", fmt.Errorf("%s: %w", name, boot.ErrSetName)
	}
	return short, nil
}

func (a *bootAdapter) ReadHint(_ context.Context, name string) ([]byte, error) {
	short, err := hint(name)
	if err != nil {
		return nil, err
	}
	data, err := a.dir.ReadHint(short)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wizard.ErrNotFound
	}
	if err == nil && len(data) > maxHint {
		return nil, fmt.Errorf("%s: %w", name, boot.ErrTooLarge)
	}
	return data, err
}

func (a *bootAdapter) WriteHint(_ context.Context, name string, data []byte) error {
	short, err := hint(name)
	if err != nil {
		return err
	}
	return a.writing(func() error { return a.dir.WriteHint(short, data) })
}

func (a *bootAdapter) AppendHint(_ context.Context, name string, data []byte) error {
	short, err := hint(name)
	if err != nil {
		return err
	}
	return a.writing(func() error { return a.dir.AppendHint(short, data) })
}

func (a *bootAdapter) RemoveHint(_ context.Context, name string) error {
	short, err := hint(name)
	if err != nil {
		return err
	}
	return a.writing(func() error { return a.dir.RemoveHint(short) })
}

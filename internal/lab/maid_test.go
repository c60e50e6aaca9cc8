package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The evil maid on the lab's laptop: each of her acts, at each moment of a run, with the program that is shipped
// and real parts. Who has won is asked of tools that reown has no part in.

// A moment is a laptop at some time of its life, switched off.
type moment struct {
	name  string
	dir   string
	begun bool // a run was, and is not over
	over  bool
}

// A maid has what she works with: the laptop at all its moments, and a key of her own.
type maid struct {
	moments []moment
	tree    string // the hashes of what the seller ships, but for oem
	home    string // of her gpg
	cert    []byte
}

// newMaid looks at a laptop as it is delivered.
func newMaid(t *testing.T, l *Laptop) *maid {
	t.Helper()
	m := &maid{home: t.TempDir()}
	hashes, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_hashes.txt"))
	if err == nil {
		err = os.Chmod(m.home, 0o700) // as gpg wants it
	}
	if err == nil {
		_, err = gpg(t.Context(), m.home, "", "--quick-gen-key", "Mallory <m@example.org>", "ed25519", "sign", "never")
	}
	if err == nil {
		m.cert, err = gpg(t.Context(), m.home, "", "--export")
	}
	if err != nil {
		t.Fatal(err)
	}
	m.tree = withoutOEM(hashes)
	l.wizardArgs(t) // the owner has a paper
	return m
}

// keep keeps a laptop as it is, and switches it off for that.
func (m *maid) keep(t *testing.T, l *Laptop, name string, begun bool) {
	t.Helper()
	l.Stop()
	dir := t.TempDir()
	if _, err := tool(t.Context(), nil, "cp", "-a", "--sparse=always", l.Dir+"/.", dir); err != nil {
		t.Fatal(err)
	}
	m.moments = append(m.moments, moment{name, dir, begun, !begun && len(m.moments) > 0})
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// withoutOEM are lines of sha256sum, sorted, without the trigger's.
func withoutOEM(hashes []byte) string {
	lines := strings.Split(strings.TrimSpace(string(hashes)), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasSuffix(l, "  ./oem") })
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// play lets her do one thing at a moment, and then the owner start the laptop: while she has it, and once more when
// she is gone. It returns what she has won.
func (m *maid) play(t *testing.T, at moment, d deed) error {
	t.Helper()
	l, err := Load(at.dir)
	if err != nil {
		return err
	}
	if l, err = l.copied(t); err != nil {
		return err
	}
	defer l.Stop()
	card, err := os.ReadFile(l.path("card.json"))
	if err != nil {
		return err
	}
	if d.off != nil {
		if err := d.off(t.Context(), m, l); errors.Is(err, errNotHere) {
			return nil
		} else if err != nil {
			return fmt.Errorf("she cannot: %w", err)
		}
	}
	if err := l.Start(t.Context()); err != nil {
		return err
	}
	if d.on != nil {
		if err := d.on(t.Context(), m, l); err != nil {
			return fmt.Errorf("she cannot: %w", err)
		}
	}
	if err := m.start(t, l, d); err != nil || !soak() {
		return err
	}
	l.Stop()
	if d.parcel { // the real one is back
		if err := os.WriteFile(l.path("card.json"), card, 0o600); err != nil {
			return err
		}
	}
	if err := l.Start(t.Context()); err != nil {
		return err
	}
	if err := m.start(t, l, d); err != nil {
		return fmt.Errorf("second start: %w", err)
	}
	return nil
}

// copied is a copy that is switched off.
func (l *Laptop) copied(t *testing.T) (*Laptop, error) {
	dir, err := os.MkdirTemp("/tmp", "lab") // sockets want a short path
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if _, err := tool(t.Context(), nil, "cp", "-a", "--sparse=always", l.Dir+"/.", dir); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(dir, "pcsc")); err != nil {
		return nil, err
	}
	return Load(dir)
}

// start is one start of the laptop by its owner, and what must hold after it.
func (m *maid) start(t *testing.T, l *Laptop, d deed) error {
	t.Helper()
	before, err := l.written()
	if err != nil {
		return err
	}
	// The answers of before: nobody can ask a disk without a header for its name.
	code, out := l.run(t, "wizard", "--no-input", "--answers", l.path("answers.json"), "--secrets-in",
		l.path("known.json"), "--secrets-out", l.path("made.json"))
	l.remember(t)
	ctx := t.Context()
	after, err := l.written()
	switch {
	case err != nil:
		return err
	case strings.Contains(out, "goroutine ") || code < 0 || code > 7:
		return fmt.Errorf("exit code %d\n%s", code, out)
	case after == before: // and so is everything else
		return nil
	case code == 3:
		return fmt.Errorf("an alarm, and something was written: %s, was %s\n%s", after, before, out)
	case code == 0 && strings.Contains(out, "page done"):
		b := l.paper(t)
		if err := Failed(l.Judge(ctx, b)); err != nil {
			return fmt.Errorf("done, and %w\n%s", err, out)
		}
		l.GPG.Kill()
	}
	for _, ask := range []func(context.Context, *Laptop) error{m.signed, m.trusted, m.leaked} {
		if err := ask(ctx, l); err != nil {
			return fmt.Errorf("%w\nexit code %d\n%s", err, code, out)
		}
	}
	if d.wipes {
		return nil
	}
	return m.opens(t, l)
}

// written tells whether something has been written to disk or chip, even the same bytes, or changed in the card or
// in what is signed.
func (l *Laptop) written() (string, error) {
	var all strings.Builder
	for _, name := range []string{l.Disk(), l.ROM()} {
		i, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&all, filepath.Base(name), i.Size(), i.ModTime().UnixNano())
	}
	for _, name := range []string{"card.json", "boot/kexec.sig", "boot/kexec_hashes.txt"} {
		b, err := os.ReadFile(l.path(name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		fmt.Fprintf(&all, "%s %x\n", name, sha256.Sum256(b))
	}
	return all.String(), nil
}

// paper is what the owner has on it.
func (l *Laptop) paper(t *testing.T) *Buyer {
	t.Helper()
	k := readJSON(t, l.path("known.json"))
	return &Buyer{Disk: k["secret.disk"], UserPIN: k["secret.user"], AdminPIN: k["secret.admin"], Owner: k["secret.owner"],
		TOTP: strings.ReplaceAll(k["totp"], " ", ""), DUK: k["secret.duk"]}
}

// chipRing writes the keyring in the chip into a file; "": there is none.
func (l *Laptop) chipRing(ctx context.Context) (string, error) {
	files, err := ROMFiles(ctx, l.ROM())
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if f.Name == "heads/initrd/.gnupg/pubring.kbx" {
			return l.path("maid-ring.kbx"), os.WriteFile(l.path("maid-ring.kbx"), f.Data, 0o600)
		}
	}
	return "", nil
}

// signed: what verifies by the key in the chip, in place or staged, is the seller's tree and nothing else.
func (m *maid) signed(ctx context.Context, l *Laptop) error {
	ring, err := l.chipRing(ctx)
	if err != nil || ring == "" {
		return err
	}
	for _, dir := range []string{l.BootDir(), filepath.Join(l.BootDir(), "kexec_reown.stage")} {
		bytes, err := HeadsSignedBytes(ctx, dir)
		if err != nil {
			continue // nothing is there that could be signed
		}
		if _, err := tool(ctx, strings.NewReader(string(bytes)), "gpgv", "--keyring", ring, filepath.Join(dir, "kexec.sig"),
			"-"); err != nil {
			continue
		}
		hashes, err := os.ReadFile(filepath.Join(dir, "kexec_hashes.txt"))
		if err != nil || withoutOEM(hashes) != m.tree {
			return fmt.Errorf("the key in the chip has signed other files in %s: %v\n%s", dir, err, hashes)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "kexec*.txt"))
		for _, n := range names {
			if b, err := os.ReadFile(n); err != nil || strings.Contains(string(b), "evil") {
				return fmt.Errorf("the key in the chip has signed %s: %v\n%s", n, err, b)
			}
		}
	}
	return nil
}

// trusted: the chip has one key, the seller's or the one that is in the owner's card.
func (m *maid) trusted(ctx context.Context, l *Laptop) error {
	ring, err := l.chipRing(ctx)
	if err != nil || ring == "" {
		return err
	}
	out, err := tool(ctx, nil, "gpg", "--homedir", m.home, "--no-auto-check-trustdb", "--no-default-keyring", "--keyring",
		ring, "--with-colons", "--list-keys")
	if err != nil {
		return fmt.Errorf("gpg refuses the ring in the chip: %w\n%s", err, out)
	}
	her, err := primaryFingerprint(ctx, m.home)
	if err != nil {
		return err
	}
	if n := strings.Count("\n"+string(out), "\npub:"); n != 1 || strings.Contains(string(out), her) {
		return fmt.Errorf("the chip trusts %d keys:\n%s", n, out)
	}
	return nil
}

// leaked: no secret of the owner's stands in /boot or in the chip.
func (m *maid) leaked(_ context.Context, l *Laptop) error {
	known, err := os.ReadFile(l.path("known.json"))
	if err != nil {
		return err
	}
	var secrets [][]byte
	for _, part := range bytes.Split(known, []byte(`"`)) {
		if len(part) >= 12 && !bytes.HasPrefix(part, []byte("secret.")) {
			secrets = append(secrets, part)
		}
	}
	look := func(path string) error {
		b, err := os.ReadFile(path)
		for _, s := range secrets {
			if err == nil && bytes.Contains(b, s) && string(s) != l.Seller.Disk {
				return fmt.Errorf("a secret stands in %s", path)
			}
		}
		return err
	}
	err = filepath.WalkDir(l.BootDir(), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		return look(path)
	})
	return errors.Join(err, look(l.ROM()))
}

// opens: a passphrase that somebody honest knows opens the disk.
func (m *maid) opens(t *testing.T, l *Laptop) error {
	t.Helper()
	ctx := t.Context()
	work, err := os.MkdirTemp(l.Dir, "maid")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, work)
	if err != nil {
		return err
	}
	for _, pass := range []string{l.paper(t).Disk, l.Seller.Disk} {
		if ok, err := v.Opens(ctx, pass); pass != "" && ok && err == nil {
			return nil
		}
	}
	return errors.New("no passphrase opens the disk any more")
}

// TestMaidOnTheLaptop plays each act at each moment of a run that is cut in each step.
func TestMaidOnTheLaptop(t *testing.T) {
	long(t, "TestReownedLaptop, in which she plays a dozen")
	l := newLaptop(t, Options{DataMiB: 16})
	m := newMaid(t, l)
	m.keep(t, l, "delivered", false)
	for _, at := range moments[:len(moments)-1] {
		if killed, out := l.killAt(t, at.mark, 0); !killed {
			t.Fatalf("it ended before %q:\n%s", at.mark, out)
		}
		l.remember(t)
		m.keep(t, l, "cut at "+strings.TrimSuffix(at.mark, ": In progress"), true)
	}
	if code, out := l.run(t, l.wizardArgs(t)...); code != 0 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	l.remember(t)
	m.keep(t, l, "finished", false)
	l.Stop()
	for _, at := range m.moments {
		for _, d := range deeds {
			began := time.Now()
			if err := m.play(t, at, d); err != nil {
				t.Errorf("%s, she %s: %v", at.name, d.name, err)
			}
			t.Logf("%s, she %s: %v", at.name, d.name, time.Since(began).Round(time.Millisecond))
		}
	}
}

// dozen are games that end soon, at the first moment and at the last.
var dozen = [2][]string{
	{"changes the kernel", "zeroes both headers", "signs all by a key of her own", "flags a re-encryption",
		"links the menu to it", "clears the TPM"},
	{"touches oem", "adds that, and oem", "puts the /boot of a begun run back",
		"puts the notes of a begun run back, and oem",
		"puts the delivered disk back", "removes the signature"},
}

// sample plays these.
func (m *maid) sample(t *testing.T) {
	t.Helper()
	for i, names := range dozen {
		at := m.moments[i*(len(m.moments)-1)]
		for _, name := range names {
			n := slices.IndexFunc(deeds, func(d deed) bool { return d.name == name })
			if n < 0 {
				t.Fatalf("she does not know how to: %s", name)
			}
			if err := m.play(t, at, deeds[n]); err != nil {
				t.Errorf("%s, she %s: %v", at.name, name, err)
			}
		}
	}
}

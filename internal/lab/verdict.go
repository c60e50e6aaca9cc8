package lab

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Buyer is what the buyer wrote down during a run.
type Buyer struct {
	Disk     string
	UserPIN  string
	AdminPIN string
	Owner    string
	TOTP     string // base32
	DUK      string // passphrase of the disk unlock key; "": none
}

// A Verdict is the outcome of one check of a re-owned laptop, by tools that reown
// has no part in.
type Verdict struct {
	What string
	Err  error
}

// errSkipped marks a check that needs a secret of the buyer's which is not known.
var errSkipped = errors.New("not checked: needs the buyer's secret")

// Judge asks foreign tools whether the laptop is the buyer's and no longer the
// seller's. The laptop must be on; it is power-cycled. A nil buyer leaves out
// what needs a secret.
func (l *Laptop) Judge(ctx context.Context, buyer *Buyer) []Verdict {
	var list []Verdict
	check := func(what string, f func() error) { list = append(list, Verdict{what, f()}) }
	work, err := os.MkdirTemp(l.Dir, "judge")
	if err != nil {
		return []Verdict{{"a directory to work in", err}}
	}
	defer os.RemoveAll(work)

	l.judgeDisk(ctx, work, buyer, check)
	l.judgeBoot(ctx, work, check)
	l.judgeTPM(ctx, buyer, check)
	l.judgeCard(ctx, buyer, check)
	l.judgeDUK(ctx, work, buyer, check)
	return list
}

func (l *Laptop) judgeDisk(ctx context.Context, work string, buyer *Buyer, check func(string, func() error)) {
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, work)
	if err != nil {
		check("copying the partition", func() error { return err })
		return
	}
	check("cryptsetup refuses the seller's passphrase", func() error {
		if ok, err := v.Opens(ctx, l.Seller.Disk); ok || err != nil {
			return fmt.Errorf("it opens: %v %w", ok, orNil(err))
		}
		return nil
	})
	var key []byte
	check("the volume key is another one", func() (err error) {
		if buyer == nil {
			return errSkipped
		}
		if key, err = v.Key(ctx, buyer.Disk); err != nil {
			return err
		}
		if hex.EncodeToString(key) == l.VolumeKey {
			return errors.New("it is the seller's")
		}
		return nil
	})
	check("every file inside is unchanged", func() error {
		if buyer == nil {
			return errSkipped
		}
		if key == nil {
			return errors.New("no key opens it")
		}
		files, err := v.Files(ctx, key)
		if err != nil {
			return err
		}
		return SameFiles(files, l.Files)
	})
}

// orNil lets %w take a nil error.
func orNil(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

func (l *Laptop) judgeBoot(ctx context.Context, work string, check func(string, func() error)) {
	ring := filepath.Join(work, "pubring.kbx")
	check("cbfstool finds one keyring in the ROM, without the seller's key", func() error {
		files, err := ROMFiles(ctx, l.ROM())
		if err != nil {
			return err
		}
		for _, f := range files {
			if f.Name != "heads/initrd/.gnupg/pubring.kbx" {
				continue
			}
			if err := os.WriteFile(ring, f.Data, 0o644); err != nil {
				return err
			}
		}
		out, err := tool(ctx, nil, "gpg", "--homedir", work, "--no-default-keyring", "--keyring", ring, "--with-colons",
			"--fingerprint", "--list-keys")
		if err != nil {
			return err
		}
		if n := strings.Count(string(out), "\npub:"); n != 1 || strings.Contains(string(out), l.Seller.Fingerprint) {
			return fmt.Errorf("%d certificates:\n%s", n, out)
		}
		return nil
	})
	check("gpgv, sha256sum and cmp accept /boot as Heads would",
		func() error { return HeadsVerify(ctx, l.BootDir(), ring) })
	check("/boot/oem is gone", func() error {
		if _, err := os.Lstat(filepath.Join(l.BootDir(), "oem")); !errors.Is(err, os.ErrNotExist) {
			return errors.New("it is there")
		}
		return nil
	})
	check("the seller's signature key no longer verifies /boot", func() error {
		seller := filepath.Join(l.Dir, "seller.gpg")
		if err := HeadsVerify(ctx, l.BootDir(), seller); err == nil {
			return errors.New("it does")
		}
		return nil
	})
}

func (l *Laptop) judgeTPM(ctx context.Context, buyer *Buyer, check func(string, func() error)) {
	check("the rollback counter matches kexec_rollback.txt", func() error {
		file, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_rollback.txt"))
		if err != nil {
			return err
		}
		return l.Heads.CheckRollback(ctx, file)
	})
	check("after a restart tpm2_unseal gives the TOTP secret to Heads' commands", func() error {
		if err := l.PowerCycle(ctx); err != nil {
			return err
		}
		secret, err := l.Heads.Unseal(ctx)
		if err != nil {
			return err
		}
		got := base32.StdEncoding.EncodeToString(secret)
		if got == l.Seller.TOTP {
			return errors.New("it is the seller's")
		}
		if buyer != nil && got != buyer.TOTP {
			return errors.New("it is not the one the buyer scanned")
		}
		return nil
	})
	check("kexec_primhdl_hash.txt names the TPM's primary key", func() error {
		want, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_primhdl_hash.txt"))
		if l.Family == "1.2" && errors.Is(err, os.ErrNotExist) {
			return nil // Heads has none there
		}
		if err != nil {
			return err
		}
		got, err := l.Heads.PrimaryHash(ctx)
		if err == nil && !bytes.Equal(got, want) {
			err = fmt.Errorf("%q, want %q", got, want)
		}
		return err
	})
	check("the TPM refuses the seller's owner passphrase", func() error {
		if ok, err := l.Heads.AcceptsOwner(ctx, l.Seller.Owner); ok || err != nil {
			return fmt.Errorf("accepted: %v %w", ok, orNil(err))
		}
		return nil
	})
}

func (l *Laptop) judgeCard(ctx context.Context, buyer *Buyer, check func(string, func() error)) {
	check("gpg --card-status shows another key", func() error {
		l.GPG.Kill()
		out, err := l.gpg("", "--card-status", "--with-colons")
		if err != nil {
			return err
		}
		fprs := ""
		for _, line := range strings.Split(string(out), "\n") {
			if rest, ok := strings.CutPrefix(line, "fpr:"); ok {
				fprs = rest
			}
		}
		if len(fprs) < 40 || strings.Contains(fprs, l.Seller.Fingerprint) {
			return fmt.Errorf("fingerprints %q", fprs)
		}
		return nil
	})
	check("the card refuses the seller's PINs and the factory's", func() error {
		if buyer == nil {
			return errSkipped // two wrong tries that nobody would make good again
		}
		for which, pins := range map[int][]string{1: {l.Seller.UserPIN, "123456"}, 3: {l.Seller.AdminPIN, "12345678"}} {
			for _, p := range pins {
				if ok, _ := l.Card.CheckPIN(which, []byte(p)); ok {
					return fmt.Errorf("PW%d: an old PIN is accepted", which)
				}
			}
		}
		return nil
	})
	check("the card accepts the buyer's PINs", func() error {
		if buyer == nil {
			return errSkipped
		}
		for which, p := range map[int]string{1: buyer.UserPIN, 3: buyer.AdminPIN} {
			if ok, _ := l.Card.CheckPIN(which, []byte(p)); !ok {
				return fmt.Errorf("PW%d is refused", which)
			}
		}
		return nil
	})
}

// Failed joins the verdicts that went against the laptop.
func Failed(list []Verdict) error {
	var errs []error
	for _, v := range list {
		if v.Err != nil && !errors.Is(v.Err, errSkipped) {
			errs = append(errs, fmt.Errorf("%s: %w", v.What, v.Err))
		}
	}
	return errors.Join(errs...)
}

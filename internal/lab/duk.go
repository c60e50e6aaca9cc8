package lab

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// headsDUKLib is what Heads does when it opens the disk: qubes-measure-luks.sh,
// kexec-unseal-key.sh and the mark that kexec-insert-key.sh leaves afterwards.
const headsDUKLib = `
measureluks() { # file-of-hashes
	tpm2_pcrextend "6:sha256=$(sha256sum "$1" | cut -d' ' -f1)"
}
unsealduk() { # the passphrase comes on standard input
	P="hex:$(od -An -v -tx1 | tr -d ' \n')"
	startsession; rm -f ps
	tpm2_startauthsession -Q -g sha256 -S ps --policy-session
	tpm2_policypcr -Q -l sha256:0,1,2,3,4,5,6,7 -S ps
	tpm2_policyauthvalue -Q -S ps
	tpm2_unseal -Q -c 0x81000003 -p "session:ps+$P" -S enc.ctx
	tpm2_flushcontext -Q ps
}
mark() { tpm2_pcrextend "4:sha256=$(printf %s "$1" | sha256sum | cut -d' ' -f1)"; }
`

// UnsealDUK returns the disk unlock key as Heads gets it, for its passphrase.
func (h *HeadsTPM) UnsealDUK(ctx context.Context, pass string) ([]byte, error) {
	if t := h.v1(); t != nil {
		return t.unseal(3, sha1.Sum([]byte(pass)))
	}
	return h.shIn(ctx, strings.NewReader(pass), headsDUKLib+"unsealduk")
}

// MeasureHeaders extends PCR 6 with a list of header hashes.
func (h *HeadsTPM) MeasureHeaders(ctx context.Context, list string) error {
	if t := h.v1(); t != nil {
		data, err := os.ReadFile(list)
		return errors.Join(err, t.extend(6, data))
	}
	_, err := h.sh(ctx, headsDUKLib+"measureluks "+quote(list))
	return err
}

// MarkGeneric extends PCR 4 as Heads does before it starts the system.
func (h *HeadsTPM) MarkGeneric(ctx context.Context) error {
	return h.mark(ctx, "generic")
}

// MarkRecovery extends PCR 4 as Heads' recovery shell does.
func (h *HeadsTPM) MarkRecovery(ctx context.Context) error {
	return h.mark(ctx, "recovery")
}

func (h *HeadsTPM) mark(ctx context.Context, how string) error {
	if t := h.v1(); t != nil {
		return t.extend(4, []byte(how))
	}
	_, err := h.sh(ctx, headsDUKLib+"mark "+how)
	return err
}

// judgeDUK starts the laptop as Heads does with a disk unlock key: with nothing but its
// passphrase, and only once.
func (l *Laptop) judgeDUK(ctx context.Context, work string, buyer *Buyer, check func(string, func() error)) {
	listed, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_key_devices.txt"))
	if errors.Is(err, os.ErrNotExist) && (buyer == nil || buyer.DUK == "") {
		check("without a disk unlock key the volume has one keyslot", func() error { return l.keyslots(ctx, work, buyer, 1) })
		return
	}
	var path, uuid string
	check("kexec_key_devices.txt names the volume", func() error {
		if err != nil {
			return err
		}
		path, uuid, _ = strings.Cut(strings.TrimSpace(string(listed)), " ")
		out, err := tool(ctx, nil, "cryptsetup", "luksUUID", filepath.Join(work, "luks.img"))
		if err == nil && (uuid != strings.TrimSpace(string(out)) || path != l.device()) {
			err = fmt.Errorf("%q, the volume is %s", listed, out)
		}
		return err
	})
	check("the volume has the buyer's keyslot, and number 31", func() error { return l.keyslots(ctx, work, buyer, 2) })
	list := filepath.Join(work, "luksDump.txt")
	check("kexec_lukshdr_hash.txt is what cryptsetup's header backup hashes to", func() error {
		backup := filepath.Join(work, "header")
		if _, err := tool(ctx, nil, "cryptsetup", "luksHeaderBackup", filepath.Join(work, "luks.img"), "--header-backup-file",
			backup); err != nil {
			return err
		}
		data, err := os.ReadFile(backup)
		if err != nil {
			return err
		}
		want := fmt.Sprintf("%x  /tmp/lukshdr-%s\n", sha256.Sum256(data), strings.ReplaceAll(path, "/", "_"))
		if err := os.WriteFile(list, []byte(want), 0o644); err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(l.BootDir(), "kexec_lukshdr_hash.txt"))
		if err == nil && string(got) != want {
			err = fmt.Errorf("%q, want %q", got, want)
		}
		return err
	})
	check("after a restart Heads' commands unseal a key that opens keyslot 31", func() error {
		if buyer == nil {
			return errSkipped
		}
		return l.judgeUnsealing(ctx, work, list, buyer)
	})
}

// judgeUnsealing opens the disk with what Heads unseals: list has the sum of the header.
func (l *Laptop) judgeUnsealing(ctx context.Context, work, list string, buyer *Buyer) error {
	if err := l.PowerCycle(ctx); err != nil {
		return err
	}
	if _, err := l.Heads.UnsealDUK(ctx, buyer.DUK); err == nil {
		return errors.New("it is given before the disk is measured")
	}
	if err := l.Heads.MeasureHeaders(ctx, list); err != nil {
		return err
	}
	if _, err := l.Heads.UnsealDUK(ctx, buyer.DUK+"x"); err == nil {
		return errors.New("it is given for a wrong passphrase")
	}
	key, err := l.Heads.UnsealDUK(ctx, buyer.DUK)
	if err != nil {
		return err
	}
	if len(key) != 128 {
		return fmt.Errorf("a key of %d bytes", len(key))
	}
	file := filepath.Join(work, "secret.key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		return err
	}
	if _, err := tool(ctx, nil, "cryptsetup", "open", "--test-passphrase", "--disable-locks", "--key-slot", "31",
		"--key-file", file, filepath.Join(work, "luks.img")); err != nil {
		return err
	}
	if err := l.Heads.MarkGeneric(ctx); err != nil {
		return err
	}
	if _, err := l.Heads.UnsealDUK(ctx, buyer.DUK); err == nil {
		return errors.New("the started system could get it as well")
	}
	return nil
}

// keyslots counts the volume's keyslots as cryptsetup lists them.
func (l *Laptop) keyslots(ctx context.Context, work string, buyer *Buyer, want int) error {
	v := &Volume{Path: filepath.Join(work, "luks.img"), work: work}
	dump, err := v.Dump(ctx)
	if err != nil {
		return err
	}
	if n := strings.Count(dump, ": luks2\n"); n != want || strings.Contains(dump, "  31: luks2") != (want == 2) {
		return fmt.Errorf("%d keyslots:\n%s", n, dump)
	}
	return nil
}

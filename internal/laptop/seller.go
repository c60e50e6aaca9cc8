package laptop

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"reown/boot"
	"reown/internal/handover"
	"reown/internal/rom"
	"reown/wizard"
	"reown/wizard/prepare"
)

// oemBoot is /boot as the seller writes it.
type oemBoot struct{ *bootAdapter }

func (b oemBoot) Trigger(context.Context) error {
	return b.writing(func() error { return b.dir.WriteTrigger(nil) })
}

func (b oemBoot) Stage(ctx context.Context, spec wizard.BootSpec, sign func([]byte) ([]byte, error),
	progress wizard.Progress) error {
	if err := b.dir.Appeared(spec.Gone); err != nil {
		return err
	}
	set, err := b.dir.Build(ctx, boot.BuildOptions{Extra: extras(spec), Entry: spec.Entry + 1, KeepOEM: true,
		Progress: boot.Progress(progress)})
	if err != nil {
		return err
	}
	sig, err := sign(set.SignedBytes())
	if err != nil {
		return err
	}
	return b.writing(func() error { return b.dir.Stage(set, sig) })
}

// extras are the files of a set that are not made from /boot itself.
func extras(spec wizard.BootSpec) map[string][]byte {
	all := map[string][]byte{"kexec_rollback.txt": spec.Rollback, "kexec_primhdl_hash.txt": spec.PrimaryHash,
		"kexec_hotp_counter": spec.HOTPCounter}
	maps.DeleteFunc(all, func(_ string, data []byte) bool { return data == nil })
	return all
}

func (b oemBoot) Install(ctx context.Context, cert []byte, gone []string) error {
	b.cert = cert
	return b.bootAdapter.Install(ctx, gone)
}

func (b oemBoot) Offers(_ context.Context, cert []byte) error {
	report, err := b.dir.Verify(b.verifier(cert))
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return err
	}
	if report.OEM != boot.OEMCovered {
		return fmt.Errorf("%w: the next start is no offer: /boot/oem is %s", prepare.ErrNotAsStated, report.OEM)
	}
	return nil
}

// Publish makes the statement the last file that appears: without it the two beside it
// are nothing, so that a cut leaves the chain as it was before.
func (b oemBoot) Publish(_ context.Context, seq int, statement, signatures, certs []byte) error {
	return b.writing(func() error {
		if seq == 0 {
			if err := b.dir.ClearKept(); err != nil {
				return err
			}
		}
		for n := handover.MaxLinks; n >= seq; n-- {
			if err := b.dir.RemoveKept(handover.FileName(n)); err != nil {
				return err
			}
		}
		name := handover.FileName(seq)
		for _, f := range []struct {
			name string
			data []byte
		}{{name + ".key", certs}, {name + ".asc", signatures}, {name, statement}} {
			if err := b.dir.WriteKept(f.name, f.data); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b oemBoot) Published(_ context.Context, seq int) (statement, signatures []byte, err error) {
	name := handover.FileName(seq)
	statement, err = b.dir.ReadKept(name, handover.MaxStatement)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %w", wizard.ErrNotFound, err)
	}
	if err == nil {
		signatures, err = b.dir.ReadKept(name+".asc", handover.MaxStatement)
	}
	return statement, signatures, err
}

func (b oemBoot) Sign(_ context.Context, seq int, signatures []byte) error {
	return b.writing(func() error { return b.dir.WriteKept(handover.FileName(seq)+".asc", signatures) })
}

func (b oemBoot) Clean(context.Context) error { return b.writing(b.dir.ClearHints) }

// handed is the chain in /boot, by the certificates that came with it: whether the last
// of them is the right one is the shop's to say. One that does not verify is an error
// only if it says that it hands the laptop to this key; any other is replaced in any
// case, as is a last one that is from this key and waits for its signature.
func (h *handoverReader) handed(_ context.Context, to string) (*handover.Chain, [][]byte, error) {
	links, certs, err := h.links()
	if err != nil || len(links) == 0 {
		return nil, nil, err
	}
	chain, err := h.walk(links, certs)
	if n := len(links) - 1; errors.Is(err, handover.ErrSigner) && n > 0 {
		if s, perr := handover.Parse(links[n].Statement); perr == nil && s.From == to {
			links = links[:n]
			chain, err = h.walk(links, certs)
		}
	}
	if err != nil {
		mine := slices.ContainsFunc(links, func(l handover.Link) bool {
			s, err := handover.Parse(l.Statement)
			return err == nil && s.To == to
		})
		if !mine {
			return nil, nil, nil
		}
		return nil, nil, err
	}
	var files [][]byte
	for _, l := range links {
		files = append(files, l.Statement)
	}
	return chain, files, nil
}

// reads is the chain as a buyer's machine will read it.
func (h *handoverReader) reads(ctx context.Context) (*handover.Chain, error) {
	ring, err := h.firmware.ring(ctx)
	if err != nil {
		return nil, err
	}
	set, err := h.open(ring)
	if err != nil {
		return nil, err
	}
	if set == nil {
		return nil, fmt.Errorf("%w: there is no statement", handover.ErrChain)
	}
	return set.chain, nil
}

// key is the one certificate in the chip.
func (h *handoverReader) key(ctx context.Context) ([]byte, error) {
	ring, err := h.firmware.ring(ctx)
	if err != nil {
		return nil, err
	}
	for _, cert := range ring {
		if len(ring) == 1 {
			return cert, nil
		}
	}
	return nil, fmt.Errorf("%w: the firmware trusts %d keys", prepare.ErrNotAsStated, len(ring))
}

// measureAll reads the machine for a statement: nothing that was read before counts,
// and what cannot be read is an error.
func (h *handoverReader) measureAll(ctx context.Context) (handover.Measured, error) {
	fresh := *h
	fw := *h.firmware
	fw.forget()
	fresh.firmware = &fw
	m, problems := fresh.measure(ctx, nil)
	for what, why := range problems {
		return m, fmt.Errorf("measuring the %s: %s", what, why)
	}
	tree, err := boot.TreeDigest(ctx, h.dir.Path(), nil)
	if err != nil {
		return m, err
	}
	m.Subjects[handover.SubjectBoot] = tree
	slices.Sort(m.Reference.ROMKeys)
	if h.tpm == nil {
		m.Reference.TOTP = handover.NoTOTP
		return m, nil
	}
	// Of the registers only those whose value at the next start is certain: the
	// firmware's own measurement, and what the chip's image will make of 7.
	sha1, sha256, err := rom.PCR7(fw.chip)
	if err != nil {
		return m, err
	}
	next := hex.EncodeToString(sha256[:])
	if len(m.Reference.PCRs[7]) == 2*len(sha1) {
		next = hex.EncodeToString(sha1[:])
	}
	m.Reference.PCRs = map[int]string{2: m.Reference.PCRs[2], 7: next}
	if len(m.Reference.SRKName) != 68 {
		m.Reference.SRKName = "" // TPM 1.2 has none
	}
	return m, nil
}

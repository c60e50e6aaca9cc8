package laptop

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/wizard"
)

// A hintStore keeps small public files where a later start finds them: /boot.
type hintStore interface {
	ReadHint(ctx context.Context, name string) ([]byte, error)
	WriteHint(ctx context.Context, name string, data []byte) error
}

// firmware shows the flash chip to the wizard.
type firmware struct {
	backend flash.Backend
	cause   error // why there is no backend; nil: none is named
	board   string
	boot    hintStore
	// viaFile: the firmware reads its own files from an image that the flash program makes.
	viaFile bool
	// keyring makes the keybox and trust database for a certificate.
	keyring func(cert []byte) (kbx, trustdb []byte, err error)
	// certs returns the certificates in a keybox or other keyring file, binary,
	// with the fingerprint of each.
	certs func(keyring []byte) (map[string][]byte, error)
	// mine says whether the card that is plugged in holds cert's keys and they have signed
	// doc. nil: somebody who wrote the hint is believed.
	mine func(ctx context.Context, cert, doc, sig []byte) bool

	chip   []byte // as last read; nil: unknown
	before []byte // of a torn chip: the image before the write that was cut
	hint   []byte // the one that was believed
}

// read reads the chip, once until it is written. A plan from what it returns leads on
// from a torn chip, which Holds nothing.
func (f *firmware) read(ctx context.Context) ([]byte, error) {
	if f.before != nil {
		return f.before, nil
	}
	if f.chip == nil {
		if f.backend == nil {
			return nil, cmp.Or(f.cause, flash.ErrNoProgram)
		}
		img, err := flash.ReadTwice(ctx, f.backend, nil)
		if err != nil {
			return nil, fmt.Errorf("reading the flash chip: %w", err)
		}
		f.chip = img
	}
	// Anew each time: the card may be plugged in only now.
	if f.before = f.torn(ctx); f.before != nil {
		return f.before, nil
	}
	return f.chip, nil
}

// Chips implements wizard.Firmware.
func (f *firmware) Chips() []string {
	if p, ok := f.backend.(*flash.Program); ok {
		return p.Chips()
	}
	return nil
}

// Choose implements wizard.Firmware.
func (f *firmware) Choose(chip string) error {
	if p, ok := f.backend.(*flash.Program); ok {
		return p.Choose(chip)
	}
	return flash.ErrNoChip
}

// forget makes the next read one of the chip.
func (f *firmware) forget() { f.chip, f.before = nil, nil }

// ring are the certificates that the firmware trusts: what the chip itself says, as long
// as it says anything.
func (f *firmware) ring(ctx context.Context) (map[string][]byte, error) {
	img, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	if f.before != nil {
		if now, err := f.ringOf(f.chip); err == nil && len(now) > 0 {
			return now, nil
		}
	}
	return f.ringOf(img)
}

func (f *firmware) Info(ctx context.Context) (wizard.FirmwareInfo, error) {
	img, err := f.read(ctx)
	if err != nil {
		return wizard.FirmwareInfo{}, err
	}
	certs, err := f.ring(ctx)
	if err != nil {
		return wizard.FirmwareInfo{}, err
	}
	info := wizard.FirmwareInfo{Board: f.board, Certs: certs, Torn: f.before != nil,
		Digest: fmt.Sprintf("%x", sha256.Sum256(img))}
	for fpr := range certs {
		info.Keyring = append(info.Keyring, fpr)
	}
	return info, nil
}

// ringOf collects the certificates of every file from which Heads fills its
// keyring.
func (f *firmware) ringOf(img []byte) (map[string][]byte, error) {
	parsed, err := rom.Parse(img)
	if errors.Is(err, rom.ErrUnknownLayout) {
		parsed, err = rom.ParseTorn(img)
	}
	if err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for _, file := range parsed.Files() {
		rel, ok := strings.CutPrefix(file.Name, rom.InitrdPrefix+".gnupg/")
		if !ok || file.Empty() || rel == "trustdb.gpg" || rel == "otrust.txt" {
			continue
		}
		data, err := parsed.Extract(file.Name)
		if err != nil {
			return nil, err
		}
		certs, err := f.certs(data)
		if err != nil {
			return nil, fmt.Errorf("reading %s in the firmware: %w", file.Name, err)
		}
		for fpr, c := range certs {
			all[fpr] = c
		}
	}
	return all, nil
}

// CheckSpace builds an image with files of the size that a certificate of n bytes
// needs.
func (f *firmware) CheckSpace(ctx context.Context, n int) (wizard.FirmwareChange, error) {
	change, err := f.checkSpace(ctx, n)
	return change, refused(err)
}

func (f *firmware) checkSpace(ctx context.Context, n int) (wizard.FirmwareChange, error) {
	img, err := f.readable(ctx)
	if err != nil {
		return wizard.FirmwareChange{}, err
	}
	const kbxOverhead, trustdb = 1024, 1400
	p, err := rom.NewPlan(img, rom.Changes{Pubring: make([]byte, n+kbxOverhead), TrustDB: make([]byte, trustdb),
		EraseSize: flash.EraseSize(f.backend)})
	if err != nil {
		return wizard.FirmwareChange{}, err
	}
	change := wizard.FirmwareChange{Shared: p.Shared, Removed: p.Removed, LostConfig: p.LostConfig}
	for _, s := range p.Taken {
		change.Taken = append(change.Taken, s.Name+"="+s.Value)
	}
	for _, d := range p.Dropped {
		change.Dropped = append(change.Dropped, wizard.DroppedSetting{Line: d.Line, Why: string(d.Why)})
	}
	return change, flash.CheckWritable(f.backend, p)
}

func (f *firmware) Plan(ctx context.Context, cert []byte) (*wizard.FirmwarePlan, error) {
	p, err := f.plan(ctx, cert)
	if err != nil {
		return nil, err
	}
	parsed, err := rom.Parse(p.New)
	if err != nil {
		return nil, err
	}
	return &wizard.FirmwarePlan{
		PCR7:          wizard.Measurement{"sha1": p.PCR7SHA1[:], "sha256": p.PCR7SHA256[:]},
		Image:         sha256.Sum256(p.New),
		ChangedBlocks: len(p.Blocks),
		BlockSize:     int(p.EraseSize),
		Free:          int64(parsed.Free(rom.NamePubring, rom.Heads)),
		Private:       p,
	}, nil
}

// readable is read, for an image in which the firmware finds its files. Heads' cbfs finds
// those of an image file by the flash map, and of the memory by the last bytes' pointer.
func (f *firmware) readable(ctx context.Context) ([]byte, error) {
	img, err := f.read(ctx)
	if err != nil || !f.viaFile {
		return img, err
	}
	parsed, err := rom.ParseTorn(img)
	if err == nil && parsed.FMAP() == nil {
		err = fmt.Errorf("%w: this board reads its files from an image, and there is no flash map to find them by",
			rom.ErrNotMeasurable)
	}
	return img, err
}

func (f *firmware) plan(ctx context.Context, cert []byte) (*rom.Plan, error) {
	img, err := f.readable(ctx)
	if err != nil {
		return nil, err
	}
	kbx, trustdb, err := f.keyring(cert)
	if err != nil {
		return nil, fmt.Errorf("making the keyring for the firmware: %w", err)
	}
	return rom.NewPlan(img, rom.Changes{Pubring: kbx, TrustDB: trustdb, EraseSize: flash.EraseSize(f.backend)})
}

func (f *firmware) Write(ctx context.Context, plan *wizard.FirmwarePlan, cert []byte, sign func([]byte) ([]byte, error),
	progress wizard.Progress) error {
	p, ok := plan.Private.(*rom.Plan)
	if !ok {
		return errors.New("writing the firmware: the plan is not of this machine")
	}
	if len(p.Blocks) > 0 {
		doc, sig := oldBlocks(p), []byte(nil)
		if sign != nil {
			var err error
			if sig, err = sign(doc); err != nil {
				return fmt.Errorf("signing the old firmware blocks: %w", err)
			}
		}
		if err := f.boot.WriteHint(ctx, blocksHint, signedBlocks(cert, sig, doc)); err != nil {
			return fmt.Errorf("keeping the old firmware blocks: %w", err)
		}
	}
	f.forget()
	res, err := flash.Write(ctx, f.backend, p, func(_ flash.Phase, done, total int64) {
		if progress != nil {
			progress(done, total)
		}
	})
	if err != nil {
		return err
	}
	if res.PCR7SHA256 != p.PCR7SHA256 || res.PCR7SHA1 != p.PCR7SHA1 {
		return fmt.Errorf("%w: the chip will not measure as planned", flash.ErrDamaged)
	}
	f.chip = bytes.Clone(p.New)
	return nil
}

// Holds asks for the very file that Write would put there: in a keyring with the same certificate
// there can be more that only GnuPG reads.
func (f *firmware) Holds(ctx context.Context, cert []byte) (bool, error) {
	img, err := f.read(ctx)
	if err != nil {
		return false, err
	}
	if f.before != nil {
		return false, nil // torn by a power cut
	}
	certs, err := f.ringOf(img)
	if err != nil || len(certs) != 1 {
		return false, err
	}
	for _, c := range certs {
		if !bytes.Equal(c, cert) {
			return false, nil
		}
	}
	want, _, err := f.keyring(cert)
	if err != nil {
		return false, err
	}
	parsed, err := rom.Parse(img)
	if err != nil {
		return false, err
	}
	have, err := parsed.Extract(rom.NamePubring)
	if errors.Is(err, rom.ErrNotFound) {
		return false, nil // the keys are in another file
	}
	return err == nil && bytes.Equal(have, want), err
}

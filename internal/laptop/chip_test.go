package laptop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"reown/internal/rom"
	"reown/internal/rom/flash"
	"reown/internal/rom/romtest"
	"reown/internal/secret"
	"reown/tpm"
	"reown/tpm/tpmtest"
	"reown/wizard"
)

// hints is the part of /boot that the flash adapter uses.
type hints struct{ files map[string][]byte }

func (h *hints) WriteHint(_ context.Context, name string, data []byte) error {
	h.files[name] = bytes.Clone(data)
	return nil
}

func (h *hints) ReadHint(_ context.Context, name string) ([]byte, error) {
	if d, ok := h.files[name]; ok {
		return d, nil
	}
	return nil, wizard.ErrNotFound
}

// TestTornChipIsFinished cuts the power after each block of a write and lets the
// next start go on from the torn chip.
func TestTornChipIsFinished(t *testing.T) {
	ctx := t.Context()
	layout := romtest.Layouts[2]
	old := layout.Build()
	chip := filepath.Join(t.TempDir(), "chip")
	boot := &hints{files: map[string][]byte{}}
	start := func() *firmware {
		nor, err := flash.OpenFile(chip)
		if err != nil {
			t.Fatal(err)
		}
		return &firmware{
			backend: nor, boot: boot,
			keyring: func(cert []byte) ([]byte, []byte, error) {
				return bytes.Repeat(cert, 700), bytes.Repeat([]byte{1}, 1280), nil
			},
			certs: func(ring []byte) (map[string][]byte, error) {
				if len(ring)%700 != 0 || !bytes.Equal(ring, bytes.Repeat(ring[:len(ring)/700], 700)) {
					return nil, fmt.Errorf("a damaged keyring")
				}
				return map[string][]byte{fmt.Sprintf("%x", ring[0]): ring[:len(ring)/700]}, nil
			},
		}
	}
	cert := []byte("owner.")
	if err := os.WriteFile(chip, old, 0o644); err != nil {
		t.Fatal(err)
	}
	f := start()
	f.chip = old // the seller's keyring in this image is none of ours
	plan, err := f.plan(ctx, cert)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Blocks) < 2 {
		t.Fatalf("only %d blocks change: nothing can tear", len(plan.Blocks))
	}
	_, was, err := rom.PCR7(old)
	if err != nil {
		t.Fatal(err)
	}
	_, will, err := rom.PCR7(plan.New)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := start().whole(ctx); m != nil || err != nil {
		t.Errorf("nothing was written, and PCR 7 was %x before (%v)", m, err)
	}
	for n := range len(plan.Blocks) + 1 {
		torn := bytes.Clone(old)
		for i, r := range plan.Blocks {
			switch {
			case i < n:
				copy(torn[r.Start:r.End], plan.New[r.Start:r.End])
			case i == n: // erased, half programmed
				copy(torn[r.Start:r.End], bytes.Repeat([]byte{0xff}, int(r.Len())))
				copy(torn[r.Start:r.Start+r.Len()/2], plan.New[r.Start:])
			}
		}
		if err := os.WriteFile(chip, torn, 0o644); err != nil {
			t.Fatal(err)
		}
		boot.files[blocksHint] = signedBlocks(nil, nil, oldBlocks(plan))
		next := start()
		if m, err := next.whole(ctx); err != nil || len(m) == 0 || !bytes.Equal(m[0]["sha256"], was[:]) ||
			len(m) > 1 != bytes.Equal(torn, plan.New) {
			t.Errorf("cut in block %d: on the torn chip PCR 7 was %x, not %x (%v)", n, was, m, err)
		}
		if ok, err := next.Holds(ctx, cert); !bytes.Equal(torn, plan.New) && (ok || err != nil) {
			t.Errorf("cut in block %d: a torn chip counts as done (%v, %v)", n, ok, err)
		}
		p, err := next.Plan(ctx, cert)
		if err != nil {
			t.Errorf("cut in block %d: %v", n, err)
			continue
		}
		if err := next.Write(ctx, p, nil, nil, nil); err != nil {
			t.Errorf("cut in block %d: %v", n, err)
			continue
		}
		got, err := os.ReadFile(chip)
		if err != nil || !bytes.Equal(got, plan.New) {
			t.Errorf("cut in block %d: the chip does not hold the planned image (%v)", n, err)
		}
		if m, err := start().whole(ctx); err != nil || len(m) != 2 || !bytes.Equal(m[0]["sha256"], was[:]) ||
			!bytes.Equal(m[1]["sha256"], will[:]) {
			t.Errorf("cut in block %d: PCR 7 may be %x, not %x or %x (%v)", n, m, was, will, err)
		}
		if ok, err := start().Holds(ctx, cert); !ok || err != nil {
			t.Errorf("cut in block %d: done, but %v %v", n, ok, err)
		}
	}

	// A file that leads nowhere changes nothing.
	if err := os.WriteFile(chip, plan.New, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, evil := range [][]byte{nil, bytes.Repeat([]byte{0xff}, 200),
		append(bytes.Clone(boot.files[blocksHint][:72]), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 9)} {
		boot.files[blocksHint] = evil
		if m, err := start().whole(ctx); m != nil || err != nil {
			t.Errorf("hint %.8x: PCR 7 was %x (%v)", evil, m, err)
		}
		if ok, err := start().Holds(ctx, cert); !ok || err != nil {
			t.Errorf("hint %.8x: %v %v", evil, ok, err)
		}
	}
}

// TestStartFromTornChip seals nothing in a start that measured a half-written chip: what
// else that start measured will not come again.
func TestStartFromTornChip(t *testing.T) {
	ctx := t.Context()
	dir, err := os.MkdirTemp("/tmp", "torn") // sockets want a short path
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	sim, err := tpmtest.Start(dir)
	if errors.Is(err, tpmtest.ErrNoSwtpm) && os.Getenv("REOWN_REQUIRE_PEERS") != "1" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer sim.Stop()
	dev, err := tpm.Open(sim.Socket)
	if err != nil {
		t.Fatal(err)
	}
	now, err := dev.ReadPCRs(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	measured := wizard.Measurement{"sha256": now[7]}
	other, third := wizard.Measurement{"sha256": bytes.Repeat([]byte{1}, 32)},
		wizard.Measurement{"sha256": bytes.Repeat([]byte{2}, 32)}
	for _, c := range []struct {
		what       string
		whole      []wizard.Measurement
		after      wizard.Measurement
		impossible bool
	}{
		{"not written", nil, other, false},
		{"started from the old image", []wizard.Measurement{measured}, other, false},
		{"started from the new image", []wizard.Measurement{third}, measured, false},
		{"another write to come after the start from the new image", []wizard.Measurement{third, measured}, other, false},
		{"started from a torn chip", []wizard.Measurement{third}, other, true},
		{"started from a torn chip that is whole by now", []wizard.Measurement{third, other}, other, true},
	} {
		a := &tpmAdapter{t: dev, whole: func(context.Context) ([]wizard.Measurement, error) { return c.whole, nil }}
		if _, _, err := a.otpPCRs(ctx, c.after); errors.Is(err, wizard.ErrSealImpossible) != c.impossible || err != nil &&
			!c.impossible {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// A log that never leads to the registers is in doubt only until the start that has
// measured the image. The recovery shell is told from it.
func TestALogThatNeverReplays(t *testing.T) {
	ctx := t.Context()
	k, p := unlockOn(t, nil)
	k.tpm.log = func(context.Context) ([]byte, error) {
		return []byte("TPM2 log:\n"), nil
	}
	if err := p.ExtendPCR(ctx, 2, []byte("outside the log")); err != nil {
		t.Fatal(err)
	}
	if err := p.ExtendPCR(ctx, 7, []byte("an image")); err != nil {
		t.Fatal(err)
	}
	now, err := p.ReadPCRs(ctx, 7)
	if err != nil {
		t.Fatal(err)
	}
	measured := wizard.Measurement{"sha256": now[7]}
	other := wizard.Measurement{"sha256": bytes.Repeat([]byte{1}, 32)}
	state := func(what string, shell bool) {
		t.Helper()
		i, err := k.tpm.Info(ctx)
		if err != nil || !i.Recovery || i.Shell != shell {
			t.Errorf("%s: %+v, %v", what, i, err)
		}
		for _, c := range []struct {
			m          wizard.Measurement
			impossible bool
		}{{other, true}, {measured, shell}} {
			if _, err := k.tpm.OTPSealed(ctx, c.m); errors.Is(err, wizard.ErrSealImpossible) != c.impossible || err != nil &&
				!c.impossible {
				t.Errorf("%s: %x: %v", what, c.m, err)
			}
		}
	}
	state("a log in doubt", false)
	if err := p.ExtendPCR(ctx, 4, []byte("recovery")); err != nil {
		t.Fatal(err)
	}
	state("the recovery shell", true)
}

// somebody answers in the place of the TPM in path.
type somebody struct {
	net.Conn
	changes func(cmd, reply []byte)
}

func (s somebody) Transmit(cmd []byte) ([]byte, error) {
	if _, err := s.Write(cmd); err != nil {
		return nil, err
	}
	b := make([]byte, 4096)
	n, err := s.Read(b)
	s.changes(cmd, b[:n])
	return b[:n], err
}

// A counter whose reply does not verify is not passed over for a new one.
func TestACounterThatIsTamperedWith(t *testing.T) {
	ctx := t.Context()
	dir, err := os.MkdirTemp("", "counter")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	sim, err := tpmtest.Start(dir)
	if errors.Is(err, tpmtest.ErrNoSwtpm) && os.Getenv("REOWN_REQUIRE_PEERS") != "1" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer sim.Stop()
	tamper := false
	p, err := tpm.New(func() (tpm.Device, error) {
		c, err := net.Dial("unix", sim.Socket)
		return somebody{c, func(cmd, reply []byte) {
			if tamper && len(reply) > 10 && tpm.CommandName(cmd) == "TPM2_NV_Read" { // no refusal
				reply[len(reply)-1] ^= 1
			}
		}}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	owner := secret.From([]byte("owner"))
	defer owner.Wipe()
	a := &tpmAdapter{t: p, alg: tpm.ECC}
	if err := a.Reset(ctx, owner); err != nil {
		t.Fatal(err)
	}
	first, err := a.Counter(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	tamper = true
	if got, err := a.Counter(ctx, owner); !errors.Is(err, tpm.ErrTampered) {
		t.Errorf("%s, %v", got, err)
	}
	tamper = false
	if again, err := a.Counter(ctx, owner); err != nil || !bytes.Equal(first, again) {
		t.Errorf("the counter was moved: %s then %s, %v", first, again, err)
	}
}

// An image without a flash map has the owner's files, and a firmware that reads them from
// an image file does not find them: nothing can be foretold, and nothing is begun.
func TestNoFlashMapWhereTheFirmwareNeedsOne(t *testing.T) {
	var img []byte
	for _, l := range romtest.Layouts {
		if l.Name == "legacy" {
			img = l.Build()
		}
	}
	for viaFile, want := range map[bool]error{true: rom.ErrNotMeasurable, false: nil} {
		f := &firmware{viaFile: viaFile, chip: img, backend: &flash.NOR{}, boot: noHints{}}
		f.backend.(*flash.NOR).Device = sectors(rom.EraseSize)
		_, err := f.CheckSpace(t.Context(), 3000)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("by a file: %v: %v", viaFile, err)
		}
		if kind := (*wizard.Finding)(nil); want != nil && (!errors.As(err, &kind) || kind.Kind != wizard.ChipLayout) {
			t.Errorf("by a file: %v", err)
		}
	}
}

// sectors is a chip of which only the erase block is known.
type sectors int64

func (s sectors) Size() int64                       { return 0 }
func (s sectors) EraseSize() int64                  { return int64(s) }
func (s sectors) ReadAt([]byte, int64) (int, error) { return 0, errors.New("not read") }
func (s sectors) Erase(string, int64) error         { return errors.New("not written") }
func (s sectors) Program(string, int64, []byte) error {
	return errors.New("not written")
}
func (s sectors) Sync() error { return nil }

type noHints struct{}

func (noHints) ReadHint(context.Context, string) ([]byte, error) { return nil, wizard.ErrNotFound }
func (noHints) WriteHint(context.Context, string, []byte) error  { return nil }

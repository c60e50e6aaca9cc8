package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/wizardtest"
)

// laptop is the test machine as a release changes it. Every write passes the World's
// fault, so that one counter cuts all of them.
type laptop struct {
	*wizardtest.World
	published map[string][]byte
	ops       []string
	primary   string   // fingerprint of the primary key, where the card holds a subkey; "": the card's
	promised  []string // volumes that a signed file names
}

func newLaptop() *laptop {
	return &laptop{World: wizardtest.New(), published: map[string][]byte{}}
}

// write runs change between two points at which the power can go.
func (l *laptop) write(op string, change func()) error {
	for _, name := range []string{op, op + ".done"} {
		l.ops = append(l.ops, name)
		if l.Fault != nil {
			if err := l.Fault(name); err != nil {
				return err
			}
		}
		if name == op {
			change()
		}
	}
	return nil
}

func (l *laptop) machine() *Machine {
	m := l.World.Machine()
	out := &Machine{Card: m.Card, PGP: m.PGP, Platform: m.Platform, Whole: m, Firmware: fakeFirmware{l, m.Firmware},
		Boot: fakeBoot{l}, TPM: fakeTPM{l, m.TPM}}
	out.PGP = fakePGP{m.PGP, l}
	out.Promised = func(context.Context) ([]string, error) { return slices.Clone(l.promised), nil }
	for i := range m.Disks {
		out.Disks = append(out.Disks, fakeDisk{l, m.Disks[i], l.Disks[i]})
	}
	return out
}

// fakePGP knows of a primary key that is on no card.
type fakePGP struct {
	wizard.OpenPGP
	*laptop
}

func (p fakePGP) Keys(cert []byte) ([]string, error) {
	all, err := p.OpenPGP.Keys(cert)
	if p.primary != "" && err == nil {
		all = append([]string{p.primary}, all...)
	}
	return all, err
}

type fakeDisk struct {
	*laptop
	wizard.Disk
	v *wizardtest.Volume
}

func (d fakeDisk) Erase(context.Context) error {
	return d.write("disk.erase:"+d.v.UUID, func() { d.v.Slots = nil })
}

type fakeTPM struct {
	*laptop
	wizard.TPM
}

func (t fakeTPM) Clear(context.Context) error {
	return t.write("tpm.clear", func() { t.Owner, t.Primary, t.Sealed, t.Area = "", "", nil, wizardtest.Area{} })
}

func (t fakeTPM) Info(context.Context) (wizard.TPMInfo, error) {
	return wizard.TPMInfo{Vendor: "TEST", Owned: t.Owner != "", PrimaryName: t.Primary}, nil
}

type fakeFirmware struct {
	*laptop
	wizard.Firmware
}

func (f fakeFirmware) Rehearse(ctx context.Context) error {
	_, err := f.Firmware.CheckSpace(ctx, 0)
	return err
}

func (f fakeFirmware) Info(ctx context.Context) (wizard.FirmwareInfo, error) {
	if f.ROM[0] == nil {
		return wizard.FirmwareInfo{Digest: "clean"}, nil
	}
	i, err := f.Firmware.Info(ctx)
	if f.primary != "" {
		i.Keyring = []string{f.primary}
	}
	return i, err
}

func (f fakeFirmware) Certificate(ctx context.Context, fpr string) ([]byte, error) {
	if i, err := f.Info(ctx); err != nil || !slices.Contains(i.Keyring, fpr) {
		return nil, errors.Join(err, wizard.ErrNotFound)
	}
	return f.ROM[0], nil
}

func (f fakeFirmware) Clean(context.Context, wizard.Progress) error {
	return f.write("firmware.clean", func() { f.ROM = [4][]byte{} })
}
func (f fakeFirmware) IsClean(context.Context) (bool, error) { return f.ROM[0] == nil, nil }

type fakeBoot struct{ *laptop }

func (b fakeBoot) Clean(context.Context) error {
	return b.write("boot.clean", func() { b.Oem, b.Set = false, wizardtest.BootSet{}; clear(b.Hints) })
}
func (b fakeBoot) IsClean(context.Context) (bool, error) {
	return !b.Oem && b.Set == wizardtest.BootSet{} && len(b.Hints) == 0, nil
}
func (b fakeBoot) Hold() (release func() error) { return b.World.Machine().Boot.Hold() }
func (b fakeBoot) Publish(_ context.Context, name string, data []byte) error {
	return b.write("boot.publish:"+name, func() { b.published[name] = data })
}
func (b fakeBoot) ReadPublished(_ context.Context, name string) ([]byte, error) {
	if d := b.published[name]; d != nil {
		return d, nil
	}
	return nil, wizard.ErrNotFound
}

func options(t *testing.T, pin string) Options {
	p := secret.From([]byte(pin))
	t.Cleanup(p.Wipe)
	return Options{PIN: p, Armor: func(c []byte) ([]byte, error) { return c, nil }}
}

// check says what the laptop still holds.
func (l *laptop) check(t *testing.T, rec *Record) {
	t.Helper()
	if len(l.Disks[0].Slots) != 0 || l.Owner != "" || l.Sealed != nil || l.ROM[0] != nil || l.Oem ||
		l.Fprs != [3]string{} || l.Terminated {
		t.Errorf("something is left: %+v", l.World)
	}
	if rec.Type != RecordType || len(rec.Disks) != 1 || rec.Disks[0].Serial != "S64DNL0T" || rec.Firmware != "clean" ||
		rec.Owner == "" {
		t.Errorf("%+v", rec)
	}
	var stored Record
	if err := json.Unmarshal(l.published[RecordName], &stored); err != nil || stored.Time != rec.Time {
		t.Errorf("the record in /boot: %v %+v", err, stored)
	}
	if err := l.Machine().PGP.Verify(l.published[KeyName], l.published[RecordName],
		l.published[SignatureName]); err != nil {
		t.Error(err)
	}
}

// The power goes at every point of a release in turn; the same command finishes it.
func TestCutAnywhere(t *testing.T) {
	for n := 0; ; n++ {
		l := newLaptop()
		l.Cut(n)
		rec, err := Run(t.Context(), l.machine(), options(t, wizardtest.SellerPIN))
		if err == nil {
			l.check(t, rec)
			t.Logf("%d points: %s", n, strings.Join(l.ops, " "))
			if n < 14 {
				t.Errorf("only %d points were cut", n)
			}
			return
		}
		if !errors.Is(err, wizardtest.ErrCut) {
			t.Fatal(err)
		}
		l.Reboot()
		if rec, err = Run(t.Context(), l.machine(), options(t, wizardtest.SellerPIN)); err != nil {
			t.Fatalf("after a cut at %d: %v", n, err)
		}
		l.check(t, rec)
	}
}

// Before the first thing is erased the card has signed that the laptop is being given up, and the first
// that goes is the TPM, with the area that says that a run is over: after a cut at any point until /boot
// is clean, the next start knows it.
func TestReleasingIsKnown(t *testing.T) {
	known := 0
	for n := 0; ; n++ {
		l := newLaptop()
		l.Seller, l.Oem = wizard.Handover{}, false // a laptop that has its owner
		l.Set.Oem = false
		l.Area = wizardtest.Area{Anchor: wizard.Anchor{State: wizard.AnchorClosed}, Owner: l.Owner}
		l.Hints["kexec_reown.receipt"] = []byte("of some run")
		l.Cut(n)
		if _, err := Run(t.Context(), l.machine(), options(t, wizardtest.SellerPIN)); err == nil {
			break
		}
		l.Reboot()
		erased := l.Owner == "" || len(l.Disks[0].Slots) == 0 || l.ROM[0] == nil
		if phase := wizard.Judge(t.Context(), l.World.Machine()).Phase; len(l.Hints) > 0 &&
			(phase == judge.Releasing) != erased {
			t.Errorf("cut at %d, after %v: %v", n, l.ops, phase)
		} else if phase == judge.Releasing {
			known++
		}
	}
	if known < 6 {
		t.Errorf("known after %d of the cuts", known)
	}
}

var errPreflight = errors.New("a *wizard.PreflightError")

// refuses makes a device that would not do its part.
func refuses(device string, kind wizard.Kind) func(*laptop) {
	return func(l *laptop) {
		l.Refuses = map[string]*wizard.Finding{device: {Kind: kind, Args: []any{"what was measured"},
			Err: errors.New("refused")}}
	}
}

var errMissing = errors.New("a *MissingError")

// A key that was exchanged for one that says it is the owner's, and takes any PIN.
func TestExchangedCard(t *testing.T) {
	l := newLaptop()
	m := l.machine()
	m.Card = anyPIN{m.Card}
	if _, err := Run(t.Context(), m, options(t, "not the PIN")); !errors.Is(err, ErrNotOwner) || len(l.ops) != 0 {
		t.Errorf("%v, written: %v", err, l.ops)
	}
}

type anyPIN struct{ wizard.Card }

func (anyPIN) VerifyPINs(context.Context, *secret.Buffer, *secret.Buffer) error { return nil }
func (anyPIN) Sign(context.Context, []byte, *secret.Buffer, []byte) ([]byte, error) {
	return []byte("by another key"), nil
}

// Who made his keys in memory has subkeys on his card: he releases, and the record names the
// primary key. Disks that are gone, and said to be, are named as not erased.
func TestSubkeysAndWithout(t *testing.T) {
	l := newLaptop()
	l.primary = strings.Repeat("A", 40)
	l.promised = []string{l.Disks[0].UUID, "gone"}
	o := options(t, wizardtest.SellerPIN)
	o.Without = []string{"gone"}
	rec, err := Run(t.Context(), l.machine(), o)
	if err != nil {
		t.Fatal(err)
	}
	l.check(t, rec)
	if rec.Owner != l.primary || !slices.Equal(rec.Missing, []string{"gone"}) ||
		!slices.ContainsFunc(rec.Remains, func(s string) bool { return strings.Contains(s, "gone") }) {
		t.Errorf("%+v", rec)
	}
	// A device that may hold one stops the run until it is said that it stays as it is.
	l = newLaptop()
	m := l.machine()
	m.Doubtful = []Doubt{{"/dev/sdb", errors.New("a partition table beside the header")}}
	var doubt *DoubtError
	o.Without = nil
	if _, err := Run(t.Context(), m, o); !errors.As(err, &doubt) || len(l.ops) != 0 {
		t.Errorf("%v, written: %v", err, l.ops)
	}
	o.Without = []string{"/dev/sdb"}
	if rec, err = Run(t.Context(), m, o); err != nil ||
		!slices.ContainsFunc(rec.Remains, func(s string) bool { return strings.Contains(s, "/dev/sdb") }) {
		t.Errorf("%+v, %v", rec, err)
	}
	// No disk at all, and somebody says so.
	l = newLaptop()
	l.Disks = nil
	o.NoDisk, o.Without = true, nil
	if rec, err = Run(t.Context(), l.machine(), o); err != nil || len(rec.Disks) != 0 ||
		!slices.ContainsFunc(rec.Remains, func(s string) bool { return strings.Contains(s, "no encrypted disk was found") }) {
		t.Errorf("%+v, %v", rec, err)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*laptop)
		pin    string
		want   error
	}{
		"another card": {func(l *laptop) { l.Fprs[0] = strings.Repeat("D", 40) }, wizardtest.SellerPIN, ErrNotOwner},
		"a blank card": {func(l *laptop) { l.Fprs = [3]string{} }, wizardtest.SellerPIN, ErrNotOwner},
		"a forged record": {func(l *laptop) {
			cert, sign := l.Forge()
			rec := []byte(`{"type":"reown release 1"}`)
			l.Fprs = [3]string{}
			l.published = map[string][]byte{RecordName: rec, SignatureName: sign([]byte("another")), KeyName: cert}
		}, wizardtest.SellerPIN, ErrNotOwner},
		"a stranger's record, a blank card": {func(l *laptop) {
			cert, sign := l.Forge()
			rec := []byte(`{"type":"reown release 1"}`)
			l.Fprs = [3]string{}
			l.published = map[string][]byte{RecordName: rec, SignatureName: sign(rec), KeyName: cert}
		}, wizardtest.SellerPIN, ErrNotOwner},
		"a stranger's card and key file": {func(l *laptop) {
			cert, sign := l.Forge()
			fprs, _ := l.Machine().PGP.Fingerprints(cert)
			l.Fprs = fprs
			rec := []byte(`{"type":"reown release 1"}`)
			l.published = map[string][]byte{RecordName: rec, SignatureName: sign(rec), KeyName: cert}
		}, wizardtest.SellerPIN, ErrNotOwner},
		"a promised disk is hidden": {func(l *laptop) { l.promised, l.Disks = []string{l.Disks[0].UUID}, nil },
			wizardtest.SellerPIN, errMissing},
		"one of two is hidden": {func(l *laptop) { l.promised = []string{l.Disks[0].UUID, "another"} },
			wizardtest.SellerPIN, errMissing},
		"no disk, nobody says so": {func(l *laptop) { l.Disks = nil }, wizardtest.SellerPIN, ErrNoDisk},
		"wrong PIN":               {func(*laptop) {}, "not the PIN", wizard.ErrWrongSecret},
		"no PIN":                  {func(*laptop) {}, "", ErrNeedsPIN},
		"no card":                 {func(l *laptop) { l.CardIn = false }, wizardtest.SellerPIN, wizard.ErrNoCard},
		"on battery": {func(l *laptop) { l.PowerState = wizard.Power{Known: true} }, wizardtest.SellerPIN,
			wizard.ErrPowerUnreliable},
		"card of no reset": {func(l *laptop) { l.NoReset = true }, wizardtest.SellerPIN, errPreflight},
		"TPM wants a hand": {refuses("tpm", wizard.TPMPresence), wizardtest.SellerPIN, errPreflight},
		"/boot is fixed":   {refuses("trial", wizard.BootFixed), wizardtest.SellerPIN, errPreflight},
		"chip is locked":   {refuses("firmware", wizard.ChipLocked), wizardtest.SellerPIN, errPreflight},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLaptop()
			c.change(l)
			o := options(t, c.pin)
			if c.pin == "" {
				o.PIN = nil
			}
			_, err := Run(t.Context(), l.machine(), o)
			var missing *MissingError
			if c.want == errPreflight {
				if !errors.As(err, new(*wizard.PreflightError)) {
					t.Errorf("%v, want what stands in the way", err)
				}
			} else if c.want == errMissing && !errors.As(err, &missing) || c.want != errMissing && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if len(l.ops) != 0 {
				t.Errorf("written: %v", l.ops)
			}
		})
	}
}

// A step that says it worked and did not is found when everything is read again.
func TestLyingDevice(t *testing.T) {
	l := newLaptop()
	m := l.machine()
	m.Firmware = lyingFirmware{m.Firmware}
	if _, err := Run(t.Context(), m, options(t, wizardtest.SellerPIN)); !errors.Is(err, ErrNotReleased) {
		t.Error(err)
	}
	if l.published[SignatureName] != nil || !bytes.Equal(l.published[RecordName], nil) {
		t.Error("a record of what did not happen")
	}
	if l.Fprs[0] == "" {
		t.Error("the card was reset, and nobody can sign any more")
	}
}

type lyingFirmware struct{ Firmware }

func (lyingFirmware) Clean(context.Context, wizard.Progress) error { return nil }

// A lost card: nothing is signed, nothing asks for it.
func TestLostCard(t *testing.T) {
	l := newLaptop()
	l.CardIn = false
	rec, err := Run(t.Context(), l.machine(), Options{LostCard: true})
	if err != nil {
		t.Fatal(err)
	}
	if rec.Owner != "" || l.published[SignatureName] != nil || len(l.Disks[0].Slots) != 0 || l.Oem {
		t.Errorf("%+v", rec)
	}
}

package prepare

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"reown/internal/handover"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/ui/answers"
	"reown/wizard/wizardtest"
)

// A shop is a seller's bench: a laptop in memory, what lies in its /boot beside what
// the laptop model knows, and the file that keeps the secrets.
type shop struct {
	*wizardtest.World
	covered   bool // the set in place covers the trigger; staged: the one beside it
	staged    bool
	statement []byte
	signature []byte
	certs     []byte
	handed    [][]byte // the statements of the chain
	notes     bool
	kept      []byte            // the secrets' file
	own       map[string][]byte // certificates of shops, by fingerprint
}

func newShop() *shop {
	s := &shop{World: wizardtest.New(), notes: true}
	s.Shop = true
	return s
}

// write is a write to /boot, with a point before and after it as the model has.
func (s *shop) write(op string, change func()) error {
	if strings.HasPrefix(op, "boot.") || strings.HasPrefix(op, "handover.") {
		s.WritesBoot()
	}
	if err := s.point(op); err != nil {
		return err
	}
	change()
	return s.point(op + ".done")
}

func (s *shop) point(op string) error {
	s.Ops = append(s.Ops, op)
	if s.Fault == nil {
		return nil
	}
	return s.Fault(op)
}

func (s *shop) Trigger(context.Context) error {
	return s.write("boot.trigger", func() { s.Oem = true })
}

func (s *shop) Stage(ctx context.Context, spec wizard.BootSpec, sign func([]byte) ([]byte, error),
	progress wizard.Progress) error {
	if !s.Oem {
		return errors.New("the trigger is not there to be covered")
	}
	if err := s.World.Machine().Boot.Stage(ctx, spec, sign, progress); err != nil {
		return err
	}
	s.staged = true
	return nil
}

func (s *shop) Install(ctx context.Context, cert []byte, gone []string) error {
	if ok, err := s.World.Machine().Boot.Staged(ctx, cert); err != nil || !ok {
		return fmt.Errorf("not staged: %w", err)
	}
	s.covered = s.staged
	return s.World.Machine().Boot.Install(ctx, gone)
}

func (s *shop) Offers(ctx context.Context, cert []byte) error {
	ok, err := s.World.Machine().Boot.Live(ctx, cert)
	if err == nil && !(ok && s.covered && s.Oem) {
		err = ErrNotAsStated
	}
	return err
}

func (s *shop) Publish(_ context.Context, seq int, statement, signature, certs []byte) error {
	if err := s.write("handover.remove", func() {
		s.handed, s.statement, s.signature, s.certs = s.handed[:min(seq, len(s.handed))], nil, nil, nil
	}); err != nil {
		return err
	}
	if err := s.write("handover.certs", func() { s.certs = certs }); err != nil {
		return err
	}
	if err := s.write("handover.signature", func() { s.signature = signature }); err != nil {
		return err
	}
	return s.write("handover.statement", func() { s.statement = statement; s.handed = append(s.handed, statement) })
}

func (s *shop) Published(_ context.Context, seq int) (statement, signature []byte, err error) {
	if seq >= len(s.handed) {
		return nil, nil, fmt.Errorf("statement %d: %w", seq, wizard.ErrNotFound)
	}
	if seq < len(s.handed)-1 {
		return s.handed[seq], nil, nil
	}
	return s.statement, s.signature, nil
}

func (s *shop) Sign(_ context.Context, _ int, signatures []byte) error {
	return s.write("handover.sign", func() { s.signature = signatures })
}

func (s *shop) key(context.Context) ([]byte, error) { return s.ROM[0], nil }

// reads wants a signature by whom the last statement is from, and one by the key in the
// firmware.
func (s *shop) reads(ctx context.Context) (*handover.Chain, error) {
	c, files, err := s.chain(ctx, "")
	if err != nil || c == nil {
		return nil, errors.Join(errors.New("no chain"), err)
	}
	pgp := s.World.Machine().PGP
	from := s.own[c.Last().From]
	if fprs, err := pgp.Fingerprints(s.ROM[0]); err == nil && fprs[0] == c.Last().From {
		from = s.ROM[0]
	}
	sigs, err := handover.Signatures(s.signature)
	if err != nil {
		return nil, err
	}
	for _, cert := range [][]byte{from, s.ROM[0]} {
		if !slices.ContainsFunc(sigs, func(sig []byte) bool { return pgp.Verify(cert, s.statement, sig) == nil }) {
			return nil, handover.ErrSigner
		}
	}
	c.Digest = handover.Digest(files[len(files)-1])
	return c, nil
}

// chain reads what Publish left; its signatures are not this test's business.
func (s *shop) chain(context.Context, string) (*handover.Chain, [][]byte, error) {
	if len(s.handed) == 0 {
		return nil, nil, nil
	}
	c := &handover.Chain{}
	for _, data := range s.handed {
		st, err := handover.Parse(data)
		if err != nil {
			return nil, nil, err
		}
		c.Links = append(c.Links, st)
	}
	return c, s.handed, nil
}

func (s *shop) Clean(context.Context) error {
	return s.write("boot.clean", func() { s.notes = false; clear(s.Hints) })
}

func (s *shop) Replace(doc *secret.Buffer) error {
	return s.write("secrets.out", func() { s.kept = bytes.Clone(doc.Bytes()) })
}

// chip gives the model's firmware a measurement that fits into a statement.
type chip struct{ wizard.Firmware }

func (c chip) Plan(ctx context.Context, cert []byte) (*wizard.FirmwarePlan, error) {
	p, err := c.Firmware.Plan(ctx, cert)
	if err == nil {
		sum := sha1.Sum(p.PCR7["sha256"])
		p.PCR7["sha1"] = sum[:]
	}
	return p, err
}

func (s *shop) measure(ctx context.Context) (handover.Measured, error) {
	m := s.World.Machine()
	card, err := m.Card.Info(ctx)
	if err != nil {
		return handover.Measured{}, err
	}
	fw, err := m.Firmware.Info(ctx)
	if err != nil {
		return handover.Measured{}, err
	}
	pcr7 := sha1.Sum([]byte(fw.Digest))
	rom := sha256.Sum256(s.ROM[0])
	for _, b := range s.ROM {
		if !bytes.Equal(b, s.ROM[0]) {
			rom = [32]byte{}
		}
	}
	out := handover.Measured{Subjects: map[string]string{handover.SubjectROM: hex.EncodeToString(rom[:])},
		Reference: handover.Reference{CardSerial: card.Serial, ROMKeys: fw.Keyring,
			PCRs: map[int]string{7: hex.EncodeToString(pcr7[:])}}}
	for _, d := range m.Disks {
		i, err := d.Info(ctx)
		if err != nil {
			return out, err
		}
		key := sha256.Sum256([]byte(i.KeyDigest))
		out.Reference.LUKS = append(out.Reference.LUKS, handover.LUKS{UUID: i.UUID, KeyDigest: hex.EncodeToString(key[:])})
	}
	return out, nil
}

func (s *shop) machine() *Machine {
	m := s.World.Machine()
	m.Firmware = chip{m.Firmware}
	return &Machine{Machine: m, OEM: s, Measure: s.measure, Handed: s.chain, Reads: s.reads, Key: s.key}
}

func parse(t *testing.T, doc []byte) *answers.Secrets {
	t.Helper()
	s, err := answers.ParseSecrets(secret.From(bytes.Clone(doc)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var order = &Order{ID: "2026-1147", Seller: wizard.Identity{Name: "Shop", Email: "shop@example.com"}, Card: "5F11A2C0"}

// options are those of every start of one order: the image's passphrase, and the
// file of secrets as far as it got.
func (s *shop) options(t *testing.T) Options {
	t.Helper()
	o := Options{Order: order, Out: s, Reencrypt: true,
		Known: Known{parse(t, []byte(`{"secret.current": "`+wizardtest.SellerPassphrase+`"}`))}}
	if s.kept != nil {
		o.Known = append(Known{parse(t, s.kept)}, o.Known...)
	}
	return o
}

// seen are the secrets in the file.
func (s *shop) seen(t *testing.T) (all []string) {
	t.Helper()
	if s.kept == nil {
		return nil
	}
	doc := parse(t, s.kept)
	for _, n := range []string{nameDisk, nameUser, nameAdmin, nameOwner} {
		all = append(all, string(doc.Get(n).Bytes()))
	}
	return all
}

// ready says what keeps the laptop from being shipped, by the model's own judgement.
func (s *shop) ready(t *testing.T) error {
	t.Helper()
	w := s.Clone()
	switch {
	case !w.Oem || !s.covered:
		return errors.New("the signature does not cover /boot/oem")
	case s.notes || len(s.Hints) > 0:
		return errors.New("notes are left in /boot")
	case s.signature == nil:
		return errors.New("there is no hand-over file")
	}
	if err := s.World.Machine().PGP.Verify(s.ROM[0], s.statement, s.signature); err != nil {
		return err
	}
	w.Oem = false // the model's judgement is about an owner's laptop
	return w.Owned(s.seen(t))
}

func TestRun(t *testing.T) {
	s := newShop()
	s.AddDisk("22222222-bbbb", "S2")
	res, err := Run(t.Context(), s.machine(), s.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ready(t); err != nil {
		t.Error(err)
	}
	if s.Remounts > 5 || s.BootWrites < 10 || s.Writable {
		t.Errorf("/boot was made writable %d times for %d writes; it still is: %v", s.Remounts, s.BootWrites, s.Writable)
	}
	st, err := handover.Parse(res.Statement)
	if err != nil {
		t.Fatal(err)
	}
	if st.Order != "2026-1147" || st.From != s.Fprs[0] || res.Fingerprint != s.Fprs[0] || st.Seq != 0 ||
		len(st.Reference.LUKS) != 2 || len(res.Volumes) != 2 {
		t.Errorf("the statement: %+v", st)
	}
	// The next laptop gets secrets of its own.
	next := newShop()
	if _, err := Run(t.Context(), next.machine(), next.options(t)); err != nil {
		t.Fatal(err)
	}
	for i, a := range s.seen(t) {
		if b := next.seen(t)[i]; a == b {
			t.Errorf("two laptops have the same secret %d", i)
		}
	}
}

// TestNoise: a disk that its header's key does not fit is not re-encrypted by the seller either, and
// nothing else is touched.
func TestNoise(t *testing.T) {
	s := newShop()
	s.Disks[0].Blank = true
	o := s.options(t)
	if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, wizard.ErrNoise) ||
		slices.Contains(s.Ops, "card.reset") || slices.Contains(s.Ops, "disk.addslot") {
		t.Errorf("%v: %v", err, s.Ops)
	}
	o.Reencrypt = false // then nothing is spoilt
	if _, err := Run(t.Context(), s.machine(), o); err != nil {
		t.Error(err)
	}
}

// TestCutAnywhere cuts the power at every write, and at another one while the next
// start repeats: nothing may be lost, nothing half-made be called ready, and the
// same command finishes.
func TestCutAnywhere(t *testing.T) {
	s := newShop()
	if _, err := Run(t.Context(), s.machine(), s.options(t)); err != nil {
		t.Fatal(err)
	}
	points := len(s.Ops)
	if points < 50 {
		t.Fatalf("only %d named points: %q", points, s.Ops)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range points {
		s := newShop()
		for i, at := range []int{n, rnd.IntN(points)} {
			s.Cut(at)
			res, err := Run(t.Context(), s.machine(), s.options(t))
			if err == nil && i == 0 {
				t.Fatalf("cut at point %d: nothing was noticed", n)
			}
			if (err == nil) != (res != nil) {
				t.Fatalf("cut at point %d: %v, result %v", n, err, res)
			}
			s.Reboot()
			if err := s.Intact(s.seen(t)); err != nil {
				t.Fatalf("cut at point %d (start %d): %v", n, i+1, err)
			}
		}
		if _, err := Run(t.Context(), s.machine(), s.options(t)); err != nil {
			t.Fatalf("cut at point %d, repeated: %v", n, err)
		}
		if err := s.ready(t); err != nil {
			t.Fatalf("cut at point %d, repeated: %v", n, err)
		}
	}
}

// TestEveryFailureIsTold makes each write fail once, as a device does that is there
// again afterwards.
func TestEveryFailureIsTold(t *testing.T) {
	first := newShop()
	if _, err := Run(t.Context(), first.machine(), first.options(t)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	for _, op := range first.Ops {
		s := newShop()
		s.FailOnce(op, broken)
		_, err := Run(t.Context(), s.machine(), s.options(t))
		var step *wizard.StepError
		if strings.HasPrefix(op, "append.") && err == nil {
			continue // the journal: it is for people
		}
		if !errors.Is(err, broken) || !errors.As(err, &step) || step.Step == "" {
			t.Errorf("%s failed: %v", op, err)
		}
	}
}

// TestJournalOfAPreparation: what a run that was cut had begun can be read, and nothing
// of it reaches the buyer.
func TestJournalOfAPreparation(t *testing.T) {
	s := newShop()
	s.FailOnce("flash.block.0", errors.New("broken"))
	if _, err := Run(t.Context(), s.machine(), s.options(t)); err == nil {
		t.Fatalf("%q", s.Ops)
	}
	notes, _, err := wizard.Log(t.Context(), s.World.Machine())
	if n := len(notes); err != nil || n < 10 || notes[n-1].Event != "fail" || notes[n-1].Step != "firmware" {
		t.Errorf("%+v, %v", notes, err)
	}
}

// TestStopped: who stops a run ends it at the next safe point and no earlier, and the
// disk's re-encryption is one.
func TestStopped(t *testing.T) {
	for op, want := range map[string]string{"card.generate.0": "disk", "disk.chunk": "disk", "tpm.clear": "seal"} {
		s := newShop()
		ctx, stop := context.WithCancel(t.Context())
		s.Fault = func(o string) error {
			if o == op {
				stop()
			}
			return nil
		}
		_, err := Run(ctx, s.machine(), s.options(t))
		var step *wizard.StepError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &step) || step.Step != want {
			t.Errorf("stopped at %s: %v", op, err)
		}
		if s.Writable {
			t.Errorf("stopped at %s: /boot is writable", op)
		}
		if _, err := Run(t.Context(), s.machine(), s.options(t)); err != nil {
			t.Errorf("stopped at %s, then repeated: %v", op, err)
		} else if err := s.ready(t); err != nil {
			t.Errorf("stopped at %s, then repeated: %v", op, err)
		}
	}
}

// spoils are what somebody could do to a laptop that is ready.
var spoils = map[string]func(*shop){
	"another key in the firmware": func(s *shop) { cert, _ := s.Forge(); s.ROM[1] = cert },
	"a second passphrase":         func(s *shop) { s.Disks[0].Slots = append(s.Disks[0].Slots, "back door") },
	"another volume key":          func(s *shop) { s.Disks[0].Key = "key-of-another-disk" },
	"another PIN":                 func(s *shop) { s.UserPIN = "123456" },
	"another admin PIN":           func(s *shop) { s.AdminPIN = "12345678" },
	"another owner of the TPM":    func(s *shop) { s.Owner = "" },
	"nothing sealed":              func(s *shop) { s.Sealed = nil },
	"other files in /boot":        func(s *shop) { s.Files = "files-2" },
	"the trigger gone":            func(s *shop) { s.Oem = false },
	"the trigger not covered":     func(s *shop) { s.covered = false },
	"another hand-over file":      func(s *shop) { s.statement = append(bytes.Clone(s.statement), '\n') },
}

// TestMeasuredAfterwards changes something behind the run's back, after the last
// write: only reading the machine again can tell.
func TestMeasuredAfterwards(t *testing.T) {
	for name, spoil := range spoils {
		s := newShop()
		s.Fault = func(op string) error {
			if op == "handover.statement.done" {
				spoil(s)
			}
			return nil
		}
		_, err := Run(t.Context(), s.machine(), s.options(t))
		var step *wizard.StepError
		if !errors.As(err, &step) || step.Step != "measure" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRefusedBeforeAnyWrite: what can be known beforehand changes nothing.
func TestRefusedBeforeAnyWrite(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  error
		spoil func(*shop, *Options)
	}{
		{"the chip is locked", errRefused, refuses("firmware", wizard.ChipLocked)},
		{"/boot is full", errRefused, refuses("trial", wizard.BootFull)},
		{"the TPM is too small", errRefused, refuses("tpm", wizard.TPMSlots)},
		{"the disk refuses", errRefused, refuses("disk", wizard.DiskRefuses)},
		{"on the battery", wizard.ErrPowerUnreliable, func(s *shop, _ *Options) { s.PowerState.Mains = false }},
		{"a wrong clock", wizard.ErrClock, func(s *shop, _ *Options) { s.Clock = s.Clock.AddDate(-10, 0, 0) }},
		{"no card", wizard.ErrNoCard, func(s *shop, _ *Options) { s.CardIn = false }},
		{"another card", ErrCard, func(_ *shop,
			o *Options) {
			o.Order = &Order{ID: "1", Seller: order.Seller, Card: "0000BEEF"}
		}},
		{"a key without a green light", wizard.ErrNoHOTP, func(s *shop, _ *Options) { s.NoHOTP = true }},
		{"no disk", ErrNoVolume, func(s *shop, _ *Options) { s.Disks = nil }},
		{"a wrong passphrase", wizard.ErrWrongSecret,
			func(s *shop, _ *Options) { s.Disks[0].Slots = []string{"something else"} }},
		{"no passphrase", wizard.ErrWrongSecret, func(_ *shop, o *Options) { o.Known = nil }},
		{"the recovery shell", wizard.ErrSealImpossible, func(s *shop, _ *Options) { s.Recovery = true }},
		{"no room in the firmware", nil, func(s *shop, _ *Options) { s.Full = true }},
		{"another order's secrets", ErrOtherOrder, func(_ *shop, o *Options) {
			o.Known = append(Known{parse(t, []byte(`{"order": "2026-1146", "card": "5F11A2C0", "secret.disk": "other"}`))},
				o.Known...)
		}},
		{"another laptop's secrets", ErrOtherOrder, func(_ *shop, o *Options) {
			o.Known = append(Known{parse(t, []byte(`{"order": "2026-1147", "card": "0000BEEF", "secret.user": "other"}`))},
				o.Known...)
		}},
		{"another buyer", ErrBuyer, func(_ *shop, o *Options) { o.Buyer = &Buyer{Fingerprint: strings.Repeat("A", 40)} }},
	} {
		s := newShop()
		o := s.options(t)
		c.spoil(s, &o)
		_, err := Run(t.Context(), s.machine(), o)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if len(s.Ops) > 0 || s.kept != nil {
			t.Errorf("%s: written before it was refused: %q", c.name, s.Ops)
		}
	}
}

// TestWithoutTPM: the token's secret is the digest of the firmware.
func TestWithoutTPM(t *testing.T) {
	s := newShop()
	s.HasTPM = false
	if _, err := Run(t.Context(), s.machine(), s.options(t)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(s.ROM[0])
	if s.TokenOTP != string(sum[:20]) {
		t.Error("the token does not hold the digest of the firmware")
	}
	if strings.Contains(string(s.kept), "totp") || strings.Contains(string(s.kept), "owner") {
		t.Error("secrets that nothing is protected by were handed out")
	}
}

// TestKeysAreKept: a run that goes on has the same keys, so that the firmware image
// is the same; another order, name or PIN makes new ones.
func TestKeysAreKept(t *testing.T) {
	for _, c := range []struct {
		name  string
		kept  bool
		spoil func(*shop, *Options)
	}{
		{"the same order", true, func(*shop, *Options) {}},
		{"another name", false, func(_ *shop, o *Options) {
			o.Order = &Order{ID: order.ID, Seller: wizard.Identity{Name: "Shop", Email: "new@example.com"}}
		}},
		{"another algorithm", false, func(_ *shop, o *Options) { o.Algorithm = "rsa3072" }},
		{"other PINs", false, func(s *shop, _ *Options) { s.UserPIN = "123456" }},
		{"a card that was used since", false, func(s *shop, _ *Options) { s.Tries[2] = 1 }},
		{"a forged note", false, func(s *shop, _ *Options) {
			cert, _ := s.Forge()
			s.Hints[keysHint] = append(s.Hints[keysHint][:64:64], cert...)
		}},
	} {
		s := newShop()
		s.FailOnce("flash.block.2", errors.New("cut"))
		if _, err := Run(t.Context(), s.machine(), s.options(t)); err == nil {
			t.Fatal("not cut")
		}
		before := s.Fprs
		o := s.options(t)
		c.spoil(s, &o)
		if _, err := Run(t.Context(), s.machine(), o); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := s.ready(t); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if kept := s.Fprs == before; kept != c.kept {
			t.Errorf("%s: the keys were kept: %v", c.name, kept)
		}
	}
}

// TestRestart: a TPM that wants a restart gets one, and the same command ends the work
// with the same keys.
func TestRestart(t *testing.T) {
	for _, op := range []string{"tpm.clear", "tpm.counter"} {
		s := newShop()
		s.FailOnce(op, fmt.Errorf("%w: deactivated", wizard.ErrRestart))
		_, err := Run(t.Context(), s.machine(), s.options(t))
		if !errors.Is(err, ErrRestart) {
			t.Fatalf("%s: %v", op, err)
		}
		before := s.Fprs
		s.Reboot()
		if _, err := Run(t.Context(), s.machine(), s.options(t)); err != nil {
			t.Fatal(err)
		}
		if err := s.ready(t); err != nil || s.Fprs != before {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// Somebody exchanges the keys once the order was compared with the right one: the other
// one gets nothing.
func TestAKeyExchangedWhileItIsMade(t *testing.T) {
	for _, at := range []string{"secrets.out.done", "card.activate.done"} {
		s := newShop()
		s.Spare.UserPIN, s.Spare.AdminPIN = "123456", "12345678"
		other := s.Spare
		swapped := false
		s.Fault = func(op string) error {
			if op == at {
				s.CardIn, s.Spare.CardIn, swapped = false, true, true
			}
			return nil
		}
		if _, err := Run(t.Context(), s.machine(), s.options(t)); !swapped || !errors.Is(err, wizard.ErrNoCard) {
			t.Errorf("exchanged at %s (%v): the run says %v", at, swapped, err)
		}
		if s.Spare.CardIn = false; s.Spare != other {
			t.Errorf("exchanged at %s: the other key was %+v and is %+v", at, other, s.Spare)
		}
	}
}

// TestALogThatNeverReplays: such a board seals in the start that has measured the new
// firmware, which is the second, and with the same keys.
func TestALogThatNeverReplays(t *testing.T) {
	s := newShop()
	s.NoLog = true
	_, err := Run(t.Context(), s.machine(), s.options(t))
	if !errors.Is(err, ErrRestart) {
		t.Fatal(err)
	}
	before := s.Fprs
	s.Reboot()
	if _, err := Run(t.Context(), s.machine(), s.options(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.ready(t); err != nil || s.Fprs != before {
		t.Error(err)
	}
}

var errRefused = errors.New("refused")

// refuses makes a device that would not do its part.
func refuses(device string, kind wizard.Kind) func(*shop, *Options) {
	return func(s *shop, _ *Options) {
		s.Refuses = map[string]*wizard.Finding{device: {Kind: kind, Args: []any{"what was measured"}, Err: errRefused}}
	}
}

package prepare

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"reown/internal/handover"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/ui/answers"
)

// Errors of a run.
var (
	// ErrNoVolume says that no encrypted disk was found; a laptop without one is
	// not shipped by accident.
	ErrNoVolume = errors.New("no encrypted disk was found")
	// ErrNoTPM says that no TPM was found, and nobody said that there is none.
	ErrNoTPM = errors.New("no TPM was found")
	// ErrCard says that another security key is plugged in than the order names.
	ErrCard = errors.New("the security key is not the one of the order")
	// ErrRestart says that the run goes on after a restart, with the same order and
	// secrets: an older TPM asks for it, or an event log that is in doubt.
	ErrRestart = errors.New("the laptop must be restarted")
	// ErrNotAsStated says that the finished machine, read afresh, is not what its
	// signed statement says.
	ErrNotAsStated = errors.New("the finished machine is not what its statement says")
)

// A FinishedError says that the laptop is ready to ship, and nobody wanted it anew.
type FinishedError struct{ Order, Words string }

func (e *FinishedError) Error() string { return "finished as " + e.Order + ", words " + e.Words }

// Machine is the laptop, and /boot as its seller writes it.
type Machine struct {
	*wizard.Machine
	OEM Boot
	// Measure reads the devices afresh, past every cache, in the terms of a
	// statement. PCR 7 is what the image on the chip will make it. What cannot be
	// measured is an error.
	Measure func(context.Context) (handover.Measured, error)
	// Handed reads the verified chain of statements in /boot and the bytes of each;
	// nil, nil, nil when there is none, or none that even claims to hand the laptop
	// to this key. A last one from this key that lacks its signature is left out.
	Handed func(ctx context.Context, to string) (*handover.Chain, [][]byte, error)
	// Reads is the verified chain by the rules of a buyer's reader: it ends in a
	// signature by a key that the firmware trusts.
	Reads func(context.Context) (*handover.Chain, error)
	// Key is the one certificate that the firmware trusts.
	Key func(context.Context) ([]byte, error)
}

// Boot is what a seller writes to /boot. Every method may be repeated.
type Boot interface {
	// Trigger writes /boot/oem.
	Trigger(ctx context.Context) error
	// Stage is wizard.Boot's, but the set covers the trigger.
	Stage(ctx context.Context, spec wizard.BootSpec, sign func([]byte) ([]byte, error), progress wizard.Progress) error
	// Install puts the staged set in place if it verifies with cert, and removes these names and
	// no others of those that no firmware reads.
	Install(ctx context.Context, cert []byte, gone []string) error
	// Offers returns nil if the set in place verifies with cert by the firmware's
	// own rules, and covers the trigger: what makes the next start an offer.
	Offers(ctx context.Context, cert []byte) error
	// Publish writes one statement of a chain, its signatures and the certificates
	// that verify them, and removes all later ones; the first removes every file of
	// another chain.
	Publish(ctx context.Context, seq int, statement, signatures, certs []byte) error
	// Published reads one back; wizard.ErrNotFound if there is none of that number.
	Published(ctx context.Context, seq int) (statement, signatures []byte, err error)
	// Sign replaces the signatures beside one, at once.
	Sign(ctx context.Context, seq int, signatures []byte) error
	// Clean removes the notes that interrupted and former runs left.
	Clean(ctx context.Context) error
}

// Options say how a laptop is prepared.
type Options struct {
	Order *Order
	Buyer *Buyer // nil: no message is made
	Shop  *Shop  // nil: the laptop's own key signs alone
	// Signer is the fingerprint, known from elsewhere, of who sold the laptop to the
	// shop: whose chain is to be continued.
	Signer string
	// Known are secret.current, which opens the disk image, and the secrets that an
	// interrupted run of this order handed out.
	Known Known
	// Out keeps the secrets, as one document, before they are used.
	Out       answers.Sink
	CardTail  string // last four characters of the serial number of a card that may work for something else, and goes
	Algorithm string // of the card's keys; "" for the card's recommended one
	Reencrypt bool   // give the disk a volume key of its own
	Battery   bool   // run without mains power
	Again     bool   // prepare a laptop that is finished once more
	// Deliver writes what is to be sent, when all else is done; nil: nobody sends anything.
	Deliver func(*Result) error
	// Finished keeps the document as the buyer gets it, which names the statement: a laptop
	// with that one and these secrets is finished. nil: nobody does.
	Finished answers.Sink
	// Report is told each step's name when it begins and how far it is.
	Report func(step string, done, total int64)
	// Removes is told, before anything is changed, which names go from /boot because no firmware reads them.
	Removes func(names []string)
	Touch   func(n, of int) // announces that the security key must be touched, and how often in all
}

// Result is a laptop that is ready to ship; or, if Unsigned, one whose statement waits
// for the shop's signature.
type Result struct {
	Unsigned    bool
	Certificate []byte // of the key on the card, binary
	Fingerprint string
	CardSerial  string
	Volumes     []string // UUIDs
	ROM         string   // SHA-256 of the flash chip, hex
	Seq         int      // number of the statement in its chain, from 0
	Seller      string   // fingerprint of the key that the buyer must know: whom the statement is from
	Statement   []byte
	Signature   []byte // armoured: the shop's, if there is one, and the laptop's
	Message     []byte // the secrets for the buyer, armoured; nil without one
	Phone       []byte // what the buyer's telephone scans, in the same way
}

// run is one preparation.
type run struct {
	m     *Machine
	o     *Options
	card  wizard.CardInfo
	entry int
	gone  []string         // names in /boot that no firmware reads: the worker is told, and they go
	opens []*secret.Buffer // by disk: what opens it now
	made  *answers.Secrets
	keys  wizard.Keys // Disk, User, Admin and Owner belong to made
	job   wizard.Job
	seq   wizard.Sequence
	step  string

	cert     []byte
	last     *handover.Statement // that the new one follows; nil: none
	lastFile []byte
	signed   []signature // of the statement
	plan     *wizard.FirmwarePlan
	later    bool // only the new firmware's first start can seal
	res      Result
}

// A signature is armoured, and verifies by its certificate.
type signature struct{ cert, sig []byte }

// Run makes the laptop ready to ship. The error of a step is a *wizard.StepError;
// then nothing about the machine is certain, and it must not be shipped.
func Run(ctx context.Context, m *Machine, o Options) (*Result, error) {
	r := newRun(m, &o)
	r.seq.Note = wizard.Notes(ctx, m.Machine)
	r.seq.Tasks = []wizard.Task{
		{ID: "preflight", Looks: true, Do: r.preflight},
		{ID: "secrets", Looks: true, Do: r.makeSecrets},
		{ID: "card", Do: r.makeKeys},
		{ID: "disk", Pausable: true, Do: r.disks},
		{ID: "tpm", Do: r.tpm},
		{ID: "seal", Do: r.seal},
		{ID: "boot", Do: r.boot},
		{ID: "firmware", Do: func(ctx context.Context) error { return r.job.WriteChip(ctx, r.plan, r.cert) }},
		{ID: "commit", Do: r.commit},
		{ID: "handover", Do: r.handover},
		{ID: "measure", Looks: true, Do: func(ctx context.Context) error {
			if err := r.readBack(ctx); err != nil {
				return err
			}
			return r.measure(ctx)
		}},
	}
	if !o.Shop.later() {
		r.seq.Tasks = append(r.seq.Tasks, wizard.Task{ID: "message", Looks: true, Do: r.encrypt})
	}
	r.seq.Tasks = append(r.seq.Tasks, wizard.Task{ID: "mail", Looks: true, Do: r.deliver})
	return r.all(ctx)
}

func newRun(m *Machine, o *Options) *run {
	r := &run{m: m, o: o}
	r.seq.Hold = m.Boot.Hold
	r.seq.Begun = func(i int) {
		r.step = r.seq.Tasks[i].ID
		r.report(0, 0)
	}
	r.job = wizard.Job{M: m.Machine, Choice: wizard.Choices{Algorithm: o.Algorithm}, Secrets: &r.keys, Progress: r.report}
	if o.Order != nil {
		r.job.Choice.Identity = o.Order.Seller
	}
	if o.Touch != nil {
		r.job.Touch = func(n, of int) {
			_ = r.seq.Release() // it is told at the end
			o.Touch(n, of)
		}
		m.Card.Announce(func(waits bool) {
			if waits {
				r.job.Touch(1, 1)
			}
		})
	}
	return r
}

func (r *run) all(ctx context.Context) (*Result, error) {
	defer func() { r.made.Wipe(); r.keys.OTP.Wipe(); r.m.Card.Announce(nil) }()
	end := r.seq.Run(ctx)
	switch end.Outcome {
	case wizard.Done:
		return &r.res, nil
	case wizard.Restarts:
		return nil, fmt.Errorf("%w: %w", ErrRestart, end.Err)
	}
	return nil, end.Err
}

func (r *run) report(done, total int64) {
	if r.o.Report != nil {
		r.o.Report(r.step, done, total)
	}
}

// preflight finds what would stop the run before anything is changed.
func (r *run) preflight(ctx context.Context) (err error) {
	m := r.m
	if p := wizard.Rehearse(ctx, m.Machine, wizard.Choices{Algorithm: r.o.Algorithm}, r.o.Battery); len(p) > 0 {
		return &wizard.PreflightError{Problems: p}
	}
	if r.card, _, err = wizard.KnownCard(ctx, m.Card); err != nil {
		return err
	}
	if err := r.fits(); err != nil {
		return err
	}
	if err := r.finished(ctx); err != nil {
		return err
	}
	if r.o.Shop != nil {
		if err := r.o.Shop.try(ctx, m.PGP, r.card); err != nil {
			return err
		}
		if _, err := r.statement(ctx); err != nil {
			return err
		}
	}
	if !r.noted(ctx) {
		if err := r.disposable(ctx); err != nil {
			return err
		}
	}
	if err := r.diskOpeners(ctx); err != nil {
		return err
	}
	if m.TPM != nil {
		if t, err := m.TPM.Info(ctx); err != nil {
			return err
		} else if t.Shell {
			return wizard.ErrSealImpossible
		}
	}
	b, err := m.Boot.Info(ctx)
	if err != nil {
		return err
	}
	r.entry, r.gone = b.Default, b.Unknown
	if len(r.gone) > 0 && r.o.Removes != nil {
		r.o.Removes(r.gone)
	}
	return nil
}

// fits checks the security key and the buyer against the order.
func (r *run) fits() error {
	if want := r.o.Order.Card; want != "" && want != strings.ToUpper(r.card.Serial) {
		return fmt.Errorf("%w: its serial number is %s, the order says %s", ErrCard, r.card.Serial, want)
	}
	if r.o.Buyer != nil && r.o.Buyer.Fingerprint != r.o.Order.Buyer {
		return fmt.Errorf("%w: its fingerprint is %s, the order says %q", ErrBuyer, r.o.Buyer.Fingerprint, r.o.Order.Buyer)
	}
	return nil
}

// diskOpeners finds the passphrase that opens each disk now.
func (r *run) diskOpeners(ctx context.Context) error {
	if len(r.m.Disks) == 0 {
		return ErrNoVolume
	}
	for _, d := range r.m.Disks {
		err := fmt.Errorf("%w: no passphrase of the disk was given (secret.current)", wizard.ErrWrongSecret)
		for _, k := range r.diskKeys() {
			if err = d.CheckPassphrase(ctx, k); err == nil {
				r.opens = append(r.opens, k)
				break
			}
			if !errors.Is(err, wizard.ErrWrongSecret) {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("opening the disk: %w", err)
		}
	}
	return r.look(ctx)
}

// look finds whether re-encrypting would spoil what is on a disk.
func (r *run) look(ctx context.Context) error {
	for i, d := range r.m.Disks {
		if !r.o.Reencrypt {
			break
		}
		info, err := d.Info(ctx)
		if err != nil {
			return err
		}
		if found := wizard.LookAt(ctx, d, info, r.opens[i]); len(found) > 0 {
			return &wizard.PreflightError{Problems: found}
		}
	}
	return nil
}

// keysHint keeps the certificate while a run goes on, after a digest of what it was
// made for.
const keysHint = "kexec_reown.prepare"

// purpose names what the keys are made for.
func (r *run) purpose() []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", r.o.Order.ID, r.o.Order.Seller.Name, r.o.Order.Seller.Email,
		r.o.Algorithm))
	return hex.AppendEncode(nil, sum[:])
}

// earlierKeys says whether the card holds the keys that an interrupted run of this
// order made, under the PINs that it handed out, and takes their certificate. Besides
// saving minutes on slow cards it keeps the firmware image the same, so that a chip
// torn by the interruption is finished and not changed a second time.
func (r *run) earlierKeys(ctx context.Context) bool {
	note, err := r.m.Boot.ReadHint(ctx, keysHint)
	if err != nil || r.card.Terminated || r.card.Tries[0] < 2 || r.card.Tries[2] < 2 {
		return false
	}
	cert, ok := bytes.CutPrefix(note, r.purpose())
	if !ok {
		return false
	}
	fprs, err := r.m.PGP.Fingerprints(cert)
	if err != nil || fprs[0] == "" || fprs != r.card.Fingerprints {
		return false
	}
	if r.m.Card.VerifyPINs(ctx, r.keys.User, r.keys.Admin) != nil {
		return false
	}
	r.cert = cert
	r.res.Certificate, r.res.Fingerprint, r.res.CardSerial = cert, fprs[0], r.card.Serial
	return true
}

// makeKeys makes the card new, unless it may work for something else.
func (r *run) makeKeys(ctx context.Context) error {
	if r.earlierKeys(ctx) {
		return nil
	}
	if err := r.permitted(ctx); err != nil {
		return err
	}
	if err := wizard.Forget(ctx, r.m.Machine); err != nil {
		return err
	}
	cert, info, err := r.job.MakeCard(ctx, r.card.Serial, nil)
	if err != nil {
		return err
	}
	r.cert = cert
	r.res.Certificate, r.res.Fingerprint, r.res.CardSerial = cert, info.Fingerprints[0], info.Serial
	if err := r.m.Boot.WriteHint(ctx, keysHint, append(r.purpose(), cert...)); err != nil {
		return fmt.Errorf("keeping the certificate: %w", err)
	}
	return nil
}

// disks gives each disk its passphrase, and if wanted a volume key of its own: all
// laptops that were written from one image have the same. A re-encryption that was
// begun is an interrupted run's, and is not done twice.
func (r *run) disks(ctx context.Context) error {
	var work []wizard.DiskWork
	for i, d := range r.m.Disks {
		info, err := d.Info(ctx)
		if err != nil {
			return err
		}
		work = append(work, wizard.DiskWork{Disk: d, Info: info, Old: r.opens[i], Rekey: r.o.Reencrypt && !info.Reencrypting})
		r.res.Volumes = append(r.res.Volumes, info.UUID)
	}
	return r.job.OwnDisks(ctx, work)
}

// tpm makes the rollback counter at once, since an older TPM may want a restart for it.
func (r *run) tpm(ctx context.Context) error {
	if r.m.TPM == nil {
		return nil
	}
	if err := r.job.OwnTPM(ctx); err != nil {
		return err
	}
	if _, err := r.m.TPM.Counter(ctx, r.keys.Owner); err != nil {
		return fmt.Errorf("making the rollback counter: %w", err)
	}
	return nil
}

// seal goes on where only the new firmware's first start can seal.
func (r *run) seal(ctx context.Context) (err error) {
	if r.plan, err = r.m.Firmware.Plan(ctx, r.cert); err != nil {
		return err
	}
	err = r.job.Seal(ctx, r.plan)
	r.later = errors.Is(err, wizard.ErrSealImpossible)
	return err
}

func (r *run) boot(ctx context.Context) error {
	if err := r.m.OEM.Trigger(ctx); err != nil {
		return err
	}
	return r.job.StageBoot(ctx, wizard.BootSpec{Cert: r.cert, Entry: r.entry, Gone: r.gone}, r.m.OEM.Stage)
}

func (r *run) sign(ctx context.Context) func([]byte) ([]byte, error) {
	return func(data []byte) ([]byte, error) { return r.m.Card.Sign(ctx, r.cert, r.keys.User, data) }
}

func (r *run) commit(ctx context.Context) error {
	err := r.job.InstallBoot(ctx, r.cert, func(ctx context.Context) error { return r.m.OEM.Install(ctx, r.cert, r.gone) })
	if err != nil {
		return err
	}
	if r.later {
		return wizard.ErrRestart // with the note of the keys, so that the image stays the same
	}
	r.seq.Note = nil // what is noted from here on would reach the buyer
	return r.m.OEM.Clean(ctx)
}

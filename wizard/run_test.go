package wizard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/ui/answers"
	"reown/wizard/wizardtest"
)

// paper is what the owner has written down: every secret that was shown, of all
// runs, and the last one of each kind.
type paper struct {
	seen []string
	last map[string]string
}

func newPaper() *paper { return &paper{last: map[string]string{}} }

// Replace implements answers.Sink.
func (p *paper) Replace(doc *secret.Buffer) error {
	m := map[string]string{}
	if err := json.Unmarshal(doc.Bytes(), &m); err != nil {
		return err
	}
	for k, v := range m {
		p.last[k] = v
		p.seen = append(p.seen, v)
	}
	return nil
}

// unattended is a run with answers that say yes to everything.
func unattended(w *wizardtest.World, p *paper, extra map[string]string) error {
	return unattendedLog(w, p, extra, nil)
}

func unattendedLog(w *wizardtest.World, p *paper, extra map[string]string, log *bytes.Buffer) error {
	u := yes(w, p, extra)
	if log != nil {
		u.Log = log
	}
	defer u.Close()
	return wizard.Run(context.Background(), w.Machine(), u, wizard.Options{})
}

// watched is a front end that tells what it shows.
type watched struct {
	*answers.UI
	page  func(*ui.Page)
	tasks func(ui.Tasks)
}

func (u watched) Ask(ctx context.Context, p *ui.Page) (string, error) {
	u.page(p)
	return u.UI.Ask(ctx, p)
}

func (u watched) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	return u.UI.Watch(ctx, title, func(ctx context.Context, show func(ui.Tasks)) error {
		return work(ctx, func(t ui.Tasks) { u.tasks(t); show(t) })
	})
}

// yes answers yes to everything.
func yes(w *wizardtest.World, p *paper, extra map[string]string) *answers.UI {
	s := &answers.Secrets{}
	set := func(k, v string) {
		b := secret.From([]byte(v))
		s.Set(k, b)
		b.Wipe()
	}
	for k, v := range p.last {
		set(k, v)
	}
	// The present passphrase: the seller's, or the owner's where it is set.
	current := wizardtest.SellerPassphrase
	for _, v := range w.Disks {
		if v.NewKey == "" && len(v.Slots) > 0 {
			current = v.Slots[0]
		}
	}
	set("secret.current", current)
	a := map[string]string{"language": "en", "verify": "match", "confirm": "NL0T"}
	for k, v := range extra {
		a[k] = v
	}
	return &answers.UI{Answers: a, Secrets: s, Out: p}
}

// TestPowerBeforeTheChip: the charger is pulled while the disk is re-encrypted. The chip is
// left alone until there is power again.
func TestPowerBeforeTheChip(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Fault = func(op string) error {
		if op == "disk.end" {
			w.PowerState = wizard.Power{Known: true, Percent: 29}
		}
		return nil
	}
	if err := unattended(w, p, nil); !errors.Is(err, wizard.ErrPowerUnreliable) {
		t.Errorf("%v, want %v", err, wizard.ErrPowerUnreliable)
	}
	if slices.ContainsFunc(w.Ops, func(op string) bool { return strings.HasPrefix(op, "flash.") }) {
		t.Errorf("the chip was written: %q", w.Ops)
	}
	w.PowerState.Percent = 90
	if err := unattended(w, p, nil); err == nil {
		t.Error("a run begins on the battery without being asked to")
	}
	w.PowerState.Mains = true
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(p.seen); err != nil {
		t.Error(err)
	}
}

func TestARunWithoutAPerson(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	var log bytes.Buffer
	if err := unattendedLog(w, p, nil, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if err := w.Owned(p.seen); err != nil {
		t.Fatal(err)
	}
	if w.Wiped != 1 {
		t.Errorf("secrets outside were wiped %d times", w.Wiped)
	}
	if err := unattended(w, p, nil); !errors.Is(err, wizard.ErrNothingToDo) {
		t.Errorf("a second run: %v", err)
	}
}

// remounts are as many as a run may need: each of them writes the superblock of /boot. One
// is for what comes before the disk is re-encrypted, three note how that begins and ends, one is for
// what comes after, and one for what follows a touch of the security key.
const remounts = 6

func TestARunRemountsBootRarely(t *testing.T) {
	for _, extra := range []map[string]string{nil, wantDUK} {
		w, p := wizardtest.New(), newPaper()
		if err := unattended(w, p, extra); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d writes to /boot, made writable %d times", w.BootWrites, w.Remounts)
		if w.Remounts > remounts || w.BootWrites < 5*remounts {
			t.Errorf("%d remounts for %d writes", w.Remounts, w.BootWrites)
		}
		if w.Writable {
			t.Error("/boot is writable at the end")
		}
	}
	// Nor when a step failed, and the person is asked what to do.
	whole, p := wizardtest.New(), newPaper()
	if err := unattended(whole, p, wantDUK); err != nil {
		t.Fatal(err)
	}
	for _, op := range whole.Ops {
		w, p := wizardtest.New(), newPaper()
		w.FailOnce(op, errors.New("once"))
		_ = unattended(w, p, wantDUK)
		if w.Writable {
			t.Fatalf("%s failed, and /boot is writable", op)
		}
	}
}

// While a page is shown, or a touch of the security key is waited for, /boot is read-only.
func TestBootIsReadOnlyWhilePeopleAreAsked(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.CardState.Touch = true
	pages, touches, over := 0, 0, 0
	u := watched{UI: yes(w, p, nil), page: func(*ui.Page) {
		pages++
		if w.Writable {
			t.Error("a page is shown while /boot is writable")
		}
	}, tasks: func(tasks ui.Tasks) {
		for _, n := range tasks.Notes {
			if n == msg.NoteSafe.In(msg.EN) && touches > over {
				over = touches
			}
			if strings.HasPrefix(n, strings.TrimSuffix(msg.NoteTouch.In(msg.EN), ".")) {
				touches++
				if w.Writable {
					t.Error("a touch is waited for while /boot is writable")
				}
			}
		}
	}}
	defer u.Close()
	if err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{}); err != nil {
		t.Fatal(err)
	}
	// The light's two, and one for each signature; each note goes when it is over.
	if pages < 10 || touches < 2+w.Signed() || over != touches {
		t.Errorf("%d pages, %d touches for %d signatures, the last of them over: %d", pages, touches, w.Signed(), over)
	}
}

// Cut the power at every named write, before and after it takes effect; switch on;
// choose Continue. Nothing is lost at the cut, and the end is an owned machine.
func TestThePowerIsCutAnywhere(t *testing.T) {
	whole, p := wizardtest.New(), newPaper()
	if err := unattended(whole, p, nil); err != nil {
		t.Fatal(err)
	}
	points := len(whole.Ops)
	for n := range points {
		w, p := wizardtest.New(), newPaper()
		w.Cut(n)
		err := unattended(w, p, nil)
		at := w.Ops[len(w.Ops)-1]
		if err == nil && w.Oem {
			t.Fatalf("cut at %d (%s): the run did not notice", n, at)
		}
		for range 2 {
			if lost := w.Intact(p.seen); lost != nil {
				t.Fatalf("cut at %d (%s): %v", n, at, lost)
			}
			w.Reboot()
		}
		err = unattended(w, p, nil)
		if err != nil && !(errors.Is(err, wizard.ErrNothingToDo) && !w.Oem) {
			t.Fatalf("cut at %d (%s), then continued: %v", n, at, err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Fatalf("cut at %d (%s), then continued: %v", n, at, err)
		}
	}
	t.Logf("%d points", points)
}

// Every named write fails once, as a device does that works again afterwards; the
// next run ends in the same state as one without a failure.
func TestEveryWriteFailsOnce(t *testing.T) {
	whole, p := wizardtest.New(), newPaper()
	if err := unattended(whole, p, nil); err != nil {
		t.Fatal(err)
	}
	bad := errors.New("device error 42")
	tried := map[string]bool{}
	for _, op := range whole.Ops {
		if tried[op] {
			continue
		}
		tried[op] = true
		w, p := wizardtest.New(), newPaper()
		w.FailOnce(op, bad)
		err := unattended(w, p, nil)
		harmless := strings.HasPrefix(op, "append.") || strings.HasPrefix(op, "hint.kexec_reown.starts")
		if harmless != (err == nil) || err != nil && !errors.Is(err, bad) {
			t.Errorf("%s failed: the run said %v", op, err)
		}
		if err := w.Intact(p.seen); err != nil {
			t.Errorf("%s failed: %v", op, err)
		}
		if err := unattended(w, p, nil); err != nil && !errors.Is(err, wizard.ErrNothingToDo) {
			t.Errorf("%s failed, then continued: %v", op, err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Errorf("%s failed, then continued: %v", op, err)
		}
	}
	t.Logf("%d kinds of writes", len(tried))
}

// What is done is not done again.
func TestAContinuedRunRepeatsNothing(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Fault = func(op string) error {
		if op == "tpm.clear" {
			return wizardtest.ErrCut
		}
		return nil
	}
	if err := unattended(w, p, nil); err == nil {
		t.Fatal("no error")
	}
	w.Reboot()
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	for _, op := range w.Ops {
		if strings.HasPrefix(op, "disk.") || strings.HasPrefix(op, "card.generate") || strings.HasPrefix(op, "card.pin") {
			t.Errorf("%s was done again", op)
		}
	}
}

func TestAJournalThatLiesChangesNothing(t *testing.T) {
	honest, p := wizardtest.New(), newPaper()
	if err := unattended(honest, p, nil); err != nil {
		t.Fatal(err)
	}
	journal := honest.Hints["kexec_reown.log"]
	if len(bytes.Split(journal, []byte("\n"))) < 10 {
		t.Fatalf("journal: %q", journal)
	}
	for name, lie := range map[string][]byte{"done": journal, "cut": journal[:len(journal)/2],
		"foreign": []byte("\x00\xff not json\n{}\n"), "huge": bytes.Repeat([]byte("x"), 2<<20)} {
		w, p := wizardtest.New(), newPaper()
		w.Hints["kexec_reown.log"] = lie
		if err := unattended(w, p, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !slices.Equal(honest.Ops, w.Ops) {
			t.Errorf("%s: other writes than without it:\n%v\n%v", name, honest.Ops, w.Ops)
		}
	}
}

func TestMissingAndBadAnswers(t *testing.T) {
	for want, remove := range map[string]string{"verify": "verify", "confirm": "confirm"} {
		w, p := wizardtest.New(), newPaper()
		err := unattended(w, p, map[string]string{remove: ""})
		var missing *ui.MissingAnswerError
		var bad *ui.BadAnswerError
		if !errors.As(err, &missing) && !errors.As(err, &bad) {
			t.Errorf("without %s: %v", want, err)
		}
		if len(w.Ops) > 6 { // the crash-loop counter only
			t.Errorf("without %s, something was written: %v", want, w.Ops)
		}
	}
}

func TestNoSinkNoSecret(t *testing.T) {
	w := wizardtest.New()
	s := &answers.Secrets{}
	b := secret.From([]byte(wizardtest.SellerPassphrase))
	s.Set("secret.current", b)
	u := &answers.UI{Answers: map[string]string{"verify": "match", "confirm": "NL0T"}, Secrets: s}
	if err := wizard.Run(context.Background(), w.Machine(), u, wizard.Options{Language: "en"}); !errors.Is(err,
		answers.ErrNoSink) {
		t.Fatal(err)
	}
}

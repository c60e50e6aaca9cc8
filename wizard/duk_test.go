package wizard_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

var wantDUK = map[string]string{"duk": "yes"}

func mustHaveDUK(t *testing.T, w *wizardtest.World, p *paper) {
	t.Helper()
	if err := w.Owned(p.seen); err != nil {
		t.Fatal(err)
	}
	if w.DUKObject == nil || w.DUKObject.Pass != p.last["secret.duk"] {
		t.Fatalf("disk unlock key %+v", w.DUKObject)
	}
}

func TestDiskUnlockKey(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.AddDisk("22222222-bbbb", "WD-1234")
	if err := unattended(w, p, wantDUK); err != nil {
		t.Fatal(err)
	}
	mustHaveDUK(t, w, p)
	if w.Disks[1].DUK == "" {
		t.Error("the second volume has none")
	}
	// Not chosen: nothing of it is left, and no passphrase is shown for it.
	w, p = wizardtest.New(), newPaper()
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(p.seen); err != nil || w.DUKObject != nil || p.last["secret.duk"] != "" {
		t.Errorf("%v %+v %v", err, w.DUKObject, p.last)
	}
}

// The power is cut at every named write of a run with a disk unlock key.
func TestThePowerIsCutWithADiskUnlockKey(t *testing.T) {
	whole, p := wizardtest.New(), newPaper()
	if err := unattended(whole, p, wantDUK); err != nil {
		t.Fatal(err)
	}
	for n, op := range whole.Ops {
		w, p := wizardtest.New(), newPaper()
		w.Cut(n)
		_ = unattended(w, p, wantDUK)
		if err := w.Intact(p.seen); err != nil {
			t.Fatalf("cut at %d (%s): %v", n, op, err)
		}
		w.Reboot()
		if err := unattended(w, p, wantDUK); err != nil && !(errors.Is(err, wizard.ErrNothingToDo) && !w.Oem) {
			t.Fatalf("cut at %d (%s), then continued: %v", n, op, err)
		}
		mustHaveDUK(t, w, p)
	}
}

// What the firmware loads is not known: the key is left to its own menu, and one that
// an earlier start has made is taken away again.
func TestDiskUnlockKeyLeftToTheFirmware(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.Modules = true
	if err := unattended(w, p, wantDUK); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(p.seen); err != nil || w.DUKObject != nil {
		t.Fatal(err, w.DUKObject)
	}
	// The page says which of the two reasons it is.
	for name, why := range map[bool]msg.M{false: msg.DUKNotNowWhy, true: msg.DUKNotNowName} {
		w, p := wizardtest.New(), newPaper()
		w.Modules, w.OwnName = !name, name
		told := false
		u := watched{UI: yes(w, p, wantDUK), tasks: func(ui.Tasks) {}, page: func(page *ui.Page) {
			told = told || page.Key == "duk-left" && strings.Contains(fmt.Sprint(page.Body), why.In(msg.EN))
		}}
		err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{})
		u.Close()
		if err != nil || !told || w.DUKObject != nil {
			t.Errorf("%v, told %v", err, told)
		}
	}
	for _, cut := range []string{"duk.addslot.done", "duk.seal", "duk.seal.done", "boot.stage.done", "flash.block.1",
		"boot.install.done"} {
		w, p := wizardtest.New(), newPaper()
		w.FailOnce(cut, wizardtest.ErrCut)
		if err := unattended(w, p, wantDUK); !errors.Is(err, wizardtest.ErrCut) {
			t.Fatalf("%s: %v", cut, err)
		}
		w.Reboot()
		w.Modules = true
		if err := unattended(w, p, nil); err != nil {
			t.Fatalf("%s: %v", cut, err)
		}
		if err := w.Owned(p.seen); err != nil || w.DUKObject != nil {
			t.Errorf("%s: %v, %+v", cut, err, w.DUKObject)
		}
	}
}

// Begun in the recovery shell, where nothing can be sealed: all but that is done, the
// hand-over stays open, and the next start asks only for what it needs.
func TestSealedAfterTheRestart(t *testing.T) {
	for _, extra := range []map[string]string{nil, wantDUK} {
		w, p := wizardtest.New(), newPaper()
		w.Recovery = true
		first := unproven(w)
		for k, v := range extra {
			first[k] = v
		}
		if err := unattended(w, p, first); !errors.Is(err, wizard.ErrRestart) {
			t.Fatalf("the first start: %v", err)
		}
		if !w.Oem || w.Wiped != 1 || p.last["totp"] != "" || p.last["secret.duk"] != "" {
			t.Fatalf("oem %v, wiped %d, secrets %v", w.Oem, w.Wiped, p.last)
		}
		if w.Set.Signer != w.Fprs[0] {
			t.Error("the new start files do not count yet")
		}
		// Once more in the recovery shell: nothing changes.
		before := len(w.Ops)
		if err := unattended(w, p, nil); !errors.Is(err, wizard.ErrRestart) {
			t.Fatalf("the recovery shell again: %v", err)
		}
		for _, op := range w.Ops[before:] {
			if !strings.HasPrefix(op, "append.") && !strings.HasPrefix(op, "hint.kexec_reown.starts") {
				t.Errorf("%s in a start that can do nothing", op)
			}
		}
		w.Reboot()
		w.Recovery = false
		report, err := wizard.Status(t.Context(), w.Machine())
		if err != nil || report.Phase != wizard.Interrupted || report.Next != "seal" {
			t.Fatalf("%v %+v", err, report)
		}
		if err := unattended(w, p, nil); err != nil {
			t.Fatalf("the next start: %v", err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Fatal(err)
		}
		if extra != nil {
			mustHaveDUK(t, w, p)
		}
		if slices.ContainsFunc(w.Ops, func(op string) bool {
			return strings.HasPrefix(op, "flash.") || strings.HasPrefix(op, "disk.") || strings.HasPrefix(op, "tpm.clear") ||
				strings.HasPrefix(op, "card.generate")
		}) {
			t.Errorf("something was done again: %v", w.Ops)
		}
	}
}

// On a machine whose event log never leads to its measurements, the start after the new
// firmware's first measures what was sealed to: one restart is all that it takes.
func TestALogThatNeverReplays(t *testing.T) {
	for _, extra := range []map[string]string{nil, wantDUK} {
		w, p := wizardtest.New(), newPaper()
		w.NoLog = true
		if err := unattended(w, p, extra); !errors.Is(err, wizard.ErrRestart) {
			t.Fatalf("the first start: %v", err)
		}
		w.Reboot()
		if err := unattended(w, p, nil); err != nil {
			t.Fatalf("the next start: %v", err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Fatal(err)
		}
		if extra != nil {
			mustHaveDUK(t, w, p)
		}
	}
}

// The same with the power cut at every write of both starts.
func TestThePowerIsCutAroundTheRestart(t *testing.T) {
	cutAroundTheRestart(t, false, map[string]string{"verify": "unproven", "unproven-serial": "NL0T", "duk": "yes"})
	cutAroundTheRestart(t, true, wantDUK)
}

func cutAroundTheRestart(t *testing.T, noLog bool, first map[string]string) {
	t.Helper()
	begun := func() (*wizardtest.World, *paper) {
		w := wizardtest.New()
		w.Recovery, w.NoLog = !noLog, noLog
		return w, newPaper()
	}
	w, p := begun()
	_ = unattended(w, p, first)
	n := len(w.Ops)
	w.Reboot()
	w.Recovery = false
	_ = unattended(w, p, wantDUK)
	total := n + len(w.Ops)
	if w.Oem || total <= n {
		t.Fatalf("%d of %d points", n, total)
	}
	for i := range total {
		w, p := begun()
		if i < n {
			w.Cut(i)
		}
		_ = unattended(w, p, first)
		if err := w.Intact(p.seen); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		w.Reboot()
		w.Recovery = false
		if i >= n {
			w.Cut(i - n)
			_ = unattended(w, p, wantDUK)
			if err := w.Intact(p.seen); err != nil {
				t.Fatalf("cut %d: %v", i, err)
			}
			w.Reboot()
		}
		err := unattended(w, p, wantDUK)
		if noLog && i < n && errors.Is(err, wizard.ErrRestart) { // the first start with the new firmware is still to come
			w.Reboot()
			err = unattended(w, p, wantDUK)
		}
		if err != nil && !(errors.Is(err, wizard.ErrNothingToDo) && !w.Oem) {
			t.Fatalf("cut %d: %v", i, err)
		}
		mustHaveDUK(t, w, p)
	}
	t.Logf("%d points", total)
}

// A TPM 1.2 may ask for a restart in the middle of its reset, or for its counter.
func TestTheTPMAsksForARestart(t *testing.T) {
	for _, op := range []string{"tpm.owner", "tpm.counter"} {
		w, p := wizardtest.New(), newPaper()
		w.FailOnce(op, wizard.ErrRestart)
		if err := unattended(w, p, nil); !errors.Is(err, wizard.ErrRestart) {
			t.Fatalf("%s: %v", op, err)
		}
		if w.Wiped != 1 {
			t.Errorf("%s: secrets were not wiped", op)
		}
		w.Reboot()
		if err := unattended(w, p, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
	}
}

// A TPM that somebody owns but whose reset did not come to its end is not done.
func TestAHalfSetUpTPMIsNotDone(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.FailOnce("boot.stage", wizardtest.ErrCut)
	if err := unattended(w, p, nil); !errors.Is(err, wizardtest.ErrCut) {
		t.Fatal(err)
	}
	w.Reboot()
	w.HalfSetUp = true
	report, err := wizard.Status(t.Context(), w.Machine())
	if err != nil || report.Next != "tpm" {
		t.Fatalf("%v, next is %q", err, report.Next)
	}
	if err := unattended(w, p, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(p.seen); err != nil {
		t.Fatal(err)
	}
}

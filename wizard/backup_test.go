package wizard_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/ui/answers"
	"reown/wizard/wizardtest"
)

// hands are a run without a person, but for somebody who swaps the security keys
// when a page asks for it.
type hands struct {
	answers.UI
	w     *wizardtest.World
	pages []string
	look  func(p *ui.Page)
}

func (h *hands) Ask(ctx context.Context, p *ui.Page) (string, error) {
	h.pages = append(h.pages, p.Key)
	if h.look != nil {
		h.look(p)
	}
	swap(h.w, p.Key)
	return h.UI.Ask(ctx, p)
}

// swap does what a page asks for.
func swap(w *wizardtest.World, page string) {
	switch page {
	case "plug.spare":
		w.CardIn, w.Spare.CardIn = false, true
	case "plug.main":
		w.CardIn, w.Spare.CardIn = true, false
	}
}

// withBackup is a run that keeps the keys in a second place as well.
func withBackup(w *wizardtest.World, p *paper, kind wizard.Backup) (*hands, error) {
	return runWithHands(w, p, map[string]string{"backup": string(kind)})
}

func runWithHands(w *wizardtest.World, p *paper, extra map[string]string) (*hands, error) {
	s := &answers.Secrets{}
	set := func(k, v string) {
		b := secret.From([]byte(v))
		s.Set(k, b)
		b.Wipe()
	}
	for k, v := range p.last {
		set(k, v)
	}
	current := wizardtest.SellerPassphrase
	if v := w.Disks[0]; v.NewKey == "" && len(v.Slots) > 0 {
		current = v.Slots[0]
	}
	set("secret.current", current)
	swap(w, "plug.main")
	h := &hands{w: w, UI: answers.UI{Secrets: s, Out: p,
		Answers: map[string]string{"language": "en", "verify": "match", "confirm": "NL0T"}}}
	maps.Copy(h.Answers, extra)
	defer h.Close()
	return h, wizard.Run(context.Background(), w.Machine(), h, wizard.Options{})
}

// certified is the backup that the certificate of a finished run tells of.
func certified(w *wizardtest.World) wizard.Backup {
	var c wizard.Certificate
	if err := json.Unmarshal(w.Hints["kexec_reown.certificate.json"], &c); err != nil || c.Run == nil {
		return "?"
	}
	return c.Run.Backup
}

var backups = []wizard.Backup{wizard.StickBackup, wizard.SpareBackup}

func TestKeysInTwoPlaces(t *testing.T) {
	for _, kind := range backups {
		t.Run(string(kind), func(t *testing.T) {
			w, p := wizardtest.New(), newPaper()
			h, err := withBackup(w, p, kind)
			if err != nil {
				t.Fatalf("%v after %v", err, h.pages)
			}
			if err := errors.Join(w.Owned(p.seen), w.BackedUp(kind, p.seen)); err != nil {
				t.Fatal(err)
			}
			// The first security key is touched when the second one is ready.
			first := map[string]int{}
			for i, op := range w.Ops {
				if _, seen := first[op]; !seen {
					first[op] = i
				}
			}
			if kind == wizard.StickBackup && first["stick.1.done"] > first["card.terminate"] {
				t.Errorf("the security key was erased before its backup was written: %v", w.Ops)
			}
			if said := certified(w); said != kind ||
				strings.Contains(string(w.Hints["kexec_reown.certificate.json"]), "77777777") != (kind == wizard.SpareBackup) {
				t.Errorf("the certificate says that the backup is %q", said)
			}
		})
	}
}

// Wherever the run is cut, nothing is lost, and the next one ends with the same keys
// in both places.
func TestABackupIsCutAnywhere(t *testing.T) {
	for _, kind := range backups {
		t.Run(string(kind), func(t *testing.T) {
			whole, p := wizardtest.New(), newPaper()
			if _, err := withBackup(whole, p, kind); err != nil {
				t.Fatal(err)
			}
			points := len(whole.Ops)
			for n := range points {
				w, p := wizardtest.New(), newPaper()
				w.Cut(n)
				_, err := withBackup(w, p, kind)
				at := w.Ops[len(w.Ops)-1]
				if err == nil && w.Oem {
					t.Fatalf("cut at %d (%s): the run did not notice", n, at)
				}
				if lost := w.Intact(p.seen); lost != nil {
					t.Fatalf("cut at %d (%s): %v", n, at, lost)
				}
				w.Reboot()
				if _, err = withBackup(w, p, kind); err != nil && !(errors.Is(err, wizard.ErrNothingToDo) && !w.Oem) {
					t.Fatalf("cut at %d (%s), then continued: %v", n, at, err)
				}
				if err := errors.Join(w.Owned(p.seen), w.BackedUp(kind, p.seen)); err != nil {
					t.Fatalf("cut at %d (%s), then continued: %v", n, at, err)
				}
			}
			t.Logf("%d points", points)
		})
	}
}

// Every write fails once; trying again in the same run, or in the next, ends with
// the same keys in both places.
func TestABackupFailsOnce(t *testing.T) {
	bad := errors.New("device error 42")
	for _, kind := range backups {
		whole, p := wizardtest.New(), newPaper()
		if _, err := withBackup(whole, p, kind); err != nil {
			t.Fatal(err)
		}
		tried := map[string]bool{}
		for _, op := range whole.Ops {
			if tried[op] || !strings.HasPrefix(op, "card.") && !strings.HasPrefix(op, "stick.") {
				continue
			}
			tried[op] = true
			w, p := wizardtest.New(), newPaper()
			w.FailOnce(op, bad)
			if _, err := withBackup(w, p, kind); !errors.Is(err, bad) {
				t.Errorf("%s: %s failed: the run said %v", kind, op, err)
			}
			if err := w.Intact(p.seen); err != nil {
				t.Errorf("%s: %s failed: %v", kind, op, err)
			}
			if _, err := withBackup(w, p, kind); err != nil {
				t.Errorf("%s: %s failed, then continued: %v", kind, op, err)
			}
			if err := errors.Join(w.Owned(p.seen), w.BackedUp(kind, p.seen)); err != nil {
				t.Errorf("%s: %s failed, then continued: %v", kind, op, err)
			}
		}
		t.Logf("%s: %d kinds of writes", kind, len(tried))
	}
}

// A person who does not follow the pages, or changes their mind, is told so.
func TestTheSwapGoesWrong(t *testing.T) {
	check := func(t *testing.T, page string, prepare func(*wizardtest.World), want string) {
		t.Helper()
		w, p := wizardtest.New(), newPaper()
		h := &hands{w: w}
		h.UI = answers.UI{Out: p, Secrets: &answers.Secrets{},
			Answers: map[string]string{"verify": "match", "confirm": "NL0T", "backup": "card"}}
		b := secret.From([]byte(wizardtest.SellerPassphrase))
		h.Secrets.Set("secret.current", b)
		u := &stubborn{hands: h, page: page, prepare: prepare}
		err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{Language: "en"})
		var problem ui.Problem
		if !errors.As(err, &problem) || !strings.Contains(string(problem), want) {
			t.Errorf("%s: %v, want %q", page, err, want)
		}
		if err := w.Intact(p.seen); err != nil {
			t.Error(err)
		}
	}
	check(t, "plug.spare", func(w *wizardtest.World) {}, "still the first")
	check(t, "plug.spare", func(w *wizardtest.World) { w.CardIn = false }, "No security key")
	check(t, "plug.spare", func(w *wizardtest.World) { w.Spare.CardIn = true }, "only one")
	other := func(f func(*wizardtest.CardState)) func(*wizardtest.World) {
		return func(w *wizardtest.World) {
			swap(w, "plug.spare")
			f(&w.Spare)
		}
	}
	check(t, "plug.spare", other(func(c *wizardtest.CardState) { c.NoReset = true }), "no factory reset")
	check(t, "plug.spare", other(func(c *wizardtest.CardState) { c.MinPIN = 40 }), "40 to 127")
	check(t, "plug.spare", other(func(c *wizardtest.CardState) { c.MaxPIN = 6 }), "yours do not fit")
	check(t, "plug.main", func(w *wizardtest.World) {}, "not the first")
	check(t, "plug.main", func(w *wizardtest.World) { w.Spare.CardIn = false }, "No security key")
}

// stubborn does something else than a page asks for.
type stubborn struct {
	*hands
	page    string
	prepare func(*wizardtest.World)
}

func (s *stubborn) Ask(ctx context.Context, p *ui.Page) (string, error) {
	if p.Key == s.page {
		s.prepare(s.w)
		return s.UI.Ask(ctx, p)
	}
	return s.hands.Ask(ctx, p)
}

// Without the second key, and without the stick, the run goes on as without a
// backup, if the person says so.
func TestGoingOnWithoutABackup(t *testing.T) {
	for _, kind := range backups {
		w, p := wizardtest.New(), newPaper()
		h := &hands{w: w}
		h.UI = answers.UI{Out: p, Secrets: &answers.Secrets{},
			Answers: map[string]string{"verify": "match", "confirm": "NL0T", "backup": string(kind), "plug.spare": "without",
				"plug.stick": "without"}}
		h.look = func(p *ui.Page) {
			if p.Key == "check" {
				w.StickIn = false // pulled out again
			}
		}
		h.Secrets.Set("secret.current", secret.From([]byte(wizardtest.SellerPassphrase)))
		u := &stubborn{hands: h, page: "plug.spare", prepare: func(*wizardtest.World) {}}
		if err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{Language: "en"}); err != nil {
			t.Fatalf("%s: %v after %v", kind, err, h.pages)
		}
		if err := w.Owned(p.seen); err != nil {
			t.Error(err)
		}
		if w.BackedUp(kind, p.seen) == nil || certified(w) != "" {
			t.Errorf("%s: there is a backup", kind)
		}
	}
}

// The certificate goes to a stick as well, if the owner likes, with what gpg needs to
// verify it; a stick that fails is told, and another one taken.
func TestTheCertificateOnAStick(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	failed := false
	w.Fault = func(op string) error {
		if op == "stick.1" && !failed {
			failed = true
			return errors.New("device error 42")
		}
		return nil
	}
	h := &hands{w: w, UI: answers.UI{Out: p, Secrets: &answers.Secrets{},
		Answers: map[string]string{"verify": "match", "confirm": "NL0T", "done": "stick", "copy": "sdb1"}}}
	h.Secrets.Set("secret.current", secret.From([]byte(wizardtest.SellerPassphrase)))
	if err := wizard.Run(t.Context(), w.Machine(), h, wizard.Options{Language: "en"}); err != nil {
		t.Fatal(err)
	}
	if n := len(h.pages); !failed || strings.Join(h.pages[n-4:], " ") != "done copy copy copied" {
		t.Errorf("the pages were %v", h.pages)
	}
	var names []string
	for name, data := range w.Stick {
		if name != "holiday.jpg" && len(data) > 0 {
			names = append(names, name[strings.IndexAny(name, ".k"):])
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != ".json .json.asc .txt .txt.asc key.pgp" {
		t.Errorf("on the stick are %s", got)
	}
}

// A token that could not show the green light, and a card that cannot be reset, are
// refused before anything is changed.
func TestAUselessKeyIsRefused(t *testing.T) {
	for problem, spoil := range map[string]func(*wizardtest.World){
		"token": func(w *wizardtest.World) { w.NoHOTP = true },
		"card":  func(w *wizardtest.World) { w.NoReset = true },
	} {
		w, p := wizardtest.New(), newPaper()
		spoil(w)
		var refused *wizard.PreflightError
		if err := unattended(w, p, nil); !errors.As(err, &refused) || refused.Problems[0].ID != problem {
			t.Errorf("%s: %v", problem, err)
		}
		for _, op := range w.Ops {
			if !strings.Contains(op, "kexec_reown") {
				t.Errorf("%s: %s was done", problem, op)
			}
		}
	}
}

// A security key that is plugged in after the program has started gets its green light
// like one that was there.
func TestATokenThatComesLate(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	w.HasToken, w.CardIn = false, false
	h := &hands{w: w, UI: answers.UI{Out: p, Secrets: &answers.Secrets{},
		Answers: map[string]string{"verify": "match", "confirm": "NL0T", "card": "retry"}}}
	h.look = func(p *ui.Page) {
		if p.Key == "card" {
			w.HasToken, w.CardIn = true, true
		}
	}
	h.Secrets.Set("secret.current", secret.From([]byte(wizardtest.SellerPassphrase)))
	if err := wizard.Run(t.Context(), w.Machine(), h, wizard.Options{}); err != nil {
		t.Fatalf("%v after %v", err, h.pages)
	}
	if err := w.Owned(p.seen); err != nil {
		t.Error(err)
	}
	if w.TokenOTP != w.Sealed.OTP {
		t.Error("the token has no secret")
	}
}

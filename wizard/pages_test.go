package wizard_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// reader is a front end without a screen for a person who reads each page before they
// answer it. see may change what they will say.
type reader struct {
	*wizardtest.Person
	see  func(*ui.Page)
	line func(*ui.Page, *ui.Input) string // "": as the person would
	text map[string]string                // what stood on each page, when it was last shown
}

func newReader(w *wizardtest.World) *reader {
	return &reader{Person: wizardtest.NewPerson(w), text: map[string]string{}}
}

func (r *reader) Ask(ctx context.Context, pg *ui.Page) (string, error) {
	body, text := pg.Body, ""
	if pg.Live != nil {
		body = pg.Live()
	}
	for _, b := range body {
		text += b.Mark.String() + " " + b.Label + " " + b.Text + "\n"
	}
	r.text[pg.Key] = pg.Status + "\n" + text
	if r.see != nil {
		r.see(pg)
	}
	if len(r.Pages) > 200 {
		return "", errors.New("the pages lead in a circle")
	}
	id, _ := r.Choose(pg)
	if !wizardtest.Types(pg, id) {
		return id, nil
	}
	for _, in := range pg.Inputs {
		typed := ""
		if r.line != nil {
			typed = r.line(pg, in)
		}
		if typed == "" {
			typed = r.Line(pg, in, wizardtest.Shown(pg))
		}
		if in.Secret == nil {
			in.Value = typed
			continue
		}
		in.Secret.SetLen(len(typed))
		copy(in.Secret.Bytes(), typed)
	}
	if pg.Check != nil {
		if err := pg.Check(ctx); err != nil {
			return "", err
		}
	}
	return id, nil
}

func (r *reader) Watch(ctx context.Context, _ string, work func(context.Context, func(ui.Tasks)) error) error {
	return work(ctx, func(ui.Tasks) {})
}

// cutAt ends a run at a named write.
func cutAt(w *wizardtest.World, op string) {
	w.Fault = func(o string) error {
		if o == op {
			return wizardtest.ErrCut
		}
		return nil
	}
}

// cutRun is a run that ends at a named write, and the next start.
func cutRun(t *testing.T, w *wizardtest.World, r *reader, op string) {
	t.Helper()
	cutAt(w, op)
	if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizardtest.ErrCut) {
		t.Fatalf("the first run was not cut: %v", err)
	}
	w.Reboot()
	r.Pages = nil
}

// fedora has its rescue kernel first, as file names have it.
func fedora(w *wizardtest.World) {
	w.Entries = []string{"Fedora (0-rescue)", "Fedora (6.9)", "Fedora (6.10)", "odd"}
	w.Uncertain = []bool{false, false, false, true}
	w.Suggested, w.SignedEntry = 2, -1
}

// TestDefaultEntry: the entry that starts by default is the seller's, if his signature
// covers it, then the one to suggest; what the buyer chose counts, after a cut as well.
func TestDefaultEntry(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*wizardtest.World)
		say  string // on the entry page
		want string
	}{
		{"suggested", func(*wizardtest.World) {}, "", "Fedora (6.10)"},
		{"signed", func(w *wizardtest.World) { w.SignedEntry = 1 }, "", "Fedora (6.9)"},
		{"chosen", func(w *wizardtest.World) { w.SignedEntry = 1 }, "0", "Fedora (0-rescue)"},
	} {
		for _, cut := range []string{"", "card.activate", "tpm.clear"} {
			if cut == "card.activate" && c.say != "" {
				continue // nothing can have kept it
			}
			w := wizardtest.New()
			fedora(w)
			c.with(w)
			r := newReader(w)
			if c.say != "" {
				r.Say = map[string]string{"check": "change", "change": "entry", "entry": c.say}
			}
			if cut != "" {
				cutRun(t, w, r, cut)
			}
			err := wizardtest.Run(w, r, "en")
			if err != nil || w.Set.Entry != c.want {
				t.Errorf("%s, cut at %q: %v, %q starts by default, want %q", c.name, cut, err, w.Set.Entry, c.want)
			}
			if !strings.Contains(r.text["check"]+r.text["resume"], "Starts by default: "+c.want) {
				t.Errorf("%s, cut at %q: nothing says what will start:\n%s%s", c.name, cut, r.text["check"], r.text["resume"])
			}
		}
	}
}

// TestEntryGoneAtResume: a menu that has moved meanwhile does not move the choice.
func TestEntryGoneAtResume(t *testing.T) {
	for _, c := range []struct {
		now  []string
		want string
	}{
		{[]string{"new", "Fedora (0-rescue)", "Fedora (6.9)", "Fedora (6.10)"}, "Fedora (6.9)"},
		{[]string{"new", "Fedora (0-rescue)", "other", "Fedora (6.10)"}, "other"},
	} {
		w := wizardtest.New()
		fedora(w)
		r := newReader(w)
		r.Say = map[string]string{"check": "change", "change": "entry", "entry": "1"}
		cutRun(t, w, r, "tpm.clear")
		w.Entries, w.Uncertain = c.now, nil
		if err := wizardtest.Run(w, r, "en"); err != nil || w.Set.Entry != c.want {
			t.Errorf("%v: %v, %q", c.now, err, w.Set.Entry)
		}
	}
}

// TestUncertainEntry: what cannot be the default is not offered, and without any other
// nothing is erased.
func TestUncertainEntry(t *testing.T) {
	w := wizardtest.New()
	fedora(w)
	r := newReader(w)
	r.Say = map[string]string{"check": "change", "change": "entry"}
	offered := 0
	r.see = func(pg *ui.Page) {
		for _, c := range pg.Choices {
			if pg.Key == "entry" && c.ID == "3" {
				t.Error("an entry that cannot be the default is offered")
			}
			if pg.Key == "entry" {
				if pg.Choices[pg.Default].ID != "2" {
					t.Errorf("the focus is on %+v", pg.Choices[pg.Default])
				}
				offered++
			}
		}
	}
	if err := wizardtest.Run(w, r, "en"); err != nil || offered != 3 {
		t.Errorf("%v, %d offered", err, offered)
	}

	w = wizardtest.New()
	w.Entries, w.Uncertain, w.Suggested, w.SignedEntry = []string{"odd"}, []bool{true}, -1, -1
	before := w.Fprs
	r = newReader(w)
	r.Say = map[string]string{"problems": ui.Leave}
	var p *wizard.PreflightError
	if err := wizardtest.Run(w, r, "en"); !errors.As(err, &p) || p.Problems[0].ID != "entries" || w.Fprs != before {
		t.Errorf("%v", err)
	}
	// One step alone must not sign a /boot without a default either.
	w = wizardtest.New()
	r = newReader(w)
	cutRun(t, w, r, "boot.stage")
	w.Entries, w.Uncertain, w.Suggested, w.SignedEntry = []string{"odd"}, []bool{true}, -1, -1
	keys := &wizard.Keys{User: secret.From([]byte(w.UserPIN)), Owner: secret.From([]byte(w.Owner)),
		Disk: secret.From([]byte(w.Disks[0].Slots[0]))}
	defer keys.Wipe()
	if err := wizard.RunStep(t.Context(), w.Machine(), "boot", wizard.Choices{}, keys, nil); !errors.As(err, &p) ||
		w.Stage != nil {
		t.Errorf("%v", err)
	}
}

// keyboard has one layout at a time.
type keyboard struct {
	now  string
	fail bool
}

func (k *keyboard) Layouts() []string {
	all := []string{k.now}
	for _, n := range []string{"us", "de", "fr"} {
		if n != k.now {
			all = append(all, n)
		}
	}
	return all
}

func (k *keyboard) Load(name string) error {
	if k.fail {
		return errors.New("not allowed")
	}
	k.now = name
	return nil
}

func (k *keyboard) Moves([]byte) bool { return false }

// TestLayoutAfterACut: after a restart the console has the firmware's layout again. The
// one that was chosen is loaded, and where that fails none is claimed that is not there.
func TestLayoutAfterACut(t *testing.T) {
	for _, fail := range []bool{false, true} {
		w := wizardtest.New()
		r := newReader(w)
		k := &keyboard{now: "us"}
		o := wizard.Options{Language: "en", Keyboard: k}
		r.Say = map[string]string{"keyboard": "de"}
		cutAt(w, "disk.chunk")
		if err := wizard.Run(t.Context(), w.Machine(), r, o); !errors.Is(err, wizardtest.ErrCut) || k.now != "de" {
			t.Fatalf("%v, layout %s", err, k.now)
		}
		w.Reboot()
		k.now, k.fail = "us", fail
		offered := ""
		r.see = func(pg *ui.Page) {
			if pg.Key == "keyboard" {
				for _, c := range pg.Choices {
					offered += c.ID + " "
				}
			}
		}
		if err := wizard.Run(t.Context(), w.Machine(), r, o); err != nil {
			t.Fatal(err)
		}
		want, others := "de", "continue us fr "
		if fail {
			want, others = "us", "continue de fr "
		}
		if k.now != want || offered != others || !strings.Contains(r.text["keyboard"], "Keyboard: "+want+" ") {
			t.Errorf("load fails %v: the layout is %s, offered %q, shown:\n%s", fail, k.now, offered, r.text["keyboard"])
		}
	}
}

const second = "22222222-bbbb"

// secondDisk is another one, with a passphrase of its own.
func secondDisk(r *reader) {
	w := r.W
	w.AddDisk(second, "WD-1234")
	w.Disks[1].Slots = []string{"of-the-second"}
	asked := ""
	see := r.see
	r.see = func(pg *ui.Page) {
		if pg.Key == "current" {
			asked = r.text["current"]
		}
		if see != nil {
			see(pg)
		}
	}
	r.line = func(pg *ui.Page, in *ui.Input) string {
		switch {
		case in.Key != "secret.current":
			return ""
		case strings.Contains(asked, "WD-1234"):
			return w.Disks[1].Slots[0]
		}
		return w.Disks[0].Slots[0]
	}
}

// TestDiskPutBackIn: a disk that was left out is taken in again with the passphrase that
// opens it, not with none.
func TestDiskPutBackIn(t *testing.T) {
	w := wizardtest.New()
	r := newReader(w)
	secondDisk(r)
	r.Say = map[string]string{"current": "continue leave-out", "disks": "disk-" + second}
	if err := wizardtest.Run(w, r, "en"); err != nil {
		t.Fatal(err)
	}
	if err := w.Owned(r.Known()); err != nil {
		t.Error(err)
	}
	if got := strings.Join(r.Pages, " "); strings.Count(got, "current") != 3 ||
		!strings.Contains(got, "disks current disks") {
		t.Error(got)
	}
	// One that is only taken out and in again is not asked for twice.
	w = wizardtest.New()
	r = newReader(w)
	secondDisk(r)
	r.Say = map[string]string{"disks": "disk-" + second + " disk-" + second}
	if err := wizardtest.Run(w, r, "en"); err != nil || strings.Count(strings.Join(r.Pages, " "), "current") != 2 {
		t.Errorf("%v %v", err, r.Pages)
	}
}

// TestLeaveOutOnResume: a disk that the receipt lists cannot be left out by a page that
// the steps do not look at.
func TestLeaveOutOnResume(t *testing.T) {
	for cut, offered := range map[string]bool{"disk.chunk": false, "hint.kexec_reown.receipt": true} {
		w := wizardtest.New()
		r := newReader(w)
		secondDisk(r)
		cutRun(t, w, r, cut)
		see := r.see
		out := false
		r.see = func(pg *ui.Page) {
			see(pg)
			for _, c := range pg.Choices {
				if c.ID == "leave-out" && strings.Contains(r.text["current"], "WD-1234") {
					out, r.Say["current"] = true, "leave-out"
				}
			}
		}
		if err := wizardtest.Run(w, r, "en"); err != nil || out != offered {
			t.Errorf("cut at %s: %v, leaving out was offered: %v", cut, err, out)
		}
		if left := w.Disks[1].Slots[0] == "of-the-second"; left != offered {
			t.Errorf("cut at %s: left out %v", cut, left)
		}
	}
}

// TestNoPassphraseForADisk: the step alone takes the new passphrase for the present one
// only where it is that.
func TestNoPassphraseForADisk(t *testing.T) {
	w := wizardtest.New()
	r := newReader(w)
	secondDisk(r)
	cutRun(t, w, r, "disk.chunk")
	pass := r.Paper["disk"]
	w.Disks[1].Slots = []string{"another"}
	run := func() error {
		keys := &wizard.Keys{Disk: secret.From([]byte(pass)), User: secret.From([]byte(w.UserPIN))}
		defer keys.Wipe()
		return wizard.RunStep(t.Context(), w.Machine(), "disk", wizard.Choices{}, keys, nil)
	}
	if err := run(); !errors.Is(err, wizard.ErrWrongSecret) || !strings.Contains(err.Error(), "present passphrase") {
		t.Errorf("%v", err)
	}
	w.Disks[1].Slots = []string{pass}
	if err := run(); err != nil {
		t.Error(err)
	}
}

// TestLeftOutIsNamed: where a disk stays the seller's, the page before the first change,
// the last page and the certificate say which, and none says that nothing of his is left.
func TestLeftOutIsNamed(t *testing.T) {
	for _, own := range []string{"of-the-second", wizardtest.SellerPassphrase} {
		w := wizardtest.New()
		r := newReader(w)
		secondDisk(r)
		w.Disks[1].Slots = []string{own}
		r.Say = map[string]string{"disks": "disk-" + second}
		if own != wizardtest.SellerPassphrase {
			r.Say = map[string]string{"current": "continue leave-out"} // nobody knows it
		}
		if err := wizardtest.Run(w, r, "en"); err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"check": r.text["check"], "done": r.text["done"],
			"certificate": string(w.Hints["kexec_reown.certificate"])} {
			name := "WD-1234"
			if what == "certificate" {
				name = second
			}
			if !strings.Contains(text, name) || !strings.Contains(text,
				"A disk that is left out keeps the seller's passphrase and key") {
				t.Errorf("%s does not name it:\n%s", what, text)
			}
			for _, no := range []string{"None of", "Nothing that the seller had", "seller's access ends"} {
				if strings.Contains(text, no) {
					t.Errorf("%s says %q:\n%s", what, no, text)
				}
			}
			bad := strings.Contains(strings.ReplaceAll(text, "  ", " "), "[!!] the old disk passphrase opens no disk")
			if opens := own == wizardtest.SellerPassphrase; what != "check" && bad != opens {
				t.Errorf("%s: the old passphrase opens it: %v, and\n%s", what, opens, text)
			}
		}
	}
	// Without such a disk only what nobody has looked at is missing.
	w := wizardtest.New()
	r := newReader(w)
	if err := wizardtest.Run(w, r, "en"); err != nil || !strings.Contains(r.text["check"], "seller's access ends") ||
		!strings.Contains(r.text["done"], "8 of 10") ||
		!strings.Contains(string(w.Hints["kexec_reown.certificate"]), "8 of 10") {
		t.Errorf("%v\n%s", err, r.text["done"])
	}
}

// TestCardAtTheStart: what is wrong with the security key at the start does not end the
// wizard: it is said, and looked at once more.
func TestCardAtTheStart(t *testing.T) {
	broken := errors.New("wizardtest: the reader does not answer")
	for _, c := range []struct {
		name      string
		with, out func(*wizardtest.World)
		says      string
		err       error
	}{
		{"none", func(w *wizardtest.World) { w.CardIn = false }, func(w *wizardtest.World) { w.CardIn = true },
			"Plug in your security key.", wizard.ErrNoCard},
		{"two", func(w *wizardtest.World) { w.Spare.CardIn = true }, func(w *wizardtest.World) { w.Spare.CardIn = false },
			"Leave only one security key plugged in.", wizard.ErrSeveralCards},
		{"broken", func(w *wizardtest.World) { w.CardError = broken }, func(w *wizardtest.World) { w.CardError = nil },
			"The card cannot be used: " + broken.Error(), broken},
	} {
		for _, op := range []string{"", "tpm.clear"} { // a first start, and one after a cut
			w := wizardtest.New()
			r := newReader(w)
			if op != "" {
				cutRun(t, w, r, op)
			}
			c.with(w)
			r.Say = map[string]string{"card": ui.Leave}
			if err := wizardtest.Run(w, r, "en"); !errors.Is(err, ui.ErrLeft) || !errors.Is(err, c.err) ||
				!strings.Contains(r.text["card"], c.says) {
				t.Errorf("%s after %q: %v\n%s", c.name, op, err, r.text["card"])
			}
			if strings.Contains(r.text["card"], "othing") {
				t.Errorf("%s after %q: says what it does not know:\n%s", c.name, op, r.text["card"])
			}
			r.Say = map[string]string{"card": "retry"}
			r.see = func(pg *ui.Page) {
				if pg.Key == "card" {
					c.out(w)
				}
			}
			if err := wizardtest.Run(w, r, "en"); err != nil {
				t.Errorf("%s after %q: %v", c.name, op, err)
			}
		}
	}
}

// TestStopOnResume: who stops in the middle of a run is not told that nothing was changed.
func TestStopOnResume(t *testing.T) {
	for _, cut := range []bool{false, true} {
		w := wizardtest.New()
		r := newReader(w)
		if cut {
			cutRun(t, w, r, "tpm.clear")
		}
		w.Files = "changed"
		r.Say = map[string]string{"verify": "stop", "stop": "end"}
		if !cut { // at delivery, that is an alarm before anything is asked
			if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizard.ErrTampering) {
				t.Fatal(err)
			}
			continue
		}
		if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizard.ErrNotVerified) {
			t.Fatal(err)
		}
		if strings.Contains(r.text["stop"], "Nothing has been changed") == cut ||
			strings.Contains(r.text["stop"], "stays done") != cut {
			t.Errorf("after a cut %v:\n%s", cut, r.text["stop"])
		}
	}
}

// TestProblemsOnResume: neither does the page of what must be put right.
func TestProblemsOnResume(t *testing.T) {
	w := wizardtest.New()
	r := newReader(w)
	cutRun(t, w, r, "tpm.clear")
	w.Full = true
	r.Say = map[string]string{"problems": ui.Leave}
	if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizard.ErrPaused) ||
		!strings.Contains(r.text["problems"], "no room") || strings.Contains(r.text["problems"], "changed") {
		t.Errorf("%v\n%s", err, r.text["problems"])
	}
}

// TestBlockedAfterTheChip: once the firmware holds the new key there is no beginning anew,
// and a blocked PIN is a page that says what helps, with a way off it.
func TestBlockedAfterTheChip(t *testing.T) {
	for _, which := range []int{0, 2} {
		w := wizardtest.New()
		w.Recovery = true
		r := newReader(w)
		r.Say = map[string]string{"verify": "unproven"}
		if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizard.ErrRestart) {
			t.Fatal(err)
		}
		w.Reboot()
		w.Recovery, w.Tries[which] = false, 0
		r.Say = map[string]string{"blocked": "continue " + ui.Leave}
		r.see = func(pg *ui.Page) {
			for _, c := range pg.Choices {
				if c.ID == "anew" {
					t.Error("beginning anew is offered")
				}
			}
		}
		if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizard.ErrPaused) {
			t.Errorf("%v, %v", err, r.Pages)
		}
		if text := r.text["blocked"]; strings.Contains(text, "begin") || !strings.Contains(text, "reown card pin unblock") {
			t.Errorf("it says:\n%s", text)
		}
		// When it is set anew in the recovery shell, the run goes on.
		w.Tries[which] = 3
		if err := wizardtest.Run(w, r, "en"); err != nil {
			t.Error(err)
		}
	}
}

// TestBlockedByTyping: the same where the last try is lost on the page itself.
func TestBlockedByTyping(t *testing.T) {
	for _, flashed := range []bool{false, true} {
		w := wizardtest.New()
		r := newReader(w)
		if flashed {
			w.Recovery = true
			r.Say = map[string]string{"verify": "unproven"}
			if err := wizardtest.Run(w, r, "en"); !errors.Is(err, wizard.ErrRestart) {
				t.Fatal(err)
			}
			w.Reboot()
			w.Recovery = false
		} else {
			cutRun(t, w, r, "tpm.clear")
		}
		w.Tries[0] = 1
		r.line = func(pg *ui.Page, in *ui.Input) string {
			if pg.Key == "paper.user" {
				return "wrong-one"
			}
			return ""
		}
		err := wizardtest.Run(w, r, "en")
		var p ui.Problem
		if !errors.As(err, &p) || strings.Contains(string(p), "did not begin") == flashed ||
			strings.Contains(string(p), "pin unblock") != flashed {
			t.Errorf("flashed %v: %v", flashed, err)
		}
	}
}

package tui

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

var update = flag.Bool("update", false, "write the screens instead of comparing them")

// scenario is a conversation; together they show every page.
type scenario struct {
	name  string
	world func(*wizardtest.World)
	say   map[string]string
	cut   string // a first run ends at this named write, the screens are those of the second
	want  error  // of the last run
}

var scenarios = []scenario{
	{name: "journey", say: map[string]string{"language": "en", "check": "start"}},
	{name: "anew-language", say: map[string]string{"keyboard": "de", "check": "start"}},
	{name: "no-layout", say: map[string]string{"keyboard": "fr", "check": "start"}},
	{name: "not-sure", say: map[string]string{"verify": "stop", "stop": "end"}, want: wizard.ErrNotVerified},
	{name: "clock", say: map[string]string{"verify": "stop", "stop": "clock", "check": "start"}},
	{name: "unproven", world: func(w *wizardtest.World) { w.Files = "changed" }, say: map[string]string{"verify": "unproven", "check": "start"}},
	{name: "own", say: map[string]string{"secrets": "own", "check": "start"}},
	{name: "change", say: map[string]string{"check": "change", "change": "name"}},
	{name: "entry", say: map[string]string{"check": "change", "change": "entry", "entry": "1"}},
	{name: "two-disks", world: func(w *wizardtest.World) { w.AddDisk("22222222-bbbb", "WD-1234") }, say: map[string]string{"check": "start"}},
	{name: "as-qr", say: map[string]string{"record.disk": "qr", "totp": "letters", "check": "start"}},
	{name: "problems", world: func(w *wizardtest.World) {
		w.PowerState = wizard.Power{Known: true, Percent: 20}
		w.Clock = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		w.Full = true
	}, say: map[string]string{"problems": ui.Leave}, want: ui.ErrLeft},
	{name: "battery", world: func(w *wizardtest.World) { w.PowerState = wizard.Power{Known: true, Percent: 83} }, say: map[string]string{"problems": "battery", "check": "start"}},
	{name: "no-card", world: func(w *wizardtest.World) { w.CardIn = false }, say: map[string]string{"card": ui.Leave}, want: ui.ErrLeft},
	{name: "tampering", world: func(w *wizardtest.World) {
		w.HandoverFunc = func() wizard.Handover {
			return wizard.Handover{Tampering: true, Why: "/boot/oem is not covered by the owner's signature"}
		}
	}, want: wizard.ErrTampering},
	{name: "resume-card", cut: "card.pin.user"},
	{name: "resume-disk", cut: "disk.end", say: map[string]string{}},
	{name: "resume-tpm", cut: "tpm.owner"},
	{name: "resume-flash", cut: "flash.block.1"},
	{name: "resume-commit", cut: "boot.install"},
	{name: "begin-anew", cut: "tpm.clear", say: map[string]string{"resume": "anew", "anew": ui.Continue}},
	{name: "failed", world: func(w *wizardtest.World) { w.FailOnce("tpm.clear", errors.New("TPM_RC_LOCKOUT (0x921)")) }, say: map[string]string{"check": "start", "failed": "retry"}},
}

// play runs a scenario and returns the robot that has seen it.
func (s *scenario) play(t *testing.T, lang string, height int, mono bool) *robot {
	w := wizardtest.New()
	if s.world != nil {
		s.world(w)
	}
	r := newRobot(t, w, 80, height, mono)
	if s.cut != "" {
		w.Fault = func(op string) error {
			if op == s.cut {
				return wizardtest.ErrCut
			}
			return nil
		}
		r.say["check"], r.say["failed"] = "start", "end"
		if err := r.run(lang); !errors.Is(err, wizardtest.ErrCut) {
			t.Fatalf("the first run: %v", err)
		}
		if err := w.Intact(r.seen()); err != nil {
			t.Fatal(err)
		}
		w.Reboot()
		r.texts, r.pages = map[string]string{}, nil
	}
	for k, v := range s.say {
		r.say[k] = v
	}
	if err := r.run(lang); !errors.Is(err, s.want) {
		t.Fatalf("%v\n%s", err, r.text())
	}
	if s.want == nil {
		if s.name == "two-disks" {
			return r
		}
		if err := w.Owned(r.seen()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// Secrets and codes on a screen that is kept.
var masks = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`(\d+)  [a-z]{3,8}\b *`), "$1  [word] "},
	{regexp.MustCompile(`[█▀▄][█▀▄ ]{20,}[█▀▄]`), "[a line of the QR code]"},
	{regexp.MustCompile(`([A-Z2-7]{4} ){7}[A-Z2-7]{4}`), "[base32 in groups]"},
}

func masked(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.with)
	}
	return s
}

// Every page in English, as it stands on 80 by 25, is kept in testdata; the same
// pages without colours have the same text.
func TestScreens(t *testing.T) {
	seen := map[string]bool{}
	for i := range scenarios {
		s := &scenarios[i]
		t.Run(s.name, func(t *testing.T) {
			r := s.play(t, "en", 25, false)
			mono := s.play(t, "en", 25, true)
			for key, text := range r.texts {
				text = masked(text)
				if got := masked(mono.texts[key]); got != text {
					t.Errorf("%s differs without colours:\n%s\n%s", key, text, got)
				}
				for _, p := range r.paper {
					if strings.Contains(text, p) {
						t.Errorf("%s shows a secret", key)
					}
				}
				if seen[key] && s.cut == "" {
					continue
				}
				seen[key] = true
				name := key
				if s.cut != "" {
					name = s.name + "." + key
				}
				golden(t, name, text)
			}
		})
	}
}

func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", "80x25", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v (run with -update)", err)
		return
	}
	if text != string(want) {
		t.Errorf("%s is now:\n%s\nwas:\n%s", name, text, want)
	}
}

// Every page fits on 24 lines, in every language; the robot complains of one that
// does not.
func TestEveryPageFitsInEveryLanguage(t *testing.T) {
	for _, l := range msg.Langs {
		for i := range scenarios {
			scenarios[i].play(t, l.Code, 24, false)
		}
	}
}

// The run's own screen, at its fullest.
func TestTheRunScreen(t *testing.T) {
	sim := tcell.NewSimulationScreen("UTF-8")
	if err := sim.Init(); err != nil {
		t.Fatal(err)
	}
	sim.SetSize(80, 25)
	r := &robot{t: t, sim: sim}
	r.UI = New(sim, cp437, nil)
	defer r.UI.Close()
	tasks := ui.Tasks{CanPause: true, Elapsed: "14 min", Notes: []string{msg.NoteMayLeave.In(msg.EN), msg.NotePause.In(msg.EN)}, Tasks: []ui.Task{
		{Title: "Checks", State: ui.Completed, Status: "Completed"},
		{Title: "Security key", State: ui.Completed, Status: "Completed", Detail: "your key 3F21 09AA ... 77C0 5D1E"},
		{Title: "Disk", State: ui.InProgress, Status: "In progress", Bar: true, Done: 219, Total: 476, Detail: "219 GB of 476 GB, 198 MB/s, 22 min left"},
		{Title: "TPM", Status: "Not started"}, {Title: "Phone code", Status: "Not started"}, {Title: "Start files", Status: "Not started"},
		{Title: "Firmware chip", Status: "Not started"}, {Title: "Finish", State: ui.Trouble, Status: "Problem", Detail: strings.Repeat("a long explanation ", 6)},
	}}
	pressed := make(chan struct{})
	err := r.UI.Watch(t.Context(), "Taking ownership", func(ctx context.Context, show func(ui.Tasks)) error {
		show(tasks)
		time.Sleep(50 * time.Millisecond)
		golden(t, "run", r.text())
		go func() {
			r.press(tcell.KeyCtrlC) // must do nothing
			r.typed("p")
			close(pressed)
		}()
		<-pressed
		<-ctx.Done()
		return wizard.ErrPaused
	})
	if !errors.Is(err, wizard.ErrPaused) {
		t.Fatal(err)
	}
}

// A screen that is too small says so and comes back when it grows.
func TestResize(t *testing.T) {
	w := wizardtest.New()
	r := newRobot(t, w, 80, 25, false)
	r.say["check"] = "start"
	n := 0
	r.look = func(p *ui.Page, text string) {
		if n++; n%2 == 0 {
			return
		}
		for _, size := range [][2]int{{40, 10}, {1, 1}, {200, 60}, {80, 25}} {
			r.sim.SetSize(size[0], size[1])
			_ = r.sim.PostEvent(tcell.NewEventResize(size[0], size[1]))
			r.text()
		}
		if again := r.text(); again != text && p.Live == nil {
			r.t.Errorf("page %s after resizing:\n%s", p.Key, again)
		}
	}
	if err := r.run("en"); err != nil {
		t.Fatal(err)
	}
}

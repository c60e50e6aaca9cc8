package tui

import (
	"context"
	"errors"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

var update = flag.Bool("update", false, "write the screens instead of comparing them")

// play has a conversation and returns the robot that has had it.
func play(t *testing.T, c *wizardtest.Conversation, lang string, height int, mono bool) *robot {
	t.Helper()
	r := newRobot(t, wizardtest.New(), 80, height, mono)
	runs := 0
	err := c.Talk(r.Person, lang, func() ui.UI {
		if runs++; runs == 2 {
			r.texts = map[string]string{}
		}
		return r
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", c.Name, err, r.text())
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
	{regexp.MustCompile(`\d+ seconds`), "[n] seconds"},
	{regexp.MustCompile(`([A-Z2-7]{4} ){7}[A-Z2-7]{4}`), "[base32 in groups]"},
}

func masked(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.with)
	}
	return s
}

// Every page in English, as it stands on 80 by 25, is kept in testdata: its text, and
// what of it is not plain, with colours and without. The text is the same in both,
// without colours there are none, and no secret stands in a file.
func TestScreens(t *testing.T) {
	seen, shown := map[string]bool{}, map[string]bool{}
	for i := range wizardtest.Conversations {
		c := &wizardtest.Conversations[i]
		t.Run(c.Name, func(t *testing.T) {
			r, mono := play(t, c, "en", 25, false), play(t, c, "en", 25, true)
			for key, text := range r.texts {
				name := key
				shown[key] = true
				if c.Cut != "" || key == c.Keep {
					name = c.Name + "." + key
				}
				if seen[name] {
					continue
				}
				seen[name] = true
				kept := screen(t, name, text, r.marks[key], mono.texts[key], mono.marks[key])
				for _, p := range append(append(r.Known(), mono.Known()...), wizardtest.SellerPassphrase, wizardtest.SellerPIN,
					wizardtest.SellerOwner) {
					if strings.Contains(kept, p) {
						t.Errorf("%s shows a secret", name)
					}
				}
			}
		})
	}
	for _, key := range pageKeys(t) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(shown)),
			func(n string) bool { return n == key || strings.HasSuffix(key, ".") && strings.HasPrefix(n, key) }) {
			t.Errorf("no conversation shows the page %q", key)
		}
	}
}

// maskedLooks leaves out where words end, in lines that have any.
func maskedLooks(text, looks string) string {
	lines := strings.Split(text, "\n")
	var out strings.Builder
	for l := range strings.Lines(looks) {
		if row, err := strconv.Atoi(strings.TrimSpace(l[:2])); err == nil && strings.Contains(lines[row-1], "[word]") {
			l = wordEnd.ReplaceAllString(l, "-  ")
		}
		out.WriteString(l)
	}
	return out.String()
}

var wordEnd = regexp.MustCompile(`-\d+`)

// screen compares a screen with colours and without with its file, and returns what
// would be kept.
func screen(t *testing.T, name, text, looks, monoText, monoLooks string) string {
	t.Helper()
	text, monoText = masked(text), masked(monoText)
	if text != monoText {
		t.Errorf("%s differs without colours:\n%s\n%s", name, text, monoText)
	}
	if m := colour.FindString(monoLooks); m != "" {
		t.Errorf("%s has a colour where there are none: %s", name, m)
	}
	kept := text + "--- with colours: line, columns, look\n" + maskedLooks(text, looks) + "--- without\n" +
		maskedLooks(text, monoLooks)
	golden(t, name, kept)
	return kept
}

// colour is anything in looks that is not an attribute.
var colour = regexp.MustCompile(`(?m)^.*(red|green|yellow|white|black|blue|on ).*$`)

// pageKeys finds the keys of all pages: the constants of the wizard's states. One that
// stands for several pages ends with a dot.
func pageKeys(t *testing.T) (keys []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../states.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "page") {
			k, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		return true
	})
	if len(keys) < 25 {
		t.Fatalf("only %d pages were found", len(keys))
	}
	return keys
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

// The screens of the front end itself: what can stand on any page, the run at its
// fullest, and what is shown between two pages.
func TestItsOwnScreens(t *testing.T) {
	answer := make(chan struct{})
	defer close(answer)
	fresh := func() *ui.Page {
		return &ui.Page{Key: "a", Title: "Take ownership", Status: "Keyboard: us", Step: 3, Steps: 7, Help: "Help says more.",
			Details: "signer 5E11\nboot pass", Wait: msg.WaitMeasure.In(msg.EN),
			Body: []ui.Block{ui.S("Is it so?")}, Choices: []ui.Choice{{ID: ui.Continue, Label: "Continue", Checks: true}},
			Inputs: []*ui.Input{{Key: "x", Label: "Answer"}},
			Check: func(ctx context.Context) error {
				select {
				case <-answer:
				case <-ctx.Done():
				}
				return nil
			}}
	}
	for _, c := range []struct {
		name, until string
		do          func(r *robot, v *page)
		caps        bool
	}{
		{name: "help", until: "Help says", do: func(r *robot, _ *page) { r.press(tcell.KeyF1) }},
		{name: "details", until: "boot pass", do: func(r *robot, _ *page) { r.press(tcell.KeyF2) }},
		{name: "missing", until: "Please fill in", do: func(r *robot, _ *page) { r.press(tcell.KeyEnter) }},
		{name: "wrong", until: "This is not", do: func(r *robot, v *page) {
			v.p.Check = func(context.Context) error { return ui.Problem(strings.Repeat("This is not what was asked for. ", 5)) }
			r.typed("no")
			r.press(tcell.KeyEnter)
		}},
		{name: "checking", until: "Checking", do: func(r *robot, _ *page) { r.typed("x"); r.press(tcell.KeyEnter) }},
		{name: "caps", until: "CAPS", caps: true},
		{name: "too-small", until: "80 x 24", do: func(r *robot,
			_ *page) {
			r.sim.SetSize(60, 20)
			_ = r.sim.PostEvent(tcell.NewEventResize(60, 20))
		}},
		{name: "waiting", until: "Please wait", do: func(r *robot, v *page) {
			w := newWaitView(r.UI, v.p)
			w.began = w.began.Add(-5 * time.Second)
			r.update(func() { r.app.SetRoot(w, true) })
		}},
		{name: "first", until: "Bitte warten", do: func(r *robot, v *page) {
			w := newWaitView(r.UI, nil)
			w.began = w.began.Add(-5 * time.Second)
			r.update(func() { r.app.SetRoot(w, true) })
		}},
		{name: "run", until: "P pause", do: func(r *robot, _ *page) {
			r.update(func() {
				r.app.SetRoot(&taskView{Box: tview.NewBox(), u: r.UI, title: "Taking ownership", tasks: fullRun}, true)
			})
		}},
		{name: "pausing", until: "Pausing", do: func(r *robot, _ *page) {
			r.update(func() {
				r.app.SetRoot(&taskView{Box: tview.NewBox(), u: r.UI, title: "Taking ownership", tasks: fullRun, pausing: true},
					true)
			})
		}},
	} {
		var text, looks [2]string
		for i, mono := range []bool{false, true} {
			r := newRobot(t, wizardtest.New(), 80, 25, mono)
			if c.caps {
				r.caps = func() bool { return true }
			}
			p := fresh()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { _, _ = r.UI.Ask(ctx, p); close(ended) }()
			v := r.page(p, nil)
			if c.do != nil {
				c.do(r, v)
			}
			for n := 0; n < 2000 && !strings.Contains(r.text(), c.until); n++ {
				time.Sleep(time.Millisecond)
			}
			text[i], looks[i] = r.text(), r.looks()
			cancel()
			<-ended
		}
		screen(t, "own."+c.name, text[0], looks[0], text[1], looks[1])
	}
}

// fullRun is a task list with everything that one can show.
var fullRun = ui.Tasks{CanPause: true, Elapsed: "14 min",
	Notes: []string{msg.NoteMayLeave.In(msg.EN), msg.NotePause.In(msg.EN)}, Tasks: []ui.Task{
		{Title: "Checks", State: ui.Completed, Status: "Completed"},
		{Title: "Security key", State: ui.Completed, Status: "Completed", Detail: "your key 3F21 09AA ... 77C0 5D1E"},
		{Title: "Disk", State: ui.InProgress, Status: "In progress", Bar: true, Done: 219, Total: 476,
			Detail: "219 GB of 476 GB, 198 MB/s, 22 min left"},
		{Title: "TPM", Status: "Not started"}, {Title: "Phone code", Status: "Not started"},
		{Title: "Start files", Status: "Not started"},
		{Title: "Firmware chip", Status: "Not started"},
		{Title: "Finish", State: ui.Trouble, Status: "Problem", Detail: strings.Repeat("a long explanation ", 6)},
	}}

// A run is paused with P, and by nothing else; Ctrl-C least of all.
func TestOnlyPPauses(t *testing.T) {
	r := newRobot(t, wizardtest.New(), 80, 25, false)
	err := r.UI.Watch(t.Context(), "Taking ownership", func(ctx context.Context, show func(ui.Tasks)) error {
		show(fullRun)
		for !strings.Contains(r.text(), "Finish") {
			time.Sleep(time.Millisecond)
		}
		r.press(tcell.KeyCtrlC, tcell.KeyEscape, tcell.KeyEnter, tcell.KeyF10, tcell.KeyCtrlD, tcell.KeyCtrlZ)
		r.typed("q! <")
		if r.text(); ctx.Err() != nil {
			return errors.New("another key has paused the run")
		}
		r.typed("p")
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

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
				if c.Cut != "" {
					name = c.Name + "." + key
				}
				if seen[name] {
					continue
				}
				seen[name] = true
				kept := screen(t, name, text, r.marks[key], mono.texts[key], mono.marks[key])
				for _, p := range append(append(r.Known(), mono.Known()...), wizardtest.SellerPassphrase, wizardtest.SellerPIN, wizardtest.SellerOwner) {
					if strings.Contains(kept, p) {
						t.Errorf("%s shows a secret", name)
					}
				}
			}
		})
	}
	for _, key := range pageKeys(t) {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(shown)), func(n string) bool { return n == key || strings.HasSuffix(key, ".") && strings.HasPrefix(n, key) }) {
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
	kept := text + "--- with colours: line, columns, look\n" + maskedLooks(text, looks) + "--- without\n" + maskedLooks(text, monoLooks)
	golden(t, name, kept)
	return kept
}

// colour is anything in looks that is not an attribute.
var colour = regexp.MustCompile(`(?m)^.*(red|green|yellow|white|black|blue|on ).*$`)

// pageKeys finds the keys of all pages in the wizard's source: composite literals of
// ui.Page and calls of tell. A key that is put together ends with its dot.
func pageKeys(t *testing.T) (keys []string) {
	t.Helper()
	pkgs, err := filepath.Glob("../../*.go")
	if err != nil {
		t.Fatal(err)
	}
	literal := func(e ast.Expr) {
		if b, ok := e.(*ast.BinaryExpr); ok {
			e = b.X
		}
		if l, ok := e.(*ast.BasicLit); ok {
			k, err := strconv.Unquote(l.Value)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
			return
		}
		if id, ok := e.(*ast.Ident); ok && id.Name == "key" {
			return // tell's parameter
		}
		t.Errorf("the key of a page is no constant: %T", e)
	}
	for _, name := range pkgs {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Page" {
					for _, e := range n.Elts {
						if kv := e.(*ast.KeyValueExpr); kv.Key.(*ast.Ident).Name == "Key" {
							literal(kv.Value)
						}
					}
				}
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "tell" {
					literal(n.Args[1])
				}
			}
			return true
		})
	}
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

// Every page fits on 24 lines, in every language; the robot complains of one that
// does not. Every conversation has the pages that it has without a screen.
func TestEveryPageFitsInEveryLanguage(t *testing.T) {
	for _, l := range msg.Langs {
		for i := range wizardtest.Conversations {
			c := &wizardtest.Conversations[i]
			want, err := c.Pages(l.Code)
			if err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			if r := play(t, c, l.Code, 24, false); !slices.Equal(r.Pages, want) {
				t.Errorf("%s in %s shows the pages\n%v, want\n%v", c.Name, l.Code, r.Pages, want)
			}
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

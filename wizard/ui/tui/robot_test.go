package tui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gdamore/tcell/v2"

	"reown/internal/keymap"
	"reown/internal/otp"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// robot is a person at the keyboard: it reads the screen and presses keys, and
// knows nothing that is not on the screen, in the e-mail, on its paper or on its
// phone.
type robot struct {
	*UI
	t     *testing.T
	sim   tcell.SimulationScreen
	w     *wizardtest.World
	mu    sync.Mutex
	paper map[string]string // by page key without "record."
	keys  int               // pressed
	pages []string
	texts map[string]string // screen by page key, the first time it is shown
	say   map[string]string // choice to make, by page key
	look  func(p *ui.Page, text string)
}

func newRobot(t *testing.T, w *wizardtest.World, width, height int, mono bool) *robot {
	t.Helper()
	sim := tcell.NewSimulationScreen("UTF-8")
	if err := sim.Init(); err != nil {
		t.Fatal(err)
	}
	sim.SetSize(width, height)
	r := &robot{t: t, sim: sim, w: w, paper: map[string]string{}, texts: map[string]string{}, say: map[string]string{}}
	r.UI = New(sim, cp437, nil)
	r.UI.mono = mono
	t.Cleanup(r.UI.Close)
	return r
}

// text is the screen, without spaces at the ends of lines.
func (r *robot) text() string {
	var out string
	r.update(func() {})
	r.update(func() {
		cells, w, h := r.sim.GetContents()
		var b strings.Builder
		for y := range h {
			var l strings.Builder
			for x := range w {
				if c := cells[y*w+x]; len(c.Runes) > 0 {
					l.WriteRune(c.Runes[0])
				} else {
					l.WriteRune(' ')
				}
			}
			b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
		}
		out = b.String()
	})
	return out
}

func (r *robot) press(keys ...tcell.Key) {
	for _, k := range keys {
		r.post(tcell.NewEventKey(k, 0, tcell.ModNone))
	}
}

func (r *robot) typed(s string) {
	for _, c := range s {
		r.post(tcell.NewEventKey(tcell.KeyRune, c, tcell.ModNone))
	}
}

func (r *robot) post(e *tcell.EventKey) {
	r.keys++
	for r.sim.PostEvent(e) != nil { // the queue is full
		time.Sleep(time.Millisecond)
	}
}

// page waits until a page is on the screen.
func (r *robot) page(p *ui.Page) *page {
	for range 2000 {
		var v *page
		r.update(func() {
			if x, ok := r.app.GetFocus().(*page); ok && x.p == p {
				v = x
			}
		})
		if v != nil {
			return v
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Errorf("page %s does not appear", p.Key)
	return nil
}

// Ask implements ui.UI: the robot answers while the page is shown.
func (r *robot) Ask(ctx context.Context, p *ui.Page) (string, error) {
	r.pages = append(r.pages, p.Key)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.answer(p)
	}()
	id, err := r.UI.Ask(ctx, p)
	<-done
	return id, err
}

var word = regexp.MustCompile(`(\d+)  ([a-z]{3,8})\b`)

func (r *robot) answer(p *ui.Page) {
	v := r.page(p)
	if v == nil {
		return
	}
	text := r.text()
	if _, seen := r.texts[p.Key]; !seen {
		r.texts[p.Key] = text
	}
	if v.lines > v.room {
		r.t.Errorf("page %s does not fit: %d lines in %d\n%s", p.Key, v.lines, v.room, text)
	}
	if r.look != nil {
		r.look(p, text)
	}
	want, chosen := r.say[p.Key]
	if p.Key == "failed" && !chosen {
		want = "end"
	}
	if chosen {
		delete(r.say, p.Key)
	}
	for i, in := range p.Inputs {
		switch {
		case strings.HasPrefix(p.Key, "record."):
			var words []string
			for _, m := range word.FindAllStringSubmatch(text, -1) {
				if m[1] == fmt.Sprint(len(words)+1) {
					words = append(words, m[2])
				}
			}
			for _, b := range p.Body {
				if b.Kind == ui.QR { // scanned with a telephone
					words = strings.Fields(string(b.Secret.Bytes()))
				}
			}
			r.paper[strings.TrimPrefix(p.Key, "record.")] = strings.Join(words, " ")
			if want == "" || want == ui.Continue {
				r.typed(strings.Join(words, " "))
			}
		case strings.HasPrefix(p.Key, "paper."):
			r.typed(r.paper[strings.TrimPrefix(p.Key, "paper.")])
		case in.Key == "secret.current":
			r.typed(r.current())
		case in.Key == "totp":
			r.typed(r.phone(p))
		case in.Key == "confirm", in.Key == "unproven-serial", in.Key == "anew-serial":
			if want == "" || want == "start" || want == ui.Continue {
				r.typed("nl0t")
			}
		case in.Twice:
			own := "couch-relic-" + in.Key[len("secret."):]
			r.paper[in.Key[len("secret."):]] = own
			r.typed(own)
			r.press(tcell.KeyEnter)
			r.typed(own)
		case in.Key == "clock":
			r.press(tcell.KeyCtrlU)
			r.typed("2026-11-22 17:41")
		case in.Key == "name":
			r.press(tcell.KeyCtrlU)
			r.typed("Ada Lovelace")
		case in.Key == "email":
			r.press(tcell.KeyCtrlU)
			r.typed("ada@example.org")
		}
		if i < len(p.Inputs)-1 {
			r.press(tcell.KeyEnter)
		}
	}
	switch {
	case want == ui.Back:
		r.press(tcell.KeyEscape)
	case want == ui.Leave:
		r.press(tcell.KeyF10)
	case want != "":
		r.pick(v, want)
	case len(p.Inputs) > 0:
		r.press(tcell.KeyEnter)
	default:
		r.press(tcell.KeyEnter)
	}
	for range 3000 {
		gone, complaint := false, ""
		r.update(func() { gone, complaint = r.app.GetFocus() != v, v.message })
		if gone {
			return
		}
		if complaint != "" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Errorf("page %s stays, after %v:\n%s", p.Key, r.pages, r.text())
	r.press(tcell.KeyF10, tcell.KeyEscape)
}

// pick goes to a button and presses it.
func (r *robot) pick(v *page, id string) {
	focus := func() (n int) {
		r.update(func() { n = v.focus })
		return n
	}
	at := focus()
	for range len(v.fields) + len(v.p.Choices) + 1 {
		if i := at - len(v.fields); i >= 0 && v.p.Choices[i].ID == id {
			r.press(tcell.KeyEnter)
			return
		}
		r.press(tcell.KeyDown)
		before := at
		for range 3000 {
			if at = focus(); at != before {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	r.t.Errorf("page %s: no button %s", v.p.Key, id)
}

// current is the passphrase of the disk as the person knows it.
func (r *robot) current() string {
	for _, v := range r.w.Disks {
		if v.NewKey == "" && len(v.Slots) > 0 && v.Slots[0] == r.paper["disk"] {
			return r.paper["disk"]
		}
	}
	return wizardtest.SellerPassphrase
}

// phone scans the code and shows the six digits.
func (r *robot) phone(p *ui.Page) string {
	for _, b := range p.Body {
		if b.Kind != ui.QR && b.Kind != ui.Code {
			continue
		}
		uri := string(b.Secret.Bytes())
		if i := strings.Index(uri, "secret="); i >= 0 {
			uri = uri[i+7:]
		}
		text := secret.From([]byte(uri))
		key, err := otp.ParseBase32(text)
		if err != nil {
			r.t.Error(err)
			return ""
		}
		c, err := otp.TOTP(key, r.w.Clock)
		if err != nil {
			r.t.Error(err)
		}
		return c.String()
	}
	return ""
}

// seen is everything that the robot has on paper.
func (r *robot) seen() (all []string) {
	for s := range maps.Values(r.paper) {
		all = append(all, s)
	}
	return all
}

// cp437 is what the kernel's console font has.
func cp437(c rune) bool {
	return c < 0x7f || strings.ContainsRune("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥áíóúñÑªº¿¬½¼¡«»░▒▓│┤╣║╗╝┐└┴┬├─┼╚╔╩╦╠═╬┘┌█▄▌▐▀ß±°·²", c)
}

func (r *robot) run(lang string) error {
	return wizard.Run(context.Background(), r.w.Machine(), r, wizard.Options{Language: lang, Keyboard: keyboard{}, Explain: func(err error) (string, string, string) {
		return "A device did not do what it was told.", "Your files are as the last finished step left them.", "Try again; if it stays so, export the log and ask for help."
	}})
}

// keyboard knows two layouts and cannot load one of them.
type keyboard struct{}

func (keyboard) Layouts() []string { return []string{"us", "de", "fr"} }
func (keyboard) Load(name string) error {
	if name == "fr" {
		return errors.New("not allowed")
	}
	return nil
}
func (keyboard) Moves(text []byte) bool { return keymap.MovesIn(text) }

func TestTheWholeJourney(t *testing.T) {
	for _, lang := range []string{"en", "fr", "de"} {
		t.Run(lang, func(t *testing.T) {
			w := wizardtest.New()
			r := newRobot(t, w, 80, 25, false)
			r.say["check"] = "start"
			r.say["keyboard"] = ui.Continue
			if err := r.run(lang); err != nil {
				t.Fatalf("%v\n%s", err, r.text())
			}
			if err := w.Owned(r.seen()); err != nil {
				t.Fatal(err)
			}
			// Heads' own flow, for the same result: reference in docs/wizard.md.
			secrets := len(strings.Join(r.seen(), "")) + len(wizardtest.SellerPassphrase) + 6
			t.Logf("%d pages, %d keys, of which %d are secrets from paper, the seller's passphrase and six digits; %d restart", len(r.pages), r.keys, secrets, 1)
			if len(r.pages) > 14 || r.keys-secrets > 70 {
				t.Errorf("the journey has grown: %d pages, %d keys beside the secrets", len(r.pages), r.keys-secrets)
			}
		})
	}
}

package lab

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"reown/gpgcard/cardtest"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// A person sits at an 80x25 terminal (tmux) and takes ownership.
type person struct {
	t       *testing.T
	l       *Laptop
	socket  string
	pages   []string // a text by which each page was recognised, in order
	lang    msg.Lang
	keys    int            // pressed so far
	secrets int            // of them, for secrets
	paper   []string       // what was written down, in the order of the pages
	spare   *cardtest.Card // becomes the second security key; nil: no backup
}

func (p *person) tmux(args ...string) string {
	p.t.Helper()
	out, err := tool(p.t.Context(), nil, "tmux", append([]string{"-L", p.socket}, args...)...)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(out)
}

func (p *person) screen() string { return p.tmux("capture-pane", "-p") }

// press sends named keys; typed sends text.
func (p *person) press(keys ...string) {
	p.keys += len(keys)
	p.tmux(append([]string{"send-keys"}, keys...)...)
}

func (p *person) typed(text string) {
	p.keys += len(text)
	p.tmux("send-keys", "-l", text)
}

// sit starts the wizard on a terminal of the given size.
func sit(t *testing.T, l *Laptop, term string, args ...string) *person {
	t.Helper()
	if _, err := lookPath("tmux"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal("tmux is missing")
		}
		t.Skip("tmux is missing")
	}
	p := &person{t: t, l: l, socket: filepath.Base(l.Dir)}
	var words []string
	for _, a := range append(append([]string{reownBinary(t)}, args...), l.Flags()...) {
		words = append(words, quote(a))
	}
	command := fmt.Sprintf("TERM=%s %s; echo RC=$?; sleep 600", term, strings.Join(words, " "))
	p.tmux("new-session", "-d", "-x", "80", "-y", "25", command)
	t.Cleanup(func() { _, _ = tool(t.Context(), nil, "tmux", "-L", p.socket, "kill-server") })
	return p
}

// wait looks at the screen until it shows one of the texts and returns which.
func (p *person) wait(limit time.Duration, texts ...string) (string, string) {
	p.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		s := p.screen()
		for _, x := range texts {
			if strings.Contains(s, x) {
				return x, s
			}
		}
		if time.Now().After(end) {
			p.t.Fatalf("none of %q came; the screen shows\n%s", texts, s)
		}
	}
}

var wordOnPage = regexp.MustCompile(`(\d+)  ([a-z]+)`)

// readWords reads a secret from its page, in the order of the numbers.
func readWords(screen string) string {
	found := wordOnPage.FindAllStringSubmatch(screen, -1)
	slices.SortFunc(found, func(a, b []string) int { return strings.Compare(a[1], b[1]) })
	var words []string
	for _, f := range found {
		words = append(words, f[2])
	}
	return strings.Join(words, " ")
}

// scan decodes the QR code on a screen with zbarimg.
func (p *person) scan(screen string) string {
	p.t.Helper()
	const module = 6
	// Its first line is the light border: how long that is tells which version of the code it is.
	size := 0
	for _, line := range strings.Split(screen, "\n") {
		if n := len(line) - len(strings.TrimLeft(line, "█")); n > 0 {
			size = n / len("█")
			break
		}
	}
	img := image.NewGray(image.Rect(0, 0, (size+5)*module, (size+9)*module))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	y := 0
	for _, line := range strings.Split(screen, "\n") {
		if !strings.ContainsAny(line, "█▀▄") {
			continue
		}
		for x, r := range []rune(line) {
			if x >= size {
				break
			}
			// Ink is a light module: upper, lower or both halves of the cell.
			light := [2]bool{r == '█' || r == '▀', r == '█' || r == '▄'}
			for half, on := range light {
				if on {
					continue
				}
				for dy := range module {
					for dx := range module {
						img.SetGray((x+2)*module+dx, (2*y+half+4)*module+dy, color.Gray{})
					}
				}
			}
		}
		y++
	}
	name := p.l.path("qr.png")
	f, err := os.Create(name)
	if err != nil {
		p.t.Fatal(err)
	}
	defer os.Remove(name)
	if err := png.Encode(f, img); err != nil {
		p.t.Fatal(err)
	}
	f.Close()
	out, err := tool(p.t.Context(), nil, "zbarimg", "-q", "--raw", name)
	if err != nil {
		p.t.Fatalf("zbarimg cannot read the code on the screen: %v\n%s", err, screen)
	}
	return strings.TrimSpace(string(out))
}

// stop is a page that the journey can come to: a sentence that is only on it, and what
// is done there.
type stop struct {
	text msg.M
	args []any
	do   func(p *person, screen string, b *Buyer)
}

// sight is the part of the sentence that is surely on one line.
func (s *stop) sight(l msg.Lang) string { return ui.Wrap(s.text.In(l, s.args...), 40)[0] }

func enter(p *person, _ string, _ *Buyer) { p.press("Enter") }

// journey is what a buyer does on each page.
func (p *person) journey() []stop {
	record := func(p *person, s string, b *Buyer) { p.record(s, b) }
	all := []stop{
		{text: msg.ChooseLanguage, do: func(p *person, _ string, _ *Buyer) {
			p.press(string(msg.Langs[p.lang].Letter))
		}},
		{text: msg.StartNeed, do: enter}, {text: msg.KeyboardAsk, do: enter}, {text: msg.WhoAsk, do: enter},
		{text: msg.DUKAsk, do: enter},
		{text: msg.BackupAsk, do: func(p *person, _ string, _ *Buyer) {
			p.press(map[bool]string{false: "Enter", true: "s"}[p.spare != nil])
		}},
		{text: msg.PlugSpare, do: func(p *person, _ string, _ *Buyer) { p.plug(p.spare) }},
		{text: msg.SpareErase, do: func(p *person, _ string, _ *Buyer) { p.press("e") }},
		{text: msg.PlugMain, do: func(p *person, _ string, _ *Buyer) { p.plug(p.l.Card) }},
		{text: msg.VerifyAsk, do: func(p *person, s string, _ *Buyer) {
			if strings.Contains(s, "[!!]") || strings.Count(s, "[OK]") < 5 {
				p.t.Fatalf("the hand-over does not verify:\n%s", s)
			}
			p.press(strings.ToLower(msg.ButtonMatch.In(p.lang)[:1]))
		}},
		{text: msg.CurrentAsk, do: func(p *person, _ string, _ *Buyer) { p.secret(p.l.Seller.Disk) }},
		{text: msg.NameAsk, do: func(p *person, _ string, _ *Buyer) {
			p.typed("Ada Buyer")
			p.press("Tab")
			p.typed("ada@example.org")
			p.press("Enter")
		}},
		{text: msg.TOTPAsk, do: func(p *person, s string, b *Buyer) { p.phone(s, b) }},
		{text: msg.CheckIntro, do: func(p *person, _ string, _ *Buyer) {
			uuid, _, err := p.l.luksDigest(p.t.Context())
			if err != nil {
				p.t.Fatal(err)
			}
			p.typed(uuid[len(uuid)-4:])
			p.press("Enter")
		}},
		{text: msg.DoneTitle, do: enter},
	}
	for i, k := range []msg.M{msg.SecretDisk, msg.SecretUser, msg.SecretAdmin, msg.SecretOwner} {
		all = append(all, stop{msg.RecordTitle, []any{i + 1, 4, k.In(p.lang)}, record})
	}
	return all
}

// plug puts a card into the reader and goes on.
func (p *person) plug(c *cardtest.Card) {
	p.l.PCSC.Slots[0].Insert(c)
	p.press("Enter")
}

// secret types something that counts as a secret, not as an effort of this program.
func (p *person) secret(text string) {
	p.typed(text)
	p.press("Enter")
	p.secrets += len(text)
}

// record writes the words of a page down and types them back.
func (p *person) record(s string, b *Buyer) {
	w := readWords(s)
	*[]*string{&b.Disk, &b.UserPIN, &b.AdminPIN, &b.Owner}[len(p.paper)] = w
	p.paper = append(p.paper, w)
	p.typed(w[:1])
	if _, typing := p.wait(time.Minute, "> "+msg.RecordLabel.In(p.lang)+"  "+w[:1]); strings.Contains(typing, "2  "+
		strings.Fields(w)[1]) {
		p.t.Errorf("the words stay on the screen while they are typed back:\n%s", typing)
	}
	p.typed(w[1:])
	p.press("Enter")
	p.secrets += len(w)
}

// phone scans the code on the screen and types six digits.
func (p *person) phone(s string, b *Buyer) {
	uri := p.scan(s)
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "otpauth" {
		p.t.Fatalf("the code says %q: %v", uri, err)
	}
	b.TOTP = u.Query().Get("secret")
	code, err := tool(p.t.Context(), nil, "oathtool", "--totp", "-b", b.TOTP)
	if err != nil {
		p.t.Fatal(err)
	}
	p.secret(strings.TrimSpace(string(code)))
}

// takeOwnership answers every page as it comes, until the program ends.
func (p *person) takeOwnership() *Buyer {
	p.t.Helper()
	b := &Buyer{}
	stops := p.journey()
	texts := []string{"RC="}
	for _, s := range stops {
		texts = append(texts, s.sight(p.lang))
	}
	last, since := "", time.Time{}
	for {
		at, s := p.wait(90*time.Second, texts...)
		if at == "RC=" {
			if !strings.Contains(s, "RC=0") {
				p.t.Fatalf("it ended with\n%s", s)
			}
			return b
		}
		if at == last { // the page is still there
			if time.Since(since) > 90*time.Second {
				p.t.Fatalf("the page stays:\n%s", s)
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		p.pages, last, since = append(p.pages, at), at, time.Now()
		stops[slices.Index(texts, at)-1].do(p, s, b)
	}
}

// Heads' oem-factory-reset for the same result (new passphrase, re-encryption, new keys
// on the card, distinct PINs, a name on the key), counted in its source at aedae4f:
// questions before and during the run; each secret is typed once, unconfirmed and in
// clear. After the restart follow its menus for TOTP, HOTP and the default boot entry.
const (
	headsQuestions = 22
	headsRestarts  = 1
	headsMenus     = 3
)

// TestAtTheKeyboard takes ownership through the screen of a terminal (tmux), key by
// key and in each language: the code is read from the screen by zbarimg, the six digits
// come from oathtool, and the result is judged as the unattended run's is. The default run takes
// French, which has accents; English is typed in the virtual machine.
func TestAtTheKeyboard(t *testing.T) {
	for _, l := range msg.Langs {
		if !soak() && l.Lang != msg.FR {
			continue
		}
		t.Run(l.Code, func(t *testing.T) {
			l0 := newLaptop(t, Options{DataMiB: 64})
			p := sit(t, l0, "linux", "wizard", "--ui", "tui")
			p.lang = l.Lang
			b := p.takeOwnership()
			l0.mustBeBuyers(t, b)
			effort := p.keys - p.secrets
			t.Logf("%d questions, %d keystrokes, of them %d secrets and %d others, %d restart; Heads: %d questions, then %d menus, %d restart",
				len(p.pages), p.keys, p.secrets, effort, 1, headsQuestions, headsMenus, headsRestarts)
			if len(p.pages) >= headsQuestions || effort > 70 {
				t.Errorf("the journey has grown: %d questions, %d keystrokes beside the secrets", len(p.pages), effort)
			}
			l0.Stop()
		})
	}
}

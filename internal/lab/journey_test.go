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
)

// A person sits at an 80x25 terminal (tmux) and takes ownership.
type person struct {
	t      *testing.T
	l      *Laptop
	socket string
	pages  []string // a text by which each page was recognised, in order
	keys   int      // pressed so far
	paper  []string // what was written down, in the order of the pages
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
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
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
	img := image.NewGray(image.Rect(0, 0, 42*module, 46*module))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	y := 0
	for _, line := range strings.Split(screen, "\n") {
		if !strings.ContainsAny(line, "█▀▄") {
			continue
		}
		for x, r := range []rune(line) {
			if x >= 40 {
				break
			}
			// Ink is a light module: upper, lower or both halves of the cell.
			light := [2]bool{r == '█' || r == '▀', r == '█' || r == '▄'}
			for half, on := range light {
				if on || x >= 37 {
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

// takeOwnership answers every page in the order in which they come, until the
// program ends.
func (p *person) takeOwnership() *Buyer {
	p.t.Helper()
	b := &Buyer{}
	uuid, _, err := p.l.luksDigest(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	last := ""
	for {
		at, s := p.wait(90*time.Second, "RC=", "Choose your language", "was prepared by", "Press these keys", "Is this the computer", "opens the disk now", "Who makes your secrets",
			"Your name on the key", "Secret 1 of", "Secret 2 of", "Secret 3 of", "Secret 4 of", "Scan this", "Erase and take ownership", "This computer is yours")
		if at == "RC=" {
			if !strings.Contains(s, "RC=0") {
				p.t.Fatalf("it ended with\n%s", s)
			}
			return b
		}
		if at == last {
			time.Sleep(300 * time.Millisecond)
			continue
		}
		p.pages, last = append(p.pages, at), at
		switch {
		case at == "Is this the computer":
			if strings.Contains(s, "[!!]") || strings.Count(s, "[OK]") < 5 {
				p.t.Fatalf("the hand-over does not verify:\n%s", s)
			}
			p.press("Enter")
		case at == "opens the disk now":
			p.typed(p.l.Seller.Disk)
			p.press("Enter")
		case at == "Your name on the key":
			p.typed("Ada Buyer")
			p.press("Tab")
			p.typed("ada@example.org")
			p.press("Enter")
		case strings.HasPrefix(at, "Secret"):
			w := readWords(s)
			*[]*string{&b.Disk, &b.UserPIN, &b.AdminPIN, &b.Owner}[len(p.paper)] = w
			p.paper = append(p.paper, w)
			p.typed(w[:1])
			if _, typing := p.wait(time.Minute, "> From paper"); len(w) > 12 && strings.Contains(typing, strings.Fields(w)[1]) {
				p.t.Errorf("the words stay on the screen while they are typed back:\n%s", typing)
			}
			p.typed(w[1:])
			p.press("Enter")
		case at == "Scan this":
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
			p.typed(strings.TrimSpace(string(code)))
			p.press("Enter")
		case at == "Erase and take ownership":
			p.typed(uuid[len(uuid)-4:])
			p.press("Enter")
		default:
			p.press("Enter")
		}
	}
}

// TestAtTheKeyboard takes ownership through the screen, key by key: the code is read
// from the screen by zbarimg, the six digits come from oathtool, and the result is
// judged as the unattended run's is.
func TestAtTheKeyboard(t *testing.T) {
	l := newLaptop(t, Options{DataMiB: 64})
	p := sit(t, l, "linux", "wizard", "--ui", "tui")
	b := p.takeOwnership()
	l.mustBeBuyers(t, b)
	t.Logf("%d pages, %d keystrokes", len(p.pages), p.keys)
}

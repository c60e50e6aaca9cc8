// Package person sits down at the lab's laptop and takes ownership in the wizard, page by
// page, as a buyer does: it reads the screen, writes the secrets down and types them at
// the keyboard. The screen may be a terminal (Tmux) or a virtual machine's. For tests.
package person

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"reown/internal/lab"
)

// A Terminal is a screen and a keyboard.
type Terminal interface {
	// Screen is the text on the screen.
	Screen(ctx context.Context) (string, error)
	// Type types text.
	Type(text string) error
	// Key presses a key: "ret", "tab", "f6", "esc".
	Key(name string) error
}

// A Person is a buyer. The paper outlives power cuts.
type Person struct {
	T      Terminal
	Seller lab.Seller
	Serial string            // the last characters of the disk's name, which confirm
	Paper  map[string]string // secrets by the names that the pages give them, and the phone's "TOTP"
	// See, if set, is called with each page, when it is whole, before it is answered.
	See func(page, screen string) error
	// Log, if set, gets a line for each page.
	Log func(format string, a ...any)

	last string // the page that was answered
	met  string // the page that was looked at
}

// A page is what is recognised on the screen; its name is that of its picture.
type page struct {
	name, text string
	answer     func(p *Person, screen string) error
}

func enter(p *Person, _ string) error { return p.T.Key("ret") }

var pages = []page{
	{"language", "Choose your language.", enter},
	{"start", "was prepared by", enter},
	{"keyboard", "Press these keys", enter},
	{"verify", "Is this the computer that was sent to you?", (*Person).compare},
	{"current", "The passphrase that opens the disk now",
		func(p *Person, _ string) error { return p.enter(p.Seller.Disk) }},
	{"duk", "Shall the TPM open the disk", enter},
	{"backup", "Where else shall the keys of your security key be kept?", enter},
	{"duk-left", "The disk is opened with its own passphrase.", enter},
	{"secrets", "Who makes your secrets?", enter},
	{"identity", "Your name on the key", func(p *Person, _ string) error {
		if err := p.T.Type("Ada Buyer\tada@example.org"); err != nil {
			return err
		}
		return p.T.Key("ret")
	}},
	{"record", "Write it down now", (*Person).writeDown},
	{"paper", "Type from your paper: ", func(p *Person,
		s string) error {
		return p.enter(p.Paper[after(s, "Type from your paper: ")])
	}},
	{"totp", "Scan this with your phone", (*Person).scan},
	{"check", "Check, then start.", func(p *Person, _ string) error { return p.enter(p.Serial) }},
	{"resume", "This was interrupted.", enter},
	{"restart", "The computer must restart once", enter},
	{"run", "Taking ownership", nil},
	{"done", "This computer is yours.", enter},
}

// Until answers the pages as they come, until the screen shows the page (by its name) or
// the text; that one is not answered.
func (p *Person) Until(ctx context.Context, end string) error {
	named := slices.ContainsFunc(pages, func(g page) bool { return g.name == end })
	for {
		s, err := p.T.Screen(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(pages, func(g page) bool { return strings.Contains(s, g.text) })
		if !named && strings.Contains(s, end) {
			return nil
		}
		// A page that is still being drawn is looked at again.
		if i >= 0 && pages[i].name+after(s, "Secret")+after(s, "paper:") != p.last {
			if done, err := p.page(ctx, pages[i], s, end); done || err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %q after %q: %w; the screen shows\n%s", end, p.last, ctx.Err(), s)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// page answers a page that stands still, and says whether it is the one that ends.
func (p *Person) page(ctx context.Context, g page, s, end string) (done bool, err error) {
	time.Sleep(200 * time.Millisecond)
	again, err := p.T.Screen(ctx)
	if err != nil || g.name != "run" && withoutDigits(again) != withoutDigits(s) {
		return false, err
	}
	err = p.meet(g, again)
	switch {
	case err == nil && g.name == end:
		p.last = "" // it is answered when the person goes on
		return true, nil
	case err == nil && g.answer != nil:
		err = g.answer(p, again)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w; the screen shows\n%s", g.name, err, again)
	}
	return false, err
}

// Restarted tells the person that what comes next comes after a start.
func (p *Person) Restarted() { p.last, p.met = "", "" }

func (p *Person) meet(g page, screen string) error {
	name := g.name + after(screen, "Secret") + after(screen, "paper:")
	p.last = name
	if name == p.met {
		return nil
	}
	p.met = name
	if p.Log != nil {
		p.Log("%s", p.last)
	}
	if p.See != nil {
		return p.See(g.name, screen)
	}
	return nil
}

// after returns what follows a mark on its line.
func after(screen, mark string) string {
	_, rest, _ := strings.Cut(screen, mark)
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

var digits = regexp.MustCompile(`[0-9]+`)

// withoutDigits is a page without clock and codes.
func withoutDigits(screen string) string { return digits.ReplaceAllString(screen, "#") }

func (p *Person) enter(text string) error {
	if err := p.T.Type(text); err != nil {
		return err
	}
	return p.T.Key("ret")
}

// compare looks whether the hand-over verifies.
func (p *Person) compare(s string) error {
	if strings.Contains(s, "[!!]") || strings.Count(s, "[OK]") < 5 {
		return fmt.Errorf("the hand-over does not verify")
	}
	return p.T.Key("y")
}

var wordOnPage = regexp.MustCompile(`(\d+)  ([a-z]+)`)

// writeDown copies a secret to the paper and types it back.
func (p *Person) writeDown(s string) error {
	found := wordOnPage.FindAllStringSubmatch(s, -1)
	slices.SortFunc(found, func(a, b []string) int { return strings.Compare(a[1], b[1]) })
	var words []string
	for _, f := range found {
		words = append(words, f[2])
	}
	_, name, ok := strings.Cut(after(s, "Secret "), ": ")
	if !ok || len(words) < 2 {
		return fmt.Errorf("no secret on the page")
	}
	p.Paper[name] = strings.Join(words, " ")
	return p.enter(p.Paper[name])
}

var letters = regexp.MustCompile(`(?m)([A-Z2-7]{4}( [A-Z2-7]{4}){3,})`)

// scan reads the phone's secret as letters and types six digits that oathtool computes.
func (p *Person) scan(string) error {
	if err := p.T.Key("f6"); err != nil {
		return err
	}
	var code string
	for end := time.Now().Add(time.Minute); code == ""; time.Sleep(200 * time.Millisecond) {
		s, err := p.T.Screen(context.Background())
		if err != nil {
			return err
		}
		for _, m := range letters.FindAllString(s, -1) {
			code += strings.ReplaceAll(m, " ", "")
		}
		if time.Now().After(end) {
			return fmt.Errorf("no letters on\n%s", s)
		}
	}
	p.Paper["TOTP"] = code
	six, err := exec.Command("oathtool", "--totp", "-b", code).Output()
	if err != nil {
		return fmt.Errorf("oathtool: %w", err)
	}
	return p.enter(strings.TrimSpace(string(six)))
}

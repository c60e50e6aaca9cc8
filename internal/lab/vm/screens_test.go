package vm

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
	buyer "reown/internal/lab/person"
)

var update = flag.Bool("update", false, "write the screenshots and their texts to docs/screens")

const screensDir = "../../../docs/screens"

// A display to take pictures of.
type display struct {
	name          string
	options       Options
	width, height int    // of the picture, pixels; 0: there is none
	keep          string // the pages whose pictures the guides show; "all"
}

var displays = []display{
	{"1024x768", Options{Display: Screen}, 1024, 768, "all"},
	{"80x25", Options{Display: VGAText}, 720, 400, "totp"},
	{"1366x768", Options{Display: Screen, Width: 1366, Height: 768}, 1366, 768, ""},
	{"1920x1080", Options{Display: Screen, Width: 1920, Height: 1080}, 1920, 1080, "totp"},
	{"2880x1800", Options{Display: Screen, Width: 2880, Height: 1800}, 2880, 1800, ""},
	{"3840x2160", Options{Display: Screen, Width: 3840, Height: 2160}, 3840, 2160, ""},
	{"serial", Options{Display: Serial}, 0, 0, ""},
}

// TestScreens lets a buyer answer the wizard's pages at the guest's console, and looks at
// each: kernel messages, colours, glyphs, where the box stands, and the code that a phone
// scans, which zbarimg reads from the picture. The pictures in the guides are made by it,
// from a laptop that exists for the test only, and with each the text that the guest's
// kernel has on that screen; the test fails when a page does not say that any more:
//
//	REOWN_SOAK=1 go test ./internal/lab/vm -run Screens -update
//
// By default it looks at the first pages, on one display; a soak takes all displays to the
// last question, and the first to the end.
func TestScreens(t *testing.T) {
	list := displays
	if os.Getenv("REOWN_SOAK") == "" {
		list = list[:1]
	}
	for _, d := range list {
		t.Run(d.name, func(t *testing.T) { testScreens(t, d) })
	}
}

func testScreens(t *testing.T, d display) {
	l, fw := newLaptop(t)
	ctx := deadline(t, 20*time.Minute)
	o := d.options
	// The kernel says all it has to say; the script is the demo's.
	o.Firmware, o.Kernel = fw, "loglevel=7"
	o.Script = "reown wizard " + Flags + "; echo \"LAB-EXIT $?\" >/dev/ttyS0; sleep 1000"
	m := boot(t, ctx, l, o)
	if err := m.Resize(ctx, 80, 25); d.options.Display == Serial && err != nil {
		t.Fatal(err)
	}
	s := &screens{t: t, m: m, d: d, dir: t.TempDir(), sent: len(m.Console()), seen: map[string]bool{}}
	if *update {
		s.dir = screensDir
	}
	p := &buyer.Person{T: m, Seller: l.Seller, Serial: "0001", Paper: map[string]string{}, See: s.look, Log: t.Logf}
	end := "current"
	if os.Getenv("REOWN_SOAK") != "" {
		end = "run"
		if d.keep == "all" {
			end = "done"
		}
	}
	if err := p.Until(ctx, end); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d pages in order", d.name, s.pages)
	if d.options.Display == Serial {
		t.Logf("bytes on the line:%s", s.traffic.String())
	}
}

// screens looks at pages.
type screens struct {
	t       *testing.T
	m       *Machine
	d       display
	dir     string
	pages   int
	seen    map[string]bool
	sent    int // bytes on the serial console before this page
	traffic strings.Builder
}

// look looks at one page.
func (s *screens) look(page, text string) error {
	s.pages++
	ctx := s.t.Context()
	if s.d.options.Display == Serial {
		n := len(s.m.Console())
		fmt.Fprintf(&s.traffic, " %s %d", page, n-s.sent)
		s.sent = n
		if page == "totp" {
			return s.scan(drawn(s.t, text))
		}
		return nil
	}
	if page == "start" { // a plugged device makes the kernel talk
		s.m.Token.Unplug()
		time.Sleep(time.Second)
		s.m.Token.Plug()
		time.Sleep(2 * time.Second)
		var err error
		if text, err = s.m.Screen(ctx); err != nil {
			return err
		}
		if noise, err := s.m.Sh(ctx, "dmesg | grep -c 'usb 1-'"); err != nil || strings.TrimSpace(noise) == "0" {
			s.t.Errorf("the kernel had nothing to say: %q %v", noise, err)
		}
	}
	if page == "run" {
		time.Sleep(2 * time.Second)
	}
	if strings.Contains(text, "usb 1-") {
		s.t.Errorf("the kernel wrote over the page:\n%s", text)
	}
	a, err := s.m.ask(ctx, "lacking", "")
	if err != nil || a.Code != 0 || a.Out != "" {
		s.t.Errorf("%s: the font lacks %q (%v)", page, a.Out, err)
	}
	size, err := s.m.Sh(ctx, "stty size </dev/tty1")
	if err != nil {
		return err
	}
	var rows, columns int // as many as the letters leave
	if _, err := fmt.Sscan(size, &rows, &columns); err != nil {
		return err
	}
	if s.pages == 1 {
		s.t.Logf("%s: %d columns, %d lines: the page takes %d %% of the width and %d %% of the height", s.d.name, columns,
			rows, 8000/columns, 2500/rows)
	}
	lines := strings.Split(text, "\n")
	if columns > 110 {
		for _, l := range lines {
			if l != "" && !strings.HasPrefix(l, strings.Repeat(" ", (columns-110)/2)) {
				s.t.Errorf("%s: the box is not in the middle: %q", page, l)
				break
			}
		}
	}
	kept := (s.d.keep == "all" || s.d.keep == page) && !s.seen[page] // the first of the secrets
	s.seen[page] = true
	dir := s.dir
	if !kept {
		dir = s.t.TempDir()
	}
	file, err := s.shot(filepath.Join(dir, page+"-"+s.d.name))
	if err != nil {
		return err
	}
	if page == "totp" {
		if err := s.scan(file); err != nil {
			return err
		}
	}
	if !kept || page == "run" { // a run has another face at each moment
		return nil
	}
	says := []byte(lasting(text))
	name := page + "-" + s.d.name + ".txt"
	if *update {
		return os.WriteFile(filepath.Join(dir, name), says, 0o644)
	}
	then, err := os.ReadFile(filepath.Join(screensDir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil // a page without a picture
	}
	if err == nil && !bytes.Equal(then, says) {
		s.t.Errorf("docs/screens/%s is not what this page says any more; -update takes new pictures. It said\n%s\nit says\n%s", name, then, says)
	}
	return err
}

// shot takes a picture and looks at its colours.
func (s *screens) shot(name string) (string, error) {
	file := name + ".png"
	if err := s.m.QMP.Screenshot(file); err != nil {
		return "", err
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return "", err
	}
	b := img.Bounds()
	if b.Dx() != s.d.width || b.Dy() != s.d.height {
		s.t.Errorf("%s: %v", file, b)
	}
	grey := 0 // the console's own white
	for y := range b.Dy() {
		for x := range b.Dx() {
			if r, g, b, _ := img.At(x, y).RGBA(); r>>12 == 0xa && g>>12 == 0xa && b>>12 == 0xa {
				grey++
			}
		}
	}
	if grey > 0 {
		s.t.Errorf("%s: %d pixels in the console's own grey", file, grey)
	}
	return file, nil
}

// scan reads the code from a picture.
func (s *screens) scan(file string) error {
	out, err := run(s.t.Context(), nil, "zbarimg", "-q", "--raw", file)
	if uri := string(out); err != nil || !strings.HasPrefix(uri, "otpauth://totp/reown:20") ||
		!strings.Contains(uri, "%20"+strings.ReplaceAll(lab.Board, " ", "%20")) {
		return fmt.Errorf("zbarimg reads %q (%v) from %s", out, err, file)
	}
	s.t.Logf("%s: zbarimg reads the code", s.d.name)
	return nil
}

// drawn draws the code of a text page as a terminal does, ink on black, and inverted: zbar
// wants dark modules.
func drawn(t *testing.T, text string) string {
	const module = 6
	img := image.NewGray(image.Rect(0, 0, 60*module, 60*module))
	y := 0
	for _, line := range strings.Split(text, "\n") {
		if !strings.ContainsAny(line, "█▀▄") {
			continue
		}
		for x, r := range []rune(line)[:min(60, len([]rune(line)))] {
			for half, on := range [2]bool{r == '█' || r == '▀', r == '█' || r == '▄'} {
				for i := range module * module {
					if on {
						img.SetGray(x*module+i%module, (2*y+half+2)*module+i/module, color.Gray{Y: 255})
					}
				}
			}
		}
		y++
	}
	name := filepath.Join(t.TempDir(), "code.png")
	f, err := os.Create(name)
	if err == nil {
		err = png.Encode(f, img)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

var (
	codes  = regexp.MustCompile(`[█▀▄ ]*[█▀▄]+[█▀▄ ]*`)
	word   = regexp.MustCompile(`\d+  [a-z]+`)
	phrase = regexp.MustCompile(`[a-z]+(-[a-z]+){3}`)
	number = regexp.MustCompile(`\b[0-9a-f]{8,}\b|[0-9A-F]*[0-9][0-9A-F]*|\b[0-9A-F]{4}\b`)
	times  = regexp.MustCompile(`\d+ (s|min)\b`)
	spaces = regexp.MustCompile(`[ _]+`)
)

// lasting is the text of a page without what is another at each run: numbers, words of
// secrets, modules of codes, and the blanks between.
func lasting(text string) string {
	var b strings.Builder
	for _, l := range strings.Split(text, "\n") {
		l = times.ReplaceAllString(codes.ReplaceAllString(l, "[code] "), "# (time)")
		l = phrase.ReplaceAllString(word.ReplaceAllString(l, "# word"), "words")
		l = strings.TrimSpace(spaces.ReplaceAllString(number.ReplaceAllString(l, "#"), " "))
		if l != "" {
			b.WriteString(l + "\n")
		}
	}
	return b.String()
}

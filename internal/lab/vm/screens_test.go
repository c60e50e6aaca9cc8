package vm

import (
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the screenshots to docs/screens")

const screensDir = "../../../docs/screens"

// A display to take pictures of.
type display struct {
	name          string
	options       Options
	width, height int // of the picture
}

var displays = []display{
	{"1024x768", Options{Display: Screen}, 1024, 768},
	{"80x25", Options{Display: VGAText}, 720, 400},
	{"1920x1080", Options{Display: Screen, Width: 1920, Height: 1080}, 1920, 1080},
}

// TestScreens looks at the wizard's first pages, and at a QR code, as the guest's
// video card shows them. The pictures in the guides are made by it:
//
//	REOWN_SOAK=1 go test ./internal/lab/vm -run Screens -update
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
	ctx := deadline(t, 10*time.Minute)
	o := d.options
	o.Firmware = fw
	o.Script = "reown wizard " + Flags + "; stty sane; clear; reown totp new --board Lab --out /tmp/totp; sleep 1000"
	m := boot(t, ctx, l, o)
	dir := t.TempDir()
	if *update {
		dir = screensDir
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shot := func(name string) string {
		t.Helper()
		file := filepath.Join(dir, name+"-"+d.name+".png")
		if err := m.QMP.Screenshot(file); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		img, err := png.Decode(f)
		if err != nil {
			t.Fatal(err)
		}
		if b := img.Bounds(); b.Dx() != d.width || b.Dy() != d.height {
			t.Errorf("%s: %v", file, b)
		}
		return file
	}
	press := func(keys ...string) {
		t.Helper()
		if err := m.QMP.Keys(keys...); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range []struct{ name, text, key string }{
		{"language", "Choose your language.", "ret"},
		{"start", "You need:", "ret"},
		{"keyboard", "Press these keys", ""},
		{"verify", "Is this the computer that was sent to you?", ""},
	} {
		text, err := m.WaitScreen(ctx, page.text)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "usb 1-") {
			t.Errorf("the kernel wrote over the page:\n%s", text)
		}
		if page.name == "start" { // a plugged device makes the kernel talk
			m.Token.Unplug()
			time.Sleep(time.Second)
			m.Token.Plug()
			time.Sleep(time.Second)
		}
		shot(page.name)
		if page.name == "keyboard" {
			if err := m.QMP.Type("yzaqm-.1"); err != nil {
				t.Fatal(err)
			}
			if _, err := m.WaitScreen(ctx, "yzaqm-.1"); err != nil {
				t.Error(err)
			}
			press("ret", "ret")
		} else if page.key != "" {
			press(page.key)
		}
	}
	if _, err := m.Sh(ctx, "kill -9 $(pidof reown)"); err != nil {
		t.Fatal(err)
	}
	// The code that a phone scans.
	if _, err := m.WaitScreen(ctx, "▀"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	out, err := run(ctx, nil, "zbarimg", "-q", "--raw", shot("qr"))
	if err != nil || !strings.HasPrefix(string(out), "otpauth://totp/") {
		text, _ := m.Screen(ctx)
		t.Errorf("zbarimg reads %q (%v) from\n%s", out, err, text)
	}
}

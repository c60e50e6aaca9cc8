package vm

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
)

// TestConsole sits at the laptop's own console, with its keyboard: what the kernel's
// console does for the wizard, what must not disturb it, and what is put back.
func TestConsole(t *testing.T) {
	if os.Getenv("REOWN_SOAK") != "1" {
		t.Skip("two minutes; TestScreens looks at the same pages on another display: REOWN_SOAK=1")
	}
	l, fw := newLaptop(t)
	ctx := deadline(t, 10*time.Minute)
	m := boot(t, ctx, l, Options{Firmware: fw, Display: Screen, Width: 1920, Height: 1080,
		Script: "cat /proc/sys/kernel/printk >/tmp/printk; reown wizard --no-restart " + Flags +
			"; echo LAB-EXIT $? >/dev/ttyS0; sleep 1000"})
	c := &sitting{t: t, ctx: ctx, m: m}

	c.wait("Choose your language.")
	c.press("ret")
	c.wait("You need:")
	c.press("ret")
	c.wait("Press these keys")
	c.large(true)
	c.capsLock()
	c.layout()
	c.kernelIsQuiet()
	c.colours(true)
	c.harmless()
	c.secondConsole()

	c.press("f10")
	if err := m.WaitConsole(ctx, "LAB-EXIT 6"); err != nil { // left before anything was changed
		t.Fatalf("%v\n%s", err, m.Console())
	}
	if was, is := c.sh("cat /tmp/printk"), c.sh("cat /proc/sys/kernel/printk"); was != is {
		t.Errorf("the kernel's console level was %q and is %q", was, is)
	}
	if v := c.sh("cat /proc/sys/kernel/ctrl-alt-del"); v != "1" {
		t.Errorf("Ctrl-Alt-Del is left as %s", v)
	}
	c.colours(false)
	c.large(false)
	c.killed()
	c.withoutFlags()
}

// sitting is a person at the console.
type sitting struct {
	t   *testing.T
	ctx context.Context
	m   *Machine
}

func (c *sitting) wait(text string) string {
	c.t.Helper()
	s, err := c.m.WaitScreen(c.ctx, text)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// gone waits until a text has left the screen.
func (c *sitting) gone(text string) {
	c.t.Helper()
	for {
		s, err := c.m.Screen(c.ctx)
		if err != nil {
			c.t.Fatalf("%q stays: %v\n%s", text, err, s)
		}
		if !strings.Contains(s, text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *sitting) press(keys ...string) {
	c.t.Helper()
	if err := c.m.QMP.Keys(keys...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *sitting) typed(text string) {
	c.t.Helper()
	if err := c.m.QMP.Type(text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *sitting) sh(command string) string {
	c.t.Helper()
	out, err := c.m.Sh(c.ctx, command)
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// capsLock: the page says so while it is on.
func (c *sitting) capsLock() {
	c.press("caps_lock")
	c.wait("CAPS LOCK IS ON")
	c.press("caps_lock")
	c.gone("CAPS LOCK IS ON")
}

// layout loads the German layout: the key beside T types z, and umlauts come.
func (c *sitting) layout() {
	c.typed("y")
	c.wait("You typed  y")
	c.press("backspace", "down", "down", "down", "ret") // Continue, uk, de
	c.wait("Keyboard: de")
	c.typed("yz[;")
	c.wait("You typed  zyüö")
	c.press("ctrl-u")
}

// large: the letters of a fine screen are three times as wide, and twice as high, which is the most that
// this kernel takes; and as they were, afterwards.
func (c *sitting) large(yes bool) {
	c.t.Helper()
	want := "67 240"
	if yes {
		want = "33 80"
		if share := c.share(); share < 90 {
			c.t.Errorf("the page is over %d %% of the screen's width", share)
		}
	}
	if is := c.sh("stty size </dev/tty1"); is != want {
		c.t.Errorf("the console has %s cells, want %s", is, want)
	}
}

// share is over how much of the picture's width something is drawn, in percent.
func (c *sitting) share() int {
	img := c.picture()
	first, last, b := img.Bounds().Max.X, 0, img.Bounds()
	paper := img.At(b.Max.X-1, b.Max.Y-1)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if img.At(x, y) != paper {
				first, last = min(first, x), max(last, x)
			}
		}
	}
	return 100 * (last - first) / b.Dx()
}

// killed: who ends the wizard by a signal finds the console as it was, too.
func (c *sitting) killed() {
	c.sh("TERM=linux reown wizard --no-restart </dev/tty1 >/dev/tty1 2>/tmp/killed & echo $! >/tmp/pid")
	c.wait("Choose your language.")
	c.large(true)
	c.sh("kill -TERM $(cat /tmp/pid); while [ -e /proc/$(cat /tmp/pid)/exe ]; do sleep 0.2; done") // nobody waits for it
	c.large(false)
	c.sh("clear >/dev/tty1")
}

// withoutFlags: configuration, chip, disk and TPM are found as the firmware gives them.
func (c *sitting) withoutFlags() {
	out := c.sh("reown status 2>&1; echo code $?")
	for _, want := range []string{"handed over", "hand-over   ", "code 0", lab.Board} {
		if !strings.Contains(out, want) {
			c.t.Errorf("status does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "problem") {
		c.t.Errorf("status sees a problem:\n%s", out)
	}
	if out := c.sh("reown plan 2>&1; echo code $?"); !strings.Contains(out, "code 0") ||
		!strings.Contains(out, "Firmware chip") {
		c.t.Errorf("plan says\n%s", out)
	}
	if out := c.sh("reown resume 2>&1 </dev/tty1; echo code $?"); !strings.Contains(out, "no run was interrupted") {
		c.t.Errorf("resume says\n%s", out)
	}
}

// kernelIsQuiet: the kernel's messages do not come to the screen.
func (c *sitting) kernelIsQuiet() {
	if level := c.sh("cut -f1 /proc/sys/kernel/printk"); level != "1" {
		c.t.Errorf("the kernel's console level is %s", level)
	}
	c.sh("echo '<2>SPOILS THE SCREEN' >/dev/kmsg")
	time.Sleep(time.Second)
	if s := c.wait("Press these keys"); strings.Contains(s, "SPOILS") {
		c.t.Errorf("the kernel wrote over the page:\n%s", s)
	}
}

// colours looks at the background, which is the wizard's own while it runs.
func (c *sitting) colours(ours bool) {
	want := "000000"
	if ours {
		want = "101418"
	}
	if got := background(c.picture()); got != want {
		c.t.Errorf("the background is %s, want %s", got, want)
	}
}

// picture is what is on the screen.
func (c *sitting) picture() image.Image {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "screen.png")
	if err := c.m.QMP.Screenshot(file); err != nil {
		c.t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		c.t.Fatal(err)
	}
	if keep := os.Getenv("REOWN_PICTURES"); keep != "" { // to look at
		if err := os.Rename(file, filepath.Join(keep, fmt.Sprintf("console-%d.png", time.Now().UnixNano()))); err != nil {
			c.t.Error(err)
		}
	}
	return img
}

// background is the colour that most of the picture has.
func background(img image.Image) string {
	count, best, most := map[string]int{}, "", 0
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y += 3 {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x += 3 {
			r, g, b, _ := img.At(x, y).RGBA()
			k := fmt.Sprintf("%02x%02x%02x", r>>8, g>>8, b>>8)
			if count[k]++; count[k] > most {
				best, most = k, count[k]
			}
		}
	}
	return best
}

// provoke presses the keys that end programs and restart computers.
func (c *sitting) provoke() {
	c.t.Helper()
	c.press("ctrl-c", "ctrl-z", "ctrl-backslash")
	if err := c.m.QMP.chord([]string{"ctrl", "alt", "delete"}); err != nil {
		c.t.Fatal(err)
	}
}

// harmless: none of them does anything on a page.
func (c *sitting) harmless() {
	if v := c.sh("cat /proc/sys/kernel/ctrl-alt-del"); v != "0" {
		c.t.Errorf("Ctrl-Alt-Del restarts at once: %s", v)
	}
	pid := c.sh("pidof reown")
	c.provoke()
	c.provoke()
	if now := c.sh("sleep 1; pidof reown"); now != pid {
		c.t.Errorf("the wizard was process %s and is %q", pid, now)
	}
	c.wait("Press these keys")
}

// secondConsole: who starts the wizard on another console is told so, and nothing is
// changed.
func (c *sitting) secondConsole() {
	out := c.sh("export LUKS_DEV=/dev/nvme0n1p2 TPM_DEV=/dev/tpmrm0; TERM=linux reown wizard --ui tui " + Flags +
		" </dev/tty2 >/dev/tty2 2>/tmp/second; echo $?; cat /tmp/second")
	if !strings.HasPrefix(out, "6\n") || !strings.Contains(out, "another console") {
		c.t.Errorf("the second console says %q", out)
	}
}

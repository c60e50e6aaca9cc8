package vm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
)

// again repeats the unattended run whenever the file /tmp/again appears, until it is done.
const again = `while :; do
	` + unattended + `	until [ -e /tmp/again ]; do sleep 0.5; done
	rm /tmp/again
done
`

// TestTokenPulled pulls the security key out in the middle of a reset, of making a key and
// of a signature: each time the run stops and says why, goes on when the key is back, and
// in the end the laptop is its buyer's.
func TestTokenPulled(t *testing.T) {
	if os.Getenv("REOWN_SOAK") == "" {
		t.Skip("a whole run more: set REOWN_SOAK=1")
	}
	l, fw := newLaptop(t)
	prepare(t, l)
	ctx := deadline(t, 20*time.Minute)
	m := boot(t, ctx, l, Options{Firmware: fw, Script: again})
	moments := []struct {
		what string
		cmd  []byte // the beginning of the command (OpenPGP card 3.4, 7.2)
		nth  int
	}{
		{"the reset", []byte{0x00, 0xe6, 0x00, 0x00}, 1},
		{"making a key", []byte{0x00, 0x47, 0x80, 0x00}, 2},
		{"a signature", []byte{0x00, 0x2a, 0x9e, 0x9a}, 2},
	}
	pulled := make(chan struct{}, 1)
	at, count := 0, 0
	m.Card.Log(func(cmd, _ []byte) {
		if at < len(moments) && bytes.HasPrefix(cmd, moments[at].cmd) {
			if count++; count == moments[at].nth {
				at, count = at+1, 0
				go func() { m.Token.Unplug(); pulled <- struct{}{} }()
			}
		}
	})
	for i, moment := range moments {
		for waiting := true; waiting; {
			select {
			case <-pulled:
				waiting = false
			case <-m.Off():
				t.Fatalf("%s never came:\n%s", moment.what, tail(m.Console()))
			case <-time.After(time.Second):
				if strings.Count(m.Console(), "LAB-EXIT") > i || ctx.Err() != nil {
					t.Fatalf("%s never came:\n%s", moment.what, tail(m.Console()))
				}
			}
		}
		for strings.Count(m.Console(), "LAB-EXIT") <= i && ctx.Err() == nil {
			time.Sleep(200 * time.Millisecond)
		}
		parts := strings.Split(m.Console(), "LAB-EXIT ")
		if said := parts[i]; !strings.HasPrefix(parts[i+1], "5") || !strings.Contains(said, "security key") {
			t.Errorf("pulled out during %s, it ends with %.1s and\n%s", moment.what, parts[i+1], tail(said))
		}
		t.Logf("pulled out during %s: it says %q", moment.what, explained(parts[i]))
		remember(t, l)
		m.Token.Plug()
		if _, err := m.Sh(ctx, "sleep 2; touch /tmp/again"); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(m.Console(), "LAB-EXIT"); n != len(moments) {
		t.Fatalf("%d ends, want %d:\n%s", n, len(moments), tail(m.Console()))
	}
	mustBeBuyers(t, ctx, l, remember(t, l))
}

// explained is what a run says of its end.
func explained(console string) string {
	_, what, _ := strings.Cut(console, "what happened:")
	line, _, _ := strings.Cut(what, "your data:")
	return strings.Join(strings.Fields(line), " ")
}

// TestHotPlug is one start of the laptop with what people plug in: a keyboard that comes
// late, on a laptop that has no other; another security key; two of them.
func TestHotPlug(t *testing.T) {
	if os.Getenv("REOWN_SOAK") == "" {
		t.Skip("TestDevices has a sample: the token out and in again: REOWN_SOAK=1")
	}
	l, fw := newLaptop(t)
	prepare(t, l)
	ctx := deadline(t, 8*time.Minute)
	// As Heads: the keyboard's driver is loaded after everything else.
	m := boot(t, ctx, l, Options{Firmware: fw, Display: Screen, Disk: "sata", NoPS2: true,
		Script: "rmmod hid_generic usbhid\nreown wizard " + Flags + "\nsleep 1000"})
	if _, err := m.WaitScreen(ctx, "Choose your language."); err != nil {
		t.Fatal(err)
	}
	if out, err := m.Sh(ctx, "grep -il keyboard /sys/class/input/input*/name /dev/null"); err == nil {
		t.Fatalf("there is a keyboard before any was plugged in: %s", out)
	}
	if _, err := m.Sh(ctx, "for d in usbhid hid_generic; do insmod $(grep /$d.ko /etc/modules); done"); err != nil {
		t.Fatal(err)
	}
	if err := m.PlugKeyboard(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Sh(ctx, "n=0; until dmesg | grep -q 'hid-generic.*USB Keyboard'; do n=$((n+1)); [ $n -lt 200 ] || exit 1; sleep 0.1; done"); err != nil {
		t.Fatalf("the kernel finds no keyboard: %v", err)
	}
	for _, step := range []struct{ from, to string }{{"Choose your language.", "You need:"},
		{"You need:", "Press these keys"}} {
		for presses := 0; ; presses++ { // as a person does when nothing happens
			if s, err := m.Screen(ctx); err != nil {
				t.Fatal(err)
			} else if strings.Contains(s, step.to) {
				break
			} else if strings.Contains(s, step.from) {
				if presses == 10 {
					t.Fatalf("the USB keyboard does not type:\n%s", s)
				}
				if err := m.Key("ret"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * time.Second)
		}
	}
	if err := m.Type("yzaqm-.1"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.WaitScreen(ctx, "yzaqm-.1"); err != nil {
		t.Fatal(err)
	}
	t.Log("a USB keyboard, plugged in at the first page, types")
	if _, err := m.Sh(ctx, "kill -9 $(pidof reown); sleep 1"); err != nil {
		t.Fatal(err)
	}

	if out, err := m.Sh(ctx, "reown luks info /dev/sda2"); err != nil || !strings.Contains(out, "LUKS2") {
		t.Errorf("the SATA disk: %v\n%s", err, out)
	}
	before := stateOf(t, l)
	try := func(what string, code int, says ...string) {
		t.Helper()
		out, err := m.Sh(ctx, ". /tmp/lab-devices; reown wizard --no-input --answers /flash/answers.json --secrets-in /flash/known.json --secrets-out /flash/made.json "+Flags+" 2>&1")
		var exit *ExitError
		if !errors.As(err, &exit) || exit.Code != code {
			t.Fatalf("%s: %v, want exit status %d", what, err, code)
		}
		for _, s := range says {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), s) {
				t.Errorf("%s: it does not say %q:\n%s", what, s, out)
			}
		}
		if stateOf(t, l) != before {
			t.Errorf("%s: something was changed", what)
		}
		t.Logf("%s: exit status %d, %q", what, exit.Code, explained(out))
	}
	settle := func() {
		if _, err := m.Sh(ctx, "sleep 1"); err != nil {
			t.Fatal(err)
		}
	}
	m.Token.Unplug()
	settle()
	try("no security key", 1, "No security key is plugged in")
	if err := m.plug("stranger", true); err != nil {
		t.Fatal(err)
	}
	settle()
	try("another security key", 4, `there is no choice "match"`) // only "it does not match" and "not proven"
	m.Token.Plug()
	settle()
	try("two security keys", 6, "More than one security key is plugged in")
	if err := m.plug("stranger", false); err != nil {
		t.Fatal(err)
	}
	settle()
	if out, err := m.Sh(ctx, "reown card status --reader usb"); err != nil ||
		!strings.Contains(out, l.Seller.Fingerprint) {
		t.Errorf("the right one alone: %v\n%s", err, out)
	}
}

// stateOf is a digest of what a refusal must not change: card, chip and the disk's header.
func stateOf(t *testing.T, l *lab.Laptop) string {
	t.Helper()
	h := sha256.New()
	card, err := os.ReadFile(filepath.Join(l.Dir, "card.json"))
	if err != nil {
		t.Fatal(err)
	}
	chip, err := os.ReadFile(l.ROM())
	if err != nil {
		t.Fatal(err)
	}
	disk, err := os.Open(l.Disk())
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	header := make([]byte, 16<<20)
	at, _ := l.Window()
	if _, err := disk.ReadAt(header, at); err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{card, chip, header} {
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

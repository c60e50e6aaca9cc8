package qr

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// picture draws the code with scale pixels a module and the standard's border.
func picture(c *Code, scale int) image.Image {
	n := (c.Size + 2*Quiet) * scale
	img := image.NewGray(image.Rect(0, 0, n, n))
	for y := range n {
		for x := range n {
			v := color.Gray{255}
			if c.Dark(x/scale-Quiet, y/scale-Quiet) {
				v.Y = 0
			}
			img.SetGray(x, y, v)
		}
	}
	return img
}

// zbar reads a code as zbarimg does.
func zbar(t *testing.T, img image.Image) []byte {
	t.Helper()
	if _, err := exec.LookPath("zbarimg"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip("zbarimg is not installed")
	}
	name := filepath.Join(t.TempDir(), "code.png")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var said bytes.Buffer
	cmd := exec.Command("zbarimg", "--quiet", "--raw", "-Sbinary", name)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("zbarimg: %v: %s", err, said.Bytes())
	}
	return out
}

func data(n int) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/?=%-"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return b
}

// Every version and level at its fullest, and one byte into it.
func TestZbarReadsEveryVersion(t *testing.T) {
	for _, l := range []Level{L, M} {
		for v := 1; v <= maxVersion; v++ {
			low := 0
			if v > 1 {
				low = capacity(v-1, l) + 1
			}
			for _, n := range []int{max(low, 1), capacity(v, l)} {
				want := data(n)
				c, err := Encode(want, l)
				if err != nil {
					t.Fatal(err)
				}
				if c.Version != v {
					t.Fatalf("%d bytes at level %d: version %d, want %d", n, l, c.Version, v)
				}
				if got := zbar(t, picture(c, 4)); !bytes.Equal(got, want) {
					t.Errorf("version %d level %d: %q, want %q", v, l, got, want)
				}
				c.Wipe()
			}
		}
	}
}

// A second, independent reader, on random lengths.
func TestZxingReads(t *testing.T) {
	for range 60 {
		l := Level(rand.IntN(2))
		want := data(1 + rand.IntN(capacity(maxVersion, l)))
		c, err := Encode(want, l)
		if err != nil {
			t.Fatal(err)
		}
		bmp, err := gozxing.NewBinaryBitmapFromImage(picture(c, 3))
		if err != nil {
			t.Fatal(err)
		}
		got, err := qrcode.NewQRCodeReader().Decode(bmp,
			map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_PURE_BARCODE: true})
		if err != nil || got.GetText() != string(want) {
			t.Fatalf("%d bytes, version %d, level %d: %v, %v", len(want), c.Version, l, got, err)
		}
	}
}

// Level L must survive some damage, or the check codewords are wrong.
func TestDamagedCodeStillReads(t *testing.T) {
	want := data(92)
	c, err := Encode(want, M)
	if err != nil {
		t.Fatal(err)
	}
	img := picture(c, 4).(*image.Gray)
	for y := range 4 * 5 {
		for x := range 4 * 5 {
			img.SetGray(4*(Quiet+c.Size/2)+x, 4*(Quiet+c.Size/2)+y, color.Gray{255})
		}
	}
	if got := zbar(t, img); !bytes.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

func TestTooLong(t *testing.T) {
	if _, err := Encode(make([]byte, capacity(maxVersion, L)+1), L); !errors.Is(err, ErrTooLong) {
		t.Fatal(err)
	}
}

// fromText turns half blocks back into a picture, as a terminal of 8x16 cells
// shows them.
func fromText(text string, lightInk bool) image.Image {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	w := len([]rune(lines[0]))
	img := image.NewGray(image.Rect(0, 0, 8*w, 16*len(lines)))
	for y, line := range lines {
		for x, r := range []rune(line) {
			for k := range 16 {
				ink := r == '█' || r == '▀' && k < 8 || r == '▄' && k >= 8
				for i := range 8 {
					v := color.Gray{0}
					if ink == lightInk {
						v.Y = 255
					}
					img.SetGray(8*x+i, 16*y+k, v)
				}
			}
		}
	}
	return img
}

func TestZbarReadsTheText(t *testing.T) {
	want := []byte("otpauth://totp/Thinkpad%20X230-hotp-maximized?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	for _, lightInk := range []bool{true, false} {
		c, err := Encode(want, L)
		if err != nil {
			t.Fatal(err)
		}
		if w, h := c.Width(2), c.Height(2); w > 80 || h > 22 {
			t.Errorf("%dx%d cells do not fit a console of 80x25", w, h)
		}
		text := c.Text(2, lightInk)
		if got := zbar(t, fromText(string(text.Bytes()), lightInk)); !bytes.Equal(got, want) {
			t.Errorf("light ink %v: %q", lightInk, got)
		}
		text.Wipe()
	}
}

// A terminal of 80 columns and 25 lines shows the code, and what it shows is read
// back from it.
func TestZbarReadsATerminal(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip("tmux is not installed")
	}
	want := []byte("otpauth://totp/Thinkpad%20X230-hotp-maximized?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	c, err := Encode(want, L)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "code.txt")
	if err := os.WriteFile(name, c.Text(2, true).Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tmux := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("tmux", append([]string{"-u", "-f", "/dev/null", "-S", filepath.Join(dir, "socket")}, args...)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	tmux("new-session", "-d", "-x", "80", "-y", "25", "cat '"+name+"'; tmux -S '"+filepath.Join(dir, "socket")+
		"' wait-for -S shown; exec sleep 600")
	defer tmux("kill-server")
	tmux("wait-for", "shown")
	var screen []string
	for _, line := range strings.Split(tmux("capture-pane", "-p"), "\n") {
		if strings.ContainsAny(line, "█▀▄") {
			screen = append(screen, line+strings.Repeat(" ", 80-len([]rune(line))))
		}
	}
	if len(screen) != c.Height(2) {
		t.Fatalf("%d lines of %d are on the screen", len(screen), c.Height(2))
	}
	if got := zbar(t, fromText(strings.Join(screen, "\n"), true)); !bytes.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

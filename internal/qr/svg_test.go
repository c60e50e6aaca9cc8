package qr

import (
	"bytes"
	"image/png"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestSVG: a renderer and a reader that we did not write agree on the picture, at every size.
func TestSVG(t *testing.T) {
	if _, err := exec.LookPath("rsvg-convert"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip("rsvg-convert is not installed")
	}
	for _, n := range []int{1, 40, 106, 200, 271} {
		data := []byte(strings.Repeat("otpauth:", 40)[:n])
		c, err := Encode(data, L)
		if err != nil {
			t.Fatal(err)
		}
		svg := c.SVG(Quiet, `width="600" height="600"`)
		cmd := exec.Command("rsvg-convert")
		cmd.Stdin = bytes.NewReader(svg.Bytes())
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("rsvg-convert: %v\n%s", err, svg.Bytes())
		}
		img, err := png.Decode(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if b := img.Bounds(); b.Dx() != 600 || b.Dy() != 600 {
			t.Errorf("%v", b)
		}
		if got := zbar(t, img); !bytes.Equal(bytes.TrimSuffix(got, []byte("\n")), data) {
			t.Errorf("zbarimg reads %q", got)
		}
		svg.Wipe()
		c.Wipe()
	}
}

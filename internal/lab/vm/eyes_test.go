package vm

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
)

// eyes read the text on the guest's framebuffer from the outside: nothing in the guest
// handles what they read, so that its memory can be searched for it afterwards. They
// learn the font from a line whose text they know.
type eyes struct {
	m      *Machine
	glyphs map[glyph]rune
}

// The size of a character in the kernel's font, in pixels.
const cellWidth, cellHeight = 8, 16

// glyph is the ink of one character, a row of pixels in each byte.
type glyph [cellHeight]byte

// alphabet is what learnScript prints and newEyes learns.
const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?-+*/=()[]<>@_#&'%"

// learnScript is what the guest's script must do before newEyes: print the alphabet at
// the top of the screen and wait for a key.
var learnScript = `clear; printf '\033[?25l%s' "` + alphabet + `"; read x; printf '\033[?25h'; clear
`

// newEyes learns the font from the screen that learnScript made, and lets the script
// go on.
func newEyes(m *Machine) (*eyes, error) {
	e := &eyes{m: m, glyphs: map[glyph]rune{}}
	err := await(func() error {
		img, err := e.picture()
		if err != nil {
			return err
		}
		for i, r := range alphabet {
			g := inked(img, i, 0)
			if g == (glyph{}) {
				return errors.New("the alphabet is not on the screen")
			}
			if old, ok := e.glyphs[g]; ok && old != r {
				e.glyphs = map[glyph]rune{}
				return fmt.Errorf("%c and %c look alike", old, r)
			}
			e.glyphs[g] = r
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	e.glyphs[glyph{}] = ' '
	return e, m.QMP.Keys("ret")
}

func (e *eyes) picture() (image.Image, error) {
	name := e.m.path("eyes.png")
	defer os.Remove(name)
	if err := e.m.QMP.Screenshot(name); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return png.Decode(f)
}

// inked is what one cell shows: the pixels that do not have the colour of its corner.
func inked(img image.Image, column, line int) (g glyph) {
	x0, y0 := column*cellWidth, line*cellHeight
	paper := color.RGBAModel.Convert(img.At(x0+cellWidth-1, y0))
	for y := range cellHeight {
		for x := range cellWidth {
			if color.RGBAModel.Convert(img.At(x0+x, y0+y)) != paper {
				g[y] |= 1 << x
			}
		}
	}
	return g
}

// read returns the text on the screen; what it does not know is '~'.
func (e *eyes) read() (string, error) {
	img, err := e.picture()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	size := img.Bounds().Size()
	for y := range size.Y / cellHeight {
		var line strings.Builder
		for x := range size.X / cellWidth {
			r, ok := e.glyphs[inked(img, x, y)]
			if !ok {
				r = '~'
			}
			line.WriteRune(r)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String(), nil
}

// shot writes the screen to a PNG file and returns its name.
func (e *eyes) shot(name string) (string, error) {
	file := filepath.Join(e.m.dir, name)
	return file, e.m.QMP.Screenshot(file)
}

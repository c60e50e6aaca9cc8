package qr

import (
	"strconv"

	"reown/internal/secret"
)

// SVG draws the code as a picture of its own, or a part of one: dark modules on a light
// ground, with a border of that many light ones. attrs, trusted text, say where it stands
// and how large it is. The caller wipes the result.
func (c *Code) SVG(quiet int, attrs string) *secret.Buffer {
	n := strconv.Itoa(c.Size + 2*quiet)
	head := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ` + n + " " + n + `" shape-rendering="crispEdges" ` +
		attrs + `>
<path fill="#fff" d="M0 0h` + n + "v" + n + `H0z"/>
<path fill="#000" d="`
	const end = "\"/>\n</svg>\n"
	b := secret.New(len(head) + len(end) + len("M99 99h99v1H99z")*c.Size*(c.Size+1)/2)
	out := append(b.Bytes()[:0], head...)
	num := func(before string, v int) { out = strconv.AppendInt(append(out, before...), int64(v), 10) }
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			from := x
			for c.Dark(x, y) {
				x++
			}
			if x > from {
				num("M", from+quiet)
				num(" ", y+quiet)
				num("h", x-from)
				num("v1H", from+quiet)
				out = append(out, 'z')
			}
		}
	}
	b.SetLen(len(append(out, end...)))
	return b
}

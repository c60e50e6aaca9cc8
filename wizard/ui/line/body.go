package line

import (
	"bytes"
	"fmt"
	"io"

	"reown/internal/escape"
	"reown/internal/qr"
	"reown/internal/secret"
	"reown/wizard/ui"
)

// body prints the page's text once; digits that change are printed as they are now.
func (u *UI) body(p *ui.Page) {
	body := p.Body
	if p.Live != nil {
		body = p.Live()
	}
	for _, b := range body {
		switch b.Kind {
		case ui.Gap:
			u.say("")
		case ui.Verbatim:
			u.say(escape.Text(b.Text))
		case ui.Row:
			head := ""
			if b.Mark != ui.NoMark {
				head = b.Mark.String() + " "
			}
			if b.Label != "" {
				head += b.Label + ": "
			}
			u.wrap(head + b.Text)
		case ui.Words:
			u.words(b.Secret.Bytes())
		case ui.Code:
			u.secretLines(b.Secret.Bytes())
		case ui.QR:
			u.qr(b.Secret)
		default:
			u.wrap(b.Text)
		}
	}
}

// words prints one word a line with its number, which is how they are written down.
func (u *UI) words(b []byte) {
	n := 0
	for w := range bytes.SplitSeq(b, []byte{' '}) {
		n++
		_, _ = fmt.Fprintf(u.out, "  %d  ", n)
		_, _ = u.out.Write(w)
		u.say("")
	}
}

func (u *UI) secretLines(b []byte) {
	_, _ = io.WriteString(u.out, "  ")
	_, _ = u.out.Write(b)
	u.say("")
}

func (u *UI) qr(s *secret.Buffer) {
	if !u.Blocks {
		u.secretLines(s.Bytes())
		return
	}
	c, err := qr.Encode(s.Bytes(), qr.L)
	if err != nil {
		u.secretLines(s.Bytes())
		return
	}
	defer c.Wipe()
	text := c.Text(2, true)
	defer text.Wipe()
	_, _ = u.out.Write(text.Bytes())
}

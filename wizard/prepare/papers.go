package prepare

import (
	"fmt"
	"strings"

	"reown/internal/qr"
	"reown/internal/secret"
	"reown/wizard/msg"
)

// Facts are what the papers of one laptop say; nothing in them is secret.
type Facts struct {
	Order       string
	Words       string // the four of the hand-over file
	Seller      string // fingerprint that the buyer must know
	Fingerprint string // of the laptop's key
	Card        string // serial number of the security key
	Message     bool   // the buyer gets secrets.asc
	Phone       bool   // the laptop shows a code, for which the message has phone.svg.asc
}

// Grouped is a fingerprint as gpg prints it.
func Grouped(fpr string) string {
	var out []string
	for i := 0; i+4 <= len(fpr); i += 4 {
		out = append(out, fpr[i:i+4])
	}
	return strings.Join(out, " ")
}

// Label is the label as text.
func (f *Facts) Label() string {
	return fmt.Sprintf(`order         %s
words         %s
seller's key  %s
laptop's key  %s
security key  %s
`, f.Order, f.Words, Grouped(f.Seller), Grouped(f.Fingerprint), f.Card)
}

// Scanned is what the label's code says: the seller's fingerprint as programs that read
// keys from a code know it, and behind it what they leave alone.
func (f *Facts) Scanned() string {
	return "OPENPGP4FPR:" + f.Seller + "#order=" + f.Order + "&words=" + f.Words
}

// LabelSVG is the label as a picture of 90 by 38 mm, with a code. An order's letters
// (ParseOrder) need no escaping in it.
func (f *Facts) LabelSVG() ([]byte, error) {
	c, err := qr.Encode([]byte(f.Scanned()), qr.M)
	if err != nil {
		return nil, err
	}
	defer c.Wipe()
	code := c.SVG(qr.Quiet, `x="55" y="3" width="32" height="32"`)
	defer code.Wipe()
	var b strings.Builder
	b.WriteString(`<svg xmlns="http://www.w3.org/2000/svg" width="90mm" height="38mm" viewBox="0 0 90 38">
<path fill="#fff" d="M0 0h90v38H0z"/>
`)
	y := 6
	line := func(size, text string, step int) {
		fmt.Fprintf(&b, `<text x="3" y="%d" font-family="monospace" font-size="%s">%s</text>`+"\n", y, size, text)
		y += step
	}
	order := "3.6"
	if len(f.Order) > 24 {
		order = "1.3"
	}
	line(order, f.Order, 6)
	line("2.9", f.Words, 5)
	for _, k := range []struct{ name, fpr string }{{"seller's key", f.Seller}, {"laptop's key", f.Fingerprint}} {
		fpr := Grouped(k.fpr)
		line("2", k.name, 3)
		line("2.6", fpr[:24], 3)
		line("2.6", fpr[25:], 4)
	}
	line("2", "security key "+f.Card, 0)
	b.Write(code.Bytes())
	b.WriteString("</svg>\n")
	return []byte(b.String()), nil
}

// phone is a picture of the code for a telephone. Behind the picture stands the same for a
// terminal, whose letters are lighter than its ground.
func phone(uri *secret.Buffer) (*secret.Buffer, error) {
	c, err := qr.Encode(uri.Bytes(), qr.L)
	if err != nil {
		return nil, err
	}
	defer c.Wipe()
	svg, text := c.SVG(qr.Quiet, `width="80mm" height="80mm"`), c.Text(2, true)
	defer svg.Wipe()
	defer text.Wipe()
	const before, after = "<!--\n", "-->\n"
	b := secret.New(svg.Len() + len(before) + text.Len() + len(after))
	n := copy(b.Bytes(), svg.Bytes())
	n += copy(b.Bytes()[n:], before)
	n += copy(b.Bytes()[n:], text.Bytes())
	copy(b.Bytes()[n:], after)
	return b, nil
}

// A letter is what a seller tells a buyer, in one language.
type letter struct {
	title   string // %s: the order
	ways    string
	words   string // %s: the words, the seller's key, the security key's number
	compare string
	decrypt string
	scan    string
	apart   string // in the place of the two: there is no message
	digits  string
	after   string
}

// Letter is the letter in a language.
func (f *Facts) Letter(l msg.Lang) string {
	t := letters[l]
	steps := []string{t.compare}
	switch {
	case !f.Message:
		steps = append(steps, t.apart)
	case f.Phone:
		steps = append(steps, t.decrypt, t.scan)
	default:
		steps = append(steps, t.decrypt)
	}
	steps = append(steps, t.digits, t.after)
	var b strings.Builder
	fmt.Fprintf(&b, t.title+"\n\n"+t.ways+"\n\n"+t.words+"\n", f.Order, f.Words, Grouped(f.Seller), f.Card)
	for i, s := range steps {
		fmt.Fprintf(&b, "\n%d. %s\n", i+1, strings.ReplaceAll(s, "\n", "\n   "))
	}
	return b.String()
}

package tui

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"reown/internal/escape"
	"reown/internal/qr"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// page draws one ui.Page and takes its keys. It is used from tview's goroutine only,
// except for result.
type page struct {
	*tview.Box
	u      *UI
	p      *ui.Page
	ctx    context.Context
	result chan string

	fields  []*field
	focus   int // index into fields, then choices
	body    []ui.Block
	scroll  int
	lines   int // of the body, at the last drawing
	room    int // lines of the body that are visible
	message string
	busy    bool
	overlay string // help or details
	leaving bool   // the overlay asks whether to leave
	code    *qr.Code
}

func newPage(ctx context.Context, u *UI, p *ui.Page) *page {
	v := &page{Box: tview.NewBox(), u: u, p: p, ctx: ctx, result: make(chan string, 1)}
	for _, in := range p.Inputs {
		if in.Secret == nil {
			v.fields = append(v.fields, &field{in: in, text: []byte(in.Value)})
			continue
		}
		in.Secret.SetLen(0)
		v.fields = append(v.fields, &field{in: in, buf: in.Secret, reveal: in.Shown})
		if in.Twice {
			again := secret.New(in.Secret.Cap())
			again.SetLen(0)
			v.fields = append(v.fields, &field{in: in, second: true, buf: again})
		}
	}
	if len(v.fields) == 0 {
		v.focus = min(p.Default, len(p.Choices)-1) // ui.NoDefault: none
	}
	v.refresh()
	for _, b := range v.body {
		if b.Kind == ui.QR && v.canQR() {
			if c, err := qr.Encode(b.Secret.Bytes(), qr.L); err == nil && c.Width(quiet) <= 48 &&
				c.Height(quiet) <= minHeight-3 {
				v.code = c
			}
		}
	}
	return v
}

// quiet is the light border of a QR code, in modules; readers are content with two.
const quiet = 2

// canQR says whether the screen has half blocks.
func (v *page) canQR() bool {
	for _, r := range "▀▄█" {
		if v.u.has != nil && !v.u.has(r) {
			return false
		}
	}
	return true
}

func (v *page) wipe() {
	for _, f := range v.fields {
		if f.second {
			f.buf.Wipe()
		}
		secret.Zero(f.text)
	}
	if v.code != nil {
		v.code.Wipe()
	}
}

func (v *page) refresh() {
	v.body = v.p.Body
	if v.p.Live != nil {
		v.body = v.p.Live()
	}
}

func (v *page) t(m msg.M, a ...any) string { return m.In(v.p.Lang, a...) }

// ---------------------------------------------------------------- drawing

// line is one line of the body, ready to be drawn.
type line struct {
	indent int
	mark   ui.Mark
	label  string
	text   string
	style  int
	secret []byte // part of a secret, drawn instead of text
}

// labelWidth is the column of the rows' texts: as wide as the page's labels need.
func (v *page) labelWidth(width int) int {
	w := 16
	for _, b := range v.body {
		if b.Kind == ui.Row {
			w = max(w, utf8.RuneCountInString(b.Label))
		}
	}
	return min(w, width/3) + 2
}

// layout turns the body into lines of at most width characters.
func (v *page) layout(width int) (lines []line) {
	hidden := len(v.fields) > 0 && v.fields[0].len() > 0
	labels := v.labelWidth(width)
	for _, b := range v.body {
		text := escape.Lines(b.Text)
		switch b.Kind {
		case ui.Text, ui.Strong:
			for _, l := range ui.Wrap(text, width) {
				lines = append(lines, line{text: l, style: v.style(b.Kind)})
			}
		case ui.Gap:
			lines = append(lines, line{})
		case ui.Verbatim:
			lines = append(lines, line{text: text, style: styleStrong})
		case ui.Row:
			lines = append(lines, row(b, text, labels, width)...)
		case ui.Words, ui.Code, ui.QR:
			if b.Kind == ui.QR && v.code != nil || b.Hide && hidden {
				continue
			}
			for _, part := range split(b.Secret.Bytes(), width, b.Kind == ui.Words) {
				lines = append(lines, line{secret: part, style: styleStrong})
			}
		}
	}
	return lines
}

func (v *page) style(k ui.BlockKind) int {
	switch {
	case k != ui.Strong:
		return stylePlain
	case v.p.Alarm:
		return styleAlarm
	}
	return styleStrong
}

// row is a label and a text beside it, under the width of the labels and the mark.
func row(b ui.Block, text string, labels, width int) (lines []line) {
	col := 5 + labels
	if b.Label == "" {
		col = 5
	}
	for i, l := range ui.Wrap(text, width-col) {
		n := line{indent: col, text: l}
		if i == 0 {
			n.mark, n.label = b.Mark, escape.Text(b.Label)
		}
		lines = append(lines, n)
	}
	return lines
}

// split cuts a secret into lines; words keep together. It returns slices of b.
func split(b []byte, width int, numbered bool) (parts [][]byte) {
	if numbered {
		per := max(1, (width-2)/wordColumn)
		for len(b) > 0 {
			n := 0
			for i := range b {
				if b[i] == ' ' {
					if n++; n == per {
						parts, b = append(parts, b[:i]), b[i+1:]
						break
					}
				}
			}
			if n < per {
				return append(parts, b)
			}
		}
		return parts
	}
	for len(b) > width-2 {
		n := bytes.LastIndexByte(b[:width-2], ' ')
		if n <= 0 {
			n = width - 2
		}
		parts, b = append(parts, b[:n]), bytes.TrimLeft(b[n:], " ")
	}
	return append(parts, b)
}

const wordColumn = 16

// Draw implements tview.Primitive.
func (v *page) Draw(s tcell.Screen) {
	x, y, w, h, ok := area(s)
	s.Fill(' ', tcell.StyleDefault)
	if !ok {
		tooSmall(s, v.p.Lang)
		return
	}
	v.frame(s, x, y, w, h)
	if v.overlay != "" {
		lines := ui.Wrap(v.overlay, textWidth)
		for i, l := range lines[:min(len(lines), h-7)] {
			put(s, x+2, y+4+i, x+w, l, tcell.StyleDefault)
		}
		keys := msg.KeyClose
		if v.leaving {
			keys = msg.KeyLeaveSure
		}
		put(s, x+2, y+h-3, x+w, v.t(keys), v.u.style(styleStrong))
		return
	}
	left, width := x+2, textWidth
	if v.code != nil && v.shows(ui.QR) {
		v.drawQR(s, x, y+2)
		left = x + v.code.Width(quiet) + 2
		width = x + w - left - 1
	}
	bottom := y + h - 2
	bottom = v.drawChoices(s, left, bottom, width)
	bottom = v.drawMessage(s, left, bottom, width)
	bottom = v.drawFields(s, left, bottom, width)
	v.drawBody(s, left, y+3, bottom-1, width)
}

func (v *page) shows(k ui.BlockKind) bool {
	for _, b := range v.body {
		if b.Kind == k && !(b.Hide && len(v.fields) > 0 && v.fields[0].len() > 0) {
			return true
		}
	}
	return false
}

// frame draws title, status line, rules and the line of keys.
func (v *page) frame(s tcell.Screen, x, y, w, h int) {
	st := v.u.style(styleTitle)
	if v.p.Alarm {
		st = v.u.style(styleAlarm).Reverse(true)
	}
	fillRow(s, x, y, w, ' ', st)
	put(s, x+1, y, x+w, escape.Text(v.p.Title), st)
	right := x + w - 1
	if v.p.Step > 0 {
		t := v.t(msg.StepOf, v.p.Step, v.p.Steps)
		right -= utf8.RuneCountInString(t)
		put(s, right, y, x+w, t, st)
	}
	if v.u.caps != nil && v.u.caps() {
		t := " " + v.t(msg.CapsLock) + " "
		put(s, right-2-utf8.RuneCountInString(t), y, x+w, t, v.u.style(styleAlarm))
	}
	put(s, x+1, y+1, x+w, escape.Text(v.p.Status), tcell.StyleDefault)
	if v.code == nil {
		fillRow(s, x, y+2, w, '-', tcell.StyleDefault)
	}
	fillRow(s, x, y+h-2, w, '-', tcell.StyleDefault)
	put(s, x+1, y+h-1, x+w, v.keyLine(w-2), tcell.StyleDefault)
}

// keyLine is the last line: what the keys do, as far apart as there is room.
func (v *page) keyLine(width int) string {
	keys := v.keys()
	line := strings.Join(keys, "   ")
	if utf8.RuneCountInString(line) > width {
		line = strings.Join(keys, "  ")
	}
	return line
}

func (v *page) keys() []string {
	keys := []string{v.t(msg.KeyMove)}
	if f := v.field(); f != nil && f.buf != nil {
		keys[0] = v.t(msg.KeyShow)
	}
	keys = append(keys, v.t(msg.KeyEnter))
	if v.p.Help != "" {
		keys = append(keys, v.t(msg.KeyHelp))
	}
	if v.p.Details != "" {
		keys = append(keys, v.t(msg.KeyDetails))
	}
	if !v.p.NoBack {
		keys = append(keys, v.t(msg.KeyBack))
	}
	if !v.p.NoLeave {
		keys = append(keys, v.t(msg.KeyLeave))
	}
	return keys
}

func (v *page) drawBody(s tcell.Screen, left, top, bottom, width int) {
	lines := v.layout(width)
	v.lines, v.room = len(lines), max(bottom-top+1, 0)
	v.scroll = max(0, min(v.scroll, v.lines-v.room))
	for i := range min(v.room, v.lines-v.scroll) {
		l, y := lines[v.scroll+i], top+i
		st := v.u.style(l.style)
		if l.mark != ui.NoMark {
			put(s, left, y, left+width, l.mark.String(), v.u.style(markStyle(l.mark)))
		}
		put(s, left+5, y, left+width, l.label, v.u.style(styleStrong))
		if l.secret != nil {
			v.drawSecret(s, left, y, width, i, lines, st)
			continue
		}
		put(s, left+l.indent, y, left+width, l.text, st)
	}
	if v.scroll+v.room < v.lines {
		t := "[" + v.t(msg.KeyMore) + "]"
		put(s, left+width-utf8.RuneCountInString(t), bottom, left+width, t, v.u.style(styleFocus))
	}
}

// drawSecret draws one line of words with their numbers, or of characters.
func (v *page) drawSecret(s tcell.Screen, left, y, width, i int, lines []line, st tcell.Style) {
	l := lines[v.scroll+i]
	if !v.shows(ui.Words) {
		x := left + 2
		for _, c := range l.secret {
			s.SetContent(x, y, rune(c), nil, st)
			x++
		}
		return
	}
	n := 1
	for _, before := range lines[:v.scroll+i] {
		if before.secret != nil {
			n += bytes.Count(before.secret, []byte{' '}) + 1
		}
	}
	x := left + 2
	for word := range bytes.SplitSeq(l.secret, []byte{' '}) {
		put(s, x, y, left+width, strconv.Itoa(n), tcell.StyleDefault)
		for k, c := range word {
			s.SetContent(x+3+k, y, rune(c), nil, st)
		}
		x, n = x+wordColumn, n+1
	}
}

// drawQR draws the code's light as bold white ink: on the Linux console a white
// background is only grey.
func (v *page) drawQR(s tcell.Screen, x, y int) {
	st := tcell.StyleDefault.Bold(true)
	if !v.u.mono {
		st = st.Foreground(tcell.ColorWhite).Background(tcell.ColorBlack)
	}
	for row := range v.code.Height(quiet) {
		for col := range v.code.Width(quiet) {
			upper := !v.code.Dark(col-quiet, 2*row-quiet)
			lower := !v.code.Dark(col-quiet, 2*row+1-quiet)
			r, _ := utf8.DecodeRuneInString(qr.Half(upper, lower))
			s.SetContent(x+col, y+row, r, nil, st)
		}
	}
}

// drawChoices draws the buttons above bottom and returns the line above them.
func (v *page) drawChoices(s tcell.Screen, left, bottom, width int) int {
	type spot struct{ row, x int }
	var spots []spot
	row, x := 0, 0
	label := func(c ui.Choice) string {
		t := c.Label
		if c.Key > 0 {
			t = "F" + strconv.Itoa(c.Key) + " " + t
		}
		return "< " + t + " >"
	}
	for _, c := range v.p.Choices {
		n := utf8.RuneCountInString(label(c))
		if x > 0 && x+n > width {
			row, x = row+1, 0
		}
		spots = append(spots, spot{row, x})
		x += n + 2
	}
	top := bottom - 1 - row
	for i, c := range v.p.Choices {
		st := tcell.StyleDefault
		if v.focus == len(v.fields)+i && !v.busy {
			st = v.u.style(styleFocus)
		}
		put(s, left+spots[i].x, top+spots[i].row, left+width, label(c), st)
	}
	return top - 1
}

func (v *page) drawMessage(s tcell.Screen, left, bottom, width int) int {
	text, st := v.message, v.u.style(styleAlarm)
	if v.busy {
		text, st = v.t(msg.Checking), v.u.style(styleStrong)
	}
	if f := v.field(); text == "" && f != nil && f.in.Gauge != nil && f.len() > 0 {
		text, st = f.in.Gauge(f.bytes()), tcell.StyleDefault
	}
	lines := ui.Wrap(escape.Text(text), width)
	lines = lines[:min(len(lines), 4)]
	if text == "" {
		return bottom
	}
	for i, l := range lines {
		put(s, left, bottom-len(lines)+1+i, left+width, l, st)
	}
	return bottom - len(lines)
}

func (v *page) drawFields(s tcell.Screen, left, bottom, width int) int {
	if len(v.fields) == 0 {
		return bottom
	}
	labels := 0
	for _, f := range v.fields {
		labels = max(labels, utf8.RuneCountInString(v.label(f)))
	}
	top := bottom - len(v.fields) + 1
	for i, f := range v.fields {
		y := top + i
		st := tcell.StyleDefault
		if v.focus == i {
			st = v.u.style(styleStrong)
			put(s, left, y, left+2, ">", st)
		}
		put(s, left+2, y, left+width, v.label(f), st)
		x := left + 2 + labels + 2
		room := left + width - x - 1
		f.draw(s, x, y, room, v.focus == i, v.u)
	}
	return top - 1
}

func (v *page) label(f *field) string {
	if f.second {
		return v.t(msg.Again)
	}
	return escape.Text(f.in.Label)
}

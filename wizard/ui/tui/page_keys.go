package tui

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/tview"

	"reown/internal/escape"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

func (v *page) field() *field {
	if v.focus >= 0 && v.focus < len(v.fields) {
		return v.fields[v.focus]
	}
	return nil
}

// InputHandler implements tview.Primitive.
func (v *page) InputHandler() func(*tcell.EventKey, func(tview.Primitive)) {
	return v.WrapInputHandler(func(e *tcell.EventKey, _ func(tview.Primitive)) { v.key(e) })
}

func (v *page) key(e *tcell.EventKey) {
	if v.busy {
		return
	}
	if v.overlay != "" {
		if v.leaving && e.Key() == tcell.KeyEnter {
			v.finish(ui.Leave)
		}
		v.overlay, v.leaving = "", false
		return
	}
	if f := v.field(); f != nil && v.edit(f, e) {
		return
	}
	switch k := e.Key(); k {
	case tcell.KeyEscape:
		if !v.p.NoBack {
			v.finish(ui.Back)
		} else {
			v.leave()
		}
	case tcell.KeyF10:
		v.leave()
	case tcell.KeyF1:
		v.overlay = escape.Lines(v.p.Help)
	case tcell.KeyF2:
		v.overlay = escape.Lines(v.p.Details)
	case tcell.KeyPgDn:
		v.scroll += max(1, v.room-1)
	case tcell.KeyPgUp:
		v.scroll = max(0, v.scroll-max(1, v.room-1))
	case tcell.KeyBacktab, tcell.KeyUp, tcell.KeyLeft:
		v.move(-1)
	case tcell.KeyTab, tcell.KeyDown, tcell.KeyRight:
		v.move(1)
	case tcell.KeyEnter:
		v.enter()
	case tcell.KeyRune:
		v.letter(e.Rune())
	default:
		v.function(k)
	}
}

// function picks a choice by its function key.
func (v *page) function(k tcell.Key) {
	for i, c := range v.p.Choices {
		if c.Key > 0 && k == tcell.KeyF1+tcell.Key(c.Key-1) {
			v.choose(i)
			return
		}
	}
}

// edit does what a key does to the line that is being typed, if it does anything.
func (v *page) edit(f *field, e *tcell.EventKey) bool {
	switch e.Key() {
	case tcell.KeyTab:
		if f.buf == nil {
			return false
		}
		f.reveal = !f.reveal
	case tcell.KeyLeft, tcell.KeyRight:
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		f.erase()
		v.message = ""
	case tcell.KeyCtrlU:
		for f.len() > 0 {
			f.erase()
		}
	case tcell.KeyRune:
		v.message = ""
		f.add(e.Rune())
	default:
		return false
	}
	return true
}

// letter picks a choice by its letter, when no line is being typed.
func (v *page) letter(r rune) {
	for i, c := range v.p.Choices {
		if c.Letter != 0 && (r == c.Letter || r == c.Letter-32) {
			v.choose(i)
			return
		}
	}
	switch {
	case r == ' ':
		v.enter()
	case r == '?' && v.p.Help != "":
		v.overlay = escape.Lines(v.p.Help)
	case r == '=' && v.p.Details != "":
		v.overlay = escape.Lines(v.p.Details)
	case r == '<' && !v.p.NoBack:
		v.finish(ui.Back)
	case r == '!':
		v.leave()
	}
}

// leave leaves, and asks before where something would be lost.
func (v *page) leave() {
	switch {
	case v.p.NoLeave:
	case v.p.Leaving == "":
		v.finish(ui.Leave)
	default:
		v.overlay, v.leaving = v.p.Leaving, true
	}
}

func (v *page) move(by int) {
	n := len(v.fields) + len(v.p.Choices)
	if v.focus == ui.NoDefault {
		v.message = ""
		if by < 0 {
			v.focus = 0
		}
	}
	v.focus = (v.focus + by + n) % n
}

// enter goes on to the next line, or picks a choice.
func (v *page) enter() {
	if v.focus == ui.NoDefault {
		v.message = v.t(msg.Pick)
		return
	}
	if v.focus < len(v.fields)-1 {
		v.focus++
		return
	}
	if i := v.focus - len(v.fields); i >= 0 {
		v.choose(i)
		return
	}
	for i, c := range v.p.Choices {
		if c.Checks {
			v.choose(i)
			return
		}
	}
	v.move(1)
}

// choose picks a choice, after the page's checks where it has any.
func (v *page) choose(i int) {
	c := v.p.Choices[i]
	v.focus = len(v.fields) + i
	if !c.Checks {
		v.finish(c.ID)
		return
	}
	if !v.complete() {
		return
	}
	if v.p.Check == nil {
		v.finish(c.ID)
		return
	}
	v.busy = true
	go func() {
		err := v.p.Check(v.ctx)
		v.u.update(func() {
			v.busy = false
			if err == nil {
				v.finish(c.ID)
				return
			}
			v.refused(err)
		})
	}()
}

// refused says why, in the line that is wrong. A secret that nobody sees is typed anew as a whole.
func (v *page) refused(err error) {
	v.refresh()
	v.message, v.focus = err.Error(), 0
	var at *ui.LineError
	if errors.As(err, &at) {
		v.focus = max(slices.IndexFunc(v.fields, func(f *field) bool { return f.in == at.Input }), 0)
	}
	for _, f := range v.fields {
		for f.buf != nil && !f.in.Shown && f.len() > 0 {
			f.erase()
		}
	}
}

// complete checks what needs no knowledge of the page, and stores the values.
func (v *page) complete() bool {
	for i, f := range v.fields {
		switch {
		case f.second:
			if !bytes.Equal(f.bytes(), v.fields[i-1].bytes()) {
				v.message, v.focus = v.t(msg.NotTheSame), i-1
				for _, x := range v.fields[i-1 : i+1] {
					for x.len() > 0 {
						x.erase()
					}
				}
				return false
			}
		case f.len() == 0 && !f.in.Optional:
			v.message, v.focus = v.t(msg.Needed, f.in.Label), i
			return false
		}
		if f.buf == nil {
			f.in.Value = string(f.text)
		}
	}
	return true
}

func (v *page) finish(id string) {
	select {
	case v.result <- id:
	default:
	}
}

// add appends a rune where there is room.
func (f *field) add(r rune) {
	if r < ' ' || r == 0x7f {
		return
	}
	var enc [utf8.UTFMax]byte
	n := utf8.EncodeRune(enc[:], r)
	limit := f.in.Max
	if limit == 0 {
		limit = 64
	}
	if f.len()+n > limit {
		return
	}
	if f.buf == nil {
		f.text = append(f.text, enc[:n]...)
		return
	}
	l := f.buf.Len()
	if l+n > f.buf.Cap() {
		return
	}
	f.buf.SetLen(l + n)
	copy(f.buf.Bytes()[l:], enc[:n])
	secret.Zero(enc[:])
}

// erase removes the last rune.
func (f *field) erase() {
	b := f.bytes()
	_, n := utf8.DecodeLastRune(b)
	if f.buf != nil {
		f.buf.SetLen(len(b) - n)
	} else {
		f.text = b[:len(b)-n]
	}
}

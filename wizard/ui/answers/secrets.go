package answers

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
)

// Secrets is a small set of named secrets in locked memory.
type Secrets struct {
	names []string
	bufs  []*secret.Buffer
}

// Get returns a secret that stays owned by the set, or nil.
func (s *Secrets) Get(name string) *secret.Buffer {
	if s == nil {
		return nil
	}
	if i := slices.Index(s.names, name); i >= 0 {
		return s.bufs[i]
	}
	return nil
}

// Set stores a copy.
func (s *Secrets) Set(name string, b *secret.Buffer) {
	if i := slices.Index(s.names, name); i >= 0 {
		s.bufs[i].Wipe()
		s.bufs[i] = b.Copy()
		return
	}
	s.names, s.bufs = append(s.names, name), append(s.bufs, b.Copy())
}

// Wipe clears all.
func (s *Secrets) Wipe() {
	if s == nil {
		return
	}
	for _, b := range s.bufs {
		b.Wipe()
	}
	s.names, s.bufs = nil, nil
}

// Document is the set as a JSON object; the caller wipes it.
func (s *Secrets) Document() *secret.Buffer {
	n := 4
	for i := range s.names {
		n += len(s.names[i]) + 6*s.bufs[i].Len() + 16
	}
	doc := secret.New(n)
	out := append(doc.Bytes()[:0], "{\n"...)
	for i, name := range s.names {
		out = append(append(append(out, "  \""...), name...), "\": \""...)
		for _, c := range s.bufs[i].Bytes() {
			if c == '"' || c == '\\' {
				out = append(out, '\\', c)
			} else if c < 0x20 {
				const hex = "0123456789abcdef"
				out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				out = append(out, c)
			}
		}
		out = append(out, '"')
		if i < len(s.names)-1 {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	out = append(out, "}\n"...)
	doc.SetLen(len(out))
	return doc
}

// ParseSecrets reads a secrets file: one JSON object of strings with the escapes of
// Document and \/ \b \f \n \r \t, read byte by byte so that no secret becomes a Go
// string. Names are at most 64 bytes, and there are at most 32 of them.
func ParseSecrets(doc *secret.Buffer) (*Secrets, error) {
	p := parser{b: doc.Bytes()}
	s := &Secrets{}
	if err := p.object(s); err != nil {
		s.Wipe()
		return nil, fmt.Errorf("reading the secrets file at byte %d: %w", p.i, err)
	}
	return s, nil
}

type parser struct {
	b []byte
	i int
}

var errSyntax = errors.New("it is not one JSON object of strings")

func (p *parser) space() {
	for p.i < len(p.b) && bytes.IndexByte([]byte(" \t\r\n"), p.b[p.i]) >= 0 {
		p.i++
	}
}

func (p *parser) byte(c byte) bool {
	p.space()
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) object(s *Secrets) error {
	if !p.byte('{') {
		return errSyntax
	}
	for n := 0; !p.byte('}'); n++ {
		if n > 0 && !p.byte(',') || n >= 32 {
			return errSyntax
		}
		name, err := p.str(64)
		if err != nil {
			return err
		}
		key := string(name.Bytes()) // a name, not a secret
		name.Wipe()
		if !p.byte(':') {
			return errSyntax
		}
		v, err := p.str(4096)
		if err != nil {
			return err
		}
		if s.Get(key) != nil {
			v.Wipe()
			return fmt.Errorf("%q stands there twice", key)
		}
		s.names, s.bufs = append(s.names, key), append(s.bufs, v)
	}
	if p.space(); p.i != len(p.b) {
		return errSyntax
	}
	return nil
}

// str reads a string of at most limit bytes.
func (p *parser) str(limit int) (*secret.Buffer, error) {
	if !p.byte('"') {
		return nil, errSyntax
	}
	out := secret.New(limit)
	n := 0
	for p.i < len(p.b) {
		c := p.b[p.i]
		p.i++
		switch {
		case c == '"':
			out.SetLen(n)
			return out, nil
		case c < 0x20 || n == limit:
			out.Wipe()
			return nil, errSyntax
		case c == '\\':
			var ok bool
			if c, ok = p.escape(); !ok {
				out.Wipe()
				return nil, errSyntax
			}
		}
		out.Bytes()[n] = c
		n++
	}
	out.Wipe()
	return nil, errSyntax
}

// escape reads what follows a backslash; \u only for the first 128 characters.
func (p *parser) escape() (byte, bool) {
	if p.i >= len(p.b) {
		return 0, false
	}
	c := p.b[p.i]
	p.i++
	switch c {
	case '"', '\\', '/':
		return c, true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		if p.i+4 > len(p.b) {
			return 0, false
		}
		v := 0
		for _, h := range p.b[p.i : p.i+4] {
			i := bytes.IndexByte([]byte("0123456789abcdef"), h|0x20)
			if i < 0 {
				return 0, false
			}
			v = v<<4 | i
		}
		p.i += 4
		return byte(v), v < 0x80
	}
	return 0, false
}

package luks

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The JSON area is kept as a tree that preserves member order and the exact text
// of every scalar, so that members we do not know survive an edit.
//
// A node is *object, *list or scalar.
type node interface{ write(*strings.Builder) }

// scalar is the JSON text of a string, number, true, false or null.
type scalar string

type list struct{ items []node }

type object struct {
	keys []string
	m    map[string]node
}

// obj is the member k of a tree that readMeta has checked: an object, or a defect of ours.
func (o *object) obj(k string) *object { return o.m[k].(*object) }

// list is obj for a list.
func (o *object) list(k string) *list { return o.m[k].(*list) }

const (
	maxDepth = 32 // cryptsetup's json-c default
	maxNodes = 100_000
)

type jsonParser struct {
	s     string
	i     int
	nodes int
}

// parseJSON parses one JSON object; after it only white space may follow.
func parseJSON(text []byte) (*object, error) {
	if !utf8.Valid(text) {
		return nil, badHeader("the JSON area is not UTF-8")
	}
	p := &jsonParser{s: string(text)}
	n, err := p.value(0)
	if err != nil {
		return nil, badHeader("JSON area, byte %d: %v", p.i, err)
	}
	p.space()
	o, ok := n.(*object)
	if !ok || p.i != len(p.s) {
		return nil, badHeader("the JSON area is not one object")
	}
	return o, nil
}

func (p *jsonParser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *jsonParser) next() byte {
	p.space()
	if p.i == len(p.s) {
		return 0
	}
	return p.s[p.i]
}

func (p *jsonParser) value(depth int) (node, error) {
	if p.nodes++; depth > maxDepth || p.nodes > maxNodes {
		return nil, fmt.Errorf("nested too deep or too many values")
	}
	switch p.next() {
	case '{':
		o := &object{m: map[string]node{}}
		return o, p.members('}', func() error {
			key, err := p.scalar()
			if err != nil {
				return err
			}
			var name string
			if json.Unmarshal([]byte(key), &name) != nil || key[0] != '"' {
				return fmt.Errorf("a member's name is not a string")
			}
			if _, dup := o.m[name]; dup {
				return fmt.Errorf("member %q stands twice", name)
			}
			if p.next() != ':' {
				return fmt.Errorf("no colon")
			}
			p.i++
			v, err := p.value(depth + 1)
			o.set(name, v)
			return err
		})
	case '[':
		l := &list{}
		return l, p.members(']', func() error {
			v, err := p.value(depth + 1)
			l.items = append(l.items, v)
			return err
		})
	}
	return p.scalar()
}

// members reads what stands between brackets, separated by commas.
func (p *jsonParser) members(end byte, one func() error) error {
	p.i++
	if p.next() == end {
		p.i++
		return nil
	}
	for {
		if err := one(); err != nil {
			return err
		}
		switch p.next() {
		case ',':
			p.i++
		case end:
			p.i++
			return nil
		default:
			return fmt.Errorf("expected a comma or %q", end)
		}
	}
}

func (p *jsonParser) scalar() (scalar, error) {
	quoted := p.next() == '"'
	start := p.i
	if quoted {
		for p.i++; p.i < len(p.s) && p.s[p.i] != '"'; p.i++ {
			if p.s[p.i] == '\\' {
				p.i++
			}
		}
		p.i = min(p.i+1, len(p.s))
	} else {
		for p.i < len(p.s) && strings.IndexByte(" \t\r\n,:{}[]\"", p.s[p.i]) < 0 {
			p.i++
		}
	}
	text := p.s[start:p.i]
	if !json.Valid([]byte(text)) {
		return "", fmt.Errorf("bad value")
	}
	return scalar(text), nil
}

func (s scalar) write(b *strings.Builder) { b.WriteString(string(s)) }

func (l *list) write(b *strings.Builder) {
	for i, n := range l.items {
		b.WriteByte("[,"[min(i, 1)])
		n.write(b)
	}
	if len(l.items) == 0 {
		b.WriteByte('[')
	}
	b.WriteByte(']')
}

func (o *object) write(b *strings.Builder) {
	for i, k := range o.keys {
		b.WriteByte("{,"[min(i, 1)])
		str(k).write(b)
		b.WriteByte(':')
		o.m[k].write(b)
	}
	if len(o.keys) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
}

func (o *object) text() []byte {
	var b strings.Builder
	o.write(&b)
	return []byte(b.String())
}

// clone returns a deep copy.
func clone(n node) node {
	switch n := n.(type) {
	case *object:
		c := &object{m: map[string]node{}}
		for _, k := range n.keys {
			c.set(k, clone(n.m[k]))
		}
		return c
	case *list:
		c := &list{}
		for _, v := range n.items {
			c.items = append(c.items, clone(v))
		}
		return c
	}
	return n
}

func (o *object) clone() *object { return clone(o).(*object) }

// set adds or replaces a member; a replaced one keeps its place.
func (o *object) set(key string, v node) *object {
	if _, ok := o.m[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.m[key] = v
	return o
}

func (o *object) del(key string) {
	if _, ok := o.m[key]; !ok {
		return
	}
	delete(o.m, key)
	for i, k := range o.keys {
		if k == key {
			o.keys = append(o.keys[:i:i], o.keys[i+1:]...)
			return
		}
	}
}

// rename changes a member's key in place. The new key must be free.
func (o *object) rename(from, to string) {
	v, ok := o.m[from]
	if !ok || from == to {
		return
	}
	delete(o.m, from)
	o.m[to] = v
	for i, k := range o.keys {
		if k == from {
			o.keys[i] = to
		}
	}
}

func newObject() *object { return &object{m: map[string]node{}} }

// str, num and dec make scalars; dec is a number written as a string, the LUKS2
// way of writing 64-bit values.
func str(s string) scalar {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s)
	return scalar(strings.TrimSuffix(b.String(), "\n"))
}
func num(n int) scalar   { return scalar(strconv.Itoa(n)) }
func dec(n int64) scalar { return str(strconv.FormatInt(n, 10)) }

func strs(s ...string) *list {
	l := &list{}
	for _, v := range s {
		l.items = append(l.items, str(v))
	}
	return l
}

// A fields reads members of one object and remembers the first thing wrong.
type fields struct {
	o    *object
	what string
	err  error
}

func (f *fields) fail(key, why string) {
	if f.err == nil {
		f.err = badHeader("%s: %q %s", f.what, key, why)
	}
}

func (f *fields) has(key string) bool { _, ok := f.o.m[key]; return ok }

func (f *fields) object(key string) *object {
	o, ok := f.o.m[key].(*object)
	if !ok {
		f.fail(key, "is not an object")
		return newObject()
	}
	return o
}

func (f *fields) str(key string) string {
	s, ok := stringOf(f.o.m[key])
	if !ok {
		f.fail(key, "is not a string")
	}
	return s
}

func stringOf(n node) (string, bool) {
	s, ok := n.(scalar)
	if !ok || s == "" || s[0] != '"' {
		return "", false
	}
	var v string
	err := json.Unmarshal([]byte(s), &v)
	return v, err == nil
}

// int reads a JSON number between lo and hi.
func (f *fields) int(key string, lo, hi int64) int {
	s, _ := f.o.m[key].(scalar)
	n, err := strconv.ParseInt(string(s), 10, 64)
	if err != nil || n < lo || n > hi {
		f.fail(key, fmt.Sprintf("is not a number from %d to %d", lo, hi))
		return int(lo)
	}
	return int(n)
}

// dec reads a 64-bit number written as a string.
func (f *fields) dec(key string) int64 {
	s, _ := stringOf(f.o.m[key])
	n, err := strconv.ParseInt(s, 10, 63)
	if err != nil || n < 0 {
		f.fail(key, "is not a decimal number in a string")
		return 0
	}
	return n
}

// strs reads an array of strings.
func (f *fields) strs(key string) []string {
	l, ok := f.o.m[key].(*list)
	if !ok {
		f.fail(key, "is not an array")
		return nil
	}
	var out []string
	for _, n := range l.items {
		s, ok := stringOf(n)
		if !ok {
			f.fail(key, "holds something other than strings")
		}
		out = append(out, s)
	}
	return out
}

// ids reads an array of object numbers.
func (f *fields) ids(key string) []int {
	var out []int
	for _, s := range f.strs(key) {
		n, ok := objectID(s)
		if !ok {
			f.fail(key, "holds something other than object numbers")
		}
		out = append(out, n)
	}
	return out
}

// maxObjects bounds object numbers; cryptsetup allows 32 of a kind.
const maxObjects = 32

func objectID(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 0 && n < maxObjects && strconv.Itoa(n) == s
}

func id(n int) string { return strconv.Itoa(n) }

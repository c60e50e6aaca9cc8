package handover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a statement.
const (
	MaxStatement = 64 << 10 // bytes
	MaxLinks     = 16       // statements in a chain
	maxDepth     = 16
	maxValues    = 8192
)

// object is a JSON object whose keys are unique. encoding/json matches struct
// fields without regard to case and lets the last duplicate win, so a statement is
// taken from this tree by exact names instead.
type object map[string]any

// decode reads one strict JSON document whose top is an object.
func decode(data []byte) (object, error) {
	if len(data) > MaxStatement {
		return nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(data), MaxStatement)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	d := decoder{Decoder: json.NewDecoder(bytes.NewReader(data))}
	d.UseNumber()
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data after the end", ErrMalformed)
	}
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("%w: not an object", ErrMalformed)
	}
	return o, nil
}

type decoder struct {
	*json.Decoder
	values int
}

func (d *decoder) value(depth int) (any, error) {
	if d.values++; d.values > maxValues {
		return nil, fmt.Errorf("%w: more than %d values", ErrTooLarge, maxValues)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrTooLarge, maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return d.object(depth)
		}
		var list []any
		for d.More() {
			v, err := d.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, d.end()
	case string:
		return t, checkText(t)
	}
	return t, nil
}

func (d *decoder) object(depth int) (any, error) {
	o := make(object)
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
		key := k.(string) // Token returns nothing else here
		if err := checkText(key); err != nil {
			return nil, err
		}
		if _, ok := o[key]; ok {
			return nil, fmt.Errorf("%w: the key %q stands twice in one object", ErrMalformed, key)
		}
		if o[key], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return o, d.end()
}

func (d *decoder) end() error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return nil
}

// checkText refuses what a screen would not show as it is: control and format
// characters, what is not assigned, and the replacement that the decoder puts for half
// a surrogate pair.
func checkText(s string) error {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return fmt.Errorf("%w: a text holds the invisible character %U", ErrMalformed, r)
		}
	}
	return nil
}

// reader takes typed values from an object and keeps the first error.
type reader struct{ err error }

func (r *reader) fail(name, what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s is %s", ErrMalformed, name, what)
	}
}

func (r *reader) text(o object, name string) string {
	v, ok := o[name]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		r.fail(name, "not a text")
	}
	return s
}

func (r *reader) number(o object, name string) int {
	v, ok := o[name]
	if !ok {
		return 0
	}
	n, ok := v.(json.Number)
	i, err := n.Int64()
	if !ok || err != nil || i < 0 || i > 1<<31-1 {
		r.fail(name, "not a small whole number")
	}
	return int(i)
}

func (r *reader) object(o object, name string) object {
	v, ok := o[name]
	if !ok {
		return nil
	}
	x, ok := v.(object)
	if !ok {
		r.fail(name, "not an object")
	}
	return x
}

func (r *reader) list(o object, name string) []any {
	v, ok := o[name]
	if !ok {
		return nil
	}
	x, ok := v.([]any)
	if !ok {
		r.fail(name, "not a list")
	}
	return x
}

func (r *reader) texts(o object, name string) []string {
	var out []string
	for _, v := range r.list(o, name) {
		s, ok := v.(string)
		if !ok {
			r.fail(name, "not a list of texts")
		}
		out = append(out, s)
	}
	return out
}

func (r *reader) objects(o object, name string) []object {
	var out []object
	for _, v := range r.list(o, name) {
		x, ok := v.(object)
		if !ok {
			r.fail(name, "not a list of objects")
		}
		out = append(out, x)
	}
	return out
}

// hex takes lower-case hexadecimal digits of one of the given lengths, or nothing.
func (r *reader) hex(o object, name string, lengths ...int) string {
	s := r.text(o, name)
	r.checkHex(name, s, lengths...)
	return s
}

func (r *reader) checkHex(name, s string, lengths ...int) {
	if s == "" {
		return
	}
	for _, n := range lengths {
		if len(s) == n && strings.Trim(s, "0123456789abcdef") == "" {
			return
		}
	}
	r.fail(name, "not lower-case hexadecimal of the right length")
}

package msg

import (
	"fmt"
	"strings"
)

// Said is a sentence with what it says, in no language yet. In a list of args it is said in the
// language of the sentence around it.
type Said struct {
	M    M
	Args []any
}

// Say makes one.
func Say(m M, args ...any) Said { return Said{m, args} }

// In says it.
func (s Said) In(l Lang) string { return s.M.In(l, s.Args...) }

// List is several, one after the other.
type List []Said

// In says them.
func (s List) In(l Lang) string {
	var all []string
	for _, x := range s {
		all = append(all, x.In(l))
	}
	return strings.Join(all, ", ")
}

// Bytes is a size as people say it.
type Bytes int64

// In says it.
func (n Bytes) In(l Lang) string {
	number := func(unit float64, digits int) string {
		return strings.Replace(fmt.Sprintf("%.*f", digits, float64(n)/unit), ".", DecimalPoint.In(l), 1)
	}
	switch {
	case n < 100e6:
		return Megabytes.In(l, number(1e6, 0))
	case n < 10e9:
		return Gigabytes.In(l, number(1e9, 1))
	}
	return Gigabytes.In(l, number(1e9, 0))
}

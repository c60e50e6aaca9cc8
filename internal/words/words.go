// Package words makes secrets that people write on paper and type on a keyboard
// whose layout may not be the one they think: words of letters that lie under the
// same keys on QWERTY, QWERTZ and AZERTY (no a, m, q, w, y, z), digits, and PINs.
//
// The list is our own: 1,024 common English words of three to eight letters, so a
// word is worth exactly 10 bits; any two differ in at least two letters, so that
// one slip of the pen never makes another valid word.
package words

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"strings"
	"sync"

	"reown/internal/secret"
)

//go:embed list.txt
var list string

// Bits is the entropy of one word.
const Bits = 10

// MaxWord is the length of the longest word, in letters.
const MaxWord = 8

// Keys are the letters that lie under the same key on QWERTY, QWERTZ and AZERTY.
const Keys = "bcdefghijklnoprstuvx"

var load = sync.OnceValue(func() []string { return strings.Fields(list) })

// List returns the words, sorted. It must not be changed.
func List() []string { return load() }

// Four are the first 40 bits of a digest, of at least five bytes, as four words.
func Four(digest []byte) []string {
	all := List()
	n := uint64(0)
	for _, b := range digest[:5] {
		n = n<<8 | uint64(b)
	}
	var out []string
	for i := range 4 {
		out = append(out, all[n>>(Bits*(3-i))&(1<<Bits-1)])
	}
	return out
}

// Generate returns n words with one space between them.
func Generate(n int) *secret.Buffer {
	all := load()
	b := secret.New(n * (MaxWord + 1))
	out := b.Bytes()[:0]
	for i := range n {
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, all[index(len(all))]...)
	}
	b.SetLen(len(out))
	return b
}

// Digits returns n random digits.
func Digits(n int) *secret.Buffer {
	b := secret.New(n)
	for i := range b.Bytes() {
		b.Bytes()[i] = '0' + byte(index(10))
	}
	return b
}

// index returns a number below n, each as likely as any other.
func index(n int) int {
	var r [4]byte
	defer secret.Zero(r[:])
	limit := (1<<32)/uint64(n)*uint64(n) - 1
	for {
		_, _ = rand.Read(r[:]) // never fails
		if v := binary.LittleEndian.Uint32(r[:]); uint64(v) <= limit {
			return int(v) % n
		}
	}
}

// FirstWrong compares what was typed from paper with the secret, word by word, and
// returns the number of the first word that differs, from 1; 0 when all are right.
// Extra spaces do not matter, nor does Caps Lock.
func FirstWrong(typed, want []byte) int {
	t, w := bytes.Fields(typed), bytes.Fields(want)
	for i := range w {
		if i >= len(t) || !bytes.EqualFold(t[i], w[i]) {
			return i + 1
		}
	}
	if len(t) > len(w) {
		return len(w) + 1
	}
	return 0
}

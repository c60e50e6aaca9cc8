package otp

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"reown/internal/secret"
)

const (
	// SecretLen is the length of Heads' secret in bytes: 32 letters of base32.
	SecretLen = 20
	// Digits is the length of a code.
	Digits = 6
	// Step is how long a TOTP code is valid.
	Step = 30 * time.Second
	// MaxBoard is the longest board name in a URI, in bytes.
	MaxBoard = 64

	minSecret, maxSecret = 10, sha1.BlockSize // bytes
)

var (
	// ErrBadSecret says that a secret's length is outside 10 to 64 bytes.
	ErrBadSecret = errors.New("bad one-time-password secret")
	// ErrBadCode says that a code is not six digits.
	ErrBadCode = errors.New("a code is six digits")
	// ErrWrongCode says that six digits belong to no step near the given time.
	ErrWrongCode = errors.New("the six digits are not right")
	// ErrBadBoard says that a board name is empty, too long or not printable.
	ErrBadBoard = errors.New("bad board name")
)

// A Code is six ASCII digits.
type Code [Digits]byte

// String returns the digits. They are shown to everyone.
func (c Code) String() string { return string(c[:]) }

// NewSecret returns SecretLen random bytes.
func NewSecret() *secret.Buffer { return secret.Random(SecretLen) }

// HOTP returns the code of a counter (RFC 4226, 5.3).
func HOTP(key *secret.Buffer, counter uint64) (Code, error) {
	if key.Len() < minSecret || key.Len() > maxSecret {
		return Code{}, fmt.Errorf("%w: %d bytes", ErrBadSecret, key.Len())
	}
	mac := hmacSHA1(key, counter)
	off := mac[len(mac)-1] & 0x0f
	n := binary.BigEndian.Uint32(mac[off:]) & 0x7fffffff % 1e6
	var c Code
	for i := Digits - 1; i >= 0; i-- {
		c[i], n = '0'+byte(n%10), n/10
	}
	return c, nil
}

// hmacSHA1 is HMAC-SHA-1 (RFC 2104) of a counter, with the padded key in locked
// memory; crypto/hmac would keep copies of it on the heap.
func hmacSHA1(key *secret.Buffer, counter uint64) [sha1.Size]byte {
	inner, outer := secret.New(sha1.BlockSize+8), secret.New(sha1.BlockSize+sha1.Size)
	defer inner.Wipe()
	defer outer.Wipe()
	in, out := inner.Bytes(), outer.Bytes()
	copy(in, key.Bytes())
	copy(out, key.Bytes())
	for i := range sha1.BlockSize {
		in[i] ^= 0x36
		out[i] ^= 0x5c
	}
	binary.BigEndian.PutUint64(in[sha1.BlockSize:], counter)
	sum := sha1.Sum(in)
	copy(out[sha1.BlockSize:], sum[:])
	return sha1.Sum(out)
}

// counterAt returns the TOTP counter of an instant (RFC 6238, 4.2; T0 = 0).
func counterAt(t time.Time) int64 { return floorDiv(t.Unix(), int64(Step/time.Second)) }

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// TOTP returns the code of an instant.
func TOTP(key *secret.Buffer, t time.Time) (Code, error) { return HOTP(key, uint64(counterAt(t))) }

// Remaining returns how long the code of t stays valid: more than 0, at most Step.
func Remaining(t time.Time) time.Duration {
	return time.Unix((counterAt(t)+1)*int64(Step/time.Second), 0).Sub(t)
}

// VerifyTOTP compares what a person typed with the codes around now. It looks
// window steps (0 to 2880, a day) into the past and the future, nearest first,
// and returns how far the telephone's clock is ahead of ours, in steps. Spaces
// in the digits are ignored. Errors: ErrBadCode, ErrWrongCode, ErrBadSecret.
func VerifyTOTP(key *secret.Buffer, typed []byte, now time.Time, window int) (ahead int, err error) {
	want, err := ParseCode(typed)
	if err != nil {
		return 0, err
	}
	window = max(0, min(window, int(24*time.Hour/Step)))
	for d := 0; d <= 2*window; d++ {
		steps := (d + 1) / 2
		if d%2 == 0 {
			steps = -steps
		}
		got, err := HOTP(key, uint64(counterAt(now)+int64(steps)))
		if err != nil {
			return 0, err
		}
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return steps, nil
		}
	}
	return 0, ErrWrongCode
}

// ParseCode reads six digits, with or without spaces.
func ParseCode(typed []byte) (Code, error) {
	var c Code
	n := 0
	for _, b := range typed {
		switch {
		case b == ' ' || b == '\n' || b == '\r' || b == '\t':
			continue
		case b < '0' || b > '9' || n == Digits:
			return Code{}, ErrBadCode
		}
		c[n] = b
		n++
	}
	if n != Digits {
		return Code{}, ErrBadCode
	}
	return c, nil
}

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Base32 returns the secret in base32 (RFC 4648, 6) without padding. The caller
// wipes it.
func Base32(key *secret.Buffer) *secret.Buffer {
	b := secret.New(encoding.EncodedLen(key.Len()))
	encoding.Encode(b.Bytes(), key.Bytes())
	return b
}

// Base32Groups returns the secret in base32 in groups of four letters with a
// space between them, for people without a camera. The caller wipes it.
func Base32Groups(key *secret.Buffer) *secret.Buffer {
	plain := Base32(key)
	defer plain.Wipe()
	n := plain.Len()
	b := secret.New(n + max(0, n-1)/4)
	out := b.Bytes()
	for i, c := range plain.Bytes() {
		out[i+i/4] = c
		if i%4 == 3 && i < n-1 {
			out[i+i/4+1] = ' '
		}
	}
	return b
}

// ParseBase32 reads a base32 secret, with or without spaces, hyphens and padding,
// in either case. The caller wipes the result. Error: ErrBadSecret.
func ParseBase32(text *secret.Buffer) (*secret.Buffer, error) {
	clean := secret.New(text.Len())
	defer clean.Wipe()
	n := 0
	for _, c := range text.Bytes() {
		switch {
		case c == ' ' || c == '-' || c == '=' || c == '\n' || c == '\r':
			continue
		case c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		}
		clean.Bytes()[n] = c
		n++
	}
	key := secret.New(encoding.DecodedLen(n))
	got, err := encoding.Decode(key.Bytes(), clean.Bytes()[:n])
	if err != nil || got < minSecret || got > maxSecret {
		key.Wipe()
		return nil, fmt.Errorf("%w: not base32 of %d to %d bytes", ErrBadSecret, minSecret, maxSecret)
	}
	key.SetLen(got)
	return key, nil
}

// maxURI is what a QR code holds that fits beside the text on 80 by 24 characters, in bytes.
const maxURI = 106

// Named is a URI for a person's app, with who made the secret and what it is for, so that two entries
// can be told apart:
//
//	otpauth://totp/ISSUER:ACCOUNT?secret=BASE32&issuer=ISSUER
//
// What is too long for the screen's QR code loses its last part, then the end of the account's name. The
// caller wipes it. Errors: ErrBadSecret.
func Named(issuer, account string, key *secret.Buffer) (*secret.Buffer, error) {
	if key.Len() < minSecret || key.Len() > maxSecret {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadSecret, key.Len())
	}
	b32 := Base32(key)
	defer b32.Wipe()
	who := escaped(issuer)
	for len(who) > maxURI/2 {
		_, n := utf8.DecodeLastRuneInString(issuer)
		issuer = issuer[:len(issuer)-n]
		who = escaped(issuer)
	}
	room := maxURI - len("otpauth://totp/:?secret=") - b32.Len() - len(who)
	what := escaped(account)
	for account != "" && len(what) > room {
		_, n := utf8.DecodeLastRuneInString(account)
		account = account[:len(account)-n]
		what = escaped(account)
	}
	head, end := "otpauth://totp/"+who+":"+what+"?secret=", "&issuer="+who
	if len(what)+len(end) > room {
		end = ""
	}
	b := secret.New(len(head) + b32.Len() + len(end))
	n := copy(b.Bytes(), head)
	n += copy(b.Bytes()[n:], b32.Bytes())
	copy(b.Bytes()[n:], end)
	return b, nil
}

// escaped is text as a URI has it (RFC 3986, 2.1).
func escaped(s string) string {
	var text []byte
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			text = append(text, c)
		default:
			const hex = "0123456789ABCDEF"
			text = append(text, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(text)
}

// URI returns the text of the QR code, as Heads writes it:
//
//	otpauth://totp/BOARD?secret=BASE32
//
// with the board name percent-encoded (RFC 3986, 2.1), which Heads leaves out.
// The caller wipes it. Errors: ErrBadBoard, ErrBadSecret.
func URI(board string, key *secret.Buffer) (*secret.Buffer, error) {
	if key.Len() < minSecret || key.Len() > maxSecret {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadSecret, key.Len())
	}
	if board == "" || len(board) > MaxBoard {
		return nil, fmt.Errorf("%w: %d bytes", ErrBadBoard, len(board))
	}
	for i := range len(board) {
		if c := board[i]; c < ' ' || c > '~' {
			return nil, fmt.Errorf("%w: not printable ASCII", ErrBadBoard)
		}
	}
	text := "otpauth://totp/" + escaped(board) + "?secret="
	b32 := Base32(key)
	defer b32.Wipe()
	b := secret.New(len(text) + b32.Len())
	copy(b.Bytes()[copy(b.Bytes(), text):], b32.Bytes())
	return b, nil
}

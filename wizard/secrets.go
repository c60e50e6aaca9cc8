package wizard

import (
	"errors"
	"math"
	"time"
	"unicode/utf8"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/words"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// maxPassphrase bounds what is typed, in bytes; cryptsetup takes 512 from a terminal.
const maxPassphrase = 512

// secretWords is how many words a made disk passphrase has: 70 bits, against
// someone who has the disk and all the time.
const secretWords = 7

// The secrets that the owner writes down, by the names that answers files use.
const (
	kindDisk   = "disk"
	kindDUK    = "duk"
	kindUser   = "user"
	kindAdmin  = "admin"
	kindBackup = "backup"
	kindOwner  = "owner"
)

// secretIDs are all of them, in the order in which they are recorded.
var secretIDs = []string{kindDisk, kindDUK, kindUser, kindAdmin, kindBackup, kindOwner}

// kind is one of the secrets.
type kind struct {
	id         string // also the key in answers files, after "secret."
	bit        Secrets
	name, when msg.M
	words      int
	min, max   int // length limits in bytes
	of         func(*Keys) **secret.Buffer
}

// kind is the secret with this name. PIN lengths are those of the card at hand.
func (v *view) kind(id string) kind {
	switch id {
	case kindDisk:
		when := msg.SecretDiskWhen
		if v.a.DUK {
			when = msg.SecretDiskSpare
		}
		return kind{id, NeedDisk, msg.SecretDisk, when, secretWords, 12, maxPassphrase,
			func(k *Keys) **secret.Buffer { return &k.Disk }}
	case kindDUK:
		return kind{id, NeedDUK, msg.SecretDUK, msg.SecretDUKWhen, 3, 12, 32, func(k *Keys) **secret.Buffer { return &k.DUK }}
	case kindUser:
		low, high := v.pinLength(0, 6, 64)
		return kind{id, NeedUser, msg.SecretUser, msg.SecretUserWhen, 2, low, high,
			func(k *Keys) **secret.Buffer { return &k.User }}
	case kindAdmin:
		low, high := v.pinLength(1, 8, 25) // Heads gives the admin PIN to tools that take 25 bytes at most
		return kind{id, NeedAdmin, msg.SecretAdmin, msg.SecretAdminWhen, 2, low, high,
			func(k *Keys) **secret.Buffer { return &k.Admin }}
	case kindBackup:
		return kind{id, NeedBackup, msg.SecretBackup, msg.SecretBackupWhen, secretWords, 12, maxPassphrase,
			func(k *Keys) **secret.Buffer { return &k.Backup }}
	}
	return kind{kindOwner, NeedOwner, msg.SecretOwner, msg.SecretOwnerWhen, 4, 8, 32,
		func(k *Keys) **secret.Buffer { return &k.Owner }}
}

// enough is how many bits one that somebody has thought up needs at least: against a device that counts
// the tries fewer than against who has the disk.
func (k kind) enough() int {
	switch k.bit {
	case NeedDisk, NeedBackup:
		return 40
	case NeedUser, NeedAdmin:
		return 13
	}
	return 24
}

// strength is about how many bits a secret has for somebody who guesses: characters that repeat the
// one before, or go on from it as the two before did, count for nothing, and few different ones for little.
func strength(s []byte) int {
	var seen [256]bool
	different, counts, pool := 0, 0, 0
	classes := map[int]bool{}
	for i, c := range s {
		size := 33
		switch {
		case c >= '0' && c <= '9':
			size = 10
		case c >= 'a' && c <= 'z':
			size = 26
		case c >= 'A' && c <= 'Z':
			size = 27
		}
		if !classes[size] {
			classes[size], pool = true, pool+size
		}
		if !seen[c] {
			seen[c] = true
			different++
		}
		if i > 0 {
			step := int(c) - int(s[i-1])
			if step == 0 || i > 1 && step == int(s[i-1])-int(s[i-2]) {
				continue
			}
		}
		counts++
	}
	return int(float64(min(counts, 2*different)) * math.Log2(float64(max(pool, 1))))
}

// pinLength narrows limits of a PIN to those of the card.
func (v *view) pinLength(which, low, high int) (int, int) {
	if c, err := v.s.Card(); err == nil && c.PINMax[which] > 0 {
		return max(low, c.PINMin[which]), min(high, c.PINMax[which])
	}
	return low, high
}

// newSecrets are the secrets that this run makes.
func (v *view) newSecrets() (all []kind) {
	for _, id := range secretIDs {
		if k := v.kind(id); v.needed(k) && !v.applied(k) {
			all = append(all, k)
		}
	}
	return all
}

// position is the number of a secret among those that are recorded.
func (v *view) position(k kind) (n, of int) {
	all := v.newSecrets()
	for i, x := range all {
		if x.id == k.id {
			n = i + 1
		}
	}
	return n, len(all)
}

// forget drops all secrets, to choose anew.
func (f *flow) forget() {
	clear(f.a.onPaper)
	for _, id := range secretIDs {
		f.drop(f.kind(id))
	}
}

func (f *flow) drop(k kind) {
	f.keep(k, nil)
	for _, p := range []place{pagePaper, pageChoose, pageRecord} {
		delete(f.a.given, p.of(k.id))
	}
}

func (f *flow) keep(k kind, b *secret.Buffer) {
	p := k.of(&f.a.keys)
	(*p).Wipe()
	*p = b
}

// unblock says what helps against a blocked PIN: the key is made anew, or, once the
// firmware trusts the one that is on it, or began to, the PIN.
func (v *view) unblock() msg.M {
	holds, _ := v.s.Holds()
	if fw, _ := v.s.Firmware(); holds || fw.Torn {
		return msg.PINUnblock
	}
	return msg.PINBlocked
}

// movers are the characters of a secret that lie elsewhere on other keyboards, each
// once and sorted; nil when there are none.
func movers(k Keyboard, s *secret.Buffer) *secret.Buffer {
	out := secret.New(4 * s.Len()) // what is no UTF-8 becomes three bytes; a space after each
	n := 0
	for last := rune(-1); ; {
		next, none := rune(utf8.MaxRune+1), true
		for b := s.Bytes(); len(b) > 0; {
			r, size := utf8.DecodeRune(b)
			if r > last && r < next && k.Moves(b[:size]) {
				next, none = r, false
			}
			b = b[size:]
		}
		if none {
			break
		}
		last = next
		n += utf8.EncodeRune(out.Bytes()[n:], next)
		out.Bytes()[n] = ' '
		n++
	}
	if n == 0 {
		out.Wipe()
		return nil
	}
	out.SetLen(n - 1)
	return out
}

func fill(to, from *secret.Buffer) {
	to.SetLen(from.Len())
	copy(to.Bytes(), from.Bytes())
}

// makeSecret makes words that the device takes; where even two are too long for
// it, digits.
func makeSecret(k kind) *secret.Buffer {
	for range 200 {
		b := words.Generate(k.words)
		if b.Len() >= k.min && b.Len() <= k.max {
			return b
		}
		b.Wipe()
	}
	return words.Digits(min(max(k.min, 8), k.max))
}

// sixDigits checks what the phone shows, and tells a wrong clock from a wrong code.
func (v *view) sixDigits(typed string) error {
	now := v.m.Platform.Now()
	if _, err := otp.VerifyTOTP(v.a.keys.OTP, []byte(typed), now, 1); err == nil {
		return nil
	} else if errors.Is(err, otp.ErrBadCode) {
		return ui.Problem(v.t(msg.TOTPSix))
	}
	if ahead, err := otp.VerifyTOTP(v.a.keys.OTP, []byte(typed), now, 2880); err == nil {
		there := now.Add(time.Duration(ahead) * otp.Step).UTC().Format("2006-01-02 15:04")
		return ui.Problem(v.t(msg.TOTPClock, there, now.UTC().Format("2006-01-02 15:04")))
	}
	return ui.Problem(v.t(msg.TOTPWrong))
}

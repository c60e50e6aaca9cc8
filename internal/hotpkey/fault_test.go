package hotpkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/otp"
	"reown/internal/secret"
)

// TestHIDStatus gives every status of the Pro's firmware, and some that it does not
// have, to every command of Set, Check, Reset and Info.
func TestHIDStatus(t *testing.T) {
	set := func(k *Token) error {
		return k.Set(ctx(t), buffer(cardtest.FactoryPW3), buffer("bbbbbbbbbbbbbbbbbbbb"), 9, SetOptions{})
	}
	check := func(k *Token) error { _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 2)); return err }
	reset := func(k *Token) error { return k.Reset(ctx(t), buffer(cardtest.FactoryPW3)) }
	info := func(k *Token) error { _, err := k.Info(ctx(t)); return err }
	for _, c := range []struct {
		name string
		cmd  byte
		do   func(*Token) error
	}{
		{"tries", hidAdminTries, set}, {"authenticate", hidAuthenticate, set}, {"data", hidSendOTPData, set},
		{"write", hidWriteToSlot, set},
		{"verify", hidVerifyCode, check}, {"erase", hidEraseSlot, reset}, {"status", hidGetStatus, info},
		{"read", hidReadSlot, info},
	} {
		for status := byte(1); status <= 16; status++ {
			t.Run(fmt.Sprintf("%s/%d", c.name, status), func(t *testing.T) {
				f := newPro(usbdev.Pro)
				k := f.open(t)
				if _, err := k.Seal(ctx(t), f.pin(), buffer(rfcSecret), SetOptions{}); err != nil {
					t.Fatal(err)
				}
				f.pro.Force = func(cmd byte) (byte, bool) { return status, cmd == c.cmd }
				err := c.do(k)
				f.pro.Force = nil
				var se *StatusError
				var pe *PINError
				switch {
				case c.cmd == hidReadSlot: // Info does without
					if err != nil && status != stNotAuthorized {
						t.Fatalf("got %v", err)
					}
				case status == stNotProgrammed:
					if !errors.Is(err, ErrNoSlot) {
						t.Fatalf("got %v", err)
					}
				case status == stNotAuthorized:
					if !errors.Is(err, ErrNotAuthorized) {
						t.Fatalf("got %v", err)
					}
				case status == stWrongPassword && c.cmd == hidAuthenticate:
					if !errors.As(err, &pe) || pe.Left != 3 {
						t.Fatalf("got %v", err)
					}
				case !errors.As(err, &se) || se.Status != uint16(status) || se.Command != c.cmd:
					t.Fatalf("got %v", err)
				}
				if key, _, set := f.stored(); !set || string(key) != rfcSecret {
					t.Fatalf("the working slot holds %q (%v)", key, set)
				}
				if err := check(k); err != nil {
					t.Fatalf("afterwards: %v", err)
				}
			})
		}
	}
}

// TestSecretsStatus does the same for the secrets app.
func TestSecretsStatus(t *testing.T) {
	words := []uint16{0x6100, 0x6300, 0x6581, 0x6700, 0x6881, 0x6982, 0x6983, 0x6985, 0x6a80, 0x6a82, 0x6a84, 0x6a88,
		0x6b00, 0x6c00, 0x6d00, 0x6e00, 0x6f00, 0x9001}
	for _, c := range []struct {
		name string
		ins  byte
		want map[uint16]error // others are a StatusError
	}{
		{"verify pin", insVerifyPIN, map[uint16]error{0x6300: &PINError{}, 0x6982: ErrNoTouch}},
		{"delete", insDelete, map[uint16]error{0x6982: ErrNoTouch, 0x6a82: nil}},
		{"put", insPut, map[uint16]error{0x6982: ErrNotAuthorized, 0x6a82: ErrPINBlocked, 0x6a84: ErrFull}},
		{"check", insVerifyCode, map[uint16]error{0x6300: ErrWrongCode, 0x6982: ErrRefused, 0x6a82: ErrNoSlot}},
		{"reset", insReset, map[uint16]error{0x6982: ErrNoTouch}},
	} {
		for _, word := range words {
			t.Run(fmt.Sprintf("%s/%04x", c.name, word), func(t *testing.T) {
				f := newNK3()
				pin := f.pin()
				k := f.open(t)
				if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
					t.Fatal(err)
				}
				if word == 0x6100 && c.ins == insDelete {
					t.Skip("an answer of its own")
				}
				f.secrets.Force = func(ins byte) (uint16, bool) { return word, ins == c.ins }
				var err error
				switch c.ins {
				case insVerifyCode:
					_, err = k.Check(ctx(t), codeOf(t, rfcSecret, 2))
				case insReset:
					err = k.Reset(ctx(t), nil)
				default:
					err = k.Set(ctx(t), pin, buffer("bbbbbbbbbbbbbbbbbbbb"), 9, SetOptions{})
				}
				f.secrets.Force = nil
				want, known := c.want[word]
				var se *StatusError
				var pe *PINError
				switch _, isPIN := want.(*PINError); {
				case isPIN:
					if !errors.As(err, &pe) || pe.Left != hotptest.DefaultTries {
						t.Fatalf("got %v", err)
					}
				case known && word == 0x6a82 && c.ins == insDelete:
					// The key says it is not there, and then that it is.
					if !errors.As(err, &se) || se.Status != 0x6983 {
						t.Fatalf("got %v", err)
					}
				case known:
					if !errors.Is(err, want) {
						t.Fatalf("got %v, want %v", err, want)
					}
				case !errors.As(err, &se):
					t.Fatalf("got %v", err)
				}
				// Nothing is lost before the old secret has been deleted.
				if key, _, set := f.stored(); c.ins != insPut && (!set || string(key) != rfcSecret) {
					t.Fatalf("the working slot holds %q (%v)", key, set)
				}
				if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
					t.Fatalf("repeating: %v", err)
				}
			})
		}
	}
}

// TestHIDTransport: reports that arrive damaged are sent again, those that vanish too
// unless they could cost a try, and a busy key is waited for.
func TestHIDTransport(t *testing.T) {
	f := newPro(usbdev.Pro)
	pin := f.pin()
	k := f.open(t)
	f.pro.Garble = 2
	if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
		t.Fatalf("damaged reports: %v", err)
	}
	f.pro.Garble = 3
	_, err := k.Info(ctx(t))
	var se *StatusError
	if !errors.As(err, &se) || se.Status != stWrongCRC {
		t.Fatalf("too many damaged reports: %v", err)
	}
	f.pro.Garble = 0
	f.pro.Busy = 150 * time.Millisecond
	if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 2)); err != nil {
		t.Fatalf("a slow key: %v", err)
	}
	f.pro.Busy = 0
	f.pro.Drop = 1
	if _, err := k.Info(ctx(t)); err != nil {
		t.Fatalf("a report that vanished: %v", err)
	}
	f.pro.Commands()
	f.pro.Drop = 1
	if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 3)); !errors.Is(err, ErrNoAnswer) {
		t.Fatalf("a check that vanished: %v", err)
	}
	if c := f.pro.Commands(); len(c) != 0 {
		t.Fatalf("commands % x were executed", c)
	}
}

// TestTemporaryPassword: it is random, not the zeros of the reference tool, and new each
// time; and the PIN field is filled with zeros.
func TestTemporaryPassword(t *testing.T) {
	f := newPro(usbdev.Pro)
	var temps [][]byte
	f.pro.Log = func(fromHost bool, r []byte) {
		if fromHost && r[0] == hidAuthenticate {
			if string(bytes.TrimRight(r[1:26], "\x00")) != cardtest.FactoryPW3 {
				t.Errorf("PIN field % x", r[1:26])
			}
			temps = append(temps, bytes.Clone(r[26:51]))
		}
	}
	k := f.open(t)
	for range 2 {
		if err := k.Set(ctx(t), f.pin(), buffer(rfcSecret), 0, SetOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if len(temps) != 2 || bytes.Equal(temps[0], temps[1]) || bytes.Equal(temps[0], make([]byte, 25)) {
		t.Fatalf("temporary passwords %x", temps)
	}
}

// TestLongSecret: 40 bytes take two reports on a Pro.
func TestLongSecret(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		pin := f.pin()
		k := f.open(t)
		for _, n := range []int{16, 29, 30, 31, 40} {
			key := strings.Repeat("k", n)
			if _, err := k.Seal(ctx(t), pin, buffer(key), SetOptions{}); err != nil {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if got, _, _ := f.stored(); string(got) != key {
				t.Fatalf("%d bytes: the key holds %q", n, got)
			}
		}
	})
}

// TestSlowFinger: while the key waits for a touch it asks for time, and it gets it.
func TestSlowFinger(t *testing.T) {
	f := newNK3()
	pin := f.pin()
	f.secrets.Touched = func() bool { time.Sleep(300 * time.Millisecond); return true }
	extensions := 0
	f.dev.Log(func(line string) {
		if b, ok := strings.CutPrefix(line, "in 80"); ok && len(b) > 16 && b[12:14] == "80" {
			extensions++
		}
	})
	k := f.open(t)
	if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
		t.Fatal(err)
	}
	if extensions < 5 {
		t.Fatalf("%d requests for time", extensions)
	}
}

// TestSplitAnswers: the secrets app may answer in parts (61xx).
func TestSplitAnswers(t *testing.T) {
	f := newNK3()
	pin := f.pin()
	f.secrets.Split = 3
	k := f.open(t)
	if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
		t.Fatal(err)
	}
	if i, err := k.Info(ctx(t)); err != nil || i.SecretsApp != "4.14.0" || i.Serial != "4E4B3301" {
		t.Fatalf("%+v %v", i, err)
	}
}

// TestInterleaving shows what One owner is for: with the card on, the emulated firmware
// hangs as the real one does.
func TestInterleaving(t *testing.T) {
	f := newPro(usbdev.Pro)
	k := f.open(t)
	if _, err := k.impl.(*pro).reader.Connect(ctx(t)); err != nil { // what the API has no way to do
		t.Fatal(err)
	}
	c, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := k.Info(c); err == nil || !f.dev.Hung() {
		t.Fatalf("the emulated key does not hang: %v", err)
	}
	f.dev.Unplug()
}

// fakeKey is a Checker with a counter of its own.
type fakeKey struct {
	counter uint64
	shown   int
	fail    error
}

func (k *fakeKey) Check(_ context.Context, code otp.Code) (int, error) {
	k.shown++
	if k.fail != nil {
		return 0, k.fail
	}
	for i := range uint64(Window) {
		if c, err := otp.HOTP(buffer(rfcSecret), k.counter+i); err == nil && c == code {
			k.counter += i + 1
			return int(i), nil
		}
	}
	return 0, ErrWrongCode
}

// TestResync: every drift up to fifty codes is found, both ways, and none beyond; the
// answer is the key's new counter.
func TestResync(t *testing.T) {
	key := buffer(rfcSecret)
	for drift := -70; drift <= 70; drift++ {
		k := &fakeKey{counter: 100}
		file := uint64(100 + drift)
		next, err := Resync(ctx(t), k, key, file)
		switch {
		case err == nil:
			if next != k.counter {
				t.Fatalf("drift %d: next %d, the key is at %d", drift, next, k.counter)
			}
			if drift < -ResyncTries*Window || drift >= (ResyncTries+1)*Window {
				t.Fatalf("drift %d was found", drift)
			}
		case !errors.Is(err, ErrWrongCode):
			t.Fatal(err)
		case drift >= -ResyncTries*Window && drift <= ResyncTries*Window:
			t.Fatalf("drift %d was not found", drift)
		case k.counter != 100 || k.shown > 2*ResyncTries+1:
			t.Fatalf("drift %d: the key is at %d after %d codes", drift, k.counter, k.shown)
		}
	}
	// Near zero there is no way back beyond it.
	for file := range uint64(60) {
		k := &fakeKey{}
		if next, err := Resync(ctx(t), k, key, file); (err == nil) != (file <= 50+Window-1) || err == nil &&
			next != k.counter {
			t.Fatalf("file %d: next %d, key %d, %v", file, next, k.counter, err)
		}
	}
	gone := errors.New("gone")
	k := &fakeKey{fail: gone}
	if _, err := Resync(ctx(t), k, key, 5); !errors.Is(err, gone) || k.shown != 1 {
		t.Fatalf("%v after %d codes", err, k.shown)
	}
}

func TestCounterFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kexec_hotp_counter")
	if _, err := ReadCounter(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	for _, n := range []uint64{0, 2, 99, 1<<63 - 1} {
		if err := WriteCounter(path, n); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadCounter(path); err != nil || got != n {
			t.Fatalf("%d came back as %d, %v", n, got, err)
		}
	}
	for content, ok := range map[string]bool{
		"7": true, "7\n": true, " 7 \n": true, "": false, "-1": false, "7 8": false, "0x7": false,
		"9223372036854775808":   false,
		strings.Repeat("1", 65): false, "7\x00": false,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCounter(path); (err == nil) != ok || err != nil && !errors.Is(err, ErrBadCounter) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// TestROMSecret: the first 20 bytes of the SHA-256, here of "abc" (FIPS 180-4).
func TestROMSecret(t *testing.T) {
	s, err := ROMSecret(strings.NewReader("abc"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", s.Bytes()); got != "ba7816bf8f01cfea414140de5dae2223b00361a3" {
		t.Fatalf("got %s", got)
	}
	if _, err := ROMSecret(brokenReader{}); err == nil {
		t.Fatal("a flash chip that cannot be read")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("read error") }

// TestCRC compares the client's implementation with the emulator's, which was written
// apart, and with a value worked out by hand: one word of zeros.
func TestCRC(t *testing.T) {
	if got := crc(make([]byte, 4)); got != 0xc704dd7b {
		t.Fatalf("got %08x", got)
	}
	for n := 4; n <= 60; n += 4 {
		b := secret.Random(n).Bytes()
		if crc(b) != hotptest.CRC(b) {
			t.Fatalf("%x", b)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	r := hotptest.NewPro(cardtest.New(cardtest.ZeitControl)).GetReport()
	f.Add(r)
	f.Add(r[:63])
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		a, ok := parseAnswer(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the report was changed")
		}
		if ok && (len(b) != reportLen || len(a.result) != resultLen) {
			t.Fatal("a report of the wrong length")
		}
	})
}

func FuzzAppState(f *testing.F) {
	f.Add(hotptest.NewSecrets().Select()[:19])
	f.Add([]byte{0x79, 3, 4, 14, 0, 0x82, 1, 8})
	f.Add([]byte{0x79, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseAppState(b)
		if err != nil && !errors.Is(err, ErrProtocol) {
			t.Fatal(err)
		}
		if err == nil && (st.version == "" || st.tries < -1 || st.tries > 255) {
			t.Fatalf("%+v", st)
		}
	})
}

func FuzzCounter(f *testing.F) {
	f.Add([]byte("2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseCounter(b)
		if err != nil {
			return
		}
		if m, err := ParseCounter(FormatCounter(n)); err != nil || m != n {
			t.Fatalf("%d came back as %d, %v", n, m, err)
		}
	})
}

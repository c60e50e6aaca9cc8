package hotpkey

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/secret"
)

// Transcripts in testdata hold both protocols byte by byte, one report or APDU a line:
// ">" is from the computer, "<" the answer to it (reports that say busy are left out),
// "#" a remark. Those named after our operations are replayed against our client and
// against the emulator; those named hotp_verification-* were made by Heads' own program
// and are replayed against the emulator alone.

var update = flag.Bool("update", false, "record the transcripts in testdata anew")

type exchangeLine struct{ out, in []byte }

func readTranscript(t *testing.T, name string) []exchangeLine {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []exchangeLine
	for sc := bufio.NewScanner(f); sc.Scan(); {
		kind, rest, _ := strings.Cut(sc.Text(), " ")
		if kind == "#" || kind == "" {
			continue
		}
		b, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch kind {
		case ">":
			lines = append(lines, exchangeLine{out: b})
		case "<":
			lines[len(lines)-1].in = b
		default:
			t.Fatalf("%s: line %q", name, sc.Text())
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return lines
}

func writeTranscript(t *testing.T, name, remark string, lines []exchangeLine) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", remark)
	for _, l := range lines {
		fmt.Fprintf(&b, "> %x\n< %x\n", l.out, l.in)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".txt"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// record collects an emulated key's exchanges.
func (f *fixture) record() *[]exchangeLine {
	var mu sync.Mutex
	lines := &[]exchangeLine{}
	if f.pro != nil {
		f.pro.Log = func(fromHost bool, r []byte) {
			mu.Lock()
			defer mu.Unlock()
			switch n := len(*lines); {
			case fromHost:
				*lines = append(*lines, exchangeLine{out: bytes.Clone(r)})
			case n > 0 && r[0] == 0:
				(*lines)[n-1].in = bytes.Clone(r)
			}
		}
		return lines
	}
	f.card.Log(func(cmd, resp []byte) {
		mu.Lock()
		defer mu.Unlock()
		*lines = append(*lines, exchangeLine{bytes.Clone(cmd), bytes.Clone(resp)})
	})
	return lines
}

// scenes are our operations.
var scenes = []struct {
	name, family, remark string
	do                   func(t *testing.T, k *Token)
}{
	{"pro-set", "pro", "Nitrokey Pro, firmware 0.15: a wrong admin PIN, then RFC 4226's secret at counter 0, codes of counters 1 and 0",
		func(t *testing.T, k *Token) {
			if k.Set(ctx(t), buffer("87654321"), buffer(rfcSecret), 0, SetOptions{}) == nil {
				t.Fatal("a wrong PIN")
			}
			if _, err := k.Seal(ctx(t), buffer(cardtest.FactoryPW3), buffer(rfcSecret), SetOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 0)); err == nil {
				t.Fatal("an old code")
			}
		}},
	{"pro-info-reset", "pro", "Nitrokey Pro, firmware 0.15: its state, and the slot erased",
		func(t *testing.T, k *Token) {
			if _, err := k.Info(ctx(t)); err != nil {
				t.Fatal(err)
			}
			if err := k.Reset(ctx(t), buffer(cardtest.FactoryPW3)); err != nil {
				t.Fatal(err)
			}
		}},
	{"storage-info", "storage", "Nitrokey Storage: its state", func(t *testing.T, k *Token) {
		if _, err := k.Info(ctx(t)); err != nil {
			t.Fatal(err)
		}
	}},
	{"nk3-set", "nk3", "Nitrokey 3, secrets app 0.14: a new PIN, RFC 4226's secret, codes of counters 1 and 0, a wrong PIN, another secret",
		func(t *testing.T, k *Token) {
			if _, err := k.Seal(ctx(t), buffer("sesame-77"), buffer(rfcSecret), SetOptions{NewPIN: true}); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 0)); err == nil {
				t.Fatal("an old code")
			}
			if k.Set(ctx(t), buffer("sesame-78"), buffer(rfcSecret), 0, SetOptions{}) == nil {
				t.Fatal("a wrong PIN")
			}
			if err := k.Set(ctx(t), buffer("sesame-77"), buffer("abcdefghijklmnopqrst"), 7, SetOptions{}); err != nil {
				t.Fatal(err)
			}
		}},
	{"nk3-info-reset", "nk3", "Nitrokey 3, secrets app 0.14: its state, and the app reset",
		func(t *testing.T, k *Token) {
			if _, err := k.Info(ctx(t)); err != nil {
				t.Fatal(err)
			}
			if err := k.Reset(ctx(t), nil); err != nil {
				t.Fatal(err)
			}
		}},
}

// fixed makes the temporary password predictable.
func (k *Token) fixed() *Token {
	if p, ok := k.impl.(*pro); ok {
		p.random = func(n int) *secret.Buffer { return secret.From(bytes.Repeat([]byte{0x5a}, n)) }
	}
	return k
}

// script is a key that knows one transcript, as a card or as HID reports.
type script struct {
	t     *testing.T
	mu    sync.Mutex
	lines []exchangeLine
	last  []byte
}

func (s *script) next(out []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) == 0 || !bytes.Equal(s.lines[0].out, out) {
		want := []byte(nil)
		if len(s.lines) > 0 {
			want = s.lines[0].out
		}
		s.t.Errorf("sent %x\nwant %x", out, want)
		return nil
	}
	s.last = s.lines[0].in
	s.lines = s.lines[1:]
	return s.last
}

func (s *script) ATR() []byte              { return cardtest.ZeitControl.ATR }
func (s *script) Transmit(b []byte) []byte { return s.next(b) }
func (s *script) SetReport(b []byte)       { s.next(b) }
func (s *script) GetReport() []byte        { s.mu.Lock(); defer s.mu.Unlock(); return bytes.Clone(s.last) }

func TestTranscripts(t *testing.T) {
	for _, c := range scenes {
		t.Run(c.name, func(t *testing.T) {
			if *update {
				f := families[c.family]()
				lines := f.record()
				c.do(t, f.open(t).fixed())
				writeTranscript(t, c.name, c.remark, *lines)
			}
			// Our client, byte for byte.
			s := &script{t: t, lines: readTranscript(t, c.name), last: make([]byte, reportLen)}
			f := families[c.family]()
			card := usbdev.Card(s)
			if f.pro != nil {
				card = f.card // its reader is only switched off
			}
			f.dev = usbdev.New(f.dev.Profile(), card, s)
			f.bus = usbdev.NewBus(f.dev)
			c.do(t, f.open(t).fixed())
			if len(s.lines) != 0 {
				t.Errorf("%d lines were not used", len(s.lines))
			}
			replay(t, c.family, c.name)
		})
	}
	for _, family := range []string{"pro", "nk3"} {
		t.Run("hotp_verification-"+family, func(t *testing.T) { replay(t, family, "hotp_verification-"+family) })
	}
}

// replay gives the computer's side of a transcript to a fresh emulator and compares its
// answers.
func replay(t *testing.T, family, name string) {
	t.Helper()
	f := families[family]()
	if family == "nk3" && strings.HasPrefix(name, "hotp_verification") {
		f.pin()
	}
	for i, l := range readTranscript(t, name) {
		var got []byte
		if f.pro != nil {
			f.pro.SetReport(l.out)
			for got = f.pro.GetReport(); got[0] != 0; got = f.pro.GetReport() {
				time.Sleep(time.Millisecond)
			}
		} else {
			if i == 0 {
				f.card.PowerOn()
			}
			got = f.card.Transmit(l.out)
		}
		if !bytes.Equal(got, l.in) {
			t.Fatalf("%s, exchange %d: the emulator answers %x\nto %x, not %x", name, i+1, got, l.out, l.in)
		}
	}
}

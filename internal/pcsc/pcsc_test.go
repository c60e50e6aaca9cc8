package pcsc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"reown/gpgcard"
)

// serve is a daemon that sends a fixed stream, whatever it is asked.
func serve(t testing.TB, stream []byte, hold bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Write(stream)
				if hold {
					_, _ = io.Copy(io.Discard, c)
				}
			}()
		}
	}()
	return path
}

// conversation is what a good daemon with one card sends for connect and transmit.
func conversation() []byte {
	table := make([]byte, maxReaders*readerStateSz)
	copy(table, "Reader 00 00")
	ne.PutUint32(table[132:], statePresent)
	copy(table[140:], []byte{0x3b, 0x00})
	ne.PutUint32(table[176:], 2)
	connect := make([]byte, 4+128+20)
	ne.PutUint32(connect[140:], 7)
	ne.PutUint32(connect[144:], protoT1)
	transmit := words(7, protoT1, 8, 4, protoT1, 8, 4, 0)
	ne.PutUint32(transmit[24:], 2)
	return bytes.Join([][]byte{words(4, 4, 0), words(2, 9, 0), table, connect, words(7, 0), transmit, {0x90, 0x00}}, nil)
}

func talk(ctx context.Context, path string) ([]byte, error) {
	c, err := Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Readers(ctx); err != nil {
		return nil, err
	}
	k, err := c.Connect(ctx, "Reader 00 00", true)
	if err != nil {
		return nil, err
	}
	if err := k.Begin(ctx); err != nil {
		return nil, err
	}
	return k.Transmit(ctx, []byte{0, 0xa4, 4, 0})
}

func TestTalk(t *testing.T) {
	r, err := talk(context.Background(), serve(t, conversation(), true))
	if err != nil || !bytes.Equal(r, []byte{0x90, 0x00}) {
		t.Fatalf("%x %v", r, err)
	}
}

func TestNoDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nobody")
	if _, err := Dial(context.Background(), path); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("got %v", err)
	}
	// A socket that somebody has named is not "no reader".
	if r, err := (Bus{Socket: path}).Readers(context.Background()); !errors.Is(err, ErrNotRunning) || r != nil {
		t.Fatalf("%v %v", r, err)
	}
}

// TestCancel: a command that never ends is left when the context is.
func TestCancel(t *testing.T) {
	all := conversation()
	path := serve(t, all[:len(all)-34], true)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := talk(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
}

// TestTorn ends the stream at each byte: never a hang, never a success.
func TestTorn(t *testing.T) {
	all := conversation()
	for n := 0; n < len(all); n += 1 + n/64 {
		if _, err := talk(context.Background(), serve(t, all[:n], false)); err == nil {
			t.Fatalf("%d of %d bytes are enough", n, len(all))
		}
	}
}

func TestCodesBecomeSentinels(t *testing.T) {
	for code, want := range map[Code]error{CodeSharing: gpgcard.ErrBusy, CodeRemoved: gpgcard.ErrRemoved,
		CodeReaderGone: gpgcard.ErrRemoved, CodeNoCard: gpgcard.ErrRemoved} {
		if err := translate(code, "x"); !errors.Is(err, want) || !errors.Is(err, code) {
			t.Errorf("%v: %v", code, err)
		}
	}
}

func FuzzReplies(f *testing.F) {
	f.Add(conversation())
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := talk(ctx, serve(t, b, false)); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("hangs")
		}
		if len(b) >= maxReaders*readerStateSz {
			_, _ = parseReaders(b[:maxReaders*readerStateSz])
		}
	})
}

// TestHung: a daemon that stops answering is left, wherever it stops but in a command.
func TestHung(t *testing.T) {
	d, k := daemonTime, cardTime
	daemonTime, cardTime = 50*time.Millisecond, 50*time.Millisecond
	defer func() { daemonTime, cardTime = d, k }()
	all := conversation()
	table := 24 + maxReaders*readerStateSz
	for name, n := range map[string]int{"version": 0, "context": 12, "readers": 24, "connect": table,
		"transaction": table + 152} {
		if _, err := talk(context.Background(), serve(t, all[:n], true)); !errors.Is(err, ErrHung) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHungAtTheEnd: so is one that stops when the card is given back or switched off.
func TestHungAtTheEnd(t *testing.T) {
	d, k := daemonTime, cardTime
	daemonTime, cardTime = 50*time.Millisecond, 50*time.Millisecond
	defer func() { daemonTime, cardTime = d, k }()
	path := serve(t, conversation()[:24+maxReaders*readerStateSz+152+8], true)
	for name, f := range map[string]func(*Card) error{
		"end":        func(k *Card) error { return k.End(t.Context()) },
		"reconnect":  func(k *Card) error { return k.Reconnect(t.Context(), true) },
		"disconnect": func(k *Card) error { return k.Disconnect(t.Context()) },
	} {
		c, err := Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Readers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		card, err := c.Connect(t.Context(), "Reader 00 00", true)
		if err == nil {
			err = card.Begin(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := f(card); !errors.Is(err, ErrHung) {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestWhyThereIsNoDaemon: no such socket, nobody behind it, and no permission are three
// things.
func TestWhyThereIsNoDaemon(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "dead")
	ln, err := net.Listen("unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{filepath.Join(dir, "none"): ErrNoSocket, dead: ErrNotRunning,
		file: ErrNotRunning} {
		_, err := Dial(t.Context(), path)
		if !errors.Is(err, want) || errors.Is(err, ErrNoSocket) != (want == ErrNoSocket) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	// Somebody who has named a socket is told; the usual place may be empty.
	if _, err := (Bus{Socket: dead}).Readers(t.Context()); !errors.Is(err, ErrNotRunning) {
		t.Error(err)
	}
}

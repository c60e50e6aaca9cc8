package gpgcard_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"reown/gpgcard"
)

// transcript is a recorded conversation with a real card, played back to our
// client. A command is answered with what the card said the next time it was given
// that command; reading gives what the card said in the same state. The order of
// another client and its encoding of a command do not matter, its data do: a command
// that is not in the recording fails the test.
type transcript struct {
	t    testing.TB
	cmds []exchange
	at   int
	sent []string
}

type exchange struct{ cmd, resp []byte }

// load reads a transcript: "> " command, "< " response, "#" comment.
func load(t testing.TB, name string) *transcript {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "testdata", "apdu", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := &transcript{t: t}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		b, err := hex.DecodeString(line[2:])
		if err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
		switch line[:2] {
		case "> ":
			tr.cmds = append(tr.cmds, exchange{cmd: b})
		case "< ":
			tr.cmds[len(tr.cmds)-1].resp = b
		default:
			t.Fatalf("%s: %q", name, line)
		}
	}
	if len(tr.cmds) == 0 {
		t.Fatalf("%s is empty", name)
	}
	return tr
}

// meaning is a command without its encoding: class, instruction, parameters, data.
func meaning(b []byte) string {
	head, rest := fmt.Sprintf("%x", b[:4]), b[4:]
	switch {
	case len(rest) <= 1: // no data
	case rest[0] != 0:
		return head + fmt.Sprintf(" %x", rest[1:1+rest[0]])
	case len(rest) > 3:
		n := int(rest[1])<<8 | int(rest[2])
		return head + fmt.Sprintf(" %x", rest[3:3+n])
	}
	return head
}

// seek moves to the first command from n on that means m.
func (tr *transcript) seek(m string) {
	tr.t.Helper()
	for i := tr.at; i < len(tr.cmds); i++ {
		if meaning(tr.cmds[i].cmd) == m {
			tr.at = i
			return
		}
	}
	tr.t.Fatalf("no %q in the transcript from %d on", m, tr.at)
}

func (tr *transcript) Transmit(_ context.Context, apdu []byte) ([]byte, error) {
	m := meaning(apdu)
	tr.sent = append(tr.sent, m)
	if apdu[1] == 0xc0 { // the rest of the answer before
		if tr.at < len(tr.cmds) && tr.cmds[tr.at].cmd[1] == 0xc0 {
			tr.at++
			return bytes.Clone(tr.cmds[tr.at-1].resp), nil
		}
		return nil, fmt.Errorf("transcript has no rest here")
	}
	reading := reads(apdu)
	for i := tr.at; i < len(tr.cmds); i++ {
		if meaning(tr.cmds[i].cmd) == m {
			tr.at = i + 1
			return bytes.Clone(tr.cmds[i].resp), nil
		}
		if reading && !reads(tr.cmds[i].cmd) {
			break // beyond this the card is in another state
		}
	}
	for i := min(tr.at, len(tr.cmds)) - 1; i >= 0; i-- {
		if meaning(tr.cmds[i].cmd) == m {
			if r := tr.cmds[i].resp; r[len(r)-2] == 0x61 {
				tr.at = i + 1
			}
			return bytes.Clone(tr.cmds[i].resp), nil
		}
	}
	if apdu[1] == 0xca { // an object nobody asked for then
		return []byte{0x6a, 0x88}, nil
	}
	return nil, fmt.Errorf("the transcript does not have %s", m)
}

// reads reports that a command changes nothing.
func reads(b []byte) bool {
	switch b[1] {
	case 0xa4, 0xb0, 0xc0, 0xca:
		return true
	case 0x47:
		return b[2] == 0x81
	}
	return false
}

func (tr *transcript) PowerCycle(context.Context) error { return nil }
func (tr *transcript) Close() error                     { return nil }

// TestTranscripts replays two real cards. The fingerprints in the recordings were
// computed by GnuPG: our GenerateKeys has to arrive at the same ones, or its PUT
// DATA commands are not in the recording.
func TestTranscripts(t *testing.T) {
	ctx := context.Background()
	for _, tc := range []struct {
		dir     string
		serial  string
		created int64
		fpr     [3]string
		again   bool // the recording has all of a reset
	}{
		{"canokey-core-2022", "F1D0:00000000", 0x6b033219,
			[3]string{"5AD4AC91F72692319B3323DD9FF4061CBCE2F269", "894F4A3B2A8CADA8B54542BCE158A735700789E7",
				"DE65040C7E45B5CE104028CCE1AC57DC27B36BEE"}, true},
		{"gnuk-1.2.19", "FFFE:F1420A7A", 0x6b03273d,
			[3]string{"753BF1EFFEE234F48A188E43F44E2337797317FF", "45EAC6E63DB76903D476C2318EF7C798882ABCA2",
				"CE9836C16EEB3CEFD53B9EF2C1C75C85A81F6F20"}, false},
	} {
		t.Run(tc.dir, func(t *testing.T) {
			tr := load(t, tc.dir+"/scdaemon.txt")
			c, err := gpgcard.New(ctx, tr, gpgcard.Reader{Bus: "test"})
			if err != nil {
				t.Fatal(err)
			}
			if c.Serial().String() != tc.serial {
				t.Fatalf("serial %v", c.Serial())
			}
			if tc.again {
				if err := c.Reset(ctx, gpgcard.ResetOptions{}); err != nil {
					t.Fatal(err)
				}
				tr.seek("00da00c3 162b06010401da470f01") // gpg has set the attributes
				tr.at++
			}
			at := time.Unix(tc.created, 0)
			if err := c.GenerateKeys(ctx, gpgcard.GenerateOptions{Algorithm: gpgcard.Curve25519, Created: at}); err != nil {
				t.Fatalf("%v\nsent: %q", err, tr.sent)
			}
			// The end of the recording: the state that gpg left.
			tr.at = len(tr.cmds)
			info, err := c.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range info.Keys {
				if !k.Present || !k.Consistent || k.Fingerprint != tc.fpr[i] || !k.Created.Equal(at) || k.Algorithm != "25519" {
					t.Errorf("key %d: %+v", i, k)
				}
			}
			if info.User.Left != 3 || info.Admin.Left != 3 || info.Signatures != 4 {
				t.Errorf("%+v", info)
			}
		})
	}
}

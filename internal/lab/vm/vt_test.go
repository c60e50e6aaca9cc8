package vm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	buyer "reown/internal/lab/person"
)

// TestSerialScreen compares what the lab makes of a stream with what tmux makes of it.
func TestSerialScreen(t *testing.T) {
	stream := "one\r\ntwo\x1b[2J\x1b[H\x1b[1;31mred\x1b[m\x0f line\x1b[5;10Hhere\x1b[KÄ▀█\x1b[3;1Hmany" +
		strings.Repeat("x", 100) +
		"\x1b[7;1Hgone soon\x1b[7;5H\x1b[1K\x1b[8;3Habc\x1b[2D!\x1b[A^\x1b[?25l\x1b(B\x1b[25;1Hlast\r\nnext\ttab\b\b?"
	v := newVT()
	for _, b := range []byte(stream) { // cut into the smallest pieces
		v.write([]byte{b})
	}
	file := filepath.Join(t.TempDir(), "stream")
	if err := os.WriteFile(file, []byte(stream), 0o600); err != nil {
		t.Fatal(err)
	}
	tmux, err := buyer.NewTmux("vt"+strings.ReplaceAll(t.TempDir(), "/", ""), "stty raw; cat "+file+"; sleep 600")
	if errors.Is(err, exec.ErrNotFound) {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer tmux.Close()
	var want string
	for end := time.Now().Add(time.Minute); !strings.Contains(want, "next") &&
		time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if want, err = tmux.Screen(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := v.text(); strings.TrimRight(got, "\n") != strings.TrimRight(want, "\n") {
		t.Errorf("it shows\n%s\ntmux shows\n%s", got, want)
	}
}

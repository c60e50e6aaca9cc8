package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

func TestReadSecretFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(name, []byte("marker pin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := (&Env{}).Secret(name)
	if err != nil || string(b.Bytes()) != "marker pin" {
		t.Fatalf("%q %v", b.Bytes(), err)
	}
	b, err = (&Env{Stdin: strings.NewReader("from a pipe")}).Secret("-")
	if err != nil || string(b.Bytes()) != "from a pipe" {
		t.Fatalf("%q %v", b.Bytes(), err)
	}
	if _, err := (&Env{Stdin: strings.NewReader(strings.Repeat("x", maxSecretFile+1))}).Secret("-"); err == nil {
		t.Fatal("a secret of any size is read")
	}
}

// TestSecretAtATerminalIsNotShown types at a pseudo-terminal and reads back what it
// would show.
func TestSecretAtATerminalIsNotShown(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	shown := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		buf := make([]byte, 256)
		for !strings.Contains(all.String(), "done") {
			n, err := master.Read(buf)
			all.Write(buf[:n])
			if err != nil {
				break
			}
		}
		shown <- all.String()
	}()
	go func() {
		time.Sleep(200 * time.Millisecond) // after the echo is off, as a person would
		_, _ = master.Write([]byte("marker 4711\r"))
	}()
	b, err := (&Env{Stdin: slave, Stderr: slave}).Secret("-")
	if err != nil || string(b.Bytes()) != "marker 4711" {
		t.Fatalf("%q %v", b.Bytes(), err)
	}
	_, _ = slave.Write([]byte("done"))
	if s := <-shown; strings.Contains(s, "4711") || !strings.Contains(s, "not shown") {
		t.Fatalf("the terminal shows %q", s)
	}
}

// An older result stays whole until the new one is on the disk; what is no file is
// written to as it is. A link is replaced, and what it names stays.
func TestResultsReplaceAFile(t *testing.T) {
	dir := t.TempDir()
	file, older, link := filepath.Join(dir, "backup"), filepath.Join(dir, "older"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, []byte("an older backup"), 0o644), os.Link(file, older),
		os.Symlink(older, link)); err != nil {
		t.Fatal(err)
	}
	is := func(name, want string) {
		t.Helper()
		if b, err := os.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	if err := new(Env).WriteResult(file, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	is(file, "new")
	is(older, "an older backup")
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if err := new(Env).WriteResult(link, []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	is(link, "newer")
	is(older, "an older backup")
	if fi, err := os.Lstat(link); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("the link was followed: %v, %v", fi.Mode(), err)
	}
}

package main

import (
	"bytes"
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
	b, err := readSecretFile(&env{}, name)
	if err != nil || string(b.Bytes()) != "marker pin" {
		t.Fatalf("%q %v", b.Bytes(), err)
	}
	b, err = readSecretFile(&env{stdin: strings.NewReader("from a pipe")}, "-")
	if err != nil || string(b.Bytes()) != "from a pipe" {
		t.Fatalf("%q %v", b.Bytes(), err)
	}
	if _, err := readSecretFile(&env{stdin: strings.NewReader(strings.Repeat("x", maxSecretFile+1))}, "-"); err == nil {
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
	b, err := readSecretFile(&env{stdin: slave, stderr: slave}, "-")
	if err != nil || string(b.Bytes()) != "marker 4711" {
		t.Fatalf("%q %v", b.Bytes(), err)
	}
	_, _ = slave.Write([]byte("done"))
	if s := <-shown; strings.Contains(s, "4711") || !strings.Contains(s, "not shown") {
		t.Fatalf("the terminal shows %q", s)
	}
}

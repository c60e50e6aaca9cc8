package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// TestMain lets this test program be the wizard on a real terminal, with a laptop
// that exists only in memory.
func TestMain(m *testing.M) {
	if os.Getenv("REOWN_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	u, err := Open("")
	if err != nil {
		fmt.Println("no screen:", err)
		os.Exit(3)
	}
	err = wizard.Run(context.Background(), wizardtest.New().Machine(), u, wizard.Options{Language: "en"})
	u.Close()
	if !errors.Is(err, ui.ErrLeft) {
		fmt.Println("ended with", err)
		os.Exit(1)
	}
	fmt.Println("left")
}

// terminal is the wizard's child process on a pseudo-terminal.
type terminal struct {
	t     *testing.T
	cmd   *exec.Cmd
	pty   *os.File
	vt    vt10x.Terminal
	mu    sync.Mutex
	bytes int
	tail  strings.Builder
}

func start(t *testing.T, env ...string) *terminal {
	t.Helper()
	x := &terminal{t: t, vt: vt10x.New(vt10x.WithSize(80, 25))}
	x.cmd = exec.Command(os.Args[0])
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TERM=") && !strings.HasPrefix(e, "LC_") && !strings.HasPrefix(e, "LANG") {
			x.cmd.Env = append(x.cmd.Env, e)
		}
	}
	x.cmd.Env = append(append(x.cmd.Env, "REOWN_TEST_CHILD=1"), env...)
	f, err := pty.StartWithSize(x.cmd, &pty.Winsize{Rows: 25, Cols: 80})
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	x.pty = f
	t.Cleanup(func() { _ = x.cmd.Process.Kill(); f.Close() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := f.Read(b)
			x.mu.Lock()
			x.bytes += n
			x.tail.Write(b[:n])
			_, _ = x.vt.Write(b[:n])
			x.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return x
}

func (x *terminal) screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.vt.String()
}

// wait returns when a text stands on the screen.
func (x *terminal) wait(text string) {
	x.t.Helper()
	for range 1500 {
		if strings.Contains(x.screen(), text) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	x.t.Fatalf("%q does not appear:\n%s", text, x.screen())
}

// quiet waits until nothing more is drawn, and returns how much was.
func (x *terminal) quiet() int {
	last := -1
	for {
		x.mu.Lock()
		n := x.bytes
		x.mu.Unlock()
		if n == last {
			return n
		}
		last = n
		time.Sleep(100 * time.Millisecond)
	}
}

func (x *terminal) keys(s string) {
	if _, err := x.pty.WriteString(s); err != nil {
		x.t.Fatal(err)
	}
}

func TestTerminals(t *testing.T) {
	for _, env := range []string{"TERM=linux", "TERM=xterm", "TERM=xterm-256color", "TERM=vt100", "TERM=vt220",
		"TERM=screen", "TERM=tmux", "TERM=ansi", "NO_COLOR=1", "LC_ALL=C"} {
		t.Run(env, func(t *testing.T) {
			vars := []string{env}
			if !strings.HasPrefix(env, "TERM=") {
				vars = append(vars, "TERM=linux")
			}
			x := start(t, vars...)
			x.wait("You will now")
			x.wait("< Continue >")
			x.keys("\x03") // Ctrl-C: nothing
			x.keys("\r")
			x.wait("Press these keys")
			before := x.quiet()
			x.keys("y")
			x.wait("You typed  y")
			if n := x.quiet() - before; n > 200 {
				t.Errorf("a key costs %d bytes on the line", n)
			}
			x.keys("\r")
			x.wait("Is this the computer")
			if s := x.screen(); !strings.Contains(s, "[OK]") || !strings.Contains(s, "robin uncle kite focus") {
				t.Errorf("the page lacks something:\n%s", s)
			}
			x.keys("!")
			if err := x.cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, x.screen())
			}
		})
	}
}

// What was typed before the page that asks whose computer it is stood there answers nothing on it,
// and neither does Enter.
func TestTypedAhead(t *testing.T) {
	x := start(t, "TERM=linux")
	x.wait("< Continue >")
	x.keys(strings.Repeat("y\r", 300))
	x.wait("Is this the computer")
	x.quiet()
	x.keys("\r")
	x.wait("Nothing is chosen yet")
	x.keys("\t\r")
	x.wait("opens the disk now")
	x.keys("\x1b[21~") // F10
	if err := x.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, x.screen())
	}
}

func TestNoScreenOnADumbTerminal(t *testing.T) {
	for _, term := range []string{"dumb", "no-such-terminal"} {
		x := start(t, "TERM="+term)
		err := x.cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Errorf("%s: %v\n%s", term, err, x.screen())
		}
	}
}

// Package pcscdtest runs a private pcscd whose readers hold emulated cards, and
// GnuPG homes that use it. Debian's pcscd has /run/pcscd compiled in, so each
// daemon gets a mount namespace of its own in which that directory is private;
// clients find its socket through PCSCLITE_CSOCK_NAME.
package pcscdtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/vpcd"
)

const driver = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"

// ErrMissing says that a program or driver that the daemon needs is not installed.
var ErrMissing = errors.New("not installed")

// Available says why Start cannot work here, or nil.
func Available() error {
	for _, f := range []string{"pcscd", "unshare", "mount"} {
		if _, err := exec.LookPath(f); err != nil {
			return fmt.Errorf("%s: %w", f, ErrMissing)
		}
	}
	if _, err := os.Stat(driver); err != nil {
		return fmt.Errorf("%s (package vsmartcard-vpcd): %w", driver, ErrMissing)
	}
	return nil
}

// A Daemon is one running pcscd.
type Daemon struct {
	Socket string       // for clients
	Slots  []*vpcd.Slot // two to a reader
	cmd    *exec.Cmd
	done   chan struct{}
	log    *lockedBuffer
}

// Start runs a pcscd in dir, which must be an absolute path to a private
// directory, with the cards in its slots (nil: an empty slot). Stop ends it.
func Start(dir string, cards ...*cardtest.Card) (*Daemon, error) {
	return StartNamed(dir, "Virtual PCD", cards...)
}

// StartNamed is Start with readers of another name, which ends in their number from the
// second on. All have the same driver.
func StartNamed(dir, name string, cards ...*cardtest.Card) (_ *Daemon, err error) {
	if err := Available(); err != nil {
		return nil, err
	}
	run, conf := filepath.Join(dir, "run"), filepath.Join(dir, "reader.conf.d")
	for _, d := range []string{run, conf} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	d := &Daemon{Socket: filepath.Join(run, "pcscd.comm"), done: make(chan struct{}), log: &lockedBuffer{}}
	defer func() {
		if err != nil {
			d.Stop()
		}
	}()
	if len(cards)%2 == 1 {
		cards = append(cards, nil)
	}
	for i := 0; i < len(cards); i += 2 {
		a, b, err := pair()
		if err != nil {
			return nil, err
		}
		d.Slots = append(d.Slots, a, b)
		a.Insert(cards[i])
		b.Insert(cards[i+1])
		text := fmt.Sprintf("FRIENDLYNAME \"%s\"\nDEVICENAME 127.0.0.1:0x%X\nLIBPATH %s\nCHANNELID 0x%X\n",
			numbered(name, i/2), a.Port(), driver, a.Port())
		if err := os.WriteFile(filepath.Join(conf, fmt.Sprintf("vpcd%d", i/2)), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	script := `mkdir -p /run/pcscd && mount --bind "$1" /run/pcscd && exec pcscd --foreground --debug --config "$2"`
	args := []string{"--mount", "--propagation", "private"}
	if os.Getuid() != 0 {
		args = append(args, "--user", "--map-root-user")
	}
	d.cmd = exec.Command("unshare", append(args, "sh", "-c", script, "sh", run, conf)...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	for end := time.Now().Add(20 * time.Second); ; {
		if c, err := net.Dial("unix", d.Socket); err == nil {
			c.Close()
			return d, nil
		}
		select {
		case <-d.done:
			return nil, fmt.Errorf("pcscd ended: %s", d.log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("pcscd does not answer: %s", d.log.String())
		}
	}
}

// pair listens on two neighbouring ports: the driver's second slot connects to
// the port after the first.
func pair() (a, b *vpcd.Slot, err error) {
	for range 50 {
		if a, err = vpcd.Listen("127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		if b, err = vpcd.Listen(fmt.Sprintf("127.0.0.1:%d", a.Port()+1)); err == nil {
			return a, b, nil
		}
		a.Close()
	}
	return nil, nil, err
}

func numbered(name string, i int) string {
	if i == 0 && name != "Virtual PCD" {
		return name
	}
	return fmt.Sprintf("%s %d", name, i)
}

// Freeze stops the daemon in its tracks: it takes no question and gives no answer until
// Thaw.
func (d *Daemon) Freeze() error { return d.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw has it go on.
func (d *Daemon) Thaw() error { return d.cmd.Process.Signal(syscall.SIGCONT) }

// Log is what pcscd printed.
func (d *Daemon) Log() string { return d.log.String() }

// Stop ends the daemon and waits for it.
func (d *Daemon) Stop() {
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.Thaw()
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(5 * time.Second):
			_ = d.cmd.Process.Kill()
			<-d.done
		}
	}
	for _, s := range d.Slots {
		s.Close()
	}
}

// Env is the environment of a client of this daemon.
func (d *Daemon) Env() []string {
	var e []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GNUPGHOME=") && !strings.HasPrefix(v, "LANG=") && !strings.HasPrefix(v, "LC_") {
			e = append(e, v)
		}
	}
	return append(e, "PCSCLITE_CSOCK_NAME="+d.Socket, "LC_ALL=C.UTF-8")
}

// A GPG is a GnuPG home whose scdaemon uses a Daemon.
type GPG struct {
	Home string
	d    *Daemon
}

// GPG makes a home in a new directory. The path must stay short: agents put
// sockets into it.
func (d *Daemon) GPG(home string) (*GPG, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	lib, err := filepath.Glob("/usr/lib/*/libpcsclite.so.1")
	if err != nil || len(lib) == 0 {
		return nil, fmt.Errorf("libpcsclite.so.1: %w", ErrMissing)
	}
	for name, text := range map[string]string{
		"scdaemon.conf": "disable-ccid\npcsc-driver " + lib[0] + "\nlog-file " + filepath.Join(home, "scd.log") +
			"\ndebug cardio\n",
		"gpg-agent.conf": "allow-loopback-pinentry\n",
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return &GPG{Home: home, d: d}, nil
}

// Command is a command with this home's and daemon's environment.
func (g *GPG) Command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = append(g.d.Env(), "GNUPGHOME="+g.Home)
	return c
}

// Run runs a command, with stdin as its input, and returns its two outputs together.
func (g *GPG) Run(stdin []byte, name string, args ...string) (string, error) {
	c := g.Command(name, args...)
	c.Stdin = bytes.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

// Edit drives an interactive gpg: answers gives, for each prompt of the status
// protocol ("cardedit.prompt", "passphrase.adminpin.ask"...), the next answer.
// The last answer of a prompt is repeated. A prompt without an answer ends the
// command with an error.
func (g *GPG) Edit(answers func(prompt, hint string) (string, bool), args ...string) (string, error) {
	all := append([]string{"--no-tty", "--pinentry-mode", "loopback", "--command-fd", "0", "--status-fd", "1"}, args...)
	c := g.Command("gpg", all...)
	limit := time.AfterFunc(20*time.Second, func() {
		if c.Process != nil {
			_ = c.Process.Kill()
		}
	})
	defer limit.Stop()
	in, err := c.StdinPipe()
	if err != nil {
		return "", err
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		return "", err
	}
	c.Stdout, c.Stderr = pw, pw
	if err := c.Start(); err != nil {
		pr.Close()
		pw.Close()
		return "", err
	}
	pw.Close()
	var out strings.Builder
	var failed error
	hint, asked := "", 0
	lines(pr, func(line string) {
		out.WriteString(line + "\n")
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "[GNUPG:]" {
			hint = line
			return
		}
		switch f[1] {
		case "INQUIRE_MAXLEN":
		case "GET_LINE", "GET_BOOL", "GET_HIDDEN":
			if asked++; asked > 100 {
				failed = fmt.Errorf("gpg asks without end, at last for %q", f[2])
				in.Close()
				return
			}
			a, ok := answers(f[2], hint)
			if !ok && failed == nil {
				failed = fmt.Errorf("no answer for %q after %q", f[2], hint)
				in.Close()
				return
			}
			out.WriteString("   <= " + a + "\n")
			_, _ = in.Write([]byte(a + "\n"))
		}
	})
	err = c.Wait()
	pr.Close()
	return out.String(), errors.Join(failed, err)
}

// Kill ends the home's agents and waits until they are gone; cached PINs go with
// them. A gpg that is started while its agent is still ending gets no other one.
func (g *GPG) Kill() {
	_, _ = g.Run(nil, "gpgconf", "--kill", "all")
	out, err := g.Command("gpgconf", "--list-dirs", "agent-socket").Output()
	if err != nil {
		return
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("unix", strings.TrimSpace(string(out)))
		if err != nil {
			return
		}
		c.Close()
	}
}

func lines(r *os.File, f func(string)) {
	var buf bytes.Buffer
	p := make([]byte, 4096)
	for {
		n, err := r.Read(p)
		buf.Write(p[:n])
		for {
			line, e := buf.ReadString('\n')
			if e != nil {
				buf.WriteString(line)
				break
			}
			f(strings.TrimRight(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 4<<20 {
		l.b.Reset()
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

package ttyinput

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// pty opens a pseudo terminal.
func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	s, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	slave = os.NewFile(uintptr(s), "pts")
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// TestForget leaves a terminal that works as before, with nothing in its input and
// nothing echoed. That the memory is overwritten is shown by internal/lab/vm, which
// searches a machine's memory.
func TestForget(t *testing.T) {
	for name, forget := range map[string]func(int) error{"overwritten": overwrite, "as used": Forget} {
		master, slave := pty(t)
		m, s := int(master.Fd()), int(slave.Fd())
		before, err := unix.IoctlGetTermios(s, unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(m, []byte("typed ahead\n")); err != nil {
			t.Fatal(err)
		}
		var echo [4096]byte
		if n, err := unix.Read(m, echo[:]); err != nil || n == 0 {
			t.Fatalf("no echo: %d %v", n, err)
		}
		err = forget(s)
		if os.Getuid() != 0 && err != nil {
			t.Skip(err)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		after, err := unix.IoctlGetTermios(s, unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("%s: other settings: %+v, were %+v (%v)", name, after, before, err)
		}
		for what, fd := range map[string]int{"input": s, "output": m} {
			if n, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil || n != 0 {
				t.Errorf("%s: %d bytes of %s are left (%v)", name, n, what, err)
			}
		}
		if _, err := unix.Write(m, []byte("again\n")); err != nil {
			t.Fatal(err)
		}
		var line [64]byte
		if n, err := unix.Read(s, line[:]); err != nil || string(line[:n]) != "again\n" {
			t.Errorf("%s: afterwards it reads %q, %v", name, line[:n], err)
		}
	}
	if err := Forget(-1); err == nil {
		t.Error("nothing is no terminal")
	}
}

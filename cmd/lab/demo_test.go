package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
	"reown/internal/lab/person"
	"reown/internal/lab/programs"
)

// need skips the test where one of the programs is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a virtual machine: skipped by -short")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// makePrograms builds what `make lab` builds, in a directory of its own.
func makePrograms(t *testing.T, dir string) (labProgram string) {
	t.Helper()
	_, err := programs.Reown(t.Context(), dir)
	if err == nil {
		labProgram, err = programs.Lab(t.Context(), dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return labProgram
}

// A user sits at a terminal and tries the demo.
type user struct {
	*person.Person
	t    *testing.T
	tmux *person.Tmux
}

// start starts the program in a terminal window.
func (u *user) start(command string) {
	u.t.Helper()
	tmux, err := person.NewTmux("lab"+strings.ReplaceAll(u.t.TempDir(), "/", ""), command+
		"; echo ended with $?; sleep 1000")
	if errors.Is(err, exec.ErrNotFound) {
		u.t.Skip(err)
	} else if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(tmux.Close)
	u.tmux, u.T = tmux, tmux
	u.Restarted()
}

func (u *user) until(end string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), 8*time.Minute)
	defer cancel()
	if err := u.Until(ctx, end); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) key(name string) {
	u.t.Helper()
	if err := u.T.Key(name); err != nil {
		u.t.Fatal(err)
	}
}

// mustShow looks for texts in what the window has shown.
func (u *user) mustShow(texts ...string) {
	u.t.Helper()
	all, err := u.tmux.History()
	if err != nil {
		u.t.Fatal(err)
	}
	for _, x := range texts {
		if !strings.Contains(all, x) {
			u.t.Errorf("it never said %q:\n%s", x, all)
		}
	}
}

// printsAll: what the pages ask of the buyer, and what they are to be compared with, stands in the window.
func (u *user) printsAll(dir string) {
	u.t.Helper()
	l, err := lab.Load(dir)
	if err != nil {
		u.t.Fatal(err)
	}
	s := l.Seller
	u.mustShow(s.Disk, s.UserPIN, s.AdminPIN, s.Owner, s.Fingerprint, "oathtool --totp -b "+s.TOTP, "four words        "+
		sentWords(l))
	if n := strings.Count(sentWords(l), "-"); n != 3 {
		u.t.Errorf("the words are %q", sentWords(l))
	}
}

// running are the command lines of processes that work in a directory.
func running(dir string) (all []string) {
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && strings.Contains(string(b), dir+"/d") {
			all = append(all, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return all
}

// TestDemo does what a newcomer does: starts the demo in a terminal window, looks at the
// wizard's first pages on the virtual laptop's console, closes the window, after which nothing runs on, and
// starts it again. In a soak it goes on to the end, with a cut while the disk is re-encrypted,
// and unlocks the installed system.
func TestDemo(t *testing.T) {
	need(t, "tmux", "qemu-system-x86_64", "swtpm", "cbfstool", "oathtool")
	dir, err := os.MkdirTemp("/tmp", "demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	demo := makePrograms(t, dir) + " demo " + dir + "/d"
	u := &user{Person: &person.Person{Paper: map[string]string{}, Log: t.Logf}, t: t}

	u.start(demo)
	u.until("Press Enter to switch it on.")
	u.mustShow("Building a laptop", "disk passphrase   PleaseChangeMe", "Ctrl-] cuts its power")
	u.printsAll(dir + "/d/l")
	u.key("ret")
	began := time.Now()
	u.until("language")
	t.Logf("from the switch to the wizard's first page: %.1f s", time.Since(began).Seconds())
	u.until("start")
	if running(dir) == nil {
		t.Error("the laptop runs, and no process shows it")
	}
	u.tmux.Close()
	for end := time.Now().Add(30 * time.Second); running(dir) != nil; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the terminal is closed, and these run on: %q", running(dir))
		}
	}

	u.start(demo)
	u.until("Press Enter to switch it on.")
	u.mustShow("the laptop of the last time")
	if os.Getenv("REOWN_SOAK") == "" {
		return
	}
	l, err := lab.Load(dir + "/d/l")
	if err != nil {
		t.Fatal(err)
	}
	u.Seller, u.Serial = l.Seller, "0001"
	u.key("ret")
	u.until("In progress    Disk")
	time.Sleep(2 * time.Second)
	u.key("C-]")
	u.until("ended with")
	u.mustShow("The laptop is off.", "not yours yet", "ended with 0")

	u.start(demo)
	u.until("Press Enter to switch it on.")
	u.key("ret")
	u.until("Enter switches it on again")
	u.mustShow("[OK] cryptsetup refuses the seller's passphrase")
	if all, err := u.tmux.History(); err != nil || strings.Contains(all, "[!!] ") {
		t.Errorf("the second opinion: %v\n%s", err, all)
	}
	u.key("ret")
	for _, step := range []struct{ wait, answer string }{
		{"Please unlock the disk:", u.Seller.Disk},
		{"No key available", u.Paper["DISK PASSPHRASE"]},
		{"These files must survive re-ownership.", "poweroff -f"},
	} {
		u.until(step.wait)
		if err := u.T.Type(step.answer); err != nil {
			t.Fatal(err)
		}
		u.key("ret")
	}
	u.until("ended with 0")
}

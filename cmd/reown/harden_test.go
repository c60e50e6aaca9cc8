package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the test binary does instead of testing when it is called so.
const (
	asReown = "-as-reown"
	attach  = "-attach"
)

// attachTo tries to trace a process, and exits with 0 if it may.
func attachTo(pid string) int {
	runtime.LockOSThread()
	n, err := strconv.Atoi(pid)
	if err == nil {
		err = unix.PtraceAttach(n)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var w unix.WaitStatus
	_, _ = unix.Wait4(n, &w, unix.WALL, nil)
	_ = unix.PtraceDetach(n)
	return 0
}

// TestMemoryIsNotForOthers looks from outside at a reown that waits for its input: it leaves no core,
// another process of the same user may not trace it, and SIGQUIT ends it without a trace of the stack.
func TestMemoryIsNotForOthers(t *testing.T) {
	dir, err := os.MkdirTemp("", "reown-harden")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	// As somebody who is not root, because root may do all this.
	var as *syscall.SysProcAttr
	program := os.Args[0]
	if os.Getuid() == 0 {
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		program = filepath.Join(dir, "reown")
		if err := os.WriteFile(program, data, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(program, args...)
		cmd.SysProcAttr, cmd.Dir = as, "/"
		return cmd
	}
	cmd := command(asReown, "card", "verify", "--cert", "-", "--signature", "none", "none")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	// The limit is set last; then all is.
	limits := ""
	for range 3000 {
		f, err := os.Open("/proc/" + pid + "/limits")
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if strings.HasPrefix(s.Text(), "Max core file size") {
				limits = strings.Join(strings.Fields(s.Text())[4:], " ")
			}
		}
		f.Close()
		if limits == "0 0 bytes" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if limits != "0 0 bytes" {
		t.Errorf("a core may have %q", limits)
	}
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/"+pid+"/mem", &st); err == nil && st.Uid != 0 {
		t.Errorf("its memory belongs to user %d", st.Uid)
	}
	other := command("-test.run=^$", "-test.timeout=1h") // what may be traced, for comparison
	other.Path, other.Args = "/bin/sleep", []string{"sleep", "600"}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	if out, err := command(attach, strconv.Itoa(other.Process.Pid)).CombinedOutput(); err != nil {
		t.Logf("nobody may trace anything here: %s", out)
	}
	if out, err := command(attach, pid).CombinedOutput(); err == nil || !strings.Contains(string(out), "not permitted") {
		t.Errorf("attaching: %v %s", err, out)
	}
	if err := cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	_, _ = io.WriteString(in, "no certificate")
	in.Close()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != exitFailed ||
		strings.Contains(said.String(), "goroutine ") {
		t.Errorf("after SIGQUIT: %v\n%s", err, &said)
	}
}

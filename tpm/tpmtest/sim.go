// Package tpmtest runs TPM emulators (swtpm) for tests and for the lab, with
// what tests need around them: power cuts, a recording of the bus, and Heads' own
// command sequences as a second opinion. Nothing in it is linked into reown.
package tpmtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Version chooses the family.
type Version int

// The families swtpm has.
const (
	V20 Version = iota
	V12
)

// Sim is one running emulator. Its state is in a directory and survives Stop.
type Sim struct {
	Version Version
	Socket  string // Unix socket that carries plain TPM commands; give it to tpm.Open
	dir     string
	proc    *exec.Cmd
	exited  chan struct{}
}

// ErrNoSwtpm says that the emulator is not installed.
var ErrNoSwtpm = errors.New("swtpm is not installed")

// Start starts a TPM 2.0 whose state is in dir, which is made when missing. The
// TPM is powered on, and started by its "firmware".
func Start(dir string) (*Sim, error) { return StartVersion(dir, V20) }

// StartVersion is Start for either family. A new TPM 1.2 gets an endorsement key.
func StartVersion(dir string, v Version) (*Sim, error) {
	if _, err := exec.LookPath("swtpm"); err != nil {
		return nil, ErrNoSwtpm
	}
	state := filepath.Join(dir, "state")
	_, err := os.Stat(state)
	if fresh := errors.Is(err, os.ErrNotExist); fresh {
		if err := os.MkdirAll(state, 0o700); err != nil {
			return nil, err
		}
		if v == V12 {
			out, err := exec.Command("swtpm_setup", "--tpm-state", state, "--createek", "--logfile",
				filepath.Join(dir, "setup.log")).CombinedOutput()
			if err != nil {
				return nil, fmt.Errorf("swtpm_setup: %w: %s", err, out)
			}
		}
	}
	s := &Sim{Version: v, dir: dir, Socket: filepath.Join(dir, "tpm.sock")}
	return s, s.start("startup-clear")
}

func (s *Sim) start(startup string) error {
	ctrl := s.Socket + ".ctrl" // where tpm2-tools look for it
	for _, p := range []string{s.Socket, ctrl} {
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	args := []string{"socket", "--tpmstate", "dir=" + filepath.Join(s.dir, "state"),
		"--server", "type=unixio,path=" + s.Socket, "--ctrl", "type=unixio,path=" + ctrl,
		"--flags", "not-need-init," + startup,
		"--log", "file=" + filepath.Join(s.dir, "swtpm.log")}
	if s.Version == V20 {
		args = append(args, "--tpm2")
	}
	s.proc = exec.Command("swtpm", args...)
	// It must not outlive a test that was killed.
	s.proc.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.proc.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(p *exec.Cmd, done chan struct{}) { _ = p.Wait(); close(done) }(s.proc, s.exited)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if answers(ctrl) && answers(s.Socket) {
			return nil
		}
		select {
		case <-s.exited:
			log, _ := os.ReadFile(filepath.Join(s.dir, "swtpm.log"))
			return fmt.Errorf("swtpm ended at once: %s", log)
		default:
		}
		if time.Now().After(end) {
			s.Stop()
			return errors.New("swtpm did not open its socket")
		}
	}
}

// answers says whether somebody listens at a Unix socket.
func answers(socket string) bool {
	c, err := Dial(socket)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// Dial connects to an emulator, which lets one wait beside the one that it serves. Who comes
// third on a busy machine is told to come again.
func Dial(socket string) (net.Conn, error) {
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(end) {
			return c, err
		}
	}
}

// Stop cuts the power: the emulator is killed. What it had written stays.
func (s *Sim) Stop() {
	if s.proc == nil {
		return
	}
	_ = s.proc.Process.Kill()
	<-s.exited
	s.proc = nil
}

// PowerCycle cuts the power and switches on again: registers are back at their
// first value and the platform's passphrase is empty.
func (s *Sim) PowerCycle() error {
	s.Stop()
	return s.start("startup-clear")
}

// PowerCycleUnstarted is PowerCycle with a firmware that does not start the TPM.
func (s *Sim) PowerCycleUnstarted() error {
	s.Stop()
	return s.start("startup-none")
}

// Snapshot keeps a copy of the emulator's state in dir, which must not exist. It cuts
// the power and switches on again.
func (s *Sim) Snapshot(dir string) error {
	s.Stop()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(s.dir, "state"))); err != nil {
		return err
	}
	return s.start("startup-clear")
}

// Restore cuts the power, goes back to a Snapshot, and switches on.
func (s *Sim) Restore(dir string) error {
	s.Stop()
	state := filepath.Join(s.dir, "state")
	if err := os.RemoveAll(state); err != nil {
		return err
	}
	if err := os.CopyFS(state, os.DirFS(dir)); err != nil {
		return err
	}
	return s.start("startup-clear")
}

// TCTI is what TPM2TOOLS_TCTI must say for tpm2-tools to use this TPM.
func (s *Sim) TCTI() string { return "swtpm:path=" + s.Socket }

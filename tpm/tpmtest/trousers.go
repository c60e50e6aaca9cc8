package tpmtest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Trousers is the TSS 1.2 of the distributions on a simulated TPM: tcsd, for the
// commands of tpm-tools. While it runs nobody else can use the TPM.
type Trousers struct {
	tcsd *exec.Cmd
	ln   net.Listener
	port int
}

// NewTrousers starts tcsd, which only root can do. Its files are in dir.
func NewTrousers(s *Sim, dir string) (*Trousers, error) {
	group, err := user.LookupGroup("tss")
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(group.Gid)
	if err != nil {
		return nil, err
	}
	// tcsd knows TPMs on TCP only.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &Trousers{ln: ln}
	go t.bridge(s.Socket)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t.port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "tcsd.conf")
	text := fmt.Sprintf("port = %d\nsystem_ps_file = %s/system.data\ndisable_ipv6 = 1\n", t.port, dir)
	if err := os.WriteFile(conf, []byte(text), 0o640); err != nil {
		return nil, err
	}
	if err := os.Chown(conf, 0, gid); err != nil {
		return nil, err
	}
	t.tcsd = exec.Command("tcsd", "-e", "-f", "-c", conf)
	t.tcsd.Env = append(os.Environ(), "TCSD_USE_TCP_DEVICE=1", "TCSD_TCP_DEVICE_PORT="+
		strconv.Itoa(ln.Addr().(*net.TCPAddr).Port))
	t.tcsd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "tcsd.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	t.tcsd.Stdout, t.tcsd.Stderr = log, log
	if err := t.tcsd.Start(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(t.port)); err == nil {
			c.Close()
			return t, nil
		}
		if time.Now().After(end) {
			t.Stop()
			b, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("tcsd does not listen: %s", b)
		}
	}
}

func (t *Trousers) bridge(socket string) {
	for {
		c, err := t.ln.Accept()
		if err != nil {
			return
		}
		u, err := Dial(socket)
		if err != nil {
			c.Close()
			continue
		}
		go func() { _, _ = io.Copy(u, c); u.Close() }()
		go func() { _, _ = io.Copy(c, u); c.Close() }()
	}
}

// Tool runs one command of tpm-tools.
func (t *Trousers) Tool(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TSS_TCSD_PORT="+strconv.Itoa(t.port))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return out, nil
}

// Stop ends tcsd; the TPM is free again.
func (t *Trousers) Stop() {
	_ = t.tcsd.Process.Kill()
	_ = t.tcsd.Wait()
	t.ln.Close()
}

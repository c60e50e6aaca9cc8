package lukstest

import (
	"bytes"
	"crypto/aes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/crypto/xts"
)

// Need skips a test that has no foreign tool to judge it, and fails it when
// REOWN_REQUIRE_PEERS=1.
func Need(t testing.TB, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return
	}
	if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed", tool)
	}
	t.Skipf("%s is not installed", tool)
}

// Soak reports whether long tests were asked for.
func Soak() bool { return os.Getenv("REOWN_SOAK") == "1" }

// A Peer runs the real cryptsetup on image files in one directory.
type Peer struct {
	t   testing.TB
	Dir string
}

// NewPeer returns a cryptsetup working in a temporary directory.
func NewPeer(t testing.TB) *Peer {
	Need(t, "cryptsetup")
	return &Peer{t, t.TempDir()}
}

// Path names a file in the directory.
func (p *Peer) Path(name string) string { return filepath.Join(p.Dir, name) }

// Write creates a file.
func (p *Peer) Write(name string, data []byte) string {
	p.t.Helper()
	if err := os.WriteFile(p.Path(name), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.Path(name)
}

// Read returns a file's content.
func (p *Peer) Read(name string) []byte {
	p.t.Helper()
	b, err := os.ReadFile(p.Path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// ReadPath is Read of a file anywhere.
func (p *Peer) ReadPath(path string) []byte {
	p.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// Try runs cryptsetup and returns its output.
func (p *Peer) Try(args ...string) (string, error) {
	cmd := exec.Command("cryptsetup", args...)
	cmd.Dir = p.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("cryptsetup %q: %w: %s", args, err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// Run is Try that must succeed.
func (p *Peer) Run(args ...string) string {
	p.t.Helper()
	out, err := p.Try(args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

// VolumeKey asks cryptsetup for the volume key that a key file opens.
func (p *Peer) VolumeKey(img, keyFile string, extra ...string) ([]byte, error) {
	out := p.Path("vk-" + strconv.Itoa(rand.Int()))
	defer os.Remove(out)
	args := append([]string{"luksDump", "--batch-mode", "--dump-volume-key", "--volume-key-file", out, "--key-file",
		keyFile, img}, extra...)
	if o, err := p.Try(args...); err != nil {
		return nil, fmt.Errorf("%w %s", err, o)
	}
	return os.ReadFile(out)
}

// Random returns n reproducible bytes.
func Random(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// XTS encrypts or decrypts aes-xts-plain64 sectors with x/crypto, which shares no
// code with the program under test.
func XTS(key, data []byte, sector int, encrypt bool) []byte {
	c, err := xts.NewCipher(aes.NewCipher, key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, len(data))
	for off := 0; off < len(data); off += sector {
		f := c.Decrypt
		if encrypt {
			f = c.Encrypt
		}
		f(out[off:off+sector], data[off:off+sector], uint64(off)/512)
	}
	return out
}

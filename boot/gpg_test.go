package boot

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// A gpgKey signs with gpg and checks with gpgv, as Heads does.
type gpgKey struct {
	home, keyring string
}

var (
	gpgOnce sync.Once
	gpgKeys [2]*gpgKey
	gpgErr  error
	gpgRoot string
)

func TestMain(m *testing.M) {
	code := m.Run()
	if gpgRoot != "" {
		for _, k := range gpgKeys {
			if k != nil {
				exec.Command("gpgconf", "--homedir", k.home, "--kill", "all").Run()
			}
		}
		os.RemoveAll(gpgRoot)
	}
	os.Exit(code)
}

// gpgPair returns the seller's and the owner's key.
func gpgPair(t testing.TB) (seller, owner *gpgKey) {
	t.Helper()
	needPeers(t, "gpg", "gpgv", "gpgconf")
	gpgOnce.Do(func() {
		// Short: the agent's socket name must fit in 107 bytes.
		if gpgRoot, gpgErr = os.MkdirTemp("", "rb"); gpgErr != nil {
			return
		}
		for i, algo := range []string{"rsa2048", "ed25519"} {
			k := &gpgKey{home: filepath.Join(gpgRoot, fmt.Sprint(i))}
			k.keyring = filepath.Join(k.home, "ring.gpg")
			if gpgErr = os.Mkdir(k.home, 0o700); gpgErr != nil {
				return
			}
			if _, gpgErr = k.gpg(nil, "--quick-generate-key", "OEM Key <oem@example.com>", algo, "sign",
				"never"); gpgErr != nil {
				return
			}
			var ring []byte
			if ring, gpgErr = k.gpg(nil, "--export"); gpgErr != nil {
				return
			}
			if gpgErr = os.WriteFile(k.keyring, ring, 0o600); gpgErr != nil {
				return
			}
			gpgKeys[i] = k
		}
	})
	if gpgErr != nil {
		t.Fatal(gpgErr)
	}
	return gpgKeys[0], gpgKeys[1]
}

func (k *gpgKey) gpg(stdin []byte, args ...string) ([]byte, error) {
	cmd := exec.Command("gpg", append([]string{"--homedir", k.home, "--batch", "--quiet", "--pinentry-mode", "loopback",
		"--passphrase", ""}, args...)...)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("gpg %v: %w: %s", args, err, errs.Bytes())
	}
	return out, err
}

// sign is the command of oem-factory-reset.sh.
func (k *gpgKey) sign(t testing.TB, data []byte) []byte {
	t.Helper()
	sig, err := k.gpg(data, "--detach-sign", "--digest-algo", "SHA256", "-a")
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// verify is a Verifier that asks gpgv.
func (k *gpgKey) verify(sig, data []byte) error {
	dir, err := os.MkdirTemp(k.home, "v")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := filepath.Join(dir, "s.asc")
	if err := os.WriteFile(s, sig, 0o600); err != nil {
		return err
	}
	cmd := exec.Command("gpgv", "--keyring", k.keyring, s, "-")
	cmd.Stdin = bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gpgv: %w: %s", err, out)
	}
	return nil
}

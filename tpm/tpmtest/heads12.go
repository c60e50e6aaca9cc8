package tpmtest

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Heads12 does with Heads' own program for TPM 1.2, tpmtotp's `tpm`, what tpmr.sh
// does with it.
type Heads12 struct {
	program string
	socket  string
	dir     string
}

// NewHeads12 prepares a Heads12. The program must be built to find the TPM by
// TPM_UNIXIO_PATH, as its library can.
func NewHeads12(program string, s *Sim, dir string) (*Heads12, error) {
	return &Heads12{program, s.Socket, dir}, os.MkdirAll(dir, 0o700)
}

// Tool runs one command; tpmtotp prints errors, too, to standard output.
func (h *Heads12) Tool(args ...string) (string, error) {
	cmd := exec.Command(h.program, args...)
	cmd.Env = append(os.Environ(), "TPM_UNIXIO_PATH="+h.socket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("tpm %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (h *Heads12) activate() {
	for _, c := range []string{"physicalpresence -s", "physicalenable", "physicalsetdeactivated -c"} {
		_, _ = h.Tool(strings.Fields(c)...) // Heads ignores their failures
	}
}

// Reset is `tpmr.sh reset`.
func (h *Heads12) Reset(owner string) error {
	h.activate()
	if _, err := h.Tool("forceclear"); err != nil {
		return err
	}
	_, _ = h.Tool("physicalenable")
	_, err := h.Tool("takeown", "-pwdo", owner)
	h.activate()
	return err
}

// Seal is `tpmr.sh seal`: index "4d47" or "3"; pcrs maps registers to values.
func (h *Heads12) Seal(data []byte, index string, pcrs map[int][]byte, pass, owner string) error {
	in, blob := filepath.Join(h.dir, "in"), filepath.Join(h.dir, "blob")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		return err
	}
	args := []string{"sealfile2", "-if", in, "-of", blob, "-hk", "40000000"}
	if pass != "" {
		args = append(args, "-pwdd", pass)
	}
	for i := range 24 {
		if v, ok := pcrs[i]; ok {
			args = append(args, "-ix", fmt.Sprint(i), hex.EncodeToString(v))
		}
	}
	if _, err := h.Tool(args...); err != nil {
		return err
	}
	write := []string{"nv_writevalue", "-in", index, "-if", blob}
	if _, err := h.Tool(write...); err == nil {
		return nil
	}
	if _, err := h.Tool("nv_definespace", "-in", index, "-sz", "312", "-pwdo", owner, "-per", "0"); err != nil {
		return err
	}
	_, err := h.Tool(write...)
	return err
}

// Unseal is `tpmr.sh unseal`.
func (h *Heads12) Unseal(index, pass string) ([]byte, error) {
	blob, out := filepath.Join(h.dir, "blob"), filepath.Join(h.dir, "out")
	if _, err := h.Tool("nv_readvalue", "-in", index, "-sz", "312", "-of", blob); err != nil {
		return nil, err
	}
	_ = os.Remove(out)
	args := []string{"unsealfile", "-if", blob, "-of", out, "-hk", "40000000"}
	if pass != "" {
		args = append(args, "-pwdd", pass)
	}
	if _, err := h.Tool(args...); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// CounterCreate is `tpmr.sh counter_create`; it returns what is printed.
func (h *Heads12) CounterCreate(owner string) (string, error) {
	return h.Tool("counter_create", "-pwdo", owner, "-pwdc", "", "-la", "3135106223")
}

// CounterIncrement is `tpmr.sh counter_increment`.
func (h *Heads12) CounterIncrement(id string) (string, error) {
	return h.Tool("counter_increment", "-ix", id, "-pwdc", "")
}

// CounterRead is `tpmr.sh counter_read`.
func (h *Heads12) CounterRead(id string) (string, error) { return h.Tool("counter_read", "-ix", id) }

package tpmtest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Heads does with tpm2-tools what Heads' tpmr.sh does with a TPM 2.0, command by
// command and with the same options. It is the judge of whether ours can be used
// in its place.
type Heads struct {
	tcti string
	dir  string // stands for /tmp/secret and for scratch files
}

// NewHeads prepares a Heads that keeps its files in dir.
func NewHeads(s *Sim, dir string) (*Heads, error) {
	if _, err := exec.LookPath("tpm2"); err != nil {
		return nil, err
	}
	return &Heads{tcti: s.TCTI(), dir: dir}, os.MkdirAll(dir, 0o700)
}

// Tool runs one command of tpm2-tools and returns its standard output.
func (h *Heads) Tool(args ...string) ([]byte, error) {
	cmd := exec.Command("tpm2", args...)
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI="+h.tcti, "TSS2_LOG=all+NONE")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), fmt.Errorf("tpm2 %s: %w: %s", strings.Join(args, " "), err, errs.Bytes())
	}
	return out.Bytes(), nil
}

// all runs commands until one fails.
func (h *Heads) all(cmds ...[]string) error {
	for _, c := range cmds {
		if _, err := h.Tool(c...); err != nil {
			return err
		}
	}
	return nil
}

func (h *Heads) file(name string) string { return filepath.Join(h.dir, name) }

func hexAuth(p string) string { return "hex:" + hex.EncodeToString([]byte(p)) }

// Reset is `tpmr.sh reset`.
func (h *Heads) Reset(owner, alg string) error {
	err := h.all(
		[]string{"clearcontrol", "-C", "platform", "c"},
		[]string{"clear", "-c", "platform"},
		[]string{"changeauth", "-c", "owner", hexAuth(owner)},
		[]string{"changeauth", "-c", "endorsement", hexAuth(owner)},
		[]string{"createprimary", "-C", "owner", "-g", "sha256", "-G", alg, "-c", h.file("primary.ctx"), "-P",
			hexAuth(owner)},
		[]string{"evictcontrol", "-C", "owner", "-c", h.file("primary.ctx"), "0x81000000", "-P", hexAuth(owner)},
	)
	if err != nil {
		return err
	}
	if err := h.StartSession(); err != nil {
		return err
	}
	return h.all(
		[]string{"dictionarylockout", "-Q", "--setup-parameters", "--max-tries=10", "--recovery-time=3600",
			"--lockout-recovery-time=0", "--auth=session:" + h.file("enc.ctx")},
		[]string{"changeauth", "-Q", "-c", "lockout", "hex:" + strings.Repeat("5a", 32)},
	)
}

// StartSession is `tpmr.sh startsession`, which Heads' init runs at every start.
func (h *Heads) StartSession() error {
	return h.all(
		[]string{"flushcontext", "-Q", "--transient-object"},
		[]string{"flushcontext", "-Q", "--loaded-session"},
		[]string{"flushcontext", "-Q", "--saved-session"},
		[]string{"readpublic", "-Q", "-c", "0x81000000", "-t", h.file("primary.handle")},
		[]string{"startauthsession", "-Q", "-c", h.file("primary.handle"), "--hmac-session", "-S", h.file("enc.ctx")},
		[]string{"startauthsession", "-Q", "-c", h.file("primary.handle"), "--hmac-session", "-S", h.file("dec.ctx")},
		[]string{"sessionconfig", "-Q", "--disable-encrypt", h.file("dec.ctx")},
	)
}

// PrimaryHandle is /tmp/secret/primary.handle after StartSession.
func (h *Heads) PrimaryHandle() ([]byte, error) { return os.ReadFile(h.file("primary.handle")) }

func handleOf(index string) string { return "0x81" + fmt.Sprintf("%06s", index) }

// Seal is `tpmr.sh seal`: index "4d47" or "3", PCR list like "0,1,2", pcrs the
// values in that order; no passphrase is "".
func (h *Heads) Seal(data []byte, index, list string, pcrs []byte, pass, owner string) error {
	for _, f := range []struct {
		name string
		data []byte
	}{{"in", data}, {"pcrf", pcrs}} {
		if err := os.WriteFile(h.file(f.name), f.data, 0o600); err != nil {
			return err
		}
	}
	trial, policy := h.file("trial"), h.file("policy")
	create := []string{"create", "-Q", "-C", h.file("primary.handle"), "-i", h.file("in"), "-u", h.file("o.pub"), "-r",
		h.file("o.priv"),
		"-L", policy, "-S", h.file("dec.ctx"), "-a", "fixedtpm|fixedparent|adminwithpolicy"}
	steps := [][]string{
		{"startauthsession", "-g", "sha256", "-S", trial},
		{"policypcr", "-Q", "-l", "sha256:" + list, "-f", h.file("pcrf"), "-S", trial, "-L", policy},
	}
	if pass != "" {
		steps = append(steps, []string{"policyauthvalue", "-Q", "-S", trial, "-L", policy})
		create = append(create, "-p", hexAuth(pass))
	}
	steps = append(steps, create,
		[]string{"load", "-Q", "-C", h.file("primary.handle"), "-u", h.file("o.pub"), "-r", h.file("o.priv"), "-c",
			h.file("seal.ctx")})
	if err := h.all(steps...); err != nil {
		return err
	}
	_, _ = h.Tool("evictcontrol", "-Q", "-C", "o", "-P", hexAuth(owner), "-c",
		handleOf(index)) // Heads ignores its failure
	return h.all(
		[]string{"evictcontrol", "-Q", "-C", "o", "-P", hexAuth(owner), "-c", h.file("seal.ctx"), handleOf(index)},
		[]string{"flushcontext", "-Q", trial},
		[]string{"flushcontext", "-Q", "--transient-object"},
	)
}

// Unseal is `tpmr.sh unseal`.
func (h *Heads) Unseal(index, list, pass string) ([]byte, error) {
	s := h.file("policy.ctx")
	auth := "session:" + s
	steps := [][]string{
		{"startauthsession", "-Q", "-g", "sha256", "-S", s, "--policy-session"},
		{"policypcr", "-Q", "-l", "sha256:" + list, "-S", s},
	}
	if pass != "" {
		steps = append(steps, []string{"policyauthvalue", "-Q", "-S", s})
		auth += "+" + hexAuth(pass)
	}
	if err := h.all(steps...); err != nil {
		return nil, err
	}
	out, err := h.Tool("unseal", "-Q", "-c", handleOf(index), "-p", auth, "-S", h.file("enc.ctx"))
	_, _ = h.Tool("flushcontext", "-Q", s)
	return out, err
}

// CounterCreate is `tpmr.sh counter_create` at the given index, e.g. "1a2b3c4".
func (h *Heads) CounterCreate(id, owner string) error {
	_, err := h.Tool("nvdefine", "-Q", "-C", "o", "-s", "8", "-a", "ownerread|authread|authwrite|nt=1", "0x"+id, "-P",
		hexAuth(owner))
	return err
}

// CounterIncrement is `tpmr.sh counter_increment`; it returns the line Heads prints.
func (h *Heads) CounterIncrement(id string) (string, error) {
	if _, err := h.Tool("nvincrement", "-Q", "0x"+id); err != nil {
		return "", err
	}
	return h.CounterRead(id)
}

// CounterRead is `tpmr.sh counter_read`.
func (h *Heads) CounterRead(id string) (string, error) {
	b, err := h.Tool("nvread", "0x"+id)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: %x\n", id, b), nil
}

// PCR reads one register of the SHA-256 bank.
func (h *Heads) PCR(i int) ([]byte, error) {
	if _, err := h.Tool("pcrread", "-Q", "-o", h.file("pcr"), fmt.Sprintf("sha256:%d", i)); err != nil {
		return nil, err
	}
	return os.ReadFile(h.file("pcr"))
}

// Extend extends a register with a digest given in hex.
func (h *Heads) Extend(i int, digest string) error {
	_, err := h.Tool("pcrextend", fmt.Sprintf("%d:sha256=%s", i, digest))
	return err
}

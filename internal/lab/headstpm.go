package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// HeadsTPM drives a TPM 2.0 with the command sequences of Heads' tpmr.sh,
// through tpm2-tools, and a TPM 1.2 with those of its own program (tpm12).
type HeadsTPM struct {
	TCTI   string // what tpm2-tools need to find the TPM
	Dir    string // Heads' /tmp/secret
	Socket string // of a TPM 1.2; "": a TPM 2.0
}

// headsTPMLib is the part of tpmr.sh that the lab needs: the same commands in the
// same order, without the dialogues.
const headsTPMLib = `set -e
hx() { printf 'hex:'; printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
startsession() {
	tpm2_flushcontext -Q -t; tpm2_flushcontext -Q -l; tpm2_flushcontext -Q -s
	tpm2_readpublic -Q -c 0x81000000 -t primary.handle >/dev/null
	tpm2_startauthsession -Q -c primary.handle --hmac-session -S enc.ctx
	tpm2_startauthsession -Q -c primary.handle --hmac-session -S dec.ctx
	tpm2_sessionconfig -Q --disable-encrypt dec.ctx
}
reset() { # owner-passphrase
	P=$(hx "$1")
	tpm2_clearcontrol -Q -C platform c
	tpm2_clear -Q -c platform
	tpm2_changeauth -Q -c owner "$P"
	tpm2_changeauth -Q -c endorsement "$P"
	tpm2_createprimary -Q -C owner -g sha256 -G rsa -c primary.ctx -P "$P"
	tpm2_evictcontrol -Q -C owner -c primary.ctx 0x81000000 -P "$P" >/dev/null
	startsession
	tpm2_dictionarylockout -Q --setup-parameters --max-tries=10 --recovery-time=3600 --lockout-recovery-time=0 --auth=session:enc.ctx
	tpm2_changeauth -Q -c lockout "hex:$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')"
}
counter() { # owner-passphrase index-without-0x
	tpm2_nvdefine -Q -C o -s 8 -a 'ownerread|authread|authwrite|nt=1' "0x$2" -P "$(hx "$1")" >/dev/null
	tpm2_nvincrement -Q "0x$2"
	printf '%s: %s\n' "$2" "$(tpm2_nvread "0x$2" | od -An -v -tx1 | tr -d ' \n')"
}
readcounter() { printf '%s: %s\n' "$1" "$(tpm2_nvread "0x$1" | od -An -v -tx1 | tr -d ' \n')"; }
seal() { # file owner-passphrase
	startsession; rm -f trial pol
	tpm2_pcrread -Q -o pcrs sha256:0,1,2,3,4,7
	tpm2_startauthsession -g sha256 -S trial
	tpm2_policypcr -Q -l sha256:0,1,2,3,4,7 -f pcrs -S trial -L pol
	tpm2_create -Q -C primary.handle -i "$1" -u o.pub -r o.priv -L pol -S dec.ctx -a 'fixedtpm|fixedparent|adminwithpolicy'
	tpm2_load -Q -C primary.handle -u o.pub -r o.priv -c o.ctx
	tpm2_evictcontrol -Q -C o -P "$(hx "$2")" -c 0x81004d47 2>/dev/null || true
	tpm2_evictcontrol -Q -C o -P "$(hx "$2")" -c o.ctx 0x81004d47 >/dev/null
	tpm2_flushcontext -Q trial; tpm2_flushcontext -Q -t
}
endorsement() { # owner-passphrase; the digest of the key's public area
	P=$(hx "$1")
	tpm2_createek -Q -P "$P" -w "$P" -G ecc -c 0x81010001
	tpm2_readpublic -Q -c 0x81010001 -n ek.name >/dev/null
	od -An -v -tx1 ek.name | tr -d ' \n' | cut -c5-
}
unseal() {
	startsession; rm -f ps
	tpm2_startauthsession -Q -g sha256 -S ps --policy-session
	tpm2_policypcr -Q -l sha256:0,1,2,3,4,7 -S ps
	tpm2_unseal -Q -c 0x81004d47 -p session:ps -S enc.ctx
	tpm2_flushcontext -Q ps
}
cd "$HEADS_DIR"
`

// sh runs one of the functions above. The passphrase stands on the shell's command
// line: it is the seller's, which re-ownership makes worthless.
func (h *HeadsTPM) sh(ctx context.Context, call string) ([]byte, error) {
	return h.shIn(ctx, nil, call)
}

// shIn is sh with something on the standard input.
func (h *HeadsTPM) shIn(ctx context.Context, stdin io.Reader, call string) ([]byte, error) {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", headsTPMLib+call)
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI="+h.TCTI, "TSS2_LOG=all+NONE", "HEADS_DIR="+h.Dir, "LC_ALL=C")
	cmd.Stdin = stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("heads tpm: %s: %w: %s", lastLine(call), err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// lastLine is the function that is called, without what it is told.
func lastLine(call string) string {
	call = call[strings.LastIndexByte(strings.TrimSpace(call), '\n')+1:]
	return strings.Fields(call)[0]
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Reset clears and owns the TPM.
func (h *HeadsTPM) Reset(ctx context.Context, owner string) error {
	_, err := h.sh(ctx, "reset "+quote(owner))
	return err
}

// Endorsement keeps the endorsement key by the TCG's template at its handle, and
// returns the SHA-256 of its public area, in hexadecimal.
func (h *HeadsTPM) Endorsement(ctx context.Context, owner string) (string, error) {
	if h.v1() != nil {
		return "", nil // a TPM 1.2 shows it to its owner only
	}
	out, err := h.sh(ctx, "endorsement "+quote(owner))
	return strings.TrimSpace(string(out)), err
}

// Counter defines the rollback counter, increments it and returns the content of
// kexec_rollback.txt.
func (h *HeadsTPM) Counter(ctx context.Context, owner, index string) ([]byte, error) {
	out, err := h.sh(ctx, "counter "+quote(owner)+" "+quote(index))
	if err != nil {
		return nil, err
	}
	return rollbackFile(index, out), nil
}

// CheckRollback tells whether the counter still has the value that
// kexec_rollback.txt was made for.
func (h *HeadsTPM) CheckRollback(ctx context.Context, file []byte) error {
	_, name, ok := strings.Cut(strings.TrimSpace(string(file)), "/tmp/counter-")
	if !ok {
		return fmt.Errorf("kexec_rollback.txt names no counter: %q", file)
	}
	var out []byte
	var err error
	if t := h.v1(); t != nil {
		out, err = t.counter(name)
	} else {
		out, err = h.sh(ctx, "readcounter "+quote(name))
	}
	if err != nil {
		return err
	}
	if want := rollbackFile(name, out); !bytes.Equal(want, file) {
		return fmt.Errorf("kexec_rollback.txt is %q, the counter says %q", file, want)
	}
	return nil
}

func rollbackFile(index string, text []byte) []byte {
	return fmt.Appendf(nil, "%x  /tmp/counter-%s\n", sha256.Sum256(text), index)
}

// PrimaryHash returns the content of kexec_primhdl_hash.txt, nil with a TPM 1.2.
func (h *HeadsTPM) PrimaryHash(ctx context.Context) ([]byte, error) {
	if h.v1() != nil {
		return nil, nil
	}
	if _, err := h.sh(ctx, "startsession"); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(h.Dir, "primary.handle"))
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "%x  /tmp/secret/primary.handle\n", sha256.Sum256(data)), nil
}

// Seal seals the TOTP secret to the present PCRs.
func (h *HeadsTPM) Seal(ctx context.Context, secret []byte, owner string) error {
	if err := os.WriteFile(filepath.Join(h.Dir, "totp.key"), secret, 0o600); err != nil {
		return err
	}
	defer os.Remove(filepath.Join(h.Dir, "totp.key"))
	_, err := h.sh(ctx, "seal totp.key "+quote(owner))
	return err
}

// Unseal returns the TOTP secret as Heads gets it at boot.
func (h *HeadsTPM) Unseal(ctx context.Context) ([]byte, error) {
	if t := h.v1(); t != nil {
		return t.unseal(0x4d47, [20]byte{})
	}
	return h.sh(ctx, "unseal")
}

// Measure extends the PCRs as coreboot and Heads' cbfs-init do at power-on: PCR 2
// with the stages and the payload, PCR 7 with each Heads file's name and content,
// in flash order.
func (h *HeadsTPM) Measure(ctx context.Context, rom string) error {
	files, err := ROMFiles(ctx, rom)
	if err != nil {
		return err
	}
	if t := h.v1(); t != nil {
		return t.measure(files)
	}
	var call strings.Builder
	for _, f := range files {
		if name, ok := strings.CutPrefix(f.Name, "heads/initrd"); ok {
			fmt.Fprintf(&call, "tpm2_pcrextend 7:sha256=%x\ntpm2_pcrextend 7:sha256=%x\n", sha256.Sum256([]byte(name)),
				sha256.Sum256(f.Data))
		} else if strings.HasPrefix(f.Name, "fallback/") {
			fmt.Fprintf(&call, "tpm2_pcrextend 2:sha256=%x\n", sha256.Sum256(f.Data))
		}
	}
	_, err = h.sh(ctx, call.String())
	return err
}

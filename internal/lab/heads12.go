package lab

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	be "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"reown/internal/secret"
	"reown/tpm"
)

// tpm12 sends a TPM 1.2 the commands that Heads' program for it (tpmtotp's `tpm`) sends,
// written from the specification (part 3) and apart from package tpm, whose work it
// judges. Debian has no program that opens Heads' sealed blobs.
type tpm12 struct{ socket string }

// The commands, by ordinal.
const (
	ordOIAP        = 0x0a
	ordExtend      = 0x14
	ordPCRRead     = 0x15
	ordUnseal      = 0x18
	ordOwnerRead   = 0x81
	ordNVRead      = 0xcf
	ordReadCounter = 0xde

	srk12 = 0x40000000
)

// code12 is a refusal.
type code12 uint32

func (c code12) Error() string { return fmt.Sprintf("the TPM answers 0x%x", uint32(c)) }

func be32(v uint32) []byte { return be.BigEndian.AppendUint32(nil, v) }

// send sends a command with the tag 0xc1 (nothing authorised) or 0xc2 (one thing) and
// returns what follows the reply's header.
func (t *tpm12) send(tag uint16, ordinal uint32, body ...[]byte) ([]byte, error) {
	data := bytes.Join(body, nil)
	cmd := be.BigEndian.AppendUint16(nil, tag)
	cmd = append(append(append(cmd, be32(uint32(10+len(data)))...), be32(ordinal)...), data...)
	c, err := net.Dial("unix", t.socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(cmd); err != nil {
		return nil, err
	}
	var head [10]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	n := be.BigEndian.Uint32(head[2:])
	if n < 10 || n > 4096 {
		return nil, fmt.Errorf("a reply of %d bytes", n)
	}
	rest := make([]byte, n-10)
	if _, err := io.ReadFull(c, rest); err != nil {
		return nil, err
	}
	if rc := be.BigEndian.Uint32(head[6:]); rc != 0 {
		return nil, code12(rc)
	}
	return rest, nil
}

// authorised sends a command with an object-independent session (TPM_OIAP) whose secret is
// auth: handles go before the parameters that the digest covers.
func (t *tpm12) authorised(ordinal uint32, auth [20]byte, handles, params []byte) ([]byte, error) {
	s, err := t.send(0xc1, ordOIAP)
	if err != nil || len(s) < 24 {
		return nil, errors.Join(err, fmt.Errorf("TPM_OIAP"))
	}
	odd := make([]byte, 20)
	if _, err := rand.Read(odd); err != nil {
		return nil, err
	}
	digest := sha1.Sum(append(be32(ordinal), params...))
	mac := hmac.New(sha1.New, auth[:])
	mac.Write(bytes.Join([][]byte{digest[:], s[4:24], odd, {0}}, nil))
	return t.send(0xc2, ordinal, handles, params, s[:4], odd, []byte{0}, mac.Sum(nil))
}

func sized12(b []byte) ([]byte, error) {
	if len(b) < 4 || uint32(len(b)-4) < be.BigEndian.Uint32(b) {
		return nil, errors.New("a short reply")
	}
	return b[4 : 4+be.BigEndian.Uint32(b)], nil
}

// unseal reads a blob of 312 bytes and opens it; auth is all zero, or the SHA-1 of a
// passphrase.
func (t *tpm12) unseal(index uint32, auth [20]byte) ([]byte, error) {
	b, err := t.send(0xc1, ordNVRead, be32(index), be32(0), be32(312))
	if err != nil {
		return nil, err
	}
	blob, err := sized12(b)
	if err != nil {
		return nil, err
	}
	out, err := t.authorised(ordUnseal, auth, be32(srk12), blob)
	if err != nil {
		return nil, err
	}
	return sized12(out)
}

func (t *tpm12) extend(pcr uint32, data []byte) error {
	h := sha1.Sum(data)
	_, err := t.send(0xc1, ordExtend, be32(pcr), h[:])
	return err
}

// counter reads a counter and prints it as `tpm counter_read` does.
func (t *tpm12) counter(id string) ([]byte, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return nil, err
	}
	v, err := t.send(0xc1, ordReadCounter, be32(uint32(n)))
	if err != nil || len(v) < 10 {
		return nil, errors.Join(err, fmt.Errorf("reading counter %s", id))
	}
	return fmt.Appendf(nil, "%s: %x\n", id, v[:10]), nil
}

// owner says whether a passphrase is the owner's: only the owner may read the storage
// root's public key this way.
func (t *tpm12) owner(pass string) (bool, error) {
	_, err := t.authorised(ordOwnerRead, sha1.Sum([]byte(pass)), nil, be32(srk12))
	var refused code12
	if errors.As(err, &refused) {
		return false, nil
	}
	return err == nil, err
}

// deactivate switches the TPM off from the next start on.
func (t *tpm12) deactivate() error {
	for _, c := range []struct {
		ordinal uint32
		param   []byte
	}{{0x4000000a, []byte{0, 0x20}}, {0x4000000a, []byte{0, 8}},
		{0x72, []byte{1}}} { // presence twice, TPM_PhysicalSetDeactivated
		if _, err := t.send(0xc1, c.ordinal, c.param); err != nil {
			return err
		}
	}
	return nil
}

// v1 is the TPM as a 1.2, nil if it is a 2.0.
func (h *HeadsTPM) v1() *tpm12 {
	if h.Socket == "" {
		return nil
	}
	return &tpm12{h.Socket}
}

// own12 makes the seller's TPM 1.2: there the seller is reown itself, for want of
// another program. What it makes is judged by tpm12.
func own12(ctx context.Context, socket, owner string, totp []byte) (rollback []byte, err error) {
	t, err := tpm.Open(socket)
	if err != nil {
		return nil, err
	}
	pass, otp := secret.From([]byte(owner)), secret.From(totp)
	defer pass.Wipe()
	defer otp.Wipe()
	if err := t.Reset(ctx, pass, tpm.ResetOptions{}); err != nil {
		return nil, err
	}
	n, err := t.CreateCounter(ctx, pass)
	if err != nil {
		return nil, err
	}
	pcrs, err := t.ReadPCRs(ctx, tpm.OTPPCRs()...)
	if err != nil {
		return nil, err
	}
	return n.RollbackFile(), t.SealOTP(ctx, pass, otp, pcrs)
}

// AcceptsOwner says whether the TPM takes a passphrase for the owner's.
func (h *HeadsTPM) AcceptsOwner(ctx context.Context, pass string) (bool, error) {
	if t := h.v1(); t != nil {
		return t.owner(pass)
	}
	_, err := h.sh(ctx, `tpm2_nvdefine -Q -C o -s 8 0x1500010 -P "$(hx `+quote(pass)+`)"`)
	return err == nil, nil
}

// measure measures a ROM into a TPM 1.2 as coreboot and cbfs-init do.
func (t *tpm12) measure(files []ROMFile) error {
	for _, f := range files {
		var err error
		if name, ok := strings.CutPrefix(f.Name, "heads/initrd"); ok {
			err = errors.Join(t.extend(7, []byte(name)), t.extend(7, f.Data))
		} else if strings.HasPrefix(f.Name, "fallback/") {
			err = t.extend(2, f.Data)
		}
		if err != nil {
			return fmt.Errorf("measuring %s: %w", f.Name, err)
		}
	}
	return nil
}

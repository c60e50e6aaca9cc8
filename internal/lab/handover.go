package lab

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// makeHandover writes the seller's hand-over statement to a key (or nobody), its
// signature and the key that verifies it into /boot: in-toto JSON put together here, with values from foreign tools,
// so that
// reown's own writer is not what judges its reader.
func (l *Laptop) makeHandover(ctx context.Context, to string) error {
	pcrs, err := l.Heads.pcrs(ctx, 2, 7)
	if err != nil {
		return err
	}
	uuid, digest, err := l.luksDigest(ctx)
	if err != nil {
		return err
	}
	rom, err := os.ReadFile(l.ROM())
	if err != nil {
		return err
	}
	serial, err := l.cardSerial()
	if err != nil {
		return err
	}
	aid, err := l.cardStatus("Application ID ...: ")
	if err != nil {
		return err
	}
	card, err := hex.DecodeString(aid)
	if err != nil {
		return err
	}
	tree, err := tool(ctx, nil, "bash", "-c", treeDigest, "tree", l.BootDir())
	if err != nil {
		return err
	}
	type object = map[string]any
	subject := func(name, sha256 string) object { return object{"name": name, "digest": object{"sha256": sha256}} }
	subjects := []object{
		subject("rom", fmt.Sprintf("%x", sha256.Sum256(rom))), subject("card", fmt.Sprintf("%x", sha256.Sum256(card))),
		subject("boot-tree", strings.Fields(string(tree))[0]),
	}
	if l.EK != "" {
		subjects = append(subjects, subject("tpm-ek", l.EK))
	}
	reference := object{
		"pcrs": pcrs, "cardSerial": serial, "romKeys": []string{l.Seller.Fingerprint},
		"luks": []object{{"uuid": uuid, "keyDigest": digest}},
	}
	if l.Family != "1.2" {
		srk, err := l.Heads.sh(ctx, "tpm2_readpublic -c 0x81000000 -n name >/dev/null; od -An -v -tx1 name | tr -d ' \\n'")
		if err != nil {
			return err
		}
		reference["srkName"] = string(srk)
	}
	js, err := json.MarshalIndent(object{
		"_type":         "https://in-toto.io/Statement/v1",
		"predicateType": "urn:reown:handover:v1",
		"subject":       subjects,
		"predicate": object{
			"order": "LAB-2026-1147", "seq": 0, "previous": "", "from": l.Seller.Fingerprint, "to": to,
			"reference": reference,
			"changed":   []string{"rom", "boot", "disk", "card", "tpm"},
		},
	}, "", "  ")
	if err != nil {
		return err
	}
	sig, err := l.SellerSigns(js)
	if err != nil {
		return err
	}
	key, err := l.gpg("", "--export", l.Seller.Fingerprint)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.BootDir(), "kexec_handover.json.key"), key, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(l.BootDir(), "kexec_handover.json"), js, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(l.BootDir(), "kexec_handover.json.asc"), sig, 0o644)
}

// treeDigest is what docs/handover.md says of the subject boot-tree.
const treeDigest = `cd "$1"; export LC_ALL=C
{ find ./ -type f ! -path './kexec*' ! -path ./oem -print0 | sort -z | xargs -0 sha256sum
  find ./ ! -path './kexec*' ! -path ./oem -print0 | sort -z; } | sha256sum`

// pcrs reads registers (of a TPM 2.0: of the SHA-256 bank), by their number in decimal.
func (h *HeadsTPM) pcrs(ctx context.Context, list ...int) (map[string]string, error) {
	m := map[string]string{}
	for _, n := range list {
		if t := h.v1(); t != nil {
			v, err := t.send(0xc1, ordPCRRead, be32(uint32(n)))
			if err != nil {
				return nil, err
			}
			m[fmt.Sprint(n)] = fmt.Sprintf("%x", v)
			continue
		}
		out, err := h.sh(ctx, fmt.Sprintf("tpm2_pcrread -Q -o pcr sha256:%d; od -An -v -tx1 pcr | tr -d ' \\n'", n))
		if err != nil {
			return nil, err
		}
		m[fmt.Sprint(n)] = string(out)
	}
	return m, nil
}

// luksDigest returns the volume's UUID and the digest of its volume key.
func (l *Laptop) luksDigest(ctx context.Context) (uuid, digest string, err error) {
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		return "", "", err
	}
	defer os.Remove(v.Path)
	out, err := tool(ctx, nil, "cryptsetup", "luksUUID", v.Path)
	if err != nil {
		return "", "", err
	}
	js, err := tool(ctx, nil, "cryptsetup", "luksDump", "--dump-json-metadata", v.Path)
	if err != nil {
		return "", "", err
	}
	var meta struct {
		Digests map[string]struct{ Digest string }
	}
	if err := json.Unmarshal(js, &meta); err != nil {
		return "", "", err
	}
	raw, err := base64.StdEncoding.DecodeString(meta.Digests["0"].Digest)
	return strings.TrimSpace(string(out)), hex.EncodeToString(raw), err
}

// cardSerial is the card's serial number as gpg shows it.
func (l *Laptop) cardSerial() (string, error) { return l.cardStatus("Serial number ....: ") }

// cardStatus is one line of what gpg shows of the card.
func (l *Laptop) cardStatus(what string) (string, error) {
	out, err := l.gpg("", "--card-status")
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(out), "\n") {
		if rest, ok := strings.CutPrefix(line, what); ok {
			return strings.TrimSpace(rest), nil
		}
	}
	return "", fmt.Errorf("gpg shows no %q:\n%s", what, out)
}

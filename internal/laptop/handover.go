package laptop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"reown/boot"
	"reown/gpgcard"
	"reown/internal/handover"
	"reown/internal/judge"
	"reown/wizard"
	"reown/wizard/msg"
)

// handoverReader compares the seller's statement with the machine.
type handoverReader struct {
	dir      *boot.Dir
	firmware *firmware
	card     cardInfo
	tpm      *tpmAdapter // nil: none
	disks    []*disk
	verify   func(cert, data, sig []byte) error // by one certificate
}

// read answers for wizard.Boot.Handover. What cannot be measured now (a card that
// is not plugged in, a TPM that does not answer) is "not provided" with the reason
// as its detail; it never becomes a pass.
func (h *handoverReader) read(ctx context.Context) (wizard.Handover, error) {
	var out wizard.Handover
	// Without the chip nobody can say whose signatures count: an error, and no verdict.
	ring, err := h.firmware.ring(ctx)
	if err != nil {
		return out, err
	}
	report, err := h.dir.Verify(h.anyOf(ring))
	if err != nil {
		return out, err
	}
	set, err := h.open(ring)
	switch {
	case err != nil:
		out.Cause = err
		out.Items = append(out.Items, wizard.CheckItem{ID: "handover", Verdict: wizard.Fail, Detail: err.Error()})
	case set == nil:
		out.Items = append(out.Items, wizard.CheckItem{ID: "handover", Verdict: wizard.NotProvided,
			Detail: "there is no hand-over file",
			Says:   msg.List{msg.Say(msg.CompareNothing)}})
	default:
		h.compare(ctx, set, report, &out)
	}
	if out.Signer != "" || !h.signedReceipt(ring) {
		// Whom the firmware trusts before our run has written it is upstream.
		for fpr, cert := range ring {
			out.Keys = append(out.Keys, fpr)
			// The card has the subkeys of a key whose primary key is kept elsewhere.
			if sub, err := (openPGP{}).Fingerprints(cert); err == nil {
				out.Keys = append(out.Keys, sub[:]...)
			}
		}
		slices.Sort(out.Keys)
		out.Keys = slices.DeleteFunc(slices.Compact(out.Keys), func(k string) bool { return k == "" })
	}
	startFiles(report, &out)
	return out, h.signedSet(ring, &out)
}

// signedSet keeps what a key of the firmware has signed, and what that says of the TPM.
func (h *handoverReader) signedSet(ring map[string][]byte, out *wizard.Handover) error {
	if out.Tree != judge.TreeSigned {
		return nil
	}
	set, err := h.dir.Signed(h.anyOf(ring))
	if err == nil {
		out.PrimaryHash, out.Rollback = set.Files["kexec_primhdl_hash.txt"], set.Files["kexec_rollback.txt"]
		out.Set = handover.Digest(set.SignedBytes())
	}
	return err
}

// anyOf verifies by any key of the firmware.
func (h *handoverReader) anyOf(ring map[string][]byte) boot.Verifier {
	return func(sig, data []byte) error {
		err := errors.New("the firmware holds no key")
		for _, c := range ring {
			if err = h.verify(c, data, sig); err == nil {
				return nil
			}
		}
		return err
	}
}

// sellerName is what the seller's certificate says of its owner, for a sentence; the
// fingerprint beside it is what counts.
func sellerName(cert []byte) string {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return ""
	}
	for _, id := range c.UserIDs() {
		if name, _, _ := strings.Cut(id, " <"); strings.TrimSpace(name) != "" {
			return strings.TrimSpace(name)
		}
	}
	return c.Fingerprint()
}

// A handed set is a verified chain of statements.
type handed struct {
	chain *handover.Chain
	last  []byte            // the bytes of the last statement
	ring  string            // the firmware's key that signed it
	certs map[string][]byte // by fingerprint: the firmware's, and those that came with the files
	trust map[string]bool   // by fingerprint: the firmware holds it
}

// maxCerts bounds the certificates beside one statement: the giver's, the laptop's and
// the receiver's, and one to spare.
const maxCerts = 4

// links reads the files of a chain, and the certificates beside them.
func (h *handoverReader) links() (links []handover.Link, certs map[string][]byte, err error) {
	certs = map[string][]byte{}
	read := func(name string) ([]byte, error) {
		data, err := h.dir.ReadKept(name, handover.MaxStatement)
		if errors.Is(err, boot.ErrTooLarge) {
			err = fmt.Errorf("%w: %w", handover.ErrTooLarge, err)
		}
		return data, err
	}
	optional := func(name string) ([]byte, error) {
		data, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return data, err
	}
	gap := false
	for seq := range handover.MaxLinks + 1 {
		name := handover.FileName(seq)
		data, err := read(name)
		if errors.Is(err, fs.ErrNotExist) {
			gap = true
			continue
		}
		if err == nil && gap {
			err = fmt.Errorf("%w: %s is there, and not all that come before it", handover.ErrChain, name)
		}
		if err != nil {
			return nil, nil, err
		}
		sig, err := optional(name + ".asc")
		if err != nil {
			return nil, nil, err
		}
		keys, err := optional(name + ".key")
		if err != nil {
			return nil, nil, err
		}
		if keys != nil {
			found, err := certsIn(keys)
			if err != nil {
				return nil, nil, fmt.Errorf("%s.key: %w", name, err)
			}
			if len(found) > maxCerts { // each is tried on each signature
				return nil, nil, fmt.Errorf("%s.key: %w: %d certificates, the limit is %d", name, handover.ErrTooLarge, len(found),
					maxCerts)
			}
			maps.Copy(certs, found)
		}
		links = append(links, handover.Link{Statement: data, Signatures: sig})
	}
	return links, certs, nil
}

// open verifies the chain: each statement by whom the one before names, and the last
// one also by a key that the firmware trusts, so that a chain that was carried here
// from elsewhere is refused. Whether the first one is by the seller whom the buyer
// knows is not decided here: his certificate may have come with the files. nil: there
// is no hand-over file.
func (h *handoverReader) open(ring map[string][]byte) (*handed, error) {
	links, certs, err := h.links()
	if err != nil || len(links) == 0 {
		return nil, err
	}
	set := &handed{certs: certs, trust: map[string]bool{}, last: links[len(links)-1].Statement}
	for fpr, cert := range ring {
		set.certs[fpr], set.trust[fpr] = cert, true
	}
	if set.chain, err = h.walk(links, set.certs); err != nil {
		return nil, err
	}
	verify := h.verifier(set.certs)
	for fpr := range ring {
		if links[len(links)-1].SignedBy(fpr, verify) == nil {
			set.ring = fpr
			return set, nil
		}
	}
	return nil, fmt.Errorf("%w: the last statement is by %s, and not also by a key that the firmware trusts",
		handover.ErrSigner, set.chain.Last().From)
}

// accept adds the signature of who received the machine to that of who gave it. digest is
// of the statement that he was shown. The certificate goes first: without a signature
// by it, it is nothing.
func (h *handoverReader) accept(b *bootAdapter, ring map[string][]byte, cert *gpgcard.Cert, digest string,
	sign func([]byte) ([]byte, error)) error {
	set, err := h.open(ring)
	if err != nil {
		return err
	}
	if set == nil || set.chain.Digest != digest {
		return fmt.Errorf("%w: the files have changed since they were verified", handover.ErrChain)
	}
	if to := set.chain.Last().To; to != cert.Fingerprint() {
		return fmt.Errorf("%w: to the key %s", handover.ErrNotForYou, to)
	}
	if set.chain.Accepted {
		return nil
	}
	sig, err := sign(set.last)
	if err == nil {
		err = h.verify(cert.Bytes(), set.last, sig)
	}
	if err != nil {
		return fmt.Errorf("countersigning: %w", err)
	}
	name := handover.FileName(set.chain.Last().Seq)
	present, err := h.dir.ReadKept(name+".asc", handover.MaxStatement)
	if err != nil {
		return err
	}
	all, err := handover.Signatures(present)
	if err != nil {
		return err
	}
	all = append(all, sig)
	certs := map[string][]byte{}
	if data, err := h.dir.ReadKept(name+".key", handover.MaxStatement); err == nil {
		if certs, err = certsIn(data); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	certs[cert.Fingerprint()] = cert.Bytes()
	var keys []byte
	for _, fpr := range slices.Sorted(maps.Keys(certs)) {
		keys = append(keys, certs[fpr]...)
	}
	sigs := bytes.Join(all, nil)
	if len(certs) > maxCerts || max(len(keys), len(sigs)) > handover.MaxStatement {
		return fmt.Errorf("%w: the signature and its certificate do not fit beside the statement", handover.ErrTooLarge)
	}
	if err := b.writing(func() error {
		return h.keep(name, keys, sigs)
	}); err != nil {
		return err
	}
	if set, err = h.open(ring); err == nil && !set.chain.Accepted {
		err = fmt.Errorf("%w: /boot does not hold what was written", handover.ErrSigner)
	}
	return err
}

func (h *handoverReader) keep(name string, keys, sigs []byte) error {
	if err := h.dir.WriteKept(name+".key", keys); err != nil {
		return err
	}
	return h.dir.WriteKept(name+".asc", sigs)
}

// verifier checks by the certificates at hand.
func (h *handoverReader) verifier(certs map[string][]byte) handover.Verifier {
	return func(sig, data []byte, fingerprint string) error {
		cert, ok := certs[fingerprint]
		if !ok {
			return fmt.Errorf("%w: the key %s is neither in the firmware nor beside the file", handover.ErrSigner, fingerprint)
		}
		return h.verify(cert, data, sig)
	}
}

// walk verifies a chain whose first signer is any of those whose certificates are
// there.
func (h *handoverReader) walk(links []handover.Link, certs map[string][]byte) (*handover.Chain, error) {
	best, got := fmt.Errorf("%w: neither the firmware nor /boot holds a key", handover.ErrSigner), -1
	for _, fpr := range slices.Sorted(maps.Keys(certs)) {
		chain, err := handover.OpenChain(links, fpr, h.verifier(certs))
		if err == nil {
			return chain, nil
		}
		// Somebody who signed the first one tells by his error what is wrong.
		if n := reached(err); n > got {
			best, got = err, n
		}
	}
	return nil, best
}

// reached orders the errors of a chain by how much of it was good before.
func reached(err error) int {
	n := 0
	if l := new(handover.LinkError); errors.As(err, &l) {
		n = 2 * l.Seq
	}
	if !errors.Is(err, handover.ErrSigner) {
		n++
	}
	return n
}

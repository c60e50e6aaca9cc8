package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"reown/boot"
	"reown/gpgcard"
	"reown/internal/handover"
	"reown/internal/words"
	"reown/wizard"
)

// handoverReader compares the seller's statement with the machine.
type handoverReader struct {
	dir      *boot.Dir
	firmware *firmware
	card     wizard.Card
	tpm      *tpmAdapter // nil: none
	disks    []wizard.Disk
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
		out.Items = append(out.Items, wizard.CheckItem{ID: "handover", Verdict: wizard.NotProvided, Detail: "there is no hand-over file"})
	default:
		h.compare(ctx, set, report, &out)
	}
	owner := h.owner(ring, out.Signer)
	if owner != boot.KeyThisRun {
		// Whoever the firmware trusts before our run has written it is upstream.
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
	return out, h.judge(ring, owner, report, &out)
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
				return nil, nil, fmt.Errorf("%s.key: %w: %d certificates, the limit is %d", name, handover.ErrTooLarge, len(found), maxCerts)
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
	return nil, fmt.Errorf("%w: the last statement is by %s, and not also by a key that the firmware trusts", handover.ErrSigner, set.chain.Last().From)
}

// accept adds the signature of who received the machine to that of who gave it. digest is
// of the statement that he was shown. The certificate goes first: without a signature
// by it, it is nothing.
func (h *handoverReader) accept(b *bootAdapter, ring map[string][]byte, cert *gpgcard.Cert, digest string, sign func([]byte) ([]byte, error)) error {
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
		// Whoever signed the first one tells by his error what is wrong.
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

// measure reads what the statement may be compared with.
func (h *handoverReader) measure(ctx context.Context) (handover.Measured, map[string]string) {
	m := handover.Measured{Subjects: map[string]string{}}
	problems := map[string]string{}
	if info, err := h.firmware.Info(ctx); err == nil {
		m.Subjects[handover.SubjectROM] = info.Digest
		m.Reference.ROMKeys = info.Keyring
	} else {
		problems["firmware"] = err.Error()
	}
	if c, err := h.card.Info(ctx); err == nil && c.Terminated {
		problems["card"] = "a factory reset of it was begun and not ended"
	} else if err == nil {
		m.Reference.CardSerial = c.Serial
		if aid, err := hex.DecodeString(c.Application); err == nil && len(aid) == 16 {
			m.Subjects[handover.SubjectCard] = handover.Digest(aid)
		}
	} else {
		problems["card"] = err.Error()
	}
	if h.tpm != nil {
		if i, err := h.tpm.t.Info(ctx); err == nil {
			m.Reference.SRKName = i.PrimaryName
			m.Reference.PCRs = map[int]string{}
			for n, v := range i.PCRs {
				m.Reference.PCRs[n] = fmt.Sprintf("%x", v)
			}
		} else {
			problems["tpm"] = err.Error()
		}
		if ek, err := h.tpm.t.EndorsementKey(ctx); err == nil && ek != "" {
			m.Subjects[handover.SubjectEK] = ek
		} else if err != nil {
			problems["tpm"] = err.Error()
		}
	}
	for _, d := range h.disks {
		if i, err := d.Info(ctx); err == nil {
			m.Reference.LUKS = append(m.Reference.LUKS, handover.LUKS{UUID: i.UUID, KeyDigest: i.KeyDigest})
		} else {
			problems["disk"] = err.Error()
		}
	}
	return m, problems
}

// compare measures the machine, sets it against the last statement, and folds the
// many lines into the few that a person is shown.
func (h *handoverReader) compare(ctx context.Context, set *handed, report *boot.Report, out *wizard.Handover) {
	s := set.chain.Last()
	out.Signer, out.Order, out.SRKName, out.To = set.ring, s.Order, s.Reference.SRKName, s.To
	out.CardSerial = s.Reference.CardSerial
	out.Seller = sellerName(set.certs[s.From])
	out.Statement, out.Accepted = set.chain.Digest, set.chain.Accepted
	for _, v := range s.Reference.LUKS {
		out.Volumes = append(out.Volumes, wizard.Volume{UUID: v.UUID, KeyDigest: v.KeyDigest})
	}
	for _, l := range set.chain.Links {
		t := wizard.Transfer{From: l.From, Name: sellerName(set.certs[l.From]), To: l.To, Firmware: set.trust[l.From]}
		if !l.Created.IsZero() {
			t.Date = l.Created.Format("2006-01-02")
		}
		out.Chain = append(out.Chain, t)
	}
	out.Words = strings.Join(handover.Words(set.last, fourWords), "-")
	m, problems := h.measure(ctx)
	m.Subjects[handover.SubjectBoot] = report.Tree
	lines := s.Compare(m)
	first := wizard.CheckItem{ID: "handover", Verdict: wizard.Pass, Detail: s.From}
	if out.Claimed() { // shown, it would only be copied
		first.Detail = fmt.Sprintf("%d statements", len(set.chain.Links))
	}
	if out.Cause = lines.Err(); errors.Is(out.Cause, handover.ErrNothingCompared) {
		first.Verdict, first.Detail = wizard.Fail, out.Cause.Error()
	}
	out.Items = append(append(out.Items, first), fold(lines, problems)...)
	for _, l := range lines {
		out.Lines = append(out.Lines, wizard.Line{Name: l.Name, Label: l.Label, Status: string(l.Status), Want: l.Want, Got: l.Got})
	}
}

// fold makes one item of the lines about one device.
func fold(lines handover.Comparison, problems map[string]string) (items []wizard.CheckItem) {
	groups := []struct{ id, prefixes string }{{"card", "card"}, {"firmware", "rom pcr pcrs"}, {"tpm", "srk tpm"}, {"disk", "luks"}}
	for _, g := range groups {
		item := wizard.CheckItem{ID: g.id, Verdict: wizard.NotProvided, Detail: problems[g.id]}
		var same, other, unread []string
		for _, l := range lines {
			first, _, _ := strings.Cut(l.Name, " ")
			first, _, _ = strings.Cut(first, "-")
			if !slices.Contains(strings.Fields(g.prefixes), first) {
				continue
			}
			switch l.Status {
			case handover.Pass:
				same = append(same, shortName(l))
			case handover.Fail:
				other = append(other, l.Label)
			case handover.NotMeasured:
				unread = append(unread, shortName(l))
			}
		}
		switch {
		case len(other) > 0:
			item.Verdict, item.Detail = wizard.Fail, strings.Join(other, ", ")
		case len(unread) > 0:
			// What was promised and cannot be read must not hide behind what matched.
			item.Detail = strings.TrimPrefix(item.Detail+"; cannot be read: "+strings.Join(slices.Compact(unread), ", "), "; ")
		case len(same) > 0:
			item.Verdict, item.Detail = wizard.Pass, strings.Join(slices.Compact(same), ", ")
		}
		items = append(items, item)
	}
	return items
}

// shortName names a line that matched in a word or two; the lines that did not
// match are shown with their full label.
func shortName(l handover.Item) string {
	switch first, rest, _ := strings.Cut(l.Name, " "); first {
	case "card":
		return "serial number"
	case handover.SubjectEK:
		return "the chip itself"
	case "luks":
		return "LUKS " + rest[:min(8, len(rest))]
	case "pcr":
		return "PCR " + rest
	case "rom":
		if rest == "keys" {
			return "keys"
		}
		return "chip"
	case "srk":
		return "storage key"
	}
	return l.Name
}

// judge applies the rule against the evil maid and reports the start files.
func (h *handoverReader) judge(ring map[string][]byte, owner boot.KeyOwner, report *boot.Report, out *wizard.Handover) error {
	start := wizard.CheckItem{ID: "boot", Verdict: wizard.Pass, Detail: fmt.Sprintf("%d signed lists", len(report.Listed))}
	for _, l := range out.Lines {
		if l.Name == handover.SubjectBoot && l.Status == string(handover.Fail) {
			start.Verdict, start.Detail = wizard.Fail, "other files than those that were shipped"
		}
	}
	if err := report.ErrButOEM(); err != nil {
		start.Verdict, start.Detail = wizard.Fail, err.Error()
	}
	out.Items = append(out.Items, start)

	evidence, err := h.dir.Evidence(report, h.anyOf(ring), owner)
	if err != nil {
		return err
	}
	verdict, err := boot.Judge(evidence)
	if err != nil {
		out.Tampering, out.Why = true, err.Error()
	}
	out.Unexplained, out.Ring = verdict == boot.Unexplained, slices.Sorted(maps.Keys(ring))
	return nil
}

// owner says whose key the firmware holds. Whoever can write to /boot can put any
// file there, but not a receipt that the firmware's own key has signed: only a run
// of this program leaves that. Without one nothing tells this run's key from that
// of an owner of many years, so it stays unknown, and a trigger that the signature
// does not cover is then no invitation.
func (h *handoverReader) owner(ring map[string][]byte, signer string) boot.KeyOwner {
	if len(ring) == 0 {
		return boot.KeyNone
	}
	if signer != "" {
		return boot.KeySeller
	}
	if file, err := h.dir.ReadHint("receipt"); err == nil {
		for _, cert := range ring {
			if wizard.IsReceipt(file, func(doc, sig []byte) error { return h.verify(cert, doc, sig) }) {
				return boot.KeyThisRun
			}
		}
	}
	return boot.KeyUnknown
}

// fourWords are the first 40 bits of a digest as words.
func fourWords(digest []byte) []string {
	list := words.List()
	n := uint64(0)
	for _, b := range digest[:5] {
		n = n<<8 | uint64(b)
	}
	var out []string
	for i := range 4 {
		out = append(out, list[n>>(10*(3-i))&0x3ff])
	}
	return out
}

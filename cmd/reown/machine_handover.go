package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	img, err := h.firmware.read(ctx)
	if err != nil {
		return out, err
	}
	ring, err := h.firmware.ringOf(img)
	if err != nil {
		return out, err
	}
	statement, signer, err := h.open(ring)
	if err != nil {
		out.Items = append(out.Items, wizard.CheckItem{ID: "handover", Verdict: wizard.Fail, Detail: err.Error()})
	}
	if statement != nil {
		out.Signer, out.Order, out.SRKName = signer, statement.Order, statement.Reference.SRKName
		out.CardSerial = statement.Reference.CardSerial
		out.Seller = sellerName(ring[signer])
		for _, v := range statement.Reference.LUKS {
			out.Volumes = append(out.Volumes, wizard.Volume{UUID: v.UUID, KeyDigest: v.KeyDigest})
		}
		data, _ := h.dir.ReadFile(handover.FileName(statement.Seq))
		out.Words = strings.Join(handover.Words(data, fourWords), "-")
		out.Items = append(out.Items, wizard.CheckItem{ID: "handover", Verdict: wizard.Pass, Detail: signer})
		out.Items = append(out.Items, h.compare(ctx, statement)...)
	} else if err == nil {
		out.Items = append(out.Items, wizard.CheckItem{ID: "handover", Verdict: wizard.NotProvided, Detail: "there is no hand-over file"})
	}
	owner := h.owner(ring, signer)
	if owner != boot.KeyThisRun {
		// Whoever the firmware trusts before our run has written it is upstream.
		for fpr := range ring {
			out.Keys = append(out.Keys, fpr)
		}
		slices.Sort(out.Keys)
	}
	return out, h.judge(ring, owner, &out)
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

// open finds and verifies the chain of statements. The key that must have signed
// the first one is the one that the firmware trusts.
func (h *handoverReader) open(ring map[string][]byte) (*handover.Statement, string, error) {
	var links []handover.Link
	for seq := range handover.MaxLinks {
		data, err := h.dir.ReadFile(handover.FileName(seq))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, "", err
		}
		sig, err := h.dir.ReadFile(handover.FileName(seq) + ".asc")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
		links = append(links, handover.Link{Statement: data, Signatures: sig})
	}
	if len(links) == 0 {
		return nil, "", nil
	}
	verify := func(sigs, data []byte, fingerprint string) error {
		cert, ok := ring[fingerprint]
		if !ok {
			return fmt.Errorf("%w: the firmware does not hold the key %s", handover.ErrSigner, fingerprint)
		}
		return h.verify(cert, data, sigs)
	}
	err := fmt.Errorf("%w: the firmware holds no key", handover.ErrSigner)
	for fpr := range ring {
		var chain *handover.Chain
		if chain, err = handover.OpenChain(links, fpr, verify); err == nil {
			return chain.Last(), fpr, nil
		}
	}
	return nil, "", err
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

// compare folds the statement's many lines into the few that a person is shown.
func (h *handoverReader) compare(ctx context.Context, s *handover.Statement) []wizard.CheckItem {
	m, problems := h.measure(ctx)
	lines := s.Compare(m)
	groups := []struct{ id, prefixes string }{{"card", "card"}, {"firmware", "rom pcr pcrs"}, {"tpm", "srk tpm"}, {"disk", "luks"}}
	var items []wizard.CheckItem
	for _, g := range groups {
		item := wizard.CheckItem{ID: g.id, Verdict: wizard.NotProvided, Detail: problems[g.id]}
		var same, other []string
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
			}
		}
		switch {
		case len(other) > 0:
			item.Verdict, item.Detail = wizard.Fail, strings.Join(other, ", ")
		case len(same) > 0:
			item.Verdict, item.Detail = wizard.Pass, strings.Join(same, ", ")
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
		return l.Got
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
func (h *handoverReader) judge(ring map[string][]byte, owner boot.KeyOwner, out *wizard.Handover) error {
	anyKey := func(sig, data []byte) error {
		err := errors.New("the firmware holds no key")
		for _, c := range ring {
			if err = h.verify(c, data, sig); err == nil {
				return nil
			}
		}
		return err
	}
	report, err := h.dir.Verify(anyKey)
	if err != nil {
		return err
	}
	start := wizard.CheckItem{ID: "boot", Verdict: wizard.Pass, Detail: fmt.Sprintf("%d signed lists", len(report.Listed))}
	if err := report.ErrButOEM(); err != nil {
		start.Verdict, start.Detail = wizard.Fail, err.Error()
	}
	out.Items = append(out.Items, start)

	evidence, err := h.dir.Evidence(anyKey, owner)
	if err != nil {
		return err
	}
	if _, err := boot.Judge(evidence); err != nil {
		out.Tampering, out.Why = true, err.Error()
	}
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

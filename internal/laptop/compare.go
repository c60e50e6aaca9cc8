package laptop

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reown/boot"
	"reown/internal/handover"
	"reown/internal/words"
	"reown/wizard"
)

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
	out.Words = strings.Join(handover.Words(set.last, words.Four), "-")
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

package laptop

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reown/boot"
	"reown/internal/handover"
	"reown/internal/judge"
	"reown/internal/words"
	"reown/tpm"
	"reown/wizard"
	"reown/wizard/msg"
)

// measure reads what a statement may be compared with; want is nil for one that is yet to be
// made. What the TPM answers counts only in a session salted to the root that want names.
func (h *handoverReader) measure(ctx context.Context, want *handover.Reference) (handover.Measured, map[string]string) {
	m := handover.Measured{Subjects: map[string]string{}}
	problems := map[string]string{}
	if info, err := h.firmware.Info(ctx); err == nil {
		m.Subjects[handover.SubjectROM] = info.Digest
		m.Reference.ROMKeys = info.Keyring
	} else {
		problems["firmware"] = err.Error()
	}
	if c, err := h.card.Info(ctx); err == nil && c.Terminated {
		problems["card"] = msg.CompareReset.In(msg.EN)
	} else if err == nil {
		m.Reference.CardSerial = c.Serial
		if aid, err := hex.DecodeString(c.Application); err == nil && len(aid) == 16 {
			m.Subjects[handover.SubjectCard] = handover.Digest(aid)
		}
	} else {
		problems["card"] = err.Error()
	}
	if err := h.measureTPM(ctx, want, &m); err != nil {
		problems["tpm"] = err.Error()
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

// measureTPM reads the TPM. While a run of ours is under way its root may be the newer one
// that the receipt names: then the one that is shown is asked, and the line of the root
// fails for itself.
func (h *handoverReader) measureTPM(ctx context.Context, want *handover.Reference, m *handover.Measured) error {
	if h.tpm == nil {
		return nil
	}
	i, err := h.tpm.t.Info(ctx)
	if err != nil {
		return err
	}
	m.Reference.SRKName, m.Bare = i.PrimaryName, i.Family == tpm.V12
	root, pcrs := i.PrimaryName, []int{2, 7}
	if want != nil {
		pcrs = slices.Sorted(maps.Keys(want.PCRs))
		if _, err := h.dir.ReadHint("receipt"); err != nil {
			root = want.SRKName
		}
	}
	r := h.tpm.t.Reader(root)
	var first error
	failed := func(err error) bool {
		first = cmp.Or(first, err)
		return err != nil
	}
	if len(pcrs) > 0 {
		v, err := r.PCRs(ctx, pcrs...)
		failed(err)
		m.Reference.PCRs = map[int]string{}
		for n, v := range v.Value {
			m.Reference.PCRs[n] = fmt.Sprintf("%x", v)
		}
	}
	if ek, err := r.EndorsementKey(ctx); !failed(err) && ek.Value != "" {
		m.Subjects[handover.SubjectEK] = ek.Value
	}
	otp, err := r.OTP(ctx, nil)
	if m.Reference.TOTP = otp.Value.Name; !failed(err) && m.Reference.TOTP == "" {
		m.Reference.TOTP = handover.NoTOTP
	}
	return first
}

// compare measures the machine, sets it against the last statement, and folds the
// many lines into the few that a person is shown.
func (h *handoverReader) compare(ctx context.Context, set *handed, report *boot.Report, out *wizard.Handover) {
	s := set.chain.Last()
	out.Signer, out.Order, out.SRKName, out.To = set.ring, s.Order, s.Reference.SRKName, s.To
	out.CardSerial = s.Reference.CardSerial
	out.PromisesTPM = len(s.Reference.PCRs) > 0 || s.Subjects[handover.SubjectEK] != ""
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
	m, problems := h.measure(ctx, &s.Reference)
	m.Subjects[handover.SubjectBoot] = report.Tree
	out.Sealed = s.Reference.TOTP != "" && s.Reference.TOTP != handover.NoTOTP
	lines := s.Compare(m)
	first := wizard.CheckItem{ID: "handover", Verdict: wizard.Pass, Detail: s.From,
		Says: msg.List{msg.Say(msg.Verbatim, s.From)}}
	if out.Claimed() { // shown, it would only be copied
		first.Detail = fmt.Sprintf("%d statements", len(set.chain.Links))
		first.Says = msg.List{msg.Say(msg.CompareStatements, len(set.chain.Links))}
	}
	if out.Cause = lines.Err(); errors.Is(out.Cause, handover.ErrNothingCompared) {
		first.Verdict, first.Detail, first.Says = wizard.Fail, out.Cause.Error(), nil
	}
	out.Items = append(append(out.Items, first), fold(lines, problems)...)
	for _, l := range lines {
		out.Lines = append(out.Lines, wizard.Line{Name: l.Name, Label: l.Label, Status: string(l.Status), Want: l.Want,
			Got: l.Got})
	}
}

// fold makes one item of the lines about one device.
func fold(lines handover.Comparison, problems map[string]string) (items []wizard.CheckItem) {
	groups := []struct{ id, prefixes string }{{"card", "card"}, {"firmware", "rom pcr pcrs"}, {"tpm", "srk tpm totp"},
		{"disk", "luks"}}
	for _, g := range groups {
		item := wizard.CheckItem{ID: g.id, Verdict: wizard.NotProvided, Detail: problems[g.id]}
		if item.Detail == msg.CompareReset.In(msg.EN) {
			item.Says = msg.List{msg.Say(msg.CompareReset)}
		}
		var same, other, unread, bare []string
		registers := true
		says := map[handover.Status]msg.List{}
		for _, l := range lines {
			first, _, _ := strings.Cut(l.Name, " ")
			first, _, _ = strings.Cut(first, "-")
			if !slices.Contains(strings.Fields(g.prefixes), first) {
				continue
			}
			if s := said(l); !slices.ContainsFunc(says[l.Status],
				func(o msg.Said) bool { return o.In(msg.EN) == s.In(msg.EN) }) {
				says[l.Status] = append(says[l.Status], s)
			}
			switch l.Status {
			case handover.Pass:
				same = append(same, shortName(l))
			case handover.Fail:
				other = append(other, l.Label)
			case handover.NotMeasured:
				unread, registers = append(unread, shortName(l)), registers && first == "pcr"
			case handover.Unprotected:
				bare = append(bare, shortName(l))
			}
		}
		switch {
		case len(other) > 0:
			item.Verdict, item.Detail, item.Says = wizard.Fail, strings.Join(other, ", "), says[handover.Fail]
		case len(unread) > 0:
			// What was promised and cannot be read must not hide behind what matched.
			item.Unread, item.PCRs = true, registers
			item.Verdict = wizard.Fail
			item.Detail = strings.TrimPrefix(item.Detail+"; cannot be read: "+strings.Join(slices.Compact(unread), ", "), "; ")
			item.Says = msg.List{msg.Say(msg.CompareUnread, says[handover.NotMeasured])}
		case len(same) > 0:
			item.Verdict, item.Detail, item.Says = wizard.Pass, strings.Join(slices.Compact(same), ", "), says[handover.Pass]
		}
		if len(bare) > 0 { // it counts neither way
			item.Detail = strings.TrimPrefix(item.Detail+"; equal, and this TPM does not protect what it says: "+
				strings.Join(bare, ", "), "; ")
			item.Says = append(item.Says, msg.Say(msg.CompareBare, says[handover.Unprotected]))
		}
		items = append(items, item)
	}
	return items
}

// shortName names a line that matched in a word or two; the lines that did not
// match are shown with their full label.
func shortName(l handover.Item) string { return said(l).In(msg.EN) }

// said is shortName in any language.
func said(l handover.Item) msg.Said {
	switch first, rest, _ := strings.Cut(l.Name, " "); first {
	case "card":
		return msg.Say(msg.CompareSerial)
	case handover.SubjectEK:
		return msg.Say(msg.CompareChipItself)
	case "luks":
		return msg.Say(msg.Verbatim, "LUKS "+rest[:min(8, len(rest))])
	case "pcr":
		return msg.Say(msg.Verbatim, "PCR "+rest)
	case "rom":
		if rest == "keys" {
			return msg.Say(msg.CompareKeys)
		}
		return msg.Say(msg.CompareChip)
	case "srk":
		return msg.Say(msg.CompareRoot)
	case "totp":
		return msg.Say(msg.CompareSecret)
	}
	return msg.Say(msg.Verbatim, l.Name)
}

// startFiles reports what starts the system, and what /boot/oem is.
func startFiles(report *boot.Report, out *wizard.Handover) {
	start := wizard.CheckItem{ID: "boot", Verdict: wizard.Pass, Detail: fmt.Sprintf("%d signed lists", len(report.Listed)),
		Says: msg.List{msg.Say(msg.CompareLists, len(report.Listed))}}
	for _, l := range out.Lines {
		if l.Name == handover.SubjectBoot && l.Status == string(handover.Fail) {
			start.Verdict, start.Detail = wizard.Fail, "other files than those that were shipped"
			start.Says = msg.List{msg.Say(msg.CompareFiles)}
		}
	}
	if err := report.ErrButOEM(); err != nil {
		start.Verdict, start.Detail, start.Says = wizard.Fail, err.Error(), nil
	}
	out.Items = append(out.Items, start)
	out.Sum = report.Now
	switch out.Trigger, out.Tree = measured(report); out.Tree {
	case judge.TreeDiffers:
		out.Names = differing(report)
	case judge.TreeUnsigned:
		for _, name := range report.Files {
			out.Names = append(out.Names, name+": unsigned")
		}
	}
}

// differing are the names that do not match the signed lists, each with how.
func differing(r *boot.Report) (all []string) {
	add := func(name, how string) {
		if name != "./oem" {
			all = append(all, name+": "+how)
		}
	}
	for _, p := range r.Problems {
		add(p.Path, p.What)
	}
	for _, name := range r.Added {
		add(name, "added")
	}
	for _, name := range r.Gone {
		add(name, "gone")
	}
	for _, o := range r.Odd {
		add(o.Name, string(o.Kind))
	}
	if len(all) == 0 && r.TreeOrder {
		all = []string{"the order of the names"}
	}
	slices.Sort(all)
	return all
}

// measured says what /boot/oem is, and what the files are worth that start the system, by the
// firmware's keys.
func measured(r *boot.Report) (judge.Trigger, judge.Tree) {
	tree := judge.TreeDiffers
	switch {
	case errors.Is(r.Signature, boot.ErrNoSignature), errors.Is(r.Signature, boot.ErrBadSignature):
		tree = judge.TreeUnsigned
	case r.Signature != nil:
		tree = judge.TreeUnknown
	case r.ErrButOEM() == nil:
		tree = judge.TreeSigned
	}
	switch {
	case r.OEM == boot.OEMAbsent:
		return judge.TriggerAbsent, tree
	case tree == judge.TreeUnknown:
		return judge.TriggerUnknown, tree
	case tree != judge.TreeSigned:
		return judge.TriggerOdd, tree
	case r.OEM == boot.OEMCovered:
		return judge.TriggerCovered, tree
	}
	return judge.TriggerAdded, tree
}

// signedReceipt says whether a key of the firmware has signed a receipt. Somebody who can write to /boot
// can put any file there, but not that: only a run of this program leaves it.
func (h *handoverReader) signedReceipt(ring map[string][]byte) bool {
	file, err := h.dir.ReadHint("receipt")
	if err != nil {
		return false
	}
	for _, cert := range ring {
		if wizard.IsReceipt(file, func(doc, sig []byte) error { return h.verify(cert, doc, sig) }) {
			return true
		}
	}
	return false
}

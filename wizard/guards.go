package wizard

import (
	"errors"
	"slices"

	"reown/internal/judge"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// A guard is a condition of the table, over what was measured and answered. Asking one
// changes nothing. One that cannot be told is false: the page is shown, and says why.
type guard struct {
	name  string
	holds func(*view) bool
}

var always = guard{}

// both is one guard and another.
func both(a, b guard) guard {
	return guard{a.name + ", " + b.name, func(v *view) bool { return a.holds(v) && b.holds(v) }}
}

// The guards of the first pages.
var (
	languageSaid = guard{"the language was said", func(v *view) bool { return v.o.Language != "" }}
	cardThere    = guard{"a security key is there", func(v *view) bool { return v.cardErr == nil }}
	explained    = guard{"nothing is wrong, or a person explains it", (*view).explained}
	notClosing   = guard{"the run is not over", func(v *view) bool { return v.judged().Phase != judge.Closing }}
	resuming     = guard{"a run was begun", (*view).resuming}
	delivered    = guard{"no run was begun", func(v *view) bool { return !v.resuming() }}
)

// explained says that the machine shows no tampering, or its owner has said that he has lost his key.
func (v *view) explained() bool { return v.phase != Tampered || v.o.LostKey != nil }

// resuming says that a run was begun and not finished.
func (v *view) resuming() bool { return v.phase == Interrupted }

// The guards of the questions: where one holds, the page is passed.
var notNeeded = makeNotNeeded()

func makeNotNeeded() map[place]guard {
	all := map[place]guard{
		pageProblems: {"nothing stands in the way", func(v *view) bool { return len(v.problems) == 0 }},
		pageVerify:   {"it is shown whose run this is", func(v *view) bool { return v.resuming() && v.known() && !v.red() }},
		pageSeller:   {"the seller is known, or is not asked for", (*view).sellerKnown},
		pageNames:    {"the start files are as signed, or no key is lost", (*view).asSigned},
		pageCurrent:  {"no disk needs a passphrase", func(v *view) bool { _, ok := v.locked(); return !ok }},
		pageDUKLeft: {"not left to the firmware",
			func(v *view) bool { return !v.canAskDUK() || !errors.Is(v.dukErr, ErrLeftToFirmware) }},
		pageDUK: {"no disk unlock key, or chosen before",
			func(v *view) bool { return !v.canAskDUK() || errors.Is(v.dukErr, ErrLeftToFirmware) }},
		pageBackup:  {"the security key is the owner's", (*view).keysMade},
		pageStick:   {"no stick is wanted", func(v *view) bool { return v.a.Backup != StickBackup }},
		pageSecrets: {"nothing is made", func(v *view) bool { return len(v.newSecrets()) == 0 }},
		pageDisks:   {"one disk", func(v *view) bool { d, err := v.s.Disks(); return err == nil && len(d) < 2 }},
		pageTail:    {"the security key works for nothing else", (*view).disposable},
		pageTOTP:    {"no phone code now", func(v *view) bool { return !v.asksTOTP() }},
	}
	for _, id := range secretIDs {
		for page, what := range map[place]string{pagePaper: "not set before", pageChoose: "not thought up",
			pageRecord: "not made"} {
			all[page.of(id)] = guard{what, func(v *view) bool { return v.wants(id) != page }}
		}
	}
	return all
}

// sellerKnown says that the seller's fingerprint need not be typed.
func (v *view) sellerKnown() bool {
	return v.a.sold || v.o.LostKey != nil || v.known() && !v.a.typing
}

// asSigned says that no differing name has to be shown to an owner who has lost his key.
func (v *view) asSigned() bool {
	return v.o.LostKey == nil || len(v.handover().Names) == 0 ||
		v.s.Facts(v.said(), judge.PaperUnknown).Tree == judge.TreeSigned
}

// disposable says that the security key may be erased without another question.
func (v *view) disposable() bool {
	return v.s.Facts(v.said(), judge.PaperUnknown).Card != judge.CardElsewhere
}

// canAskDUK says that the machine can have a disk unlock key and that nothing was chosen.
func (v *view) canAskDUK() bool {
	if v.m.DUK == nil || v.m.TPM == nil || len(v.m.Disks) == 0 {
		return false
	}
	_, err := v.s.Receipt()
	return err != nil
}

// keysMade says that the keys are made: it is too late to choose a backup.
func (v *view) keysMade() bool {
	st, err := probeCard(v.s)
	return err == nil && (finished(st) || st.Detail == msg.CardNoReceipt)
}

// asksTOTP says that the phone's secret is made in this start.
func (v *view) asksTOTP() bool {
	return v.a.need&NeedOTP != 0 && v.m.TPM != nil && !v.sealsLater()
}

// sealsLater says whether the phone's code can only be made after a restart.
func (v *view) sealsLater() bool {
	if v.m.TPM == nil {
		return false
	}
	switch _, err := v.s.Sealed(); {
	case errors.Is(err, ErrSealImpossible):
		return true
	case err == nil:
		return false
	}
	t, err := v.s.TPM() // no image to ask for yet
	return err == nil && t.Recovery
}

// wants says which page a secret needs: that for one on paper, that for one of the
// owner's own, or that for a made one; "" for none.
func (v *view) wants(id string) place {
	k := v.kind(id)
	switch {
	case !v.needed(k):
		return ""
	case v.applied(k):
		if *k.of(&v.a.keys) != nil {
			return "" // it was typed
		}
		return pagePaper
	case v.a.own, v.a.onPaper[id]:
		return pageChoose
	}
	return pageRecord
}

// needed says whether the steps that are left use a secret.
func (v *view) needed(k kind) bool {
	if v.a.need&k.bit == 0 {
		return false
	}
	switch k.bit {
	case NeedDisk:
		return len(v.m.Disks) > 0 && (v.a.Volumes == nil || len(v.a.Volumes) > 0)
	case NeedAdmin:
		return v.m.HOTP(v.s.ctx) != nil || !v.applied(k)
	case NeedOwner:
		return v.m.TPM != nil
	case NeedDUK: // one that is only used after a restart is made after it
		return v.m.DUK != nil && v.a.DUK && !v.sealsLater()
	case NeedBackup:
		return v.a.Backup == StickBackup
	}
	return true
}

// applied says whether a secret is set on its device already, so that it can be
// checked and must not be made anew.
func (v *view) applied(k kind) bool {
	if !v.resuming() {
		return false
	}
	switch k.bit {
	case NeedUser, NeedAdmin:
		_, err := v.s.Owner()
		return err == nil
	case NeedOwner:
		st, err := probeTPM(v.s)
		return err == nil && st.Status == ui.Completed
	case NeedDisk:
		return len(v.owned()) > 0
	}
	return false
}

// owned returns the indexes of the volumes that only the owner's passphrase opens.
func (v *view) owned() (all []int) {
	disks, _ := v.s.Disks()
	r, _ := v.s.Receipt()
	for i, d := range disks {
		if selected(r, d.UUID) && v.s.ours(d) {
			all = append(all, i)
		}
	}
	return all
}

// locked is the index of the first disk that takes part and whose passphrase is not known.
func (v *view) locked() (int, bool) {
	if v.a.need&NeedDisk == 0 {
		return 0, false
	}
	disks, _ := v.s.Disks()
	r, _ := v.s.Receipt()
	i := slices.IndexFunc(disks, func(d DiskInfo) bool {
		return selected(r, d.UUID) && !v.s.ours(d) && v.a.keys.Current[d.UUID] == nil && !v.skip(d.UUID)
	})
	return i, i >= 0
}

// noTriesLeft: the PIN cannot be checked any more.
var noTriesLeft = map[string]guard{
	kindUser:  {"the PIN is blocked", func(v *view) bool { return v.tries(0) == 0 }},
	kindAdmin: {"the PIN is blocked", func(v *view) bool { return v.tries(2) == 0 }},
}

// tries is how often a PIN of the card may still be typed; -1: not known.
func (v *view) tries(which int) int {
	c, err := v.s.Card()
	if err != nil {
		return -1
	}
	return c.Tries[which]
}

// answered says that a page was answered before somebody went to change another one.
func answered(p place) guard {
	return guard{"was answered", func(v *view) bool { return v.a.from != "" && v.a.from != p && v.a.given[p] }}
}

// toChange says which answer somebody wants to change.
func toChange(p place) guard {
	return guard{"wants " + string(p), func(v *view) bool { return v.a.from == p }}
}

// cameFrom says beside which page the present one is.
func cameFrom(p place) guard {
	return guard{"from " + string(p), func(v *view) bool { return v.whence == p }}
}

// waitsFor says which page a step waits for.
func waitsFor(p place) guard {
	return guard{"for " + string(p), func(v *view) bool { return v.plug == p }}
}

var (
	putOff      = guard{"a step needs a restart", func(v *view) bool { return v.later }}
	shownBefore = guard{"an earlier start has shown it", func(v *view) bool { return v.job.cert == nil }}
)

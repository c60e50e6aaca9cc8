package wizard

import (
	"slices"
	"strings"

	"reown/internal/judge"
	"reown/wizard/msg"
)

// What is signed in /boot says of which TPM it is, and how far that TPM had counted. So the whole /boot
// of another laptop by the same seller, or an older one of this laptop, verifies by the chip's key and
// is told all the same.

// signedTPM says that what the chip's key has signed says something of a TPM.
func (h *Handover) signedTPM() bool { return len(h.PrimaryHash) > 0 || len(h.Rollback) > 0 }

// pinned is the name of the storage root that the TPM must answer by, from the newest that names it:
// an open run's receipt, or the file that a key of the firmware has signed. "": nothing does. other says
// that the TPM has another one than that file was made for, and that no reset of this run explains it.
func (s *Snapshot) pinned(h *Handover, r *Receipt) (root string, other bool, err error) {
	if r == nil || r.SRK == "" {
		if len(h.PrimaryHash) == 0 {
			return "", false, nil
		}
		t, err := s.TPM()
		if err != nil || t.Family == "1.2" {
			return "", false, err
		}
		root, err = s.m.TPM.RootOf(s.ctx, h.PrimaryHash)
		return root, err == nil && root == "" && (r == nil || !r.Clearing || r.Set != h.Set), err
	}
	t, err := s.TPM()
	if err != nil || t.PrimaryName == "" && t.Owned { // a TPM 1.2 that does not tell
		return "", false, err
	}
	return r.SRK, false, nil
}

// How such a file differs.
const (
	howElsewhere = "elsewhere"
	howUnread    = "the TPM cannot be read"
)

// fits compares what is signed in /boot with the TPM, by the names of the files; nil: nothing differs.
// What cannot be compared weighs as what differs.
func (s *Snapshot) fits(h *Handover) (differ []string) {
	const primary, rollback = "./kexec_primhdl_hash.txt", "./kexec_rollback.txt"
	if !h.signedTPM() {
		return nil
	}
	add := func(name string, err error) {
		how := howElsewhere
		if err != nil {
			how = howUnread
		}
		differ = append(differ, name+": "+how)
	}
	t, err := s.tpmIfAny()
	root := ""
	if len(h.PrimaryHash) > 0 {
		if err == nil && t != nil && t.Family != "1.2" { // which has no such file
			root, err = s.m.TPM.RootOf(s.ctx, h.PrimaryHash)
		}
		if root == "" {
			add(primary, err)
		}
	}
	if len(h.Rollback) == 0 {
		return differ
	}
	c := judge.ComparisonDiffers
	if err == nil && t != nil {
		c, err = s.m.TPM.Counts(s.ctx, root, h.Rollback)
	}
	if err != nil || c == judge.ComparisonDiffers {
		add(rollback, err)
	}
	return differ
}

// elsewhere marks start files that are signed and not of this TPM as it is. An open run has noted what was
// signed when it began, which was shown then; its own reset of the TPM makes no stranger of that.
func (s *Snapshot) elsewhere(h *Handover, r *Receipt) {
	if h.Tree != judge.TreeSigned {
		return
	}
	var differ []string
	switch {
	case r != nil && r.Set != "":
		if r.Set == h.Set {
			return
		}
		differ = []string{"./kexec.sig: " + howElsewhere}
	case r != nil && (r.Clearing || r.SRK != ""): // of a program that did not note it
		return
	default:
		differ, _ = s.differ.get(func() ([]string, error) { return s.fits(h), nil })
	}
	if differ == nil {
		return
	}
	h.Tree, h.Names, h.Items = judge.TreeElsewhere, differ, slices.Clone(h.Items)
	item := CheckItem{ID: itemBoot, Verdict: Fail, Says: msg.List{msg.Say(msg.CompareElsewhere)}}
	if !slices.ContainsFunc(differ, func(n string) bool { return strings.HasSuffix(n, howElsewhere) }) {
		item = CheckItem{ID: itemBoot, Verdict: NotProvided, Unread: true, Says: msg.List{msg.Say(msg.CompareUnread, "TPM")}}
	}
	item.Detail = item.Says.In(msg.EN)
	for i := range h.Items {
		if h.Items[i].ID == itemBoot {
			h.Items[i] = item
		}
	}
}

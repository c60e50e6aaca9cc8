package wizardtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"reown/internal/judge"
	"reown/wizard"
	"reown/wizard/msg"
)

type boot struct{ *World }

func (w boot) Hold() func() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holds++
	return func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.holds--; w.holds == 0 {
			w.Writable = false
		}
		return nil
	}
}

func (w boot) Triggered(context.Context) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Oem, w.read()
}

func (w boot) Info(context.Context) (wizard.BootInfo, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return wizard.BootInfo{Trigger: w.Oem, Files: 214, Entries: w.Entries, Unknown: w.Unknown, Uncertain: w.Uncertain,
		Default: w.Suggested, Signed: w.SignedEntry}, w.read()
}

// refusal is what a device finds that refuses something.
func (w *World) refusal(device string) ([]*wizard.Finding, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.Refuses[device]; f != nil {
		return []*wizard.Finding{f}, w.read()
	}
	return nil, w.read()
}

func (w boot) Rehearse(_ context.Context, entry int) ([]*wizard.Finding, error) {
	if entry < 0 || entry >= len(w.Entries) || w.Uncertain != nil && w.Uncertain[entry] {
		return []*wizard.Finding{{Kind: wizard.EntryRefuses,
			Args: []any{w.Entries[max(0, min(entry, len(w.Entries)-1))], "its files are gone"}}}, nil
	}
	if found, err := w.refusal(fmt.Sprint("boot.", entry)); found != nil || err != nil {
		return found, err
	}
	return w.refusal("boot")
}

func (w boot) Trial(context.Context, int) ([]*wizard.Finding, error) { return w.refusal("trial") }

func (w boot) Stage(_ context.Context, s wizard.BootSpec, sign func([]byte) ([]byte, error),
	progress wizard.Progress) error {
	w.mu.Lock()
	c, err := w.parse(s.Cert)
	err = errors.Join(err, w.appeared(s.Gone))
	if s.Entry < 0 || s.Entry >= len(w.Entries) || w.Uncertain != nil && w.Uncertain[s.Entry] {
		err = errors.Join(err, fmt.Errorf("wizardtest: entry %d cannot be the default", s.Entry))
		s.Entry = 0
	}
	set := BootSet{Entry: w.Entries[s.Entry], Signer: c.Fprs[0], Files: w.Files, Rollback: string(s.Rollback),
		Primary: string(s.PrimaryHash), HOTP: string(s.HOTPCounter), DUK: fmt.Sprint(s.DUK)}
	if s.DUK == nil {
		set.DUK = ""
	}
	if trusted := err == nil && bytes.Equal(w.keyring(), s.Cert); trusted && !s.Same && !w.Shop {
		err = errors.New("wizardtest: the chip trusts this key, and anything would be signed")
	} else if s.Same && !w.signed(set) {
		err = errors.Join(err, errors.New("wizardtest: this key has not signed that before"))
	}
	w.mu.Unlock()
	for _, name := range []string{"boot", fmt.Sprint("boot.", s.Entry)} {
		if f := w.Refuses[name]; f != nil {
			err = errors.Join(err, f)
		}
	}
	if err != nil {
		return err
	}
	doc, _ := json.Marshal(set)
	sig, err := sign(doc)
	if err != nil {
		return err
	}
	if err := (pgp(w)).Verify(s.Cert, doc, sig); err != nil {
		return err
	}
	if progress != nil {
		progress(214, 214)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.SignedSets = append(w.SignedSets, set)
	return w.write("boot.stage", func() { w.World.Stage = &set })
}

// signed says whether what a set starts was signed before by the same key.
func (w boot) signed(s BootSet) bool {
	for _, old := range []*BootSet{&w.Set, w.World.Stage} {
		if old != nil && !old.Mixed && old.Signer == s.Signer && old.Files == s.Files && old.Entry == s.Entry {
			return true
		}
	}
	return false
}

func (w boot) good(s BootSet, cert []byte) bool {
	c, err := w.parse(cert)
	return err == nil && !s.Mixed && s.Signer == c.Fprs[0] && s.Files == w.Files
}

func (w boot) Staged(_ context.Context, cert []byte) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.World.Stage != nil && w.good(*w.World.Stage, cert), w.read()
}

func (w boot) Live(_ context.Context, cert []byte) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.good(w.Set, cert), w.read()
}

// appeared is an error where a name is there that nobody was shown.
func (w boot) appeared(gone []string) error {
	for _, n := range w.Unknown {
		if !slices.Contains(gone, n) {
			return ErrAppeared
		}
	}
	return nil
}

func (w boot) Install(_ context.Context, gone []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.appeared(gone); err != nil {
		return err
	}
	if f := w.Refuses["trial"]; f != nil {
		return f
	}
	if w.World.Stage == nil {
		return errors.New("wizardtest: nothing is staged")
	}
	if err := w.write("boot.install", func() { w.Set = *w.World.Stage }); err != nil {
		return err
	}
	return w.write("boot.unstage", func() { w.World.Stage, w.Unknown = nil, nil })
}

func (w boot) RemoveTrigger(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("boot.oem", func() { w.Oem = false })
}

func (w boot) Handover(context.Context) (wizard.Handover, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.HandoverFunc != nil {
		h := w.HandoverFunc()
		h.Trigger, h.Tree = w.trigger()
		h.Names, h.Sum = w.differing(h.Tree), hash(w.Files)
		return h, w.read()
	}
	h := w.Seller
	verdict := func(ok bool) wizard.Verdict {
		if ok {
			return wizard.Pass
		}
		return wizard.Fail
	}
	rom, _ := w.parse(w.ROM[0])
	h.Items = []wizard.CheckItem{
		item("card", verdict(w.Serial == h.CardSerial), msg.Say(msg.CompareSerial)),
		item("handover", wizard.Pass, msg.Say(msg.Verbatim, "5E11 E200 ... 0000 5E11")),
		item("firmware", verdict(rom.Fprs[0] == sellerCard), msg.Say(msg.Verbatim, "PCR 2"), msg.Say(msg.CompareChip)),
		item("boot", verdict(w.Set.Files == w.Files), msg.Say(msg.CompareLists, 3)),
		item("disk", verdict(w.asListed(h.Volumes)), msg.Say(msg.Verbatim, "LUKS 11111111")),
	}
	if h.Signer == "" { // nobody promises anything, and what starts is signed all the same
		h.Items = []wizard.CheckItem{item("handover", wizard.NotProvided, msg.Say(msg.CompareNothing)), h.Items[3]}
	}
	if w.HasTPM && h.SRKName != "" && h.SRKName != w.Primary { // the screens do without it while it is equal
		h.Items = append(h.Items, wizard.CheckItem{ID: "tpm", Verdict: wizard.Fail, Detail: "the storage root"})
	}
	if h.Trigger, h.Tree = w.trigger(); h.Tree == judge.TreeSigned {
		h.Set = hash(fmt.Sprint(w.Set))
		if w.HasTPM || h.SRKName != "" { // delivered with a TPM
			h.PrimaryHash, h.Rollback = []byte(w.Set.Primary), []byte(w.Set.Rollback)
		}
	}
	h.Names, h.Sum = w.differing(h.Tree), hash(w.Files)
	if w.Terminated && h.Signer != "" {
		h.Items[0] = item("card", wizard.NotProvided, msg.Say(msg.CompareReset))
	}
	return h, w.read()
}

func item(id string, v wizard.Verdict, says ...msg.Said) wizard.CheckItem {
	return wizard.CheckItem{ID: id, Verdict: v, Detail: msg.List(says).In(msg.EN), Says: says}
}

// differing are the names that a laptop's comparison has.
func (w *World) differing(t judge.Tree) []string {
	switch t {
	case judge.TreeDiffers:
		return []string{"./grub/grub.cfg: changed", "./initrd-new: added"}
	case judge.TreeUnsigned:
		return []string{"./vmlinuz: unsigned", "./grub/grub.cfg: unsigned"}
	}
	return nil
}

// trigger is what /boot/oem and the files are, by the firmware's key.
func (w *World) trigger() (judge.Trigger, judge.Tree) {
	tree := judge.TreeUnsigned
	if c, err := w.parse(w.keyring()); err == nil && w.Set.Signer == c.Fprs[0] && !w.Set.Mixed {
		if tree = judge.TreeDiffers; w.Set.Files == w.Files {
			tree = judge.TreeSigned
		}
	}
	switch {
	case !w.Oem:
		return judge.TriggerAbsent, tree
	case tree != judge.TreeSigned:
		return judge.TriggerOdd, tree
	case w.Set.Oem:
		return judge.TriggerCovered, tree
	}
	return judge.TriggerAdded, tree
}

// asListed says whether the volumes are under the keys that the seller lists.
func (w *World) asListed(list []wizard.Volume) bool {
	for _, l := range list {
		for _, v := range w.Disks {
			if v.UUID == l.UUID && (v.NewKey != "" || v.Digest != "" || "digest-of-"+v.Key+v.Salt != l.KeyDigest) {
				return false
			}
		}
	}
	return true
}

func (w boot) ReadHint(_ context.Context, name string) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.read(); err != nil {
		return nil, err
	}
	b, ok := w.Hints[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, wizard.ErrNotFound)
	}
	return slices.Clone(b), nil
}

func (w boot) WriteHint(_ context.Context, name string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("hint."+name, func() { w.Hints[name] = slices.Clone(data) })
}

func (w boot) AppendHint(_ context.Context, name string, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("append."+name, func() { w.Hints[name] = append(slices.Clone(w.Hints[name]), data...) })
}

func (w boot) RemoveHint(_ context.Context, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.write("remove."+name, func() { delete(w.Hints, name) })
}

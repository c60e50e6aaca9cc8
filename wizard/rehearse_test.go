package wizard_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// problems are machines on which a run could not end: what is found, and what a
// program knows it by.
var problems = map[string]struct {
	kind  wizard.Kind
	err   error
	spoil func(*wizardtest.World)
}{
	"battery": {wizard.OnBattery, wizard.ErrPowerUnreliable,
		func(w *wizardtest.World) { w.PowerState = wizard.Power{Known: true, Percent: 90} }},
	"untold charge": {wizard.OnBattery, wizard.ErrPowerUnreliable,
		func(w *wizardtest.World) { w.PowerState = wizard.Power{Known: true, Percent: -1} }},
	"clock":            {wizard.WrongClock, wizard.ErrClock, func(w *wizardtest.World) { w.Clock = time.Unix(0, 0) }},
	"no card":          {wizard.CardMissing, wizard.ErrNoCard, func(w *wizardtest.World) { w.CardIn = false }},
	"two cards":        {wizard.Unreadable, wizard.ErrSeveralCards, func(w *wizardtest.World) { w.Spare.CardIn = true }},
	"card of no reset": {wizard.CardNoReset, nil, func(w *wizardtest.World) { w.NoReset = true }},
	"old card":         {wizard.CardOld, nil, func(w *wizardtest.World) { w.NoKinds = true }},
	"card pin":         {wizard.CardPIN, errRefused, refusesAs("card", wizard.CardPIN, "Nitrokey Start", 14, 127)},
	"card name":        {wizard.CardName, errRefused, refusesAs("card", wizard.CardName)},
	"card import":      {wizard.CardImport, errRefused, refuses("card", wizard.CardImport, "Gnuk")},
	"token":            {wizard.TokenNoLight, wizard.ErrNoHOTP, func(w *wizardtest.World) { w.NoHOTP = true }},
	"no keyslot":       {wizard.DiskNoKeyslot, nil, func(w *wizardtest.World) { w.Disks[0].Slots = nil }},
	"memory":           {wizard.LittleMemory, nil, func(w *wizardtest.World) { w.Free = 1 << 20 }},
	"failing chip":     {wizard.Unreadable, nil, func(w *wizardtest.World) { w.Full = true }},
	"no entry":         {wizard.NoEntry, nil, func(w *wizardtest.World) { w.Suggested, w.SignedEntry = -1, -1 }},
	"entry":            {wizard.EntryRefuses, nil, func(w *wizardtest.World) { w.Uncertain = []bool{true, true} }},
	"disk refuses":     {wizard.DiskRefuses, errRefused, refuses("disk", wizard.DiskRefuses, "/dev/nvme0n1p3")},
	"disk in doubt": {wizard.DiskAmbiguous, errRefused,
		func(w *wizardtest.World) { w.Doubtful = []wizard.Doubt{{Path: "/dev/sdb", Err: errRefused}} }},
	"odd in boot": {wizard.BootOdd, errRefused, refuses("boot", wizard.BootOdd)},
	"boot full":   {wizard.BootFull, errRefused, refuses("trial", wizard.BootFull)},
	"boot fixed":  {wizard.BootFixed, errRefused, refuses("trial", wizard.BootFixed)},
	"boot broken": {wizard.BootBroken, errRefused, refuses("trial", wizard.BootBroken)},
	"chip locked": {wizard.ChipLocked, errRefused, refuses("firmware", wizard.ChipLocked)},
	"chip several": {wizard.ChipSeveral, nil,
		func(w *wizardtest.World) { w.ChipMay = []string{"MX25L6405", "MX25L6406E"} }},
	"chip unread":  {wizard.ChipUnread, errRefused, refuses("firmware", wizard.ChipUnread)},
	"chip full":    {wizard.ChipFull, errRefused, refuses("firmware", wizard.ChipFull)},
	"chip layout":  {wizard.ChipLayout, errRefused, refuses("firmware", wizard.ChipLayout)},
	"tpm bank":     {wizard.TPMBank, errRefused, refuses("tpm", wizard.TPMBank)},
	"tpm key type": {wizard.TPMKeyType, errRefused, refuses("tpm", wizard.TPMKeyType)},
	"tpm slots":    {wizard.TPMSlots, errRefused, refuses("tpm", wizard.TPMSlots)},
	"tpm room":     {wizard.TPMRoom, errRefused, refuses("tpm", wizard.TPMRoom)},
	"tpm presence": {wizard.TPMPresence, errRefused, refuses("tpm", wizard.TPMPresence)},
	"tpm locked":   {wizard.TPMLocked, errRefused, refuses("tpm", wizard.TPMLocked)},
	"tpm no ek":    {wizard.TPMNoEK, errRefused, refuses("tpm", wizard.TPMNoEK)},
}

// elsewhere are the kinds that only a choice makes, and the tests that make them.
var elsewhere = map[wizard.Kind]string{wizard.CardAlgorithm: "TestRehearsalOfChoices",
	wizard.DiskNoise: "TestHeaderPutBackWithoutReceipt", wizard.DiskUnseen: "TestUnreadableBeginning"}

var errRefused = errors.New("the device refuses")

func refuses(device string, kind wizard.Kind, args ...any) func(*wizardtest.World) {
	return refusesAs(device, kind, append(args, "what was measured")...)
}

func refusesAs(device string, kind wizard.Kind, args ...any) func(*wizardtest.World) {
	return func(w *wizardtest.World) {
		w.Refuses = map[string]*wizard.Finding{device: {Kind: kind, Args: args, Err: errRefused}}
	}
}

// TestRehearsal: somebody who asks, status and plan, the wizard's run or the seller's, finds
// the same, names what can be done, and has written nothing.
func TestRehearsal(t *testing.T) {
	for name, c := range problems {
		w := wizardtest.New()
		c.spoil(w)
		m := w.Machine()
		found := wizard.Rehearse(t.Context(), m, wizard.Choices{}, false)
		status, err := wizard.Status(t.Context(), m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var kinds []wizard.Kind
		for _, p := range found {
			kinds = append(kinds, p.Kind)
			worded(t, p)
		}
		for _, p := range status.Problems {
			if !slices.Contains(kinds, p.Kind) || p.Remedy == "" || len(p.Remedies) == 0 {
				t.Errorf("%s: the status has %+v, a seller finds %v", name, p, kinds)
			}
		}
		if w.Refuses["trial"] != nil {
			found = nil // only a write tells, and status makes none
		}
		if !slices.Contains(kinds, c.kind) || len(status.Problems) != len(found) {
			t.Errorf("%s: %v, and in the status %+v", name, found, status.Problems)
		}
		if err := error(&wizard.PreflightError{Problems: found}); found != nil && c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v is not %v", name, err, c.err)
		}
		keys := &wizard.Keys{}
		var refused *wizard.PreflightError
		if err := wizard.RunStep(t.Context(), m, "preflight", wizard.Choices{}, keys, nil); !errors.As(err, &refused) {
			t.Errorf("%s: the run says %v", name, err)
		}
		if len(w.Ops) > 0 {
			t.Errorf("%s: written %q", name, w.Ops)
		}
	}
	w := wizardtest.New()
	if found := wizard.Rehearse(t.Context(), w.Machine(), wizard.Choices{}, false); len(found) > 0 || len(w.Ops) > 0 {
		t.Errorf("on a good machine: %v, written %q", found, w.Ops)
	}
}

// worded checks that a problem and its remedies are told in every language.
func worded(t *testing.T, p wizard.Problem) {
	t.Helper()
	if len(p.Remedies) == 0 {
		t.Errorf("%v has no remedy", p)
	}
	for _, l := range msg.Langs {
		if s := p.What.In(l.Lang, p.Args...); s == "" || strings.Contains(s, "%!") {
			t.Errorf("%s, %s: %q", p.Kind, l.Code, s)
		}
		for _, r := range p.Remedies {
			if r.Text.In(l.Lang) == "" || r.Action == "" {
				t.Errorf("%s, %s: a remedy without words", p.Kind, l.Code)
			}
		}
	}
}

// TestEveryKindIsProvoked: no kind of problem is there that no machine has shown.
func TestEveryKindIsProvoked(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "rehearse.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(x ast.Node) bool {
		v, ok := x.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); !ok || typ.Name != "Kind" {
			return true
		}
		text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if _, ok := elsewhere[wizard.Kind(text)]; ok {
			return true
		}
		for _, c := range problems {
			if c.kind == wizard.Kind(text) {
				return true
			}
		}
		t.Errorf("no machine of this test has the problem %q", text)
		return true
	})
	if n < 20 {
		t.Errorf("only %d kinds were found", n)
	}
}

// TestNothingBeginsThatCannotEnd: the buyer's run stops before its first change, says
// why, and the machine is as it was.
func TestNothingBeginsThatCannotEnd(t *testing.T) {
	for name, c := range problems {
		w := wizardtest.New()
		c.spoil(w)
		before := w.Clone()
		var refused *wizard.PreflightError
		if err := unattended(w, newPaper(), nil); !errors.As(err, &refused) && !errors.Is(err, ui.ErrLeft) {
			t.Errorf("%s: %v", name, err)
		} else if refused != nil && c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v is not %v", name, err, c.err)
		}
		for _, op := range w.Ops {
			if !strings.HasPrefix(strings.TrimPrefix(op, "hint."), "kexec_reown.starts") {
				t.Errorf("%s: written %s", name, op)
			}
		}
		after := w.Clone()
		clear(after.Hints)
		clear(before.Hints)
		if a, b := fmt.Sprintf("%+v", public(before)), fmt.Sprintf("%+v", public(after)); a != b {
			t.Errorf("%s: the machine was\n%s\nand is\n%s", name, a, b)
		}
	}
}

// public is what a machine keeps, without what a test puts into it.
func public(w *wizardtest.World) []any {
	all := []any{w.CardState, w.Spare, w.Stick, w.Owner, w.Primary, w.Counter, w.Sealed, w.DUKObject, w.TokenOTP, w.ROM,
		w.Files, w.Set, w.Stage, w.Oem, w.Hints}
	for _, v := range w.Disks {
		all = append(all, *v)
	}
	for i, x := range all { // by value, not by address
		all[i] = fmt.Sprintf("%+v", reflect.Indirect(reflect.ValueOf(x)))
	}
	return all
}

// TestRehearsalOfChoices: what only a choice makes impossible.
func TestRehearsalOfChoices(t *testing.T) {
	w := wizardtest.New()
	found := wizard.Rehearse(t.Context(), w.Machine(), wizard.Choices{Algorithm: "brainpool"}, false)
	if len(found) != 1 || found[0].Kind != wizard.CardAlgorithm || !found[0].Offers(wizard.OtherCard) {
		t.Errorf("%v", found)
	}
	for _, p := range found {
		worded(t, p)
	}
	// A disk that is left out stands in nobody's way.
	w.AddDisk("22222222-bbbb", "S64DNL0U")
	w.Disks[1].Slots = nil
	err := wizard.RunStep(t.Context(), w.Machine(), "preflight", wizard.Choices{}, &wizard.Keys{}, nil)
	var refused *wizard.PreflightError
	if !errors.As(err, &refused) || len(refused.Problems) != 1 || refused.Problems[0].Volume != "22222222-bbbb" ||
		!refused.Problems[0].Offers(wizard.LeaveOut) {
		t.Errorf("with it: %v", err)
	}
	if err := wizard.RunStep(t.Context(), w.Machine(), "preflight", wizard.Choices{Volumes: []string{"11111111-aaaa"}},
		&wizard.Keys{}, nil); err != nil {
		t.Errorf("without it: %v", err)
	}
}

// TestUseBattery: it is offered where the battery would do, and carried out it is enough.
func TestUseBattery(t *testing.T) {
	for percent, offered := range map[int]bool{-1: false, 0: false, 39: false, 40: true, 100: true} {
		w := wizardtest.New()
		w.PowerState = wizard.Power{Known: true, Percent: percent}
		p := wizard.PowerProblem(context.Background(), w.Machine().Platform, false)
		if len(p) != 1 || p[0].Offers(wizard.UseBattery) != offered || p[0].Remedies[0].Action != wizard.PlugInPower {
			t.Errorf("%d %%: %v", percent, p)
		}
		if p := wizard.PowerProblem(context.Background(), w.Machine().Platform, true); (len(p) == 0) != offered {
			t.Errorf("%d %%, accepted: %v", percent, p)
		}
	}
}

package wizard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"reown/internal/escape"
	"reown/internal/judge"
	"reown/internal/otp"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// The pages on which somebody sees whose computer it is, and those for a doubt.

// IDs of what is compared with the seller's statement.
const (
	itemHandover = "handover"
	itemFirmware = "firmware"
	itemBoot     = "boot"
)

// lookVerify measures anew what the machine proves of itself before anything is changed.
func lookVerify(f *flow, ctx context.Context) error {
	f.s = measure(ctx, f.m)
	if _, err := f.s.Handover(); err != nil {
		return err
	}
	if f.a.Entry == 0 {
		f.a.Entry = f.s.entry(nil) + 1
	}
	return f.lookCode(ctx)
}

// lookCode takes the secret that makes the six digits, if there is one. changed says that
// there is one and the TPM does not open it, because what was measured at this start is
// not what it was sealed to.
func (f *flow) lookCode(ctx context.Context) error {
	if f.code, f.changed = nil, false; f.m.TPM == nil {
		return nil
	}
	b, err := f.m.TPM.UnsealOTP(ctx)
	f.code = f.hold(b)
	f.changed = err != nil && !errors.Is(err, ErrNoTPMState)
	return nil
}

func lookHandover(f *flow, _ context.Context) error {
	_, err := f.s.Handover()
	return err
}

// handover is the seller's statement as it was measured with the phase.
func (v *view) handover() *Handover {
	h, _ := v.s.Handover()
	v.s.elsewhere(&h, v.s.Past().receipt)
	return &h
}

func drawVerify(v *view) (*ui.Page, error) {
	h := v.handover()
	from, good := v.sellerRows(h), v.good() && !v.red()
	body := func() []ui.Block {
		b := []ui.Block{ui.S(v.t(msg.VerifyAsk)), ui.G()}
		b = append(b, v.items(h.Items)...)
		b = append(b, ui.G())
		switch {
		case v.code != nil:
			b = append(b, v.digits(v.code, msg.VerifyCodeLabel, msg.VerifyCode))
		case v.changed:
			b = append(b, ui.R(ui.Bad, v.t(msg.VerifyCodeLabel), v.t(msg.VerifyNoCode)))
		default:
			b = append(b, ui.R(ui.Note, v.t(msg.VerifyCodeLabel), v.t(msg.VerifyNoSecret)))
		}
		if h.Words != "" {
			b = append(b, ui.R(ui.Unsure, v.t(msg.VerifyWordsLabel), v.t(msg.VerifyWords, h.Words)))
		}
		b = append(append(b, from...), ui.G())
		if good {
			return append(b, ui.T(v.t(msg.VerifyQuestion)))
		}
		return append(b, ui.S(v.t(msg.VerifyBad)))
	}
	p := &ui.Page{Live: body, Trust: true, Wait: v.t(msg.WaitMeasure), Help: v.t(msg.VerifyHelp), Details: v.details(h)}
	no := ui.Choice{ID: "stop", Label: v.t(msg.ButtonNotSure), Letter: 'n'}
	if !good {
		p.Choices, p.Alarm = []ui.Choice{no, v.buttonUnproven()}, v.judged().Level == judge.Red
		f := v.s.Facts(v.said(), judge.PaperUnknown)
		known := f.Tree == judge.TreeSigned || f.Tree == judge.TreeElsewhere || v.o.LostKey != nil && len(h.Names) > 0
		if !known || f.Said.Signer == judge.Different || f.Said.Me == judge.Different {
			p.Choices = []ui.Choice{no} // no word of the seller's helps
		}
		return p, nil
	}
	p.Default = ui.NoDefault
	p.Choices = []ui.Choice{{ID: "match", Label: v.t(msg.ButtonMatch), Letter: v.initial(msg.ButtonMatch)}, no}
	if len(h.Chain) > 0 && v.said().Signer == judge.NotSaid && !h.Claimed() { // otherwise it is asked for in any case
		p.Choices = append(p.Choices, ui.Choice{ID: "type", Label: v.t(msg.ButtonFingerprint), Letter: 't'})
	}
	return p, nil
}

func (v *view) buttonUnproven() ui.Choice {
	return ui.Choice{ID: "unproven", Label: v.t(msg.ButtonUnproven), Letter: 'u'}
}

func tookVerify(f *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	f.a.typing, f.a.looked = id == "type", id == "type" || id == "match"
	return doubt(id), nil
}

// doubt is what the choices mean that a page about a proof has.
func doubt(id string) event {
	switch id {
	case "stop":
		return evStop
	case "unproven":
		return evUnproven
	}
	return evAnswer
}

// items are the lines of a verification.
func (v *view) items(items []CheckItem) (b []ui.Block) {
	for _, i := range items {
		name := v.itemName(i.ID)
		switch i.Verdict {
		case Pass:
			b = append(b, ui.R(ui.OK, name, v.t(msg.ItemPass, v.detail(i))))
		case Fail:
			b = append(b, ui.R(ui.Bad, name, v.t(msg.ItemFail, v.detail(i))))
		case NotProvided:
			text := v.t(msg.ItemNone)
			if i.Detail != "" && i.ID != itemHandover {
				text = v.t(msg.CannotCompare, v.detail(i))
			}
			b = append(b, ui.R(ui.Unsure, name, text))
		}
	}
	return b
}

var itemNames = map[string]msg.M{"card": msg.ItemCard, itemHandover: msg.ItemHandover, itemFirmware: msg.ItemFirmware,
	itemBoot: msg.ItemBoot,
	"disk":   msg.ItemDisk, "tpm": msg.ItemTPM}

func (v *view) itemName(id string) string {
	if m, ok := itemNames[id]; ok {
		return v.t(m)
	}
	return id
}

// detail is what was compared, or why it could not be.
func (v *view) detail(i CheckItem) string {
	if i.Says == nil {
		return v.t(msg.Technical, i.Detail)
	}
	return i.Says.In(v.lang)
}

// digits is the line with the six digits that the phone must show as well.
func (v *view) digits(key *secret.Buffer, label, text msg.M) ui.Block {
	now := v.m.Platform.Now()
	c, err := otp.TOTP(key, now)
	if err != nil {
		return ui.R(ui.Note, v.t(label), v.t(msg.VerifyNoCode))
	}
	d := c.String()
	return ui.R(ui.Unsure, v.t(label), v.t(text, d[:3]+" "+d[3:], int(otp.Remaining(now).Seconds())))
}

// details are all values that were compared.
func (v *view) details(h *Handover) string {
	var b strings.Builder
	if !h.Claimed() && h.Signer != "" {
		fmt.Fprintf(&b, "%s\n", v.t(msg.SignedBy, h.Signer))
	}
	for _, i := range h.Items {
		fmt.Fprintf(&b, "%s: %s, %s\n", v.itemName(i.ID), v.verdict(string(i.Verdict)), v.detail(i))
	}
	for _, l := range h.Lines {
		fmt.Fprintf(&b, "   %s: %s\n", l.Name, v.verdict(l.Status))
	}
	return b.String()
}

// verdict is the word for a Verdict or a Line's status.
func (v *view) verdict(status string) string {
	m, ok := map[string]msg.M{string(Pass): msg.VerdictPass, string(Fail): msg.VerdictFail,
		string(NotProvided): msg.VerdictNone,
		"not measured":      msg.VerdictUnread, "unprotected": msg.VerdictBare}[status]
	if !ok {
		return status
	}
	return v.t(m)
}

// drawStop is where "no" and "not sure" lead: nothing has changed in this start.
func drawStop(v *view) (*ui.Page, error) {
	what := msg.StopNothing
	if v.resuming() {
		what = msg.StopNoMore
	}
	return &ui.Page{Alarm: true, Trust: true, NoLeave: true, Preset: "end", Body: []ui.Block{
		ui.S(v.t(what)), ui.G(), ui.T(v.t(msg.StopClock)), ui.T(v.t(msg.StopNoSecrets)), ui.T(v.t(msg.StopPhoto)),
		ui.T(v.t(msg.StopContact)),
	}, Choices: []ui.Choice{{ID: "end", Label: v.t(msg.ButtonEnd)},
		{ID: "clock", Label: v.t(msg.ButtonClock), Letter: 'c'}}}, nil
}

func tookStop(_ *flow, _ context.Context, _ *ui.Page, id string) (event, error) {
	if id == "clock" {
		return evClock, nil
	}
	return evStop, nil
}

// drawUnproven lets a person go on without proof, after typing the disk's serial.
func drawUnproven(v *view) (*ui.Page, error) {
	want := v.serial()
	in := &ui.Input{Key: "unproven-serial", Label: v.typeLabel(want), Max: 16}
	return &ui.Page{Alarm: true, Trust: true, Preset: ui.Continue, Body: []ui.Block{
		ui.S(v.t(msg.UnprovenTitle)), ui.G(), ui.T(v.t(msg.UnprovenWhat)), ui.T(v.t(msg.UnprovenSerial)),
	}, Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()}, Check: v.typed(in, want)}, nil
}

func tookUnproven(f *flow, _ context.Context, _ *ui.Page, _ string) (event, error) {
	f.a.serial = true
	return evAnswer, nil
}

// serial is the tail of the first disk's serial number, which is typed to start.
func (v *view) serial() string {
	if d, err := v.s.Disks(); err == nil {
		for _, x := range d {
			if x.Serial != "" {
				return strings.ToUpper(tail(x.Serial, 4))
			}
		}
	}
	return noSerial
}

// noSerial is typed where no disk has a serial number.
const noSerial = "START"

func (v *view) typeLabel(want string) string {
	if want == noSerial {
		return v.t(msg.TypeLabel, want)
	}
	return v.t(msg.SerialLabel, want)
}

func (v *view) typed(in *ui.Input, want string) func(context.Context) error {
	return func(context.Context) error {
		if !strings.EqualFold(strings.TrimSpace(in.Value), want) {
			return ui.Problem(v.t(msg.SerialWrong, want))
		}
		return nil
	}
}

// drawNames shows an owner who has lost his key what differs from what it has signed, or all where it has
// signed nothing: his new one will sign all of it.
func drawNames(v *view) (*ui.Page, error) {
	want, h := v.serial(), v.handover()
	in := &ui.Input{Key: "names-serial", Label: v.typeLabel(want), Max: 16}
	what, sign := msg.NamesWhat, msg.NamesSign
	if h.Tree == judge.TreeUnsigned {
		what, sign = msg.NamesNone, msg.NamesSignAll
	}
	body, details := v.names(h.Names)
	body = append(append([]ui.Block{ui.S(v.t(what)), ui.G()}, body...), ui.G(), ui.T(v.t(sign)))
	return &ui.Page{Alarm: true, Trust: true, Body: body, Details: details,
		Inputs: []*ui.Input{in}, Choices: []ui.Choice{v.button()}, Check: v.typed(in, want)}, nil
}

func tookNames(f *flow, _ context.Context, _ *ui.Page, _ string) (event, error) {
	h := f.handover()
	f.a.listed = &listing{h.Names, h.Sum}
	return evAnswer, nil
}

// manyNames is how many fit on a page.
const manyNames = 8

// names are rows of names that may be anybody's, and all of them for the details.
func (v *view) names(all []string) (rows []ui.Block, details string) {
	for i, n := range all {
		n = v.differs(n)
		details += n + "\n"
		switch {
		case i < manyNames:
			rows = append(rows, ui.R(ui.Bad, "", n))
		case i == manyNames:
			rows = append(rows, ui.R(ui.Bad, "", v.t(msg.NamesMore, len(all)-i)))
		}
	}
	return rows, details
}

// howNames are how a name differs, as the comparison has it and in words.
var howNames = map[string]msg.M{"missing": msg.NameMissing, "unreadable": msg.NameUnread, "changed": msg.NameChanged,
	"added": msg.NameAdded,
	"gone":  msg.NameGone, "unsigned": msg.NameUnsigned, howElsewhere: msg.CompareElsewhere}

// differs is one name with how it differs. What is wrong with an odd thing has no words but the program's.
func (v *view) differs(n string) string {
	if n == "the order of the names" {
		return v.t(msg.NameOrder)
	}
	i := strings.LastIndex(n, ": ")
	if i >= 0 {
		if m, ok := howNames[n[i+2:]]; ok {
			return escape.Text(n[:i+2]) + v.t(m)
		}
		if n[i+2:] == howUnread {
			return escape.Text(n[:i+2]) + v.t(msg.CompareUnread, "TPM")
		}
	}
	return escape.Text(n)
}

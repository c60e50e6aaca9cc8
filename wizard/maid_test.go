package wizard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// game is one laptop, its owner, and somebody who has it for a while between two starts.
type game struct {
	w       *wizardtest.World
	rand    *rand.Rand
	owner   *owner
	boots   []bootState // /boot as it was at earlier times, and on another laptop of the same owner
	disks   []wizardtest.Volume
	card    wizardtest.CardState // the real one, while another one is in its place
	swapped bool
	header  bool // an earlier header was put back: what is under another key is then lost by that
	did     []string
}

// bootState is all that anybody can put back into /boot.
type bootState struct {
	hints map[string][]byte
	set   wizardtest.BootSet
	stage *wizardtest.BootSet
	oem   bool
	files string
}

func (g *game) look() bootState {
	b := bootState{maps.Clone(g.w.Hints), g.w.Set, g.w.Stage, g.w.Oem, g.w.Files}
	return b
}

// remember keeps what there is to put back later.
func (g *game) remember() {
	g.boots = append(g.boots, g.look())
	for _, v := range g.w.Disks {
		n := *v
		n.Slots, n.Chunks = slices.Clone(v.Slots), nil
		g.disks = append(g.disks, n)
	}
}

func (g *game) anyBoot() bootState { return g.boots[g.rand.IntN(len(g.boots))] }

func (g *game) anyHint(of map[string][]byte) string {
	if names := slices.Sorted(maps.Keys(of)); len(names) > 0 {
		return names[g.rand.IntN(len(names))]
	}
	return "kexec_reown.receipt"
}

// acts are what she can do, by what it takes.
var acts = []struct {
	power, name string
	do          func(*game)
}{
	{"boot", "adds oem", func(g *game) { g.w.Oem = true }},
	{"boot", "deletes oem", func(g *game) { g.w.Oem = false }},
	{"boot", "deletes a note", func(g *game) { delete(g.w.Hints, g.anyHint(g.w.Hints)) }},
	{"boot", "deletes all notes", func(g *game) { clear(g.w.Hints) }},
	{"boot", "deletes the receipt", func(g *game) { delete(g.w.Hints, "kexec_reown.receipt") }},
	{"boot", "deletes the certificate", func(g *game) {
		delete(g.w.Hints, "kexec_reown.certificate.json")
		delete(g.w.Hints, "kexec_reown.certificate")
	}},
	{"boot", "spoils a note", func(g *game) {
		if n := g.anyHint(g.w.Hints); len(g.w.Hints[n]) > 0 {
			b := slices.Clone(g.w.Hints[n])
			b[g.rand.IntN(len(b))] ^= 1 << g.rand.IntN(8)
			g.w.Hints[n] = b
		}
	}},
	{"boot", "truncates a note", func(g *game) {
		if n := g.anyHint(g.w.Hints); len(g.w.Hints[n]) > 0 {
			g.w.Hints[n] = g.w.Hints[n][:g.rand.IntN(len(g.w.Hints[n]))]
		}
	}},
	{"boot", "puts an old note back", func(g *game) {
		b := g.anyBoot()
		if n := g.anyHint(b.hints); b.hints[n] != nil {
			g.w.Hints[n] = b.hints[n]
		}
	}},
	{"boot", "puts an old receipt back", func(g *game) {
		if b := g.anyBoot().hints["kexec_reown.receipt"]; b != nil {
			g.w.Hints["kexec_reown.receipt"] = b
		}
	}},
	{"boot", "puts all old notes back", func(g *game) { g.w.Hints = maps.Clone(g.anyBoot().hints) }},
	{"boot", "puts an old /boot back", func(g *game) {
		b := g.anyBoot()
		g.w.Hints, g.w.Set, g.w.Stage, g.w.Oem, g.w.Files = maps.Clone(b.hints), b.set, b.stage, b.oem, b.files
	}},
	{"boot", "puts an old staged set back", func(g *game) { g.w.Stage = g.anyBoot().stage }},
	{"boot", "puts an old signed set back", func(g *game) { g.w.Set = g.anyBoot().set }},
	{"boot", "changes the kernel", func(g *game) { g.w.Files = "evil" }},
	{"boot", "signs a kernel of her own", func(g *game) {
		cert, _ := g.w.Forge()
		fprs, _ := g.w.Machine().PGP.Fingerprints(cert)
		g.w.Files, g.w.Set = "evil", wizardtest.BootSet{Signer: fprs[0], Files: "evil", Oem: true}
	}},
	{"boot", "stages a kernel of her own", func(g *game) {
		cert, _ := g.w.Forge()
		fprs, _ := g.w.Machine().PGP.Fingerprints(cert)
		g.w.Stage = &wizardtest.BootSet{Signer: fprs[0], Files: g.w.Files}
		g.w.Hints["kexec_reown.asc"] = cert
	}},
	{"boot", "forges notes", func(g *game) { g.forge(false) }},
	{"parcel", "exchanges the key, and forges notes by it", func(g *game) { g.forge(true) }},
	{"parcel", "exchanges the key for an empty one", func(g *game) {
		g.exchange(wizardtest.CardState{CardIn: true, Serial: g.w.Serial, UserPIN: "123456", AdminPIN: "12345678", Tries: [3]int{3, 0, 3}})
	}},
	{"parcel", "resets the key", func(g *game) {
		g.exchange(wizardtest.CardState{CardIn: true, Serial: g.w.Serial, UserPIN: "123456", AdminPIN: "12345678", Tries: [3]int{3, 0, 3}})
		g.swapped = false
	}},
	{"disk", "sets the flag of a re-encryption", func(g *game) {
		if v := g.w.Disks[0]; v.NewKey == "" {
			v.NewKey, v.Done = "key-evil", 0
		}
	}},
	{"disk", "puts an old header back", func(g *game) {
		if len(g.disks) == 0 {
			return
		}
		o := g.disks[g.rand.IntN(len(g.disks))]
		v := g.w.Disks[0]
		if v.UUID == o.UUID && (v.Key != o.Key || v.NewKey != o.NewKey || v.Done != o.Done) {
			v.Slots, v.Key, v.NewKey, v.Done, v.DUK = slices.Clone(o.Slots), o.Key, o.NewKey, o.Done, o.DUK
			g.header = true
		}
	}},
	{"shell", "clears the TPM", func(g *game) {
		g.w.Owner, g.w.Primary, g.w.Sealed, g.w.Area, g.w.Counter, g.w.DUKObject = "", "", nil, wizardtest.Area{}, 0, nil
	}},
	{"shell", "takes the TPM, and opens an area of her own", func(g *game) {
		g.w.Owner, g.w.Primary, g.w.Sealed, g.w.Counter, g.w.DUKObject = "evil", "srk-evil", nil, 0, nil
		g.w.Area = wizardtest.Area{Anchor: wizard.Anchor{State: wizard.AnchorOpen, Run: [32]byte{1}}, Owner: "evil"}
	}},
	{"clock", "moves the clock", func(g *game) { g.w.Clock = g.w.Clock.Add(time.Duration(g.rand.IntN(2000)-1000) * time.Hour) }},
}

// exchange puts another card in the place of the owner's.
func (g *game) exchange(c wizardtest.CardState) {
	if !g.swapped {
		g.card, g.swapped = g.w.CardState, true
	}
	g.w.CardState = c
}

// forge writes the notes of a run of hers, from all that is public: by a key of her own, and for one
// that is in the reader, if she exchanges that.
func (g *game) forge(exchange bool) {
	cert, sign := g.w.Forge()
	fprs, _ := g.w.Machine().PGP.Fingerprints(cert)
	doc := map[string]any{"type": "reown/receipt/v2", "run": strings.Repeat("ee", 16), "number": 1, "card": g.w.Serial, "ek": g.w.EK,
		"disks": []string{g.w.Disks[0].UUID}, "sellerKey": g.w.Seller.Signer, "statement": g.w.Seller.Statement, "oldSrk": g.w.SellerSRK}
	if old, _, ok := bytes.Cut(g.anyBoot().hints["kexec_reown.receipt"], []byte("-----BEGIN")); ok && g.rand.IntN(2) == 0 {
		_ = json.Unmarshal(old, &doc)
		doc["number"] = 1
	} else {
		v := g.w.Disks[0]
		key := v.Key
		if v.NewKey != "" {
			key = v.NewKey
		}
		doc["volumes"] = []map[string]any{{"uuid": v.UUID, "keyDigest": "digest-of-key-0", "new": "digest-of-" + key, "bind": "0", "begun": true}}
		if g.rand.IntN(2) == 0 {
			doc["srk"] = g.w.Primary
		}
	}
	b, _ := json.Marshal(doc)
	b = append(b, '\n')
	g.w.Hints["kexec_reown.asc"] = cert
	g.w.Hints["kexec_reown.receipt"] = append(b, sign(b)...)
	if exchange {
		g.exchange(wizardtest.CardState{CardIn: true, Serial: g.w.Serial, Fprs: fprs, Tries: [3]int{3, 0, 3}, Signatures: 1, Evil: true})
	}
}

// owner answers as a person of one kind does.
type owner struct {
	*person
	enter  bool // Enter on every page
	seller bool // types the seller's passphrase where the own one is asked for
	alarm  []string
	err    error
}

func (o *owner) Ask(ctx context.Context, pg *ui.Page) (string, error) {
	if pg.Alarm {
		o.alarm = append(o.alarm, pg.Key)
	}
	if o.enter && pg.Default == ui.NoDefault { // and goes away in the end
		o.pages = append(o.pages, pg.Key)
		return ui.Leave, nil
	}
	if o.enter && pg.Default < len(pg.Choices) && !pg.Choices[pg.Default].Checks {
		o.pages = append(o.pages, pg.Key)
		if o.steps++; o.steps > 100 {
			return "", errTired
		}
		return pg.Choices[pg.Default].ID, nil
	}
	if pg.Alarm && !o.enter { // whoever reads does not go past an alarm
		for _, c := range pg.Choices {
			if c.ID == "stop" || c.ID == "end" || c.ID == "remove" || c.ID == ui.Leave {
				o.pages = append(o.pages, pg.Key)
				return c.ID, nil
			}
		}
	}
	if o.seller && pg.Key == "paper.disk" {
		if o.steps++; o.steps > 5 {
			return ui.Leave, nil
		}
		in := pg.Inputs[0]
		in.Secret.SetLen(len(wizardtest.SellerPassphrase))
		copy(in.Secret.Bytes(), wizardtest.SellerPassphrase)
		if pg.Check(ctx) == nil {
			o.err = errors.New("the seller's passphrase was taken for the owner's")
		}
		return ui.Leave, nil
	}
	if pg.Key == "verify" && !slices.ContainsFunc(pg.Choices, func(c ui.Choice) bool { return c.ID == "match" }) {
		o.pages = append(o.pages, pg.Key)
		return "stop", nil
	}
	return o.person.Ask(ctx, pg)
}

// start is one start of the laptop, and what must hold of it.
func (g *game) start(t *testing.T) error {
	o := g.owner
	o.steps, o.pages, o.alarm, o.err = 0, nil, nil, nil
	before := len(g.w.SignedSets)
	err := wizard.Run(t.Context(), g.w.Machine(), o, wizard.Options{Language: "en"})
	if o.err != nil {
		return o.err
	}
	for _, s := range g.w.SignedSets[before:] {
		if s.Files != "files-1" {
			return fmt.Errorf("%q was signed", s.Files)
		}
	}
	if g.w.Known() == "evil" {
		return errors.New("the chip trusts a key that somebody else knows")
	}
	for _, v := range g.w.Disks {
		if v.Garbage {
			return errors.New("sectors were encrypted twice")
		}
	}
	shown := func(keys ...string) bool {
		return slices.ContainsFunc(o.pages, func(k string) bool { return slices.Contains(keys, k) })
	}
	for _, op := range g.w.Ops {
		if family, _, _ := strings.Cut(op, "."); slices.Contains([]string{"disk", "tpm", "flash", "card"}, family) && !shown("verify", "paper.disk", "paper.owner") {
			return fmt.Errorf("%s, and nobody was asked whose it is: %v", op, o.pages)
		}
	}
	if len(o.alarm) > 0 && !o.enter {
		for _, op := range g.w.Ops {
			if strings.HasPrefix(op, "flash.") || strings.HasPrefix(op, "disk.") || strings.HasPrefix(op, "card.t") {
				return fmt.Errorf("%s, after the alarm %v: %v", op, o.alarm, o.pages)
			}
		}
	}
	if err == nil && !g.w.Oem && !shown("tampering", "closing") {
		if err := g.w.Owned(o.paper); err != nil {
			return fmt.Errorf("done, and %w", err)
		}
	}
	return nil
}

// games plays one: a buyer's laptop that is cut anywhere, or one that is finished.
func play(t *testing.T, seed uint64) (err error, did string, ends string) {
	r := rand.New(rand.NewPCG(seed, 666))
	g := &game{w: wizardtest.New(), rand: r}
	g.w.HasTPM = r.IntN(3) != 0
	if !g.w.HasTPM {
		g.w.Seller.SRKName = ""
	}
	g.owner = &owner{person: &person{rand: r, w: g.w, calm: 1}, enter: r.IntN(6) == 0, seller: r.IntN(8) == 0}
	g.w.NoCount = r.IntN(10) == 0
	g.remember()
	finish := func() error {
		return wizard.Run(t.Context(), g.w.Machine(), &owner{person: g.owner.person}, wizard.Options{Language: "en"})
	}
	switch r.IntN(3) {
	case 0: // finished
		n := 0
		g.w.Fault = func(string) error {
			if n++; n%40 == 0 {
				g.remember()
			}
			return nil
		}
		if err := finish(); err != nil {
			return fmt.Errorf("the first run: %w", err), "", ""
		}
		g.remember()
	case 1: // cut
		g.w.Cut(r.IntN(190))
		_ = finish()
	}
	for range 1 + r.IntN(3) {
		g.w.Reboot()
		g.remember()
		for range 1 + r.IntN(3) {
			a := acts[r.IntN(len(acts))]
			if a.power == "shell" && !g.w.HasTPM {
				continue
			}
			a.do(g)
			g.did = append(g.did, a.name)
		}
		lost := slices.Contains(g.did, "deletes all notes") || slices.ContainsFunc(g.did, func(d string) bool {
			return strings.Contains(d, "note") || strings.Contains(d, "/boot") || strings.Contains(d, "receipt")
		})
		if g.header && lost {
			// Without the receipt nobody can tell a header of before from one that was never changed.
			return nil, strings.Join(g.did, ", "), "left out"
		}
		g.w.Ops = nil
		if err := g.start(t); err != nil {
			return err, strings.Join(g.did, ", "), ""
		}
	}
	// The real key is in the owner's pocket.
	if g.swapped {
		g.w.CardState = g.card
	}
	return nil, strings.Join(g.did, ", "), ""
}

// TestTheMaid plays against somebody who has the laptop, its parcel or its disk between two starts.
// Two things are not lost games, because nothing on the laptop can tell: a security key that was
// exchanged before the first start for one whose maker knows what it makes, and an old header
// together with the loss of the receipt that would name it.
func TestTheMaid(t *testing.T) {
	n, from := 150, 0
	if os.Getenv("REOWN_SOAK") == "1" {
		n = 20_000
	}
	lost, out := 0, 0
	for seed := from; seed < from+n; seed++ {
		err, did, how := play(t, uint64(seed))
		if how != "" {
			out++
		}
		if err != nil {
			if lost++; lost < 12 {
				t.Errorf("game %d: %v\nshe %s", seed, err, did)
			}
		}
	}
	if out > n/10 {
		t.Errorf("%d of %d games are left out", out, n)
	}
	t.Logf("%d games, %d lost, %d left out", n, lost, out)
}

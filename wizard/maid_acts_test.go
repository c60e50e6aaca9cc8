package wizard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"reown/wizard"
	"reown/wizard/wizardtest"
)

// game is one laptop, its owner, and somebody who has it for a while between two starts.
type game struct {
	ctx     context.Context
	w       *wizardtest.World
	rand    *rand.Rand
	owner   *owner
	past    []*wizardtest.World  // the laptop at earlier times, and another one of the same buyer
	own     int                  // of which so many are this one
	first   *wizardtest.World    // as it was delivered
	card    wizardtest.CardState // the real one, while another one is in its place
	token   string               // and the secret for its green light
	hidden  []*wizardtest.Volume // that cannot be found any more
	swapped bool
	maker   bool // an exchanged key was in the reader before the owner's keys were made
	header  bool // an earlier header was put back: what is under another key is then lost by that
	rewound bool // and it was of the re-encryption under way, from when less was done
	notes   bool // notes in /boot were taken away or exchanged
	closed  bool // the newest run is over
	did     []string
	begins  bool   // all that the seller promised was so when keys were made last
	began   []bool // and when each of these runs began
	runs    []string
	alien   wizardtest.CardState
	text    []byte // of another laptop's certificate: made words can stand side by side there, too
	honest  bool   // nobody attacks
	last    bool   // and the power stays on
}

// remember keeps what there is to put back later.
func (g *game) remember() {
	g.past = slices.Insert(g.past, g.own, g.w.Clone())
	g.own++
}

func (g *game) any() *wizardtest.World { return g.past[g.rand.IntN(len(g.past))] }

func (g *game) anyHint(of map[string][]byte) string {
	if names := slices.Sorted(maps.Keys(of)); len(names) > 0 {
		return names[g.rand.IntN(len(names))]
	}
	return receiptFile
}

const receiptFile, certFile = "kexec_reown.receipt", "kexec_reown.asc"

// act is something that she can do, by what it takes.
type act struct {
	power, name string
	do          func(*game)
}

var acts = []act{
	{"boot", "adds oem", func(g *game) { g.w.Oem = true }},
	{"boot", "deletes oem", func(g *game) { g.w.Oem = false }},
	{"boot", "deletes a note", func(g *game) { g.notes = true; delete(g.w.Hints, g.anyHint(g.w.Hints)) }},
	{"boot", "deletes all notes", func(g *game) { g.notes = true; clear(g.w.Hints) }},
	{"boot", "deletes the receipt", func(g *game) { g.notes = true; delete(g.w.Hints, receiptFile) }},
	{"boot", "deletes the owner's certificate", func(g *game) { g.notes = true; delete(g.w.Hints, certFile) }},
	{"boot", "deletes the certificate", func(g *game) {
		delete(g.w.Hints, "kexec_reown.certificate.json")
		delete(g.w.Hints, "kexec_reown.certificate")
	}},
	{"boot", "spoils a note", func(g *game) {
		g.notes = true
		if n := g.anyHint(g.w.Hints); len(g.w.Hints[n]) > 0 {
			b := slices.Clone(g.w.Hints[n])
			b[g.rand.IntN(len(b))] ^= 1 << g.rand.IntN(8)
			g.w.Hints[n] = b
		}
	}},
	{"boot", "truncates a note", func(g *game) {
		g.notes = true
		if n := g.anyHint(g.w.Hints); len(g.w.Hints[n]) > 0 {
			g.w.Hints[n] = g.w.Hints[n][:g.rand.IntN(len(g.w.Hints[n]))]
		}
	}},
	{"boot", "puts an old note back", func(g *game) {
		g.notes = true
		b := g.any()
		if n := g.anyHint(b.Hints); b.Hints[n] != nil {
			g.w.Hints[n] = b.Hints[n]
		}
	}},
	{"boot", "puts an old receipt back", func(g *game) {
		g.notes = true
		if b := g.any().Hints[receiptFile]; b != nil {
			g.w.Hints[receiptFile] = b
		}
	}},
	{"boot", "puts an old receipt and the file back", func(g *game) {
		g.notes, g.w.Oem = true, true
		if b := g.any().Hints[receiptFile]; b != nil {
			g.w.Hints[receiptFile] = b
		}
	}},
	{"boot", "puts all old notes back", func(g *game) { g.notes = true; g.w.Hints = maps.Clone(g.any().Hints) }},
	{"boot", "puts an old /boot back", func(g *game) {
		g.notes = true
		b := g.any()
		g.w.Hints, g.w.Set, g.w.Stage, g.w.Oem, g.w.Files = maps.Clone(b.Hints), b.Set, b.Stage, b.Oem, b.Files
	}},
	{"boot", "puts an old staged set back", func(g *game) { g.w.Stage = g.any().Stage }},
	{"boot", "puts an old signed set back", func(g *game) { g.w.Set = g.any().Set }},
	{"boot", "puts one part of an old signed set back", func(g *game) { g.w.Set = g.mix(g.w.Set, g.any().Set) }},
	{"boot", "puts one part of an old staged set back", func(g *game) {
		if a, b := g.w.Stage, g.any().Stage; a != nil && b != nil {
			set := g.mix(*a, *b)
			g.w.Stage = &set
		}
	}},
	{"boot", "stages an old signed set", func(g *game) { set := g.any().Set; g.w.Stage = &set }},
	{"boot", "puts old start files back", func(g *game) { g.w.Files = g.any().Files }},
	{"boot", "puts another hand-over folder in place", func(g *game) { g.w.Seller = g.any().Seller }},
	{"boot", "takes the hand-over folder away", func(g *game) { g.w.Seller = wizard.Handover{} }},
	{"boot", "adds a file that no firmware writes", func(g *game) { g.w.Unknown = []string{"kexec_zz.txt"} }},
	{"boot", "takes the certificate for a receipt", func(g *game) {
		g.notes = true
		g.w.Hints[receiptFile] = slices.Concat(g.w.Hints["kexec_reown.certificate.json"],
			g.w.Hints["kexec_reown.certificate.json.asc"])
	}},
	{"boot", "puts a receipt of an older program back", func(g *game) { g.olderReceipt() }},
	{"boot", "changes the kernel", func(g *game) { g.w.Files = "evil" }},
	{"boot", "changes the kernel, and adds oem", func(g *game) { g.w.Files, g.w.Oem = "evil", true }},
	{"boot", "signs a kernel of her own", func(g *game) {
		cert, _ := g.w.Forge()
		g.w.Files, g.w.Set = "evil", wizardtest.BootSet{Signer: g.fprs(cert)[0], Files: "evil", Oem: true}
	}},
	{"boot", "stages a kernel of her own", func(g *game) {
		g.notes = true
		cert, _ := g.w.Forge()
		g.w.Stage = &wizardtest.BootSet{Signer: g.fprs(cert)[0], Files: g.w.Files}
		g.w.Hints[certFile] = cert
	}},
	{"boot", "forges notes", func(g *game) { g.forge(false) }},
	{"parcel", "exchanges the key, and forges notes by it", func(g *game) { g.forge(true) }},
	{"parcel", "exchanges the key for an empty one", func(g *game) { g.exchange(g.factory(g.first.Serial, false)) }},
	{"parcel", "exchanges the key for one that makes known keys",
		func(g *game) { g.exchange(g.factory(g.first.Serial, true)) }},
	{"parcel", "exchanges the key for one that takes any PIN and claims the keys", func(g *game) {
		c := g.w.CardState
		c.Evil, c.Claims, c.CardIn, c.Tries = true, true, true, [3]int{3, 0, 3}
		g.exchange(c)
	}},
	{"parcel", "exchanges the key for another machine's", func(g *game) { g.exchange(g.alien) }},
	{"parcel", "resets the key", func(g *game) {
		if g.w.Serial != g.alien.Serial {
			g.w.CardState = g.factory(g.first.Serial, g.w.Evil)
		}
	}},
	{"disk", "sets the flag of a re-encryption", func(g *game) {
		if v := g.disk(); v != nil && v.NewKey == "" {
			v.NewKey, v.Done = "key-evil", 0
		}
	}},
	{"disk", "puts an old header back", func(g *game) {
		old := g.past[g.rand.IntN(g.own)]
		v := g.disk()
		if v == nil || len(old.Disks) == 0 {
			return
		}
		o := old.Disks[0]
		if v.UUID == o.UUID && (v.Key != o.Key || v.NewKey != o.NewKey || v.Done != o.Done) {
			g.rewound = g.rewound || o.NewKey != "" && (o.NewKey == v.NewKey && o.Done < v.Done || o.NewKey == v.Key)
			v.Slots, v.Key, v.NewKey, v.Done, v.DUK, v.Salt, v.Digest = slices.Clone(o.Slots), o.Key, o.NewKey, o.Done, o.DUK,
				o.Salt, o.Digest
			g.header = true
		}
	}},
	{"disk", "salts the digest anew", func(g *game) {
		if v := g.disk(); v != nil {
			v.Salt = "-salted"
		}
	}},
	{"disk", "writes the digest that a receipt names", func(g *game) {
		if v := g.disk(); v != nil {
			v.Digest = "digest-of-key-0"
			doc := map[string]any{}
			if old, _, ok := bytes.Cut(g.w.Hints[receiptFile], []byte("\n")); ok && json.Unmarshal(old, &doc) == nil &&
				g.rand.IntN(2) == 0 {
				for _, x := range list(doc["volumes"]) {
					v.Digest, _ = x["new"].(string)
				}
			}
			g.header = true
		}
	}},
	{"disk", "hides the disks", func(g *game) {
		if len(g.w.Disks) > 0 {
			g.hidden, g.w.Disks = g.w.Disks, nil
		}
	}},
	{"disk", "finds the disks again", func(g *game) { g.show() }},
	{"shell", "clears the TPM", func(g *game) {
		g.w.Owner, g.w.Primary, g.w.Sealed, g.w.Area, g.w.Counter, g.w.DUKObject = "", "", nil, wizardtest.Area{}, 0, nil
	}},
	{"shell", "takes the TPM, and opens an area of her own", func(g *game) {
		g.w.Owner, g.w.Primary, g.w.Sealed, g.w.Counter, g.w.DUKObject = "evil", "srk-evil", nil, 0, nil
		g.w.Area = wizardtest.Area{Anchor: wizard.Anchor{State: wizard.AnchorOpen, Run: [32]byte{1}}, Owner: "evil"}
	}},
	{"shell", "undefines the area", func(g *game) { g.w.Area = wizardtest.Area{} }},
	{"system", "undefines the sealed secret", func(g *game) { g.w.Sealed = nil }},
	{"clock", "moves the clock", func(g *game) {
		g.w.Clock = g.w.Clock.Add(time.Duration(g.rand.IntN(2000)-1000) * time.Hour)
	}},
}

// mix puts one file of another signed set into one. Only parts that were signed together verify.
func (g *game) mix(set, old wizardtest.BootSet) wizardtest.BootSet {
	switch set.Mixed = true; g.rand.IntN(8) {
	case 0:
		set.Signer = old.Signer
	case 1:
		set.Files = old.Files // kexec_hashes.txt
	case 2:
		set.Rollback = old.Rollback
	case 3:
		set.Primary = old.Primary
	case 4:
		set.HOTP = old.HOTP
	case 5:
		set.DUK = old.DUK
	case 6:
		set.Entry = old.Entry // kexec_default.1.txt
	case 7:
		set.Oem = old.Oem
	}
	whole := set
	whole.Mixed = false
	for _, w := range append(g.past, g.w) {
		if w.Set == whole || w.Stage != nil && *w.Stage == whole {
			return whole
		}
	}
	return set
}

func list(v any) (all []map[string]any) {
	l, _ := v.([]any)
	for _, x := range l {
		if m, ok := x.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// show lets hidden disks be found again.
func (g *game) show() {
	if g.hidden != nil {
		g.w.Disks, g.hidden = g.hidden, nil
	}
}

func (g *game) disk() *wizardtest.Volume {
	if len(g.w.Disks) == 0 {
		return nil
	}
	return g.w.Disks[0]
}

func (g *game) fprs(cert []byte) [3]string {
	fprs, _ := g.w.Machine().PGP.Fingerprints(cert)
	return fprs
}

func (g *game) factory(serial string, evil bool) wizardtest.CardState {
	return wizardtest.CardState{CardIn: true, Serial: serial, UserPIN: "123456", AdminPIN: "12345678",
		Tries: [3]int{3, 0, 3}, Evil: evil}
}

// exchange puts another card in the place of the owner's.
func (g *game) exchange(c wizardtest.CardState) {
	if !g.swapped {
		g.card, g.token, g.swapped = g.w.CardState, g.w.TokenOTP, true
	}
	g.w.CardState, g.w.TokenOTP = c, ""
	g.maker = g.maker || c.Evil
}

// forge writes the notes of a run of hers, from all that is public: by a key of her own, and for one
// that is in the reader, if she exchanges that.
func (g *game) forge(exchange bool) {
	g.notes = true
	cert, sign := g.w.Forge()
	doc := map[string]any{"type": "reown/receipt/v2", "run": strings.Repeat("ee", 16), "number": 1, "card": g.w.Serial,
		"ek":        g.w.EK,
		"sellerKey": g.w.Seller.Signer, "statement": g.w.Seller.Statement, "oldSrk": g.w.SellerSRK}
	if old, _, ok := bytes.Cut(g.any().Hints[receiptFile], []byte("\n")); ok && g.rand.IntN(2) == 0 {
		_ = json.Unmarshal(old, &doc)
		doc["number"] = 1
	} else if v := g.disk(); v != nil {
		key := v.Key
		if v.NewKey != "" {
			key = v.NewKey
		}
		doc["disks"] = []string{v.UUID}
		doc["volumes"] = []map[string]any{{"uuid": v.UUID, "keyDigest": "digest-of-key-0", "new": "digest-of-" + key,
			"bind": "0", "begun": true}}
		if g.rand.IntN(2) == 0 {
			doc["srk"] = g.w.Primary
		}
	}
	b, _ := json.Marshal(doc)
	b = append(b, '\n')
	g.w.Hints[certFile] = cert
	g.w.Hints[receiptFile] = append(b, sign(b)...)
	if exchange {
		g.exchange(wizardtest.CardState{CardIn: true, Serial: g.first.Serial, Fprs: g.fprs(cert), Tries: [3]int{3, 0, 3},
			Signatures: 1, Evil: true})
	}
}

// olderReceipt is one of a program that knew no numbers, by the key that the card has now.
func (g *game) olderReceipt() {
	old, _, ok := bytes.Cut(g.any().Hints[receiptFile], []byte("\n"))
	doc := map[string]any{}
	if !ok || json.Unmarshal(old, &doc) != nil {
		return
	}
	doc["type"] = "reown/receipt/v1"
	for _, name := range []string{"number", "run", "closing"} {
		delete(doc, name)
	}
	b, _ := json.Marshal(doc)
	b = append(b, '\n')
	g.notes = true
	g.w.Hints[receiptFile] = append(b, g.w.Armor(g.w.Fprs[0], b)...)
}

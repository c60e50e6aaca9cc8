package wizard

import (
	"strings"
	"time"

	"reown/internal/escape"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// A File is one file of a certificate.
type File struct {
	Name string // no directories; letters, digits, dots and hyphens
	Data []byte
}

// Files are the certificate for a stick or a printer: the text and the JSON form, each
// with its detached signature (.asc), and the owner's OpenPGP key, with which gpg
// verifies both. Nothing in them is secret.
func (c *Certificate) Files() []File {
	name := "reown-" + c.Reference
	return []File{{name + ".txt", c.text}, {name + ".txt.asc", c.textSig}, {name + ".json", c.json},
		{name + ".json.asc", c.jsonSig}, {name + "-key.pgp", c.cert}}
}

// certificateWidth is the width of the text form, in columns.
const certificateWidth = 80

// Text is the certificate for people, to be printed or photographed: lines of at
// most 80 columns.
func (c *Certificate) Text(l msg.Lang) string {
	p := &paper{lang: l}
	c.textWho(p)
	c.textChecks(p)
	c.textMeasured(p)
	p.head(msg.PaperLimits)
	for _, m := range []msg.M{msg.PaperNotTried, msg.PaperNotSeller, msg.PaperNotHardware, msg.PaperNotFirmware,
		msg.PaperNotWatched} {
		p.para("- " + m.In(l))
	}
	p.head(msg.PaperVerify)
	p.para(msg.PaperHow.In(l))
	p.line("  gpg --import KEY")
	p.line("  gpg --verify SIGNATURE TEXT")
	p.para(msg.PaperFiles.In(l, c.Reference))
	return p.String()
}

// A paper is a text in the making.
type paper struct {
	strings.Builder
	lang msg.Lang
}

func (p *paper) line(s string) { p.WriteString(strings.TrimRight(s, " ") + "\n") }

func (p *paper) para(s string) {
	for _, l := range ui.Wrap(s, certificateWidth) {
		p.line(l)
	}
}

func (p *paper) head(m msg.M) {
	p.line("")
	p.line(strings.ToUpper(m.In(p.lang)))
}

func (p *paper) row(m msg.M, value string) {
	const column = 22
	for i, v := range ui.Wrap(value, certificateWidth-column) {
		name := ""
		if i == 0 {
			name = m.In(p.lang)
		}
		p.line(name + strings.Repeat(" ", max(1, column-len([]rune(name)))) + v)
	}
}

// digest fills a line of its own.
func (p *paper) digest(what, hex string) {
	p.line("  " + what)
	p.line("    " + escape.Text(hex))
}

func (p *paper) known(s string) string {
	if s == "" {
		return msg.PaperUnknown.In(p.lang)
	}
	return escape.Text(s)
}

func (c *Certificate) textWho(p *paper) {
	p.line(msg.PaperTitle.In(p.lang, c.Reference))
	p.line(strings.Repeat("=", certificateWidth))
	p.para(msg.PaperWhat.In(p.lang, clock(c.Date)))
	p.line("")
	p.row(msg.PaperBoard, escape.Text(c.Board))
	if who := c.Identity.text(); who != "" {
		p.row(msg.PaperOwner, escape.Text(who))
	}
	p.row(msg.PaperOwnerKey, groups(c.Owner))
	p.row(msg.PaperCard, escape.Text(c.CardSerial))
	p.row(msg.PaperSeller, p.known(c.Seller))
	if c.SellerKey != "" {
		p.row(msg.PaperSellerKey, groups(c.SellerKey))
	}
	p.row(msg.PaperOrder, p.known(c.Order))
}

func (c *Certificate) textChecks(p *paper) {
	p.head(msg.PaperChecks)
	all := msg.PaperNotAll
	if c.Passed() == len(c.Checks) {
		all = msg.PaperAll
	}
	p.para(all.In(p.lang, c.Passed(), len(c.Checks)))
	for _, k := range c.Checks {
		mark, text := k.text(p.lang)
		p.para(mark.String() + " " + text)
	}
	for _, part := range c.Plain {
		p.para(ui.Unsure.String() + " " + msg.PaperPlain.In(p.lang, escape.Text(partText(part))))
	}
	if c.LeftOut != nil {
		p.para(ui.Bad.String() + " " + msg.DisksWhy.In(p.lang))
	}
	for _, u := range c.LeftOut {
		p.para(ui.Bad.String() + " " + msg.DiskOut.In(p.lang) + ": " + escape.Text(u))
	}
	for _, d := range c.Alone {
		p.para(ui.Unsure.String() + " " + msg.PaperAlone.In(p.lang, d))
	}
	if c.Statement != "" {
		p.line("")
		p.digest(msg.PaperStatement.In(p.lang), c.Statement)
	}
}

func (c *Certificate) textMeasured(p *paper) {
	p.head(msg.PaperMeasured)
	for _, v := range c.Volumes {
		p.digest(msg.PaperVolume.In(p.lang, escape.Text(v.UUID)), v.KeyDigest)
	}
	for _, t := range c.Trials {
		p.digest(msg.PaperSlots.In(p.lang, escape.Text(t.UUID)), t.Slots)
	}
	for _, v := range c.rekeyed() {
		how := msg.PaperSkipped
		if v.Fill {
			how = msg.PaperFilled
		}
		p.para("  " + how.In(p.lang, escape.Text(v.UUID)))
		if v.Lost != nil {
			p.para("  " + msg.PaperLost.In(p.lang, escape.Text(v.UUID), size(v.Lost), where(v.Lost, len(v.Lost))))
		}
	}
	if c.StorageRoot != "" {
		p.digest(msg.PaperRoot.In(p.lang), c.StorageRoot)
	}
	if c.Firmware != "" {
		p.digest(msg.PaperFirmware.In(p.lang), c.Firmware)
	}
}

// rekeyed are the volumes that the run has re-encrypted.
func (c *Certificate) rekeyed() (all []Rekey) {
	if c.Run == nil {
		return nil
	}
	for _, v := range c.Run.Volumes {
		if v.Reached {
			all = append(all, v)
		}
	}
	return all
}

// checkNames are the checks in words.
var checkNames = map[string]msg.M{
	"passphrase": msg.CheckPassphrase, "volume-key": msg.CheckVolumeKey, "second-reader": msg.CheckSecondRead,
	"firmware-key":   msg.CheckFirmwareKey,
	"boot-signature": msg.CheckBootSignature, "tpm": msg.CheckTPM, "sealed": msg.CheckSealed, "seller": msg.CheckSeller,
	"sellers-card": msg.CheckSellersCard, "all-encrypted": msg.CheckAllEncrypted,
}

// text is a row for people.
func (k Check) text(l msg.Lang) (ui.Mark, string) {
	name := checkNames[k.ID].In(l)
	switch {
	case k.OK && k.Since != "":
		return ui.OK, msg.CheckSince.In(l, name, clock(k.Since))
	case k.OK:
		return ui.OK, name
	case k.Tried:
		return ui.Bad, name
	}
	return ui.Unsure, msg.CheckNot.In(l, name)
}

// clock is a time of RFC 3339 as people read it.
func clock(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return escape.Text(s)
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func angled(mail string) string {
	if mail == "" {
		return ""
	}
	return "<" + mail + ">"
}

// groups is a fingerprint in full, as gpg prints it.
func groups(fpr string) string {
	var out []string
	for i := 0; i < len(fpr); i += 4 {
		out = append(out, fpr[i:min(i+4, len(fpr))])
	}
	return escape.Text(strings.Join(out, " "))
}

// text is the name for people.
func (i Identity) text() string { return strings.TrimSpace(i.Name + " " + angled(i.Email)) }

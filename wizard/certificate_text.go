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
	return []File{{name + ".txt", c.text}, {name + ".txt.asc", c.textSig}, {name + ".json", c.json}, {name + ".json.asc", c.jsonSig}, {name + "-key.pgp", c.cert}}
}

// certificateWidth is the width of the text form, in columns.
const certificateWidth = 80

// Text is the certificate for people, to be printed or photographed: lines of at
// most 80 columns.
func (c *Certificate) Text(l msg.Lang) string {
	var b strings.Builder
	line := func(s string) { b.WriteString(strings.TrimRight(s, " ") + "\n") }
	para := func(s string) {
		for _, l := range ui.Wrap(s, certificateWidth) {
			line(l)
		}
	}
	head := func(m msg.M) { line(""); line(strings.ToUpper(m.In(l))) }
	row := func(m msg.M, value string) {
		const column = 22
		for i, v := range ui.Wrap(value, certificateWidth-column) {
			name := ""
			if i == 0 {
				name = m.In(l)
			}
			line(name + strings.Repeat(" ", max(1, column-len([]rune(name)))) + v)
		}
	}
	// A digest fills a line of its own.
	digest := func(what, hex string) {
		line("  " + what)
		line("    " + escape.Text(hex))
	}

	line(msg.PaperTitle.In(l, c.Reference))
	line(strings.Repeat("=", certificateWidth))
	para(msg.PaperWhat.In(l, clock(c.Date)))
	line("")
	row(msg.PaperBoard, escape.Text(c.Board))
	if who := c.Identity.text(); who != "" {
		row(msg.PaperOwner, escape.Text(who))
	}
	row(msg.PaperOwnerKey, groups(c.Owner))
	row(msg.PaperCard, escape.Text(c.CardSerial))
	known := func(s string) string {
		if s == "" {
			return msg.PaperUnknown.In(l)
		}
		return escape.Text(s)
	}
	row(msg.PaperSeller, known(c.Seller))
	if c.SellerKey != "" {
		row(msg.PaperSellerKey, groups(c.SellerKey))
	}
	row(msg.PaperOrder, known(c.Order))

	head(msg.PaperChecks)
	if n := len(c.Checks); c.Passed() == n {
		para(msg.PaperAll.In(l, n, n))
	} else {
		para(msg.PaperNotAll.In(l, c.Passed(), n))
	}
	for _, k := range c.Checks {
		mark, text := k.text(l)
		para(mark.String() + " " + text)
	}
	for _, p := range c.Plain {
		para(ui.Unsure.String() + " " + msg.PaperPlain.In(l, escape.Text(partText(p))))
	}
	if c.LeftOut != nil {
		para(ui.Bad.String() + " " + msg.DisksWhy.In(l))
	}
	for _, u := range c.LeftOut {
		para(ui.Bad.String() + " " + msg.DiskOut.In(l) + ": " + escape.Text(u))
	}
	for _, d := range c.Alone {
		para(ui.Unsure.String() + " " + msg.PaperAlone.In(l, d))
	}

	if c.Statement != "" {
		line("")
		digest(msg.PaperStatement.In(l), c.Statement)
	}

	head(msg.PaperMeasured)
	for _, v := range c.Volumes {
		digest(msg.PaperVolume.In(l, escape.Text(v.UUID)), v.KeyDigest)
	}
	for _, t := range c.Trials {
		digest(msg.PaperSlots.In(l, escape.Text(t.UUID)), t.Slots)
	}
	for _, v := range c.rekeyed() {
		how := msg.PaperSkipped
		if v.Fill {
			how = msg.PaperFilled
		}
		para("  " + how.In(l, escape.Text(v.UUID)))
		if v.Lost != nil {
			para("  " + msg.PaperLost.In(l, escape.Text(v.UUID), size(v.Lost), where(v.Lost, len(v.Lost))))
		}
	}
	if c.StorageRoot != "" {
		digest(msg.PaperRoot.In(l), c.StorageRoot)
	}
	if c.Firmware != "" {
		digest(msg.PaperFirmware.In(l), c.Firmware)
	}

	head(msg.PaperLimits)
	for _, m := range []msg.M{msg.PaperNotTried, msg.PaperNotSeller, msg.PaperNotHardware, msg.PaperNotFirmware, msg.PaperNotWatched} {
		para("- " + m.In(l))
	}

	head(msg.PaperVerify)
	para(msg.PaperHow.In(l))
	line("  gpg --import KEY")
	line("  gpg --verify SIGNATURE TEXT")
	para(msg.PaperFiles.In(l, c.Reference))
	return b.String()
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
	"passphrase": msg.CheckPassphrase, "volume-key": msg.CheckVolumeKey, "second-reader": msg.CheckSecondRead, "firmware-key": msg.CheckFirmwareKey,
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

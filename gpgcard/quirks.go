package gpgcard

import (
	"context"
	"slices"
	"strings"

	"reown/internal/usbid"
)

// A Quirk is how one make of token differs from the specification, as data. Its
// id is stable: it is shown by status and named in errors.
type Quirk struct {
	ID   string
	Text string // one line, for people
	Link string // where it was reported or measured

	MinPIN     int  // a floor for new PINs, in bytes
	MaxPIN     int  // a ceiling for new PINs, in bytes; 0: none
	NotWithKDF bool // MinPIN does not apply while PINs are hashed
	// KeepUIFLast: a new key resets the touch policy, which is set last.
	KeepUIFLast bool
	// KDFByPut: PUT DATA F9 itself replaces the PINs by the hashes in it.
	KDFByPut bool
	// Prefer is the algorithm for new keys; Without are those the make cannot make
	// although it may list them.
	Prefer  Algorithm
	Without []Algorithm
	// KeepsPIN: a PIN that was verified stays so when the card is switched off.
	KeepsPIN bool
	// AvoidKDF: the card offers it, and reports of lock-outs are open.
	AvoidKDF bool
	// KeysFirst: a user PIN can be set only when there are keys.
	KeysFirst bool
	// OlderMakes: Without is of firmware that does not list RSA 3072 (DO FA).
	OlderMakes bool

	applies func(c *Card) bool
}

// quirks is the table. A quirk is chosen by USB ids where the reader tells them, by the
// reader's name where pcscd stands between, and by the AID's manufacturer; never by an
// ATR.
var quirks = []Quirk{
	{
		ID: "RQ001", Text: "Nitrokey Pro and Librem Key take PINs of at most 25 characters for HOTP", MaxPIN: 25,
		Link: "https://github.com/linuxboot/heads/issues/1168",
		applies: func(c *Card) bool {
			return c.usb(usbid.NitrokeyPro) || c.usb(usbid.LibremKey) || c.unnamed() && c.make(0x0005)
		},
	},
	{
		ID: "RQ002", Text: "Nitrokey Storage takes PINs of at most 20 characters for its AES keys", MaxPIN: 20,
		Link:    "https://github.com/Nitrokey/nitrokey-pro-firmware/issues/32",
		applies: func(c *Card) bool { return c.usb(usbid.NitrokeyStorage) },
	},
	{
		ID: "RQ003", Text: "Nitrokey Start wants at least 14 characters unless PINs are hashed (KDF)", MinPIN: startMin,
		NotWithKDF: true,
		Link:       "https://github.com/Nitrokey/nitrokey-start-firmware/issues/29",
		applies:    (*Card).start,
	},
	{
		ID: "RQ004", Text: "Gnuk: a user PIN changed before the admin PIN becomes the admin PIN; RSA takes minutes and RSA 4096 cannot be made", KDFByPut: true, KeysFirst: true, Prefer: Curve25519, Without: []Algorithm{RSA4096},
		Link:    "https://github.com/Nitrokey/nitrokey-start-firmware/issues/77",
		applies: (*Card).gnuk,
	},
	{
		ID: "RQ005", Text: "YubiKey: a new key resets the touch policy; the KDF object itself sets the PINs",
		KeepUIFLast: true, KDFByPut: true, Prefer: RSA4096,
		Link:    "https://github.com/Yubico/yubikey-manager/issues/693",
		applies: func(c *Card) bool { return c.make(0x0006) },
	},
	{
		ID: "RQ006", Text: "Nitrokey 3: hashing PINs (KDF) has locked people out; RSA takes minutes; switching it off forgets no PIN", AvoidKDF: true, KeepsPIN: true, Prefer: P256, Without: []Algorithm{RSA4096},
		Link:    "https://github.com/Nitrokey/nitrokey-3-firmware/issues/267",
		applies: func(c *Card) bool { return c.make(0x000f) && !c.start() },
	},
	{
		ID: "RQ008", Text: "CanoKey of 2022 makes no RSA keys above 2048 bits", OlderMakes: true, Prefer: RSA2048,
		Without: []Algorithm{RSA3072, RSA4096},
		Link:    "https://github.com/linuxboot/heads/blob/master/initrd/bin/oem-factory-reset.sh",
		applies: func(c *Card) bool { return c.make(0xf1d0) },
	},
	{
		ID: "RQ007", Text: "Nitrokey Pro and Librem Key hang when CCID and HID commands are mixed; the card is switched off between",
		Link: "https://github.com/Nitrokey/nitrokey-pro-firmware/issues/54",
		applies: func(c *Card) bool {
			return c.usb(usbid.NitrokeyPro) || c.usb(usbid.LibremKey) || c.usb(usbid.NitrokeyStorage)
		},
	},
}

// quirksOf chooses the quirks of a card.
func quirksOf(c *Card) []Quirk {
	var out []Quirk
	for _, q := range quirks {
		if q.applies(c) {
			out = append(out, q)
		}
	}
	return out
}

// startMin is the shortest PIN of a Nitrokey Start, in bytes.
const startMin = 14

// names are parts of the readers' names that pcscd makes of what a device says of itself.
var names = map[usbid.ID]string{
	usbid.NitrokeyPro: "nitrokey pro", usbid.NitrokeyStorage: "nitrokey storage", usbid.NitrokeyStart: "nitrokey start",
	usbid.Nitrokey3: "nitrokey 3", usbid.LibremKey: "librem key", usbid.Gnuk: "gnuk",
}

// usb says whether the token is the one with that id.
func (c *Card) usb(id usbid.ID) bool {
	if !c.usbUnknown() {
		return id == usbid.ID{Vendor: c.reader.VID, Product: c.reader.PID}
	}
	return names[id] != "" && strings.Contains(strings.ToLower(c.reader.Name), names[id])
}

// unnamed: nothing tells the token apart from others with the same application.
func (c *Card) unnamed() bool {
	if !c.usbUnknown() {
		return false
	}
	for id := range names {
		if c.usb(id) {
			return false
		}
	}
	return true
}

// start says whether it is a Nitrokey Start. Newer ones have Nitrokey's number, as the Nitrokey 3 has, which
// takes extended lengths (DO 5F52); a Gnuk takes chains only.
func (c *Card) start() bool {
	return c.usb(usbid.NitrokeyStart) || c.unnamed() && c.make(0x000f) && !c.caps.extended
}

// gnuk says whether it is one: by its ids, or by the AID. Its numbers are those of FSIJ
// and of nobody (FFFE).
func (c *Card) gnuk() bool {
	return c.make(0xfffe) || c.make(0xf517) || c.start() || c.usb(usbid.Gnuk)
}

func (c *Card) usbUnknown() bool   { return c.reader.VID == 0 }
func (c *Card) make(m uint16) bool { return !c.terminated && c.serial.Manufacturer == m }

// listed counts for each algorithm the slots that take it. told: by the card itself.
func (c *Card) listed(ctx context.Context, d *applicationData) (slotsOf map[Algorithm]int, told bool) {
	if !c.caps.algorithms {
		slotsOf = map[Algorithm]int{}
		for s := range slots {
			if a, err := parseAttribute(s, d.attr[s]); err == nil {
				slotsOf[a.Algorithm]++
			}
		}
		return slotsOf, true
	}
	if b, err := c.getData(ctx, 0xfa); err == nil {
		found := map[Algorithm]int{}
		for s := range slots {
			seen := map[Algorithm]bool{}
			for _, a := range parseOffered(s, b) {
				if !seen[a.Algorithm] {
					seen[a.Algorithm] = true
					found[a.Algorithm]++
				}
			}
		}
		if len(found) > 0 {
			return found, true
		}
	}
	// A card without a list: ZeitControl's has RSA and the NIST curves, and any card
	// has what it is set to.
	slotsOf = map[Algorithm]int{RSA2048: 3, RSA3072: 3, RSA4096: 3, P256: 3, P384: 3, P521: 3}
	if !c.make(0x0005) {
		slotsOf[Curve25519] = 3
	}
	return slotsOf, false
}

// algorithms lists what the card can make keys of in all three slots, the best for
// this make first.
func (c *Card) algorithms(ctx context.Context, d *applicationData) []Algorithm {
	listed, told := c.listed(ctx, d)
	prefer, without := RSA3072, map[Algorithm]bool{}
	for _, q := range c.quirks {
		if q.Prefer != 0 {
			prefer = q.Prefer
		}
		if q.OlderMakes && told && listed[RSA3072] > 0 {
			continue // newer firmware, which has learnt it
		}
		for _, a := range q.Without {
			without[a] = true
		}
	}
	var out []Algorithm
	for _, a := range []Algorithm{prefer, P256, Curve25519, RSA3072, RSA2048, RSA4096, P384, P521} {
		if listed[a] == int(slots) && !without[a] && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// quirk reports whether any of the card's quirks has a property.
func (c *Card) quirk(has func(Quirk) bool) bool {
	for _, q := range c.quirks {
		if has(q) {
			return true
		}
	}
	return false
}

// QuirkText is the one line that explains a quirk's id; "" for an unknown id.
func QuirkText(id string) string {
	for _, q := range quirks {
		if q.ID == id {
			return q.Text
		}
	}
	return ""
}

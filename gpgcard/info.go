package gpgcard

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Info is the state of a card as measured now.
type Info struct {
	Reader       Reader  `json:"-"`
	ReaderName   string  `json:"reader"`
	Terminated   bool    `json:"terminated"` // the rest is empty then
	AID          string  `json:"aid,omitempty"`
	Serial       Serial  `json:"serial"`
	Manufacturer string  `json:"manufacturer,omitempty"`
	Version      string  `json:"version,omitempty"` // of the specification
	Resettable   bool    `json:"resettable"`
	Name         string  `json:"name"` // card holder, "Given Surname"
	Login        string  `json:"login"`
	Language     string  `json:"language"`
	URL          string  `json:"url"`
	User         PINInfo `json:"user_pin"`
	ResetCode    PINInfo `json:"reset_code"`
	Admin        PINInfo `json:"admin_pin"`
	// PINOnce: each signature needs the user PIN again.
	PINOnce    bool       `json:"pin_for_each_signature"`
	KDF        bool       `json:"kdf"`
	Touch      bool       `json:"touch_available"`
	Signatures int        `json:"signatures_made"`
	Keys       [3]KeyInfo `json:"keys"`
	// Algorithms for new keys, the one to choose for this make first. Cards without
	// a list of their own get the makers' lists; GenerateKeys tells the truth.
	Algorithms []Algorithm `json:"algorithms,omitempty"`
	Quirks     []string    `json:"quirks,omitempty"`
}

// PINInfo is the state of one PIN.
type PINInfo struct {
	Left   int `json:"tries_left"`
	MinLen int `json:"min_length"` // bytes, of a new PIN on this make
	MaxLen int `json:"max_length"` // bytes
	// Reset are shortest and longest of a PIN that is set after a reset, as Rehearse
	// judges them.
	Reset [2]int `json:"-"`
}

// KeyInfo is the state of one key slot.
type KeyInfo struct {
	Slot        Slot      `json:"slot"`
	Algorithm   string    `json:"algorithm"`
	Fingerprint string    `json:"fingerprint,omitempty"` // 40 hexadecimal digits; empty: none stored
	Created     time.Time `json:"created,omitzero"`
	Origin      string    `json:"origin,omitempty"` // "generated", "imported"; empty when the card does not tell
	Touch       string    `json:"touch,omitempty"`
	// Present: the card has a key here. Consistent: fingerprint and time are
	// that key's, computed from its public part (RFC 4880, 12.2).
	Present    bool `json:"present"`
	Consistent bool `json:"consistent"`
}

// Info measures the card. It needs no PIN and changes nothing.
func (c *Card) Info(ctx context.Context) (Info, error) {
	in := Info{Reader: c.reader, ReaderName: c.reader.String(), Terminated: c.terminated, Serial: c.serial}
	for _, q := range c.quirks {
		in.Quirks = append(in.Quirks, q.ID)
	}
	if c.terminated {
		in.Resettable = true
		return in, nil
	}
	d, err := c.applicationData(ctx)
	if err != nil {
		return Info{}, err
	}
	in.AID = strings.ToUpper(hex.EncodeToString(d.aid))
	in.Manufacturer = manufacturer(d.serial.Manufacturer)
	in.Version = fmt.Sprintf("%d.%d", d.caps.version>>8, d.caps.version&0xff)
	in.Resettable = c.resettable()
	in.User, in.ResetCode, in.Admin = c.pinInfo(d, UserPIN), c.pinInfo(d, ResetCode), c.pinInfo(d, AdminPIN)
	in.Algorithms = c.algorithms(ctx, d)
	in.PINOnce = !d.pw.validOften
	in.KDF, in.Touch = c.kdf != nil, d.hasTouch
	if err := c.readNames(ctx, &in); err != nil {
		return Info{}, err
	}
	for s := range slots {
		k, err := c.keyInfo(ctx, d, s)
		if err != nil {
			return Info{}, err
		}
		in.Keys[s] = k
	}
	return in, nil
}

// applicationData reads DO 6E.
func (c *Card) applicationData(ctx context.Context) (*applicationData, error) {
	if c.terminated {
		return nil, ErrTerminated
	}
	return c.readApplicationData(ctx)
}

// readNames reads DO 65 (clause 4.4.1), 5E, 5F50 and the signature counter in 7A.
func (c *Card) readNames(ctx context.Context, in *Info) error {
	holder, err := c.getOptional(ctx, 0x65)
	if err != nil {
		return err
	}
	text := func(tag uint16) string {
		v, _ := findTLV(holder, tag)
		return printable(v)
	}
	in.Name, in.Language = fromISOName(text(0x5b)), text(0x5f2d)
	if len(holder) == 0 {
		// Gnuk leaves DO 65 empty and has its members one by one.
		b, err := c.getOptional(ctx, 0x5b)
		if err != nil {
			return err
		}
		in.Name = fromISOName(printable(b))
		if b, err = c.getOptional(ctx, 0x5f2d); err != nil {
			return err
		}
		in.Language = printable(b)
	}
	login, err := c.getOptional(ctx, 0x5e)
	if err != nil {
		return err
	}
	url, err := c.getOptional(ctx, 0x5f50)
	if err != nil {
		return err
	}
	in.Login, in.URL = printable(login), printable(url)
	counter, err := c.getOptional(ctx, 0x7a)
	if err != nil {
		return err
	}
	if v, _ := findTLV(counter, 0x93); len(v) == 3 {
		in.Signatures = int(v[0])<<16 | int(v[1])<<8 | int(v[2])
	}
	return nil
}

// keyInfo measures one slot: what is stored about the key, and whether it is true.
func (c *Card) keyInfo(ctx context.Context, d *applicationData, s Slot) (KeyInfo, error) {
	k := KeyInfo{Slot: s, Origin: map[byte]string{1: "generated", 2: "imported"}[d.origin[s]],
		Touch: touchName(d.touch[s])}
	alg, err := parseAttribute(s, d.attr[s])
	if err != nil {
		k.Algorithm = "unknown (" + hex.EncodeToString(d.attr[s]) + ")"
		return k, nil
	}
	k.Algorithm = alg.Algorithm.String()
	if d.fpr[s] != [20]byte{} {
		k.Fingerprint = strings.ToUpper(hex.EncodeToString(d.fpr[s][:]))
	}
	if d.created[s] != 0 {
		k.Created = time.Unix(int64(d.created[s]), 0).UTC()
	}
	pub, err := c.publicKey(ctx, s, alg)
	if isNoKey(err) {
		k.Origin = ""
		return k, nil
	}
	if err != nil {
		return KeyInfo{}, err
	}
	k.Present = true
	k.Consistent = fingerprint(pub.body(d.created[s])) == d.fpr[s]
	return k, nil
}

func (c *Card) pinInfo(d *applicationData, which PIN) PINInfo {
	lo, hi := c.limits(d.pw, which)
	first, last, _ := c.planned(d.pw, which, false)
	return PINInfo{Left: int(d.pw.left[which.index()]), MinLen: lo, MaxLen: hi, Reset: [2]int{first, last}}
}

// printable is text from a card, safe to show: control bytes become '?'.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(strings.TrimRight(string(b), "\x00"), "?"))
}

// manufacturer names the AID's manufacturer number (list kept by the FSFE).
func manufacturer(n uint16) string {
	names := map[uint16]string{
		0x0001: "PPC Card Systems", 0x0002: "Prism", 0x0003: "OpenFortress", 0x0004: "Wewid", 0x0005: "ZeitControl",
		0x0006: "Yubico", 0x0007: "OpenKMS", 0x0008: "LogoEmail", 0x0009: "Fidesmo", 0x000a: "VivoKey", 0x000b: "Feitian",
		0x000d: "Dangerous Things", 0x000f: "Nitrokey", 0x0011: "Intercede", 0x002a: "Magrathea", 0x0042: "GnuPG e.V.",
		0x1337: "Warsaw Hackerspace", 0x2342: "warpzone", 0x4354: "Confidential Technologies", 0x5443: "TIF-IT",
		0x63af: "Trustica", 0xba53: "c-base", 0xbd0e: "Paranoidlabs", 0xca05: "Atos CardOS", 0xf1d0: "CanoKeys",
		0xf517: "FSIJ", 0xf5ec: "F-Secure",
	}
	if s := names[n]; s != "" {
		return s
	}
	if n == 0 || n == 0xffff {
		return "test card"
	}
	if n >= 0xff00 && n <= 0xfffe {
		return "unmanaged serial number range"
	}
	return fmt.Sprintf("unknown (%04X)", n)
}

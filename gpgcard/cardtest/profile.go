package cardtest

import (
	"encoding/hex"
	"time"
)

// A Profile is a make of card: what differs between the tokens on sale, as data.
type Profile struct {
	Name         string
	ATR          []byte
	Version      uint16 // of the specification, BCD: 0x0304
	Manufacturer uint16
	Serial       uint32 // default serial number
	Historical   []byte // DO 5F52, life cycle byte included
	ExtCap       []byte // DO C0
	MaxCommand   int    // DO 7F66; 0: absent
	MaxResponse  int
	Chaining     bool // command chaining (CLA 10)
	Extended     bool // extended Lc and Le
	OuterTag     bool // answers for constructed DOs begin with their own tag
	CompleteLe   bool // a long answer is cut at Le and continued with 61xx
	NoGeneral    bool // no DO 7F74
	KeyInfo      bool // DO DE

	Tries                    int // for PW1 and PW3
	MinPW1, MinPW3, MaxPW    int // length in bytes
	MaxPWInC4                byte
	MinWithoutKDF            int  // a floor for new PINs while no KDF is set; 0: none
	WrongPINCounts63         bool // 63Cx instead of 6982
	WrongOld                 int  // instead of these when CHANGE REFERENCE DATA gets a wrong old PIN; 0: the same
	AdminLess                bool // PW1 changed before PW3 makes PW1 the admin PIN
	NoPW1ChangeWithoutKeys   bool
	KDFOnlyWithoutKeys       bool
	KDFSetsPINs              bool // PUT F9 itself replaces the PINs (Gnuk, YubiKey)
	Terminate                StatusRules
	Reset                    bool // false: TERMINATE and ACTIVATE do not exist
	UIF                      bool
	UIFResetOnImport         bool
	ResetsPWStatusOnNewKey   bool
	TouchTimeout             time.Duration
	Algorithms               [3][]string // of the slots; names as in algorithms
	GenerateOnly, NoGenerate []string    // algorithms that cannot be imported / generated
	RSAEBits                 int
	RSAFormat                byte
	StrictRSA                bool // refuses other e bits or formats
	AlgInfo                  bool // DO FA
	AlgInfo543               bool // as YubiKey 5.4.3 has it: two bytes shorter than it says, X25519 under EdDSA's number
	Odd                      Odd
	ActivateSlow             time.Duration
}

// Odd are properties that the specification allows, and that none of the makes here
// has: a client must not rely on their absence.
type Odd struct {
	AttributeEndsPIN bool // a new algorithm attribute ends the PINs' validity
	KeyEndsPIN       bool // so does a new key
	ObjectsApart     bool // C4 and 5F52 are not members of 6E
	PublicAtImport   bool // curve attributes end in FF: the public key is wanted
	MaxVerify        int  // VERIFY refuses longer data without counting; 0: no limit
	SelectFCI        bool // SELECT answers with data
	IgnoresAttribute bool // a new algorithm attribute is taken, and nothing happens
	NoAlgorithms     bool // DO FA is there, and empty
	LongDO           int  // bytes of an unknown object inside 73
}

// StatusRules are the status words in which makers differ.
type StatusRules struct {
	SelectTerminated uint16 // SELECT in the terminated state
	Refused          uint16 // TERMINATE while it is not allowed
	InTerminated     uint16 // other commands in the terminated state
	ActivateFresh    uint16 // ACTIVATE FILE on a card that is not terminated
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

var (
	rsaAll  = []string{"rsa2048", "rsa3072", "rsa4096"}
	nist    = []string{"p256", "p384", "p521"}
	sigAll  = append(append([]string{}, rsaAll...), "p256", "p384", "p521", "ed25519")
	decAll  = append(append([]string{}, rsaAll...), "p256", "p384", "p521", "cv25519")
	sigGnuk = []string{"rsa2048", "rsa4096", "p256", "ed25519"}
	decGnuk = []string{"rsa2048", "rsa4096", "p256", "cv25519"}
)

// ZeitControl is the card inside Nitrokey Pro 2, Nitrokey Storage and Librem Key:
// extended APDUs, T=1, no touch, no algorithm list.
var ZeitControl = Profile{
	Name: "zeitcontrol", Version: 0x0304, Manufacturer: 0x0005, Serial: 0x0000A1B2,
	ATR:        unhex("3bda18ff81b1fe751f030031f573c0016000900" + "01c"),
	Historical: unhex("0031f573c00160059000"),
	ExtCap:     unhex("fd000800080008000000"),
	MaxCommand: 2048, MaxResponse: 2048, Extended: true,
	Tries: 3, MinPW1: 6, MinPW3: 8, MaxPW: 64, MaxPWInC4: 64,
	Terminate: StatusRules{0x6285, 0x6982, 0x6285, 0x9000}, Reset: true,
	Algorithms: [3][]string{append(append([]string{}, rsaAll...), nist...), append(append([]string{}, rsaAll...), nist...),
		append(append([]string{}, rsaAll...), nist...)},
	RSAEBits: 32, RSAFormat: 0, KeyInfo: true, NoGeneral: true,
}

// Nitrokey3 is opcard 1.x: extended APDUs with 61xx, touch, elliptic curves first.
var Nitrokey3 = Profile{
	Name: "nk3", Version: 0x0304, Manufacturer: 0x000F, Serial: 0x4E4B3301,
	ATR:        unhex("3b8f01805d4e6974726f6b657900000000006a"),
	Historical: unhex("0031c573c00160059000"),
	ExtCap:     unhex("3f0000ff0bff0bff0000"),
	MaxCommand: 0x1db9, MaxResponse: 0x1db9, Extended: true, CompleteLe: true,
	Tries: 3, MinPW1: 6, MinPW3: 8, MaxPW: 127, MaxPWInC4: 127, WrongPINCounts63: true, WrongOld: 0x6300,
	Terminate: StatusRules{0x6285, 0x6985, 0x6985, 0x9000}, Reset: true,
	UIF: true, TouchTimeout: 15 * time.Second, KeyInfo: true, AlgInfo: true,
	Algorithms: [3][]string{sigAll, decAll, sigAll}, NoGenerate: []string{"rsa4096"},
	RSAEBits: 32, RSAFormat: 0,
}

// Gnuk is Gnuk 1.2.19 and the Nitrokey Start: command chaining only, no key
// information, the admin-less trap.
var Gnuk = Profile{
	Name: "gnuk", Version: 0x0200, Manufacturer: 0xFFFE, Serial: 0xF1420A7A,
	ATR:        unhex("3bda11ff81b1fe551f0300318473800180059000e1"),
	Historical: unhex("00318473800180059000"),
	ExtCap:     unhex("75000020000000ff0100"), Chaining: true,
	Tries: 3, MinPW1: 6, MinPW3: 8, MaxPW: 127, MaxPWInC4: 127,
	AdminLess: true, NoPW1ChangeWithoutKeys: true, KDFOnlyWithoutKeys: true, KDFSetsPINs: true,
	Terminate: StatusRules{0x6285, 0x6982, 0x6285, 0x6a88}, Reset: true,
	UIF: true, TouchTimeout: 10 * time.Second, ResetsPWStatusOnNewKey: true, AlgInfo: true,
	Algorithms: [3][]string{sigGnuk, decGnuk, sigGnuk}, NoGenerate: []string{"rsa4096"},
	RSAEBits: 32, RSAFormat: 0, StrictRSA: true,
}

// YubiKey is a YubiKey 5 with firmware 5.4: outer tags, 61xx, 17 bits of public
// exponent, touch policies that a new key resets.
var YubiKey = Profile{
	Name: "yubikey", Version: 0x0304, Manufacturer: 0x0006, Serial: 0x12345678,
	ATR:        unhex("3bfd1300008131fe158073c021c057597562694b657940"),
	Historical: unhex("00730000e0059000"),
	ExtCap:     unhex("7d000bfe080000ff0000"),
	MaxCommand: 0x0bfe, MaxResponse: 0x0bfe, Extended: true, Chaining: true, CompleteLe: true, OuterTag: true,
	Tries: 3, MinPW1: 6, MinPW3: 8, MaxPW: 127, MaxPWInC4: 127, KDFSetsPINs: true,
	Terminate: StatusRules{0x6285, 0x6982, 0x6285, 0x9000}, Reset: true,
	UIF: true, UIFResetOnImport: true, TouchTimeout: 15 * time.Second, KeyInfo: true, AlgInfo: true,
	AlgInfo543: true,
	Algorithms: [3][]string{sigAll, decAll, sigAll},
	RSAEBits:   17, RSAFormat: 0, StrictRSA: true, ActivateSlow: 600 * time.Millisecond,
}

// CanoKey is the 2022 core: extended APDUs of at most 1340 bytes, import with
// CRT values, no KDF, no resetting code.
var CanoKey = Profile{
	Name: "canokey", Version: 0x0304, Manufacturer: 0xF1D0, Serial: 0x0C0FFEE0,
	ATR:        unhex("3bf71100008131fe6543616e6f6b657999"),
	Historical: unhex("0031c573c00140059000"),
	ExtCap:     unhex("34000000048000ff0000"),
	MaxCommand: 1340, MaxResponse: 1340, Extended: true, CompleteLe: true,
	Tries: 3, MinPW1: 6, MinPW3: 8, MaxPW: 64, MaxPWInC4: 64,
	Terminate: StatusRules{0x9000, 0x6982, 0x6285, 0x6985}, Reset: true,
	UIF: true, TouchTimeout: 15 * time.Second, AlgInfo: true,
	Algorithms: [3][]string{{"rsa2048", "rsa4096", "p256", "p384", "ed25519"},
		{"rsa2048", "rsa4096", "p256", "p384", "cv25519"}, {"rsa2048", "rsa4096", "p256", "p384", "ed25519"}},
	NoGenerate: []string{"rsa4096"}, RSAEBits: 32, RSAFormat: 2,
}

// Profiles lists every make.
var Profiles = []Profile{ZeitControl, Nitrokey3, Gnuk, YubiKey, CanoKey}

// ProfileByName finds a make; ok is false when there is none of that name.
func ProfileByName(name string) (p Profile, ok bool) {
	for _, p := range Profiles {
		if p.Name == name {
			return p, true
		}
	}
	return Profile{}, false
}

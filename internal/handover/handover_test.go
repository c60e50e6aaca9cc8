package handover

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	oem   = "70A6000000000000000000000000000000AB43EE"
	shop  = "55550000000000000000000000000000000055CC"
	buyer = "9C0D0000000000000000000000000000000011F2"
)

func hexOf(c string, n int) string { return strings.Repeat(c, n) }

// sample is a full first statement.
func sample() *Statement {
	return &Statement{
		Subjects: map[string]string{SubjectEK: hexOf("a", 64), SubjectROM: hexOf("b", 64), SubjectBoot: hexOf("c", 64),
			SubjectCard: hexOf("d", 64)},
		Order: "2026-1147", From: oem, To: buyer, Created: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC),
		Reference: Reference{
			PCRs: map[int]string{2: hexOf("2", 64), 7: hexOf("7", 64)}, SRKName: "000b" + hexOf("e", 64), TOTP: "000b" +
				hexOf("d", 64),
			LUKS:       []LUKS{{"1f0c-uuid", hexOf("f", 64)}},
			CardSerial: "0006 12345678", ROMKeys: []string{oem},
		},
		Changed:   []string{"rom", "boot", "disk", "card", "tpm"},
		Materials: []Material{{"https://example.com/bom.spdx.json", hexOf("9", 64)}},
	}
}

// fakeSign makes packets that name their signer; fakeVerify believes them. Tests with
// real keys are in hostile_test.go.
func fakeSign(data []byte, signers ...string) []byte {
	var out []byte
	for _, s := range signers {
		body := s + Digest(data)
		out = append(append(out, 0xc0|tagSignature, byte(len(body))), body...)
	}
	return out
}

func fakeVerify(sig, data []byte, fingerprint string) error {
	if string(sig[2:]) != fingerprint+Digest(data) {
		return errors.New("not by that key")
	}
	return nil
}

func mustMarshal(t testing.TB, s *Statement) []byte {
	t.Helper()
	b, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRoundTrip(t *testing.T) {
	s := sample()
	b := mustMarshal(t, s)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, s) {
		t.Fatalf("read %+v\nwrote %+v", got, s)
	}
	if !bytes.Equal(mustMarshal(t, got), b) {
		t.Fatal("not the same bytes twice")
	}
}

func TestChain(t *testing.T) {
	first := sample()
	first.To = shop
	b0 := mustMarshal(t, first)
	second := first.Next(b0, buyer)
	second.Changed = []string{"disk"}
	b1 := mustMarshal(t, second)
	links := []Link{{b0, fakeSign(b0, oem, shop)}, {b1, fakeSign(b1, shop, buyer)}}
	c, err := OpenChain(links, oem, fakeVerify)
	if err != nil || !c.Accepted || c.Digest != Digest(b1) || c.Last().Seq != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if err := CheckReceiver(c.Last().To, buyer); err != nil {
		t.Fatal(err)
	}
	if err := CheckReceiver(c.Last().To, shop); !errors.Is(err, ErrNotForYou) {
		t.Fatal(err)
	}
	links[1].Signatures = fakeSign(b1, shop)
	if c, err = OpenChain(links, oem, fakeVerify); err != nil || c.Accepted {
		t.Fatalf("accepted without the receiver's signature: %+v, %v", c, err)
	}
}

func TestCompare(t *testing.T) {
	s := sample()
	same := Measured{Subjects: s.Subjects, Reference: s.Reference}
	c := s.Compare(same)
	if err := c.Err(); err != nil || c.Count(Pass) != len(c) {
		t.Fatalf("%v: %+v", err, c)
	}
	bare := &Statement{Subjects: map[string]string{SubjectROM: s.Subjects[SubjectROM]}, From: oem}
	if err := bare.Compare(same).Err(); !errors.Is(err, ErrNothingCompared) {
		t.Fatal(err)
	}
	m := same
	m.Reference.PCRs = map[int]string{2: s.Reference.PCRs[2], 7: hexOf("0", 64)}
	var mm *MismatchError
	if err := s.Compare(m).Err(); !errors.As(err, &mm) || len(mm.Failed) != 1 || mm.Failed[0].Name != "pcr 7" ||
		errors.Is(err, ErrOtherMachine) {
		t.Fatal(err)
	}
	m = same
	m.Subjects = map[string]string{SubjectEK: hexOf("0", 64)}
	if err := s.Compare(m).Err(); !errors.Is(err, ErrOtherMachine) {
		t.Fatal(err)
	}
	m = same
	m.Reference.LUKS = append([]LUKS{{"another", hexOf("1", 64)}}, s.Reference.LUKS...)
	if err := s.Compare(m).Err(); !errors.As(err, &mm) {
		t.Fatal("a disk that the seller does not mention passes")
	}
}

// TestCompareStatus: what a line says for each of the four cases.
func TestCompareStatus(t *testing.T) {
	status := func(c Comparison, name string) Status {
		for _, i := range c {
			if i.Name == name {
				return i.Status
			}
		}
		return "no such line"
	}
	bare := &Statement{Subjects: map[string]string{SubjectROM: hexOf("b", 64)}, From: oem}
	full := sample()
	all := Measured{Subjects: full.Subjects, Reference: full.Reference}
	for _, c := range []struct {
		s    *Statement
		m    Measured
		name string
		want Status
	}{
		{full, all, SubjectROM, Pass}, {full, Measured{}, SubjectROM, NotMeasured}, {bare, all, SubjectEK, NotProvided},
		{full, Measured{}, "pcr 7", NotMeasured}, {bare, all, "pcrs", NotProvided}, {bare, all, "luks", NotProvided},
		{full, Measured{}, "luks 1f0c-uuid", NotMeasured},
		{full, Measured{Reference: Reference{LUKS: []LUKS{{"1f0c-uuid", ""}}}}, "luks 1f0c-uuid", NotMeasured},
		{full, Measured{Reference: Reference{LUKS: []LUKS{{"1f0c-uuid", hexOf("0", 64)}}}}, "luks 1f0c-uuid", Fail},
		{full, Measured{Reference: Reference{LUKS: []LUKS{{"other", hexOf("f", 64)}}}}, "luks 1f0c-uuid", Fail},
		{full, Measured{Reference: Reference{LUKS: []LUKS{{"other", hexOf("f", 64)}}}}, "luks other", Fail},
		{full, Measured{Reference: Reference{ROMKeys: []string{oem, shop}}}, "rom keys", Fail},
		{full, Measured{Reference: Reference{SRKName: "000b" + hexOf("0", 64)}}, "srk", Fail},
		{full, Measured{Reference: Reference{CardSerial: "0006 1"}}, "card serial", Fail},
	} {
		if got := status(c.s.Compare(c.m), c.name); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestPromised: whatever the statement promises and the machine does not show fails as what
// differs does, one value at a time and all of one device's; a TPM that protects nothing
// proves nothing by what is equal.
func TestPromised(t *testing.T) {
	s := sample()
	without := map[string]func(*Measured){
		"no TPM": func(m *Measured) {
			delete(m.Subjects, SubjectEK)
			m.Reference.PCRs, m.Reference.SRKName, m.Reference.TOTP = nil, "", ""
		},
		"no EK":      func(m *Measured) { delete(m.Subjects, SubjectEK) },
		"no PCRs":    func(m *Measured) { m.Reference.PCRs = nil },
		"one PCR":    func(m *Measured) { delete(m.Reference.PCRs, 7) },
		"no SRK":     func(m *Measured) { m.Reference.SRKName = "" },
		"no secret":  func(m *Measured) { m.Reference.TOTP = NoTOTP },
		"unread":     func(m *Measured) { m.Reference.TOTP = "" },
		"other":      func(m *Measured) { m.Reference.TOTP = "000b" + hexOf("0", 64) },
		"no disk":    func(m *Measured) { m.Reference.LUKS = nil },
		"no digest":  func(m *Measured) { m.Reference.LUKS = []LUKS{{UUID: "1f0c-uuid"}} },
		"no card":    func(m *Measured) { delete(m.Subjects, SubjectCard); m.Reference.CardSerial = "" },
		"no chip":    func(m *Measured) { delete(m.Subjects, SubjectROM); m.Reference.ROMKeys = nil },
		"no boot":    func(m *Measured) { delete(m.Subjects, SubjectBoot) },
		"no nothing": func(m *Measured) { *m = Measured{} },
	}
	for name, change := range without {
		m := Measured{Subjects: maps.Clone(s.Subjects), Reference: s.Reference}
		m.Reference.PCRs = maps.Clone(s.Reference.PCRs)
		change(&m)
		var mm *MismatchError
		if err := s.Compare(m).Err(); !errors.As(err, &mm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	none := sample()
	none.Reference.TOTP = NoTOTP
	if err := none.Compare(Measured{Subjects: s.Subjects, Reference: s.Reference}).Err(); err == nil {
		t.Error("a secret is sealed where the statement says that there is none")
	}
	bare := Measured{Subjects: s.Subjects, Reference: s.Reference, Bare: true}
	c := s.Compare(bare)
	if err := c.Err(); err != nil || c.Count(Unprotected) != 5 { // EK, two registers, root, secret
		t.Errorf("%v: %+v", err, c)
	}
	delete(s.Subjects, SubjectCard)
	s.Reference.CardSerial = ""
	if err := s.Compare(bare).Err(); !errors.Is(err, ErrNothingCompared) {
		t.Errorf("an answer that nothing protects ties the statement to this machine: %v", err)
	}
}

// TestVerifiedFirst: bytes that nobody signed are not even parsed.
func TestVerifiedFirst(t *testing.T) {
	for _, data := range []string{"", "{", strings.Repeat("[", 1000), "{}"} {
		_, err := Open(Link{[]byte(data), fakeSign([]byte("other"), oem)}, oem, fakeVerify)
		if !errors.Is(err, ErrSigner) || errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", data, err)
		}
		if _, err = Open(Link{[]byte(data), fakeSign([]byte(data), oem)}, oem, fakeVerify); !errors.Is(err, ErrMalformed) &&
			!errors.Is(err, ErrTooLarge) {
			t.Errorf("%q, signed: %v", data, err)
		}
	}
	good := mustMarshal(t, sample())
	for _, fpr := range []string{"", "70A6", strings.ToLower(oem)} {
		if _, err := Open(Link{good, fakeSign(good, fpr)}, fpr, fakeVerify); !errors.Is(err, ErrSigner) {
			t.Errorf("the fingerprint %q: %v", fpr, err)
		}
	}
}

// TestTwinVolume: a second volume under a UUID that the seller lists is a disk that he
// does not mention.
func TestTwinVolume(t *testing.T) {
	s := sample()
	m := Measured{Subjects: s.Subjects, Reference: s.Reference}
	m.Reference.LUKS = append([]LUKS{}, s.Reference.LUKS[0], s.Reference.LUKS[0])
	var mm *MismatchError
	if err := s.Compare(m).Err(); !errors.As(err, &mm) {
		t.Fatalf("%v", err)
	}
	s.Reference.LUKS = m.Reference.LUKS // and one that he lists twice must be there twice
	m.Reference.LUKS = m.Reference.LUKS[:1]
	if err := s.Compare(m).Err(); !errors.As(err, &mm) {
		t.Fatalf("%v", err)
	}
}

// TestCopiedDisk: a disk header can be copied to another computer with all else on the
// disk; alone it ties a statement to none.
func TestCopiedDisk(t *testing.T) {
	s := sample()
	s.Subjects, s.Reference = map[string]string{SubjectBoot: s.Subjects[SubjectBoot]}, Reference{LUKS: s.Reference.LUKS}
	m := Measured{Subjects: s.Subjects, Reference: s.Reference}
	if err := s.Compare(m).Err(); !errors.Is(err, ErrNothingCompared) {
		t.Fatalf("%v", err)
	}
}

// TestInvisible: what a screen does not show as it is does not stand in a statement.
func TestInvisible(t *testing.T) {
	for _, r := range "\u0007\u007f\u0085\u00ad\u061c\u180e\u200b\u200e\u2028\u2029\u202e\u2060\u2066\ufeff\ufffd\U000e0041\ue000\U0010fffe" {
		s := sample()
		s.Order = "2026" + string(r) + "1147"
		if _, err := s.Marshal(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%U: %v", r, err)
		}
	}
	s := sample()
	s.Order = "Bestellung Nº 7 – Ærø, 注文"
	if _, err := s.Marshal(); err != nil {
		t.Error(err)
	}
}

// TestSignatures takes a file apart into armoured signatures that mean the same, in
// whatever form it came.
func TestSignatures(t *testing.T) {
	data := []byte("a statement")
	binary := fakeSign(data, oem, shop)
	two, err := Signatures(binary)
	if err != nil || len(two) != 2 {
		t.Fatalf("%q, %v", two, err)
	}
	again, err := Signatures(bytes.Join(two, nil))
	if err != nil || len(again) != 2 || !bytes.Equal(again[0], two[0]) || !bytes.Equal(again[1], two[1]) {
		t.Errorf("%q, %v", again, err)
	}
	for i, fpr := range []string{oem, shop} {
		if err := (Link{data, two[i]}).SignedBy(fpr, fakeVerify); err != nil {
			t.Error(err)
		}
	}
	if _, err := Signatures([]byte("no signature")); err == nil {
		t.Error("accepted")
	}
}

// TestFollows: what is written next is held against what came before by the reader's
// rule.
func TestFollows(t *testing.T) {
	first := sample()
	b := mustMarshal(t, first)
	next := first.Next(b, shop)
	if err := next.Follows(first, b); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Statement){
		"another TPM": func(s *Statement) { s.Subjects[SubjectEK] = hexOf("0", 64) },
		"no TPM":      func(s *Statement) { delete(s.Subjects, SubjectEK) },
		"number":      func(s *Statement) { s.Seq = 2 },
		"previous":    func(s *Statement) { s.Previous = hexOf("0", 64) },
		"from":        func(s *Statement) { s.From = oem },
	} {
		s := first.Next(b, shop)
		change(s)
		if err := s.Follows(first, b); !errors.Is(err, ErrChain) && !errors.Is(err, ErrOtherMachine) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

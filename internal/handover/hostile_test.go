package handover

import (
	"bytes"
	"crypto"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/gpgcard"
)

// The corpus in testdata/corpus is one directory a case: the chain's files under the
// names that they have in /boot, and "want": "accept", or the error and a part of its
// text. Public keys are in testdata/corpus/keys. -update makes all of it anew.
var update = flag.Bool("update", false, "make testdata/corpus anew, with new keys")

const corpus = "testdata/corpus"

var sentinels = map[string]error{
	"ErrMalformed": ErrMalformed, "ErrTooLarge": ErrTooLarge, "ErrSigner": ErrSigner, "ErrChain": ErrChain,
	"ErrOtherMachine": ErrOtherMachine,
}

// TestCorpus: what must be accepted is, and all else is refused for its own reason,
// by the signature check that ships.
func TestCorpus(t *testing.T) {
	if *update {
		makeCorpus(t)
	}
	certs := make(map[string]*gpgcard.Cert)
	fprs := make(map[string]string)
	for _, who := range []string{"oem", "shop", "buyer", "expired"} {
		b, err := os.ReadFile(filepath.Join(corpus, "keys", who+".asc"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := gpgcard.ParseCert(b)
		if err != nil {
			t.Fatal(err)
		}
		certs[c.Fingerprint()], fprs[who] = c, c.Fingerprint()
	}
	verify := func(sig, data []byte, fingerprint string) error {
		c, ok := certs[fingerprint]
		if !ok {
			return fmt.Errorf("no key %s", fingerprint)
		}
		_, err := gpgcard.VerifyDetached(c, sig, data)
		return err
	}
	cases, err := filepath.Glob(filepath.Join(corpus, "*", "want"))
	if err != nil || len(cases) < 40 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, w := range cases {
		dir := filepath.Dir(w)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			b, err := os.ReadFile(w)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.SplitN(strings.TrimSpace(string(b)), "\n", 2)
			seller := fprs["oem"]
			if strings.HasPrefix(filepath.Base(dir), "expired") {
				seller = fprs["expired"]
			}
			c, err := OpenChain(readLinks(t, dir), seller, verify)
			if want[0] == "accept" {
				if err != nil {
					t.Fatal(err)
				}
				if accepted := len(want) > 1 && want[1] == "countersigned"; c.Accepted != accepted {
					t.Errorf("countersigned: %v", c.Accepted)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			if sentinels[want[0]] == nil || !errors.Is(err, sentinels[want[0]]) || len(want) > 1 &&
				!strings.Contains(err.Error(), want[1]) {
				t.Errorf("refused with %q, want %q", err, want)
			}
		})
	}
}

func readLinks(t testing.TB, dir string) []Link {
	t.Helper()
	var links []Link
	for seq := range MaxLinks + 2 {
		b, err := os.ReadFile(filepath.Join(dir, FileName(seq)))
		if err != nil {
			break
		}
		sig, _ := os.ReadFile(filepath.Join(dir, FileName(seq)+".asc"))
		links = append(links, Link{b, sig})
	}
	return links
}

// TestCorpusSignatures asks gpgv about the first statement of each case: those that
// are refused for what they say carry a signature that is good, so that nothing but
// the content was refused.
func TestCorpusSignatures(t *testing.T) {
	for _, tool := range []string{"gpg", "gpgv"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skipf("%s is not installed", tool)
		}
	}
	home := t.TempDir()
	ring := filepath.Join(home, "ring.gpg")
	gpg := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet"},
			args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, who := range []string{"oem", "shop", "buyer"} {
		gpg("--no-default-keyring", "--keyring", ring, "--import", filepath.Join(corpus, "keys", who+".asc"))
	}
	cases, _ := filepath.Glob(filepath.Join(corpus, "*", "want"))
	good := 0
	for _, w := range cases {
		b, _ := os.ReadFile(w)
		if !strings.HasPrefix(string(b), "accept") && !strings.HasPrefix(string(b), "ErrMalformed") &&
			!strings.HasPrefix(string(b), "ErrTooLarge") {
			continue
		}
		f := filepath.Join(filepath.Dir(w), FileName(0))
		out, err := exec.Command("gpgv", "--keyring", ring, f+".asc", f).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", f, err, out)
		}
		good++
	}
	if good < 20 {
		t.Errorf("only %d cases with good signatures", good)
	}
}

// A signer for the corpus.
type signer struct{ *openpgp.Entity }

var corpusTime = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newSigner(t *testing.T, name string, lifetime time.Duration) signer {
	t.Helper()
	made := corpusTime.Add(-48 * time.Hour)
	e, err := openpgp.NewEntity(name, "", strings.ToLower(name)+"@example.com", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return made },
		KeyLifetimeSecs: uint32(lifetime / time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	return signer{e}
}

func (s signer) fpr() string { return fmt.Sprintf("%X", s.PrimaryKey.Fingerprint) }

// packet makes one signature packet.
func (s signer) packet(t *testing.T, data []byte, hash crypto.Hash, kind packet.SignatureType) []byte {
	t.Helper()
	sig := &packet.Signature{Version: 4, SigType: kind, PubKeyAlgo: s.PrimaryKey.PubKeyAlgo, Hash: hash,
		CreationTime: corpusTime, IssuerKeyId: &s.PrimaryKey.KeyId, IssuerFingerprint: s.PrimaryKey.Fingerprint}
	h := hash.New()
	h.Write(data)
	if err := sig.Sign(h, s.PrivateKey, &packet.Config{DefaultHash: hash}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s signer) sign(t *testing.T, data []byte) []byte {
	return s.packet(t, data, crypto.SHA256, packet.SigTypeBinary)
}

// gpgSHA1 lets gpg make what go-crypto refuses to.
func (s signer) gpgSHA1(t *testing.T, data []byte) []byte {
	t.Helper()
	home, err := os.MkdirTemp("", "rh")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	defer exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
	var key bytes.Buffer
	if err := s.SerializePrivate(&key, nil); err != nil {
		t.Fatal(err)
	}
	gpg := func(in []byte, args ...string) []byte {
		cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet"}, args...)...)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v", args, err)
		}
		return out
	}
	gpg(key.Bytes(), "--import")
	return gpg(data, "--detach-sign", "-a", "--digest-algo", "SHA1")
}

func armored(t *testing.T, packets ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.SignatureType, nil)
	for _, p := range packets {
		if err == nil {
			_, err = w.Write(p)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func makeCorpus(t *testing.T) {
	if err := os.RemoveAll(corpus); err != nil {
		t.Fatal(err)
	}
	put := func(name string, data []byte) {
		p := filepath.Join(corpus, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	oem, shop, buyer, expired := newSigner(t, "OEM", 0), newSigner(t, "Shop", 0), newSigner(t, "Buyer", 0),
		newSigner(t, "Expired", 24*time.Hour)
	for n, s := range map[string]signer{"oem": oem, "shop": shop, "buyer": buyer, "expired": expired} {
		var b bytes.Buffer
		w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
		if err == nil {
			err = errors.Join(s.Serialize(w), w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		put("keys/"+n+".asc", append(b.Bytes(), '\n'))
	}
	statement := func() *Statement {
		s := sample()
		s.From, s.To, s.Created = oem.fpr(), buyer.fpr(), corpusTime
		s.Reference.ROMKeys = []string{oem.fpr()}
		return s
	}
	one := func(name, want string, data []byte, sigs ...[]byte) {
		if sigs == nil {
			sigs = [][]byte{armored(t, oem.sign(t, data))}
		}
		put(name+"/"+FileName(0), data)
		put(name+"/"+FileName(0)+".asc", bytes.Join(sigs, nil))
		put(name+"/want", []byte(want+"\n"))
	}
	good := mustMarshal(t, statement())
	edit := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("no %q in the sample", old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}

	one("good", "accept", good)
	one("good-countersigned", "accept\ncountersigned", good, armored(t, oem.sign(t, good), buyer.sign(t, good)))
	one("good-appended-signature", "accept\ncountersigned", good, armored(t, oem.sign(t, good)),
		armored(t, buyer.sign(t, good)))
	one("good-stranger-signs-too", "accept", good, armored(t, shop.sign(t, good), oem.sign(t, good)))
	one("good-binary-signature", "accept", good, oem.sign(t, good))
	one("good-unknown-fields", "accept", edit(`"seq": 0,`,
		`"seq": 0, "newer": {"a": [1, 2.5, null, true]}, "FROM": "nobody",`))

	const bad = "ErrMalformed\n"
	one("duplicate-key", bad+`"from" stands twice`, edit(`"order":`, `"from": "`+shop.fpr()+`", "order":`))
	one("duplicate-key-at-top", bad+`"predicate" stands twice`, edit(`"predicate": {`, `"predicate": {}, "predicate": {`))
	one("duplicate-key-escaped", bad+`"to" stands twice`, edit(`"order":`, `"t\u006f": "`+shop.fpr()+`", "order":`))
	one("duplicate-key-in-unknown-field", bad+`"a" stands twice`, edit(`"seq": 0,`, `"seq": 0, "x": {"a": 1, "a": 2},`))
	one("duplicate-subject", bad+"named twice", edit(`"name": "rom"`, `"name": "card"`))
	one("trailing-data", bad+"data after the end", append(bytes.Clone(good), "{}"...))
	one("trailing-brace", bad+"data after the end", append(bytes.Clone(good), '}'))
	one("trailing-nul", bad+"data after the end", append(bytes.Clone(good), 0))
	one("byte-order-mark", bad, append([]byte("\xef\xbb\xbf"), good...))
	one("not-utf8", bad+"not UTF-8", edit("2026-1147", "2026-\xff"))
	one("half-surrogate", bad+"invisible", edit("2026-1147", `2026-\ud800`))
	one("escape-sequence", bad+"invisible", edit("2026-1147", `2026-\u001b[2J`))
	one("right-to-left", bad+"invisible", edit("2026-1147", `\u202e7411-6202`))
	one("empty", bad, nil)
	one("cut-off", bad, good[:len(good)/2])
	one("a-list", bad+"not an object", []byte("[]\n"))
	one("comment", bad, append([]byte("// hello\n"), good...))
	one("other-type", bad+"_type", edit(StatementType, "https://in-toto.io/Statement/v0.1"))
	one("other-predicate", bad+"predicateType", edit(HandoverType, "https://slsa.dev/provenance/v1"))
	one("seq-as-text", bad+"seq", edit(`"seq": 0`, `"seq": "0"`))
	one("seq-fraction", bad+"seq", edit(`"seq": 0`, `"seq": 0.5`))
	one("seq-negative", bad+"seq", edit(`"seq": 0`, `"seq": -1`))
	one("seq-huge", bad+"seq", edit(`"seq": 0`, `"seq": 1e99`))
	one("previous-at-first", bad+"previous", edit(`"previous": ""`, `"previous": "`+hexOf("1", 64)+`"`))
	one("digest-upper-case", bad+"sha256", edit(hexOf("b", 64), hexOf("B", 64)))
	one("digest-short", bad+"sha256", edit(hexOf("b", 64), hexOf("b", 63)))
	one("no-subject", bad+"subject", mustReplaceSubject(t, good))
	one("from-missing", bad+"from", edit(`"from": "`+oem.fpr()+`",`, ""))
	one("fingerprint-lower-case", bad+"from", edit(`"from": "`+oem.fpr()+`"`, `"from": "`+strings.ToLower(oem.fpr())+`"`))
	one("pcr-99", bad+"pcrs", edit(`"7": "`, `"99": "`))
	one("pcr-twice", bad+"pcrs", edit(`"7": "`, `"07": "`))
	one("reference-as-list", bad+"reference", edit(`"reference": {`, `"reference": [], "x": {`))
	one("created-nonsense", bad+"created", edit("2026-11-20T12:00:00Z", "yesterday"))

	const large = "ErrTooLarge\n"
	one("oversize", large+"65536", append(bytes.Clone(good), bytes.Repeat([]byte(" "), MaxStatement)...))
	one("deep-nesting", large+"deeper", edit(`"seq": 0,`, `"seq": 0, "x": `+strings.Repeat("[", 9000)+
		strings.Repeat("]", 9000)+","))
	one("many-values", large+"values", edit(`"seq": 0,`, `"seq": 0, "x": [0`+strings.Repeat(",0", 10000)+"],"))
	one("seq-beyond", large+"limit", bytes.Replace(edit(`"seq": 0`, `"seq": 16`), []byte(`"previous": ""`),
		[]byte(`"previous": "`+hexOf("1", 64)+`"`), 1))

	const by = "ErrSigner\n"
	one("wrong-signer", by, good, armored(t, shop.sign(t, good)))
	one("receiver-alone", by, good, armored(t, buyer.sign(t, good)))
	one("no-signature", by+"no signature", good, []byte{})
	one("signature-of-another", by, edit("2026-1147", "2026-1148"), armored(t, oem.sign(t, good)))
	one("signature-cut-off", by+"cut off", good, armored(t, oem.sign(t, good))[:120])
	one("signature-text-mode", by, good, armored(t, oem.packet(t, good, crypto.SHA256, packet.SigTypeText)))
	one("signature-sha1", by, good, oem.gpgSHA1(t, good))
	one("signature-with-a-key", by+"instead of a signature", good, append([]byte{0xc6, 1, 4}, oem.sign(t, good)...))
	one("signature-flood", by+"more than", good, bytes.Repeat(shop.sign(t, good), maxSignatures+1))
	one("says-from-another", by+"it says that it is from", edit(`"from": "`+oem.fpr()+`"`, `"from": "`+shop.fpr()+`"`))
	ex := statement()
	ex.From = expired.fpr()
	b := mustMarshal(t, ex)
	one("expired-key", by, b, armored(t, expired.sign(t, b)))

	chains(t, put, statement, oem, shop, buyer)
}

// mustReplaceSubject empties the list of subjects.
func mustReplaceSubject(t *testing.T, good []byte) []byte {
	t.Helper()
	before, rest, ok := strings.Cut(string(good), `"subject": [`)
	_, after, ok2 := strings.Cut(rest, "\n  ],")
	if !ok || !ok2 {
		t.Fatal("no subject in the sample")
	}
	return []byte(before + `"subject": [],` + after)
}

// chains writes the cases of more than one statement.
func chains(t *testing.T, put func(string, []byte), statement func() *Statement, oem, shop, buyer signer) {
	first := statement()
	first.To = shop.fpr()
	b0 := mustMarshal(t, first)
	second := first.Next(b0, buyer.fpr())
	b1 := mustMarshal(t, second)
	s0, s1 := armored(t, oem.sign(t, b0)), armored(t, shop.sign(t, b1))
	many := func(name, want string, files ...[]byte) { // statement, signature, statement, ...
		for i := 0; i < len(files); i += 2 {
			put(name+"/"+FileName(i/2), files[i])
			put(name+"/"+FileName(i/2)+".asc", files[i+1])
		}
		put(name+"/want", []byte(want+"\n"))
	}
	changed := func(f func(*Statement)) []byte {
		s := *second
		s.Subjects = maps.Clone(s.Subjects)
		f(&s)
		return mustMarshal(t, &s)
	}
	both := func(name, want string, b []byte, by signer) { many(name, want, b0, s0, b, armored(t, by.sign(t, b))) }

	many("chain-good", "accept", b0, s0, b1, s1)
	many("chain-missing-first", "ErrSigner", b1, s1)
	many("chain-reordered", "ErrSigner", b1, s1, b0, s0)
	many("chain-first-twice", "ErrSigner", b0, s0, b0, s0)
	both("chain-signed-by-seller", "ErrSigner\nhand-over 2", b1, oem)
	both("chain-signed-by-receiver", "ErrSigner\nhand-over 2", b1, buyer)
	both("chain-other-previous", "ErrChain\ndoes not follow", changed(func(s *Statement) { s.Previous = hexOf("1", 64) }),
		shop)
	both("chain-number-skipped", "ErrChain\nnumber 3", changed(func(s *Statement) { s.Seq = 2 }), shop)
	both("chain-other-machine", "ErrOtherMachine\nTPM",
		changed(func(s *Statement) { s.Subjects[SubjectEK] = hexOf("0", 64) }), shop)
	both("chain-machine-dropped", "ErrOtherMachine\nTPM", changed(func(s *Statement) { delete(s.Subjects, SubjectEK) }),
		shop)
	nobody := statement()
	nobody.To = ""
	n0 := mustMarshal(t, nobody)
	n1 := nobody.Next(n0, buyer.fpr())
	n1.From = shop.fpr()
	nb := mustMarshal(t, n1)
	many("chain-after-nobody", "ErrChain\nto nobody", n0, armored(t, oem.sign(t, n0)), nb, armored(t, shop.sign(t, nb)))

	// Seventeen links, each by and to the seller himself.
	self := statement()
	self.To = oem.fpr()
	var files [][]byte
	b := mustMarshal(t, self)
	for range MaxLinks + 1 {
		files = append(files, b, armored(t, oem.sign(t, b)))
		if self.Seq+1 < MaxLinks {
			self = self.Next(b, oem.fpr())
			b = mustMarshal(t, self)
		}
	}
	many("chain-too-long", "ErrTooLarge\n17 links", files...)
}

// TestReplay: a good file of another machine is refused by the comparison.
func TestReplay(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(corpus, "good", FileName(0)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	here := Measured{Subjects: maps.Clone(s.Subjects), Reference: s.Reference}
	if err := s.Compare(here).Err(); err != nil {
		t.Fatal(err)
	}
	here.Subjects[SubjectEK], here.Reference.CardSerial = hexOf("5", 64), "0006 87654321"
	var mm *MismatchError
	if err := s.Compare(here).Err(); !errors.Is(err, ErrOtherMachine) || !errors.As(err, &mm) || len(mm.Failed) != 2 {
		t.Error(err)
	}
	// The same, with all that identifies the machine kept from being measured.
	here = Measured{Subjects: map[string]string{SubjectROM: s.Subjects[SubjectROM], SubjectBoot: s.Subjects[SubjectBoot]}}
	if err := s.Compare(here).Err(); !errors.As(err, &mm) || errors.Is(err, ErrOtherMachine) {
		t.Error(err)
	}
}

// TestRelease: a machine given up to nobody, then sold on, is one link longer, and
// the receiver of the next link is named by a seller who begins a new chain.
func TestRelease(t *testing.T) {
	first := sample()
	b0 := mustMarshal(t, first)
	up := first.Next(b0, "")
	up.Changed = []string{"disk", "card", "tpm", "rom"}
	b1 := mustMarshal(t, up)
	c, err := OpenChain([]Link{{b0, fakeSign(b0, oem)}, {b1, fakeSign(b1, buyer)}}, oem, fakeVerify)
	if err != nil || c.Last().To != "" || c.Accepted || CheckReceiver(c.Last().To, shop) != nil {
		t.Fatalf("%+v, %v", c, err)
	}
	if !slices.Equal(c.Last().Changed, up.Changed) {
		t.Error(c.Last().Changed)
	}
}

// FuzzParse: whatever is accepted is written back to something that says the same.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(corpus, "*", "*.json"))
	for _, n := range files {
		if b, err := os.ReadFile(n); err == nil && len(b) < 8192 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		b, err := s.Marshal()
		if errors.Is(err, ErrTooLarge) {
			return // indentation
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(b)
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", s) {
			t.Fatalf("%v\n%+v\n%+v", err, s, again)
		}
		_ = s.Compare(Measured{Subjects: s.Subjects, Reference: s.Reference}).Err()
	})
}

// FuzzSignatures: packets come out whole and cover a binary file to the byte.
func FuzzSignatures(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(corpus, "*", "*.asc"))
	for _, n := range files {
		if b, err := os.ReadFile(n); err == nil && len(b) < 2048 {
			f.Add(b)
		}
	}
	f.Add([]byte{0x88, 1, 0, 0x89, 0, 1, 0, 0x8a, 0, 0, 0, 1, 0, 0xc2, 1, 0, 0xc2, 192, 0, 0xc2, 255, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		sigs, err := splitSignatures(data)
		if err != nil {
			return
		}
		if joined := bytes.Join(sigs, nil); !bytes.Contains(data, []byte(armorBegin)) && !bytes.Equal(joined, data) {
			t.Fatal("bytes were lost")
		}
		for _, s := range sigs {
			if again, err := splitSignatures(s); err == nil && len(again) != 1 {
				t.Fatal("a packet that is several")
			}
		}
	})
}

package tpm

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"reown/internal/secret"
	"reown/tpm/tpmtest"
)

const (
	ownerPass = "correct owner battery"
	dukPass   = "disk unlock passphrase"
	otpText   = "OTPmarkerOTPmarker20" // 20 bytes
	otpList   = "0,1,2,3,4,7"
	dukList   = "0,1,2,3,4,5,6,7"
)

// endorsed is a TPM 1.2's state with an endorsement key, whose making takes seconds.
var endorsed struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(endorsed.dir)
	os.Exit(code)
}

// startSim starts an emulator that ends with the test.
func startSim(t *testing.T, v tpmtest.Version) *tpmtest.Sim {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // t.TempDir's names can be too long for a Unix socket
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	if v == tpmtest.V12 {
		endorsed.once.Do(func() {
			if endorsed.dir, endorsed.err = os.MkdirTemp("", "tpm"); endorsed.err != nil {
				return
			}
			var s *tpmtest.Sim
			if s, endorsed.err = tpmtest.StartVersion(endorsed.dir, v); endorsed.err == nil {
				s.Stop()
			}
		})
		if endorsed.err != nil {
			missing(t, endorsed.err)
		}
		check(t, os.CopyFS(filepath.Join(dir, "state"), os.DirFS(filepath.Join(endorsed.dir, "state"))))
	}
	s, err := tpmtest.StartVersion(dir, v)
	if err != nil {
		missing(t, err)
	}
	t.Cleanup(s.Stop)
	return s
}

// missing skips a test whose peer program is absent, unless all peers are required.
func missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("REOWN_REQUIRE_PEERS") != "1" && errors.Is(err, tpmtest.ErrNoSwtpm) {
		t.Skip(err)
	}
	t.Fatal(err)
}

func startHeads(t *testing.T, s *tpmtest.Sim) *tpmtest.Heads {
	t.Helper()
	h, err := tpmtest.NewHeads(s, filepath.Join(filepath.Dir(s.Socket), "heads"))
	if err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return h
}

func mustOpen(t *testing.T, path string) *TPM {
	t.Helper()
	p, err := Open(path)
	check(t, err)
	return p
}

func buf(s string) *secret.Buffer { return secret.From([]byte(s)) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

// must returns the value of a call that should not fail.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T { t.Helper(); check(t, err); return v }
}

func joined(v PCRValues, pcrs []int) []byte {
	var b []byte
	for _, p := range pcrs {
		b = append(b, v[p]...)
	}
	return b
}

var algs = []PrimaryAlg{RSA, ECC}

// What we set up, Heads' own commands use.
func TestHeadsUsesOurs(t *testing.T) {
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			ctx := context.Background()
			s := startSim(t, tpmtest.V20)
			h := startHeads(t, s)
			p := mustOpen(t, s.Socket)
			key := secret.Random(128)
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: alg}))
			check(t, p.ExtendPCR(ctx, 2, []byte("coreboot")))
			pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
			for _, i := range []int{0, 2} {
				if got := must(h.PCR(i))(t); !bytes.Equal(got, pcrs[i]) {
					t.Fatalf("PCR %d: tpm2-tools read %x, we %x", i, got, pcrs[i])
				}
			}
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
			check(t, p.SealDUK(ctx, buf(ownerPass), key, buf(dukPass), pcrs))
			n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)

			check(t, h.StartSession())
			handle := must(h.PrimaryHandle())(t)
			if ours := must(p.PrimaryHandleFile(ctx))(t); !bytes.Equal(ours, handle) {
				t.Errorf("primary.handle:\n got %x\nwant %x", ours, handle)
			}
			sum := sha256.Sum256(handle)
			if got, want := string(must(p.PrimaryHashFile(ctx))(t)),
				fmt.Sprintf("%x  /tmp/secret/primary.handle\n", sum); got != want {
				t.Errorf("kexec_primhdl_hash.txt: got %q, want %q", got, want)
			}
			if got := must(h.Unseal("4d47", otpList, ""))(t); string(got) != otpText {
				t.Errorf("Heads unsealed %q", got)
			}
			if got := must(h.Unseal("3", dukList, dukPass))(t); !bytes.Equal(got, key.Bytes()) {
				t.Errorf("Heads unsealed another disk key: %x", got)
			}
			if got, err := h.Unseal("3", dukList, "something else"); err == nil {
				t.Errorf("Heads unsealed with a wrong passphrase: %x", got)
			}
			text := must(h.CounterRead(n.ID))(t)
			if want := fmt.Sprintf("%x  /tmp/counter-%s\n", sha256.Sum256([]byte(text)),
				n.ID); string(n.RollbackFile()) != want {
				t.Errorf("kexec_rollback.txt: got %q, want %q", n.RollbackFile(), want)
			}
			text = must(h.CounterIncrement(n.ID))(t)
			if got := must(p.ReadCounter(ctx, n.ID))(t); got.Line+"\n" != text || got.Value != n.Value+1 {
				t.Errorf("after Heads' increment: ours %+v, Heads %q", got, text)
			}
			// Heads refuses counters whose attributes do not let the index's own (empty) passphrase write.
			if out := must(h.Tool("nvreadpublic", "0x"+n.ID))(t); !strings.Contains(string(out), "0x20060014") {
				t.Errorf("counter attributes:\n%s", out)
			}
			check(t, h.Extend(4, hex.EncodeToString(make([]byte, 32))))
			if _, err := h.Unseal("4d47", otpList, ""); err == nil {
				t.Error("unsealed after a measurement changed")
			}
		})
	}
}

// What Heads set up, we use; and both make the same objects.
func TestWeUseHeads(t *testing.T) {
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			ctx := context.Background()
			s := startSim(t, tpmtest.V20)
			h := startHeads(t, s)
			p := mustOpen(t, s.Socket)
			check(t, h.Reset(ownerPass, string(alg)))
			i := must(p.Info(ctx))(t)
			if !i.SetUp || !i.Owned || i.PrimaryAlg != alg {
				t.Fatalf("Heads' reset looks unfinished to us: %+v", i)
			}
			check(t, p.CheckOwner(ctx, buf(ownerPass)))
			wantErr(t, p.CheckOwner(ctx, buf("wrong")), ErrWrongOwner)
			pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
			key := secret.Random(128)
			check(t, h.Seal([]byte(otpText), "4d47", otpList, joined(pcrs, OTPPCRs()), "", ownerPass))
			check(t, h.Seal(key.Bytes(), "3", dukList, joined(pcrs, DUKPCRs()), dukPass, ownerPass))
			if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != otpText {
				t.Errorf("unsealed %q", got.Bytes())
			}
			if got := must(p.UnsealDUK(ctx, buf(dukPass)))(t); !got.Equal(key) {
				t.Error("unsealed another disk key")
			}
			if !must(p.OTPSealedTo(ctx, pcrs))(t) || !must(p.DUKSealedTo(ctx, pcrs))(t) {
				t.Error("our policy digest is not Heads'")
			}
			if must(p.OTPSealedTo(ctx, pcrs.With(7, make([]byte, 31+1)).With(4, Hash(32, nil))))(t) {
				t.Error("sealed to any values at all?")
			}
			check(t, h.CounterCreate("1a2b3c4", ownerPass))
			_, err := p.ReadCounter(ctx, "1a2b3c4") // not readable before its first increment
			wantErr(t, err, ErrNoCounter)
			n := must(p.IncrementCounter(ctx, "1a2b3c4"))(t)
			if text := must(h.CounterRead("1a2b3c4"))(t); text != n.Line+"\n" {
				t.Errorf("counter: ours %q, Heads %q", n.Line, text)
			}

			// The same objects: public areas as tpm2-tools show them.
			public := func(handle string) string {
				out := must(h.Tool("readpublic", "-c", handle))(t)
				return string(out)
			}
			sealed := func() string { // all but the hash of the secret, which no two objects share
				lines := strings.SplitN(public("0x81004d47"), "\nkeyedhash:", 2)
				return strings.Join(strings.Split(lines[0], "\n")[3:], "\n")
			}
			theirs := sealed()
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
			if ours := sealed(); ours != theirs || !strings.Contains(ours, "attributes") {
				t.Errorf("sealed object:\nours %s\ntheirs %s", ours, theirs)
			}
			out := string(must(h.Tool("getcap", "properties-variable"))(t))
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: alg}))
			again := string(must(h.Tool("getcap", "properties-variable"))(t))
			if noCounts(out) != noCounts(again) {
				t.Errorf("TPM state after our reset:\n%s\nafter Heads':\n%s", again, out)
			}
			prim := public("0x81000000")
			check(t, h.Reset(ownerPass, string(alg)))
			theirsPrim := public("0x81000000")
			if cut(prim, "attributes:") != cut(theirsPrim, "attributes:") {
				t.Errorf("primary:\nours %s\ntheirs %s", prim, theirsPrim)
			}
		})
	}
}

// noCounts drops the lines that count objects, which differ with what is stored.
func noCounts(s string) string {
	var keep []string
	for _, l := range strings.Split(s, "\n") {
		if !strings.Contains(l, "TPM2_PT_HR_") && !strings.Contains(l, "TPM2_PT_NV_COUNTERS") &&
			!strings.Contains(l, "TPM2_PT_AUDIT") {
			keep = append(keep, l)
		}
	}
	return strings.Join(keep, "\n")
}

// cut returns what stands between a word and the key's own number.
func cut(s, from string) string {
	_, s, _ = strings.Cut(s, from)
	for _, stop := range []string{"\nrsa:", "\nx:"} {
		s, _, _ = strings.Cut(s, stop)
	}
	return s
}

// The bus sees no secret, and nothing from which one could be guessed.
func TestNothingSecretOnTheBus(t *testing.T) {
	for _, alg := range algs {
		t.Run(string(alg), func(t *testing.T) {
			ctx := context.Background()
			s := startSim(t, tpmtest.V20)
			tap, err := tpmtest.Tap(s)
			check(t, err)
			defer tap.Close()
			p := mustOpen(t, tap.Socket)
			key := buf("DUKmarker" + strings.Repeat("k", 110) + "DUKmarker")
			check(t, p.CheckOwner(ctx, &secret.Buffer{})) // not owned yet: the owner passphrase is empty
			check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: alg}))
			check(t, p.CheckOwner(ctx, buf(ownerPass)))
			pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
			check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
			check(t, p.SealDUK(ctx, buf(ownerPass), key, buf(dukPass), pcrs))
			must(p.UnsealOTP(ctx))(t)
			must(p.UnsealDUK(ctx, buf(dukPass)))(t)
			must(p.CreateCounter(ctx, buf(ownerPass)))(t)
			check(t, p.RemoveDUK(ctx, buf(ownerPass)))
			check(t, p.Clear(ctx))
			trace := tap.Trace()
			for _, m := range []string{ownerPass, dukPass, "OTPmarker", "DUKmarker"} {
				h1, h2 := sha1.Sum([]byte(m)), sha256.Sum256([]byte(m))
				for _, form := range [][]byte{[]byte(m), h1[:], h2[:]} {
					if bytes.Contains(trace, form) {
						t.Errorf("%q crossed the bus", m)
					}
				}
			}
			if len(trace) < 5000 {
				t.Fatalf("the tap recorded only %d bytes", len(trace))
			}
		})
	}
}

// The tap finds what Heads' own commands leave on the bus: proof that it would
// have found ours.
func TestTapSeesWhatIsThere(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V20)
	tap, err := tpmtest.Tap(s)
	check(t, err)
	defer tap.Close()
	p := mustOpen(t, tap.Socket)
	check(t, p.ExtendPCR(ctx, 16, []byte("a public measurement")))
	digest := sha256.Sum256([]byte("a public measurement"))
	if !bytes.Contains(tap.Trace(), digest[:]) {
		t.Fatal("a digest sent in clear is not in the trace")
	}
}

// A secret is sealed before the flash is written, and comes back only after the next
// start has measured what was written: Heads' measuring is done with tpm2-tools.
func TestSealForTheNextStart(t *testing.T) {
	ctx := context.Background()
	s, p, _ := setUp20(t)
	h := startHeads(t, s)
	hash := func(b string) string { return hex.EncodeToString(Hash(32, []byte(b))) }
	start := func(keyring string) { // what coreboot and Heads extend at a start
		for _, m := range measured {
			if m.pcr == 2 {
				check(t, h.Extend(2, hash(m.name)))
			}
		}
		check(t, h.Extend(7, hash("/.gnupg/pubring.kbx")))
		check(t, h.Extend(7, hash(keyring)))
	}
	log := must(ParseEventLog(corebootLog256()))(t)
	start("the seller's keyring")
	check(t, h.Extend(4, hash("usb"))) // the wizard needed the USB token
	now := must(p.ReadPCRs(ctx, OTPPCRs()...))(t)
	seven := Extend(Extend(make([]byte, 32), Hash(32, []byte("/.gnupg/pubring.kbx"))),
		Hash(32, []byte("the owner's keyring")))
	next := must(PredictOTP(now, log, seven))(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), next))
	if !must(p.OTPSealedTo(ctx, next))(t) {
		t.Error("not sealed to the next start")
	}
	_, err := p.UnsealOTP(ctx)
	wantErr(t, err, ErrPCRMismatch)

	check(t, p.Shutdown(ctx))
	check(t, s.PowerCycle())
	start("the seller's keyring") // the flash was not written after all
	_, err = p.UnsealOTP(ctx)
	wantErr(t, err, ErrPCRMismatch)

	check(t, s.PowerCycle())
	start("the owner's keyring")
	if got := must(p.UnsealOTP(ctx))(t); string(got.Bytes()) != otpText {
		t.Errorf("unsealed %q", got.Bytes())
	}
	check(t, h.StartSession())
	if got := must(h.Unseal("4d47", otpList, ""))(t); string(got) != otpText {
		t.Errorf("Heads unsealed %q", got)
	}
}

// corebootLog256 is the log of a coreboot that measures into register 2 only.
func corebootLog256() []byte {
	b := []byte("coreboot TPM log:\n\n")
	for _, m := range measured {
		if m.pcr == 2 {
			b = fmt.Appendf(b, " PCR-2 %x SHA256 [%s]\n", Hash(32, []byte(m.name)), m.name)
		}
	}
	return b
}

// Somebody who records the bus learns nothing to guess with: every session that proves a
// passphrase is salted, and no command carries a passphrase as such.
func TestSessionsAreSalted(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V20)
	var sessions, trials, commands int
	var bad []string
	p := tampered(t, s, func(cmd, _ []byte) []byte {
		commands++
		if c := binary.BigEndian.Uint32(cmd[6:]); c == 0x176 { // StartAuthSession: tpmKey, bind, nonce, salt, kind
			q := parser{b: cmd[headerLen:]}
			key := q.u32()
			q.u32()
			q.take(int(q.u16()))
			q.take(int(q.u16()))
			switch kind := q.u8(); {
			case kind == 3: // trial: proves nothing and authorises nothing
				trials++
			case key == 0x40000007: // TPM_RH_NULL
				bad = append(bad, "a session without salt")
			default:
				sessions++
			}
		}
		// Authorisation area: after the header and one or two handles, a size, then
		// entries of handle, nonce, attributes, and an HMAC or, for TPM_RS_PW, a passphrase.
		if binary.BigEndian.Uint16(cmd) != 0x8002 {
			return nil
		}
		pw := []byte{0x40, 0, 0, 9, 0, 0} // TPM_RS_PW with an empty nonce
		for rest := cmd; ; {
			i := bytes.Index(rest, pw)
			if i < 0 {
				return nil
			}
			rest = rest[i+len(pw)+1:] // behind the attributes
			if len(rest) >= 2 && binary.BigEndian.Uint16(rest) != 0 {
				bad = append(bad, CommandName(cmd)+" with a passphrase in clear")
			}
		}
	})
	for range 2 {
		check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
		check(t, p.CheckOwner(ctx, buf(ownerPass)))
		pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
		check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
		check(t, p.SealDUK(ctx, buf(ownerPass), secret.Random(DUKSize), buf(dukPass), pcrs))
		must(p.UnsealOTP(ctx))(t)
		must(p.UnsealDUK(ctx, buf(dukPass)))(t)
		n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
		must(p.IncrementCounter(ctx, n.ID))(t)
		must(p.Info(ctx))(t)
	}
	if len(bad) > 0 || sessions < 20 || trials < 2 {
		t.Errorf("%d commands, %d salted sessions, %d trials; bad: %v", commands, sessions, trials, bad)
	}
}

// Only what Heads could have made counts as its counter: not the platform maker's, which
// survives a reset and whose passphrase nobody knows, nor what lies among the TCG's.
func TestForeignCounters(t *testing.T) {
	ctx := context.Background()
	s, p, _ := setUp20(t)
	h := startHeads(t, s)
	for _, args := range [][]string{
		{"-C", "p", "-a", "authread|authwrite|nt=1|platformcreate", "-p", "str:vendor", "0x1123456"},
		{"-C", "o", "-P", "str:" + ownerPass, "-a", "ownerread|authread|authwrite|nt=1", "-p", "str:vendor", "0x1c00099"},
		{"-C", "o", "-P", "str:" + ownerPass, "-a", "ownerread|authread|authwrite|no_da|nt=1", "0x1123457"},
	} {
		must(h.Tool(append([]string{"nvdefine", "-Q", "-s", "8"}, args...)...))(t)
	}
	if i := must(p.Info(ctx))(t); len(i.Counters) != 0 {
		t.Errorf("taken for Heads' counters: %v", i.Counters)
	}
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	if i := must(p.Info(ctx))(t); !slices.Equal(i.Counters, []string{n.ID}) || i.Lockout.Tries != 0 {
		t.Errorf("counter %s: %+v", n.ID, i)
	}
	// One that Heads has made is taken, before its first increment and after.
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	check(t, h.CounterCreate("1a2b3c4", ownerPass))
	for range 2 {
		if n := must(p.CreateCounter(ctx, buf(ownerPass)))(t); n.ID != "1a2b3c4" {
			t.Errorf("another one than Heads': %+v", n)
		}
		if i := must(p.Info(ctx))(t); !slices.Equal(i.Counters, []string{"1a2b3c4"}) {
			t.Errorf("%v", i.Counters)
		}
	}
}

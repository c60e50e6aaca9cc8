package gpgcard

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"

	"reown/internal/secret"
)

// onHeap counts how often a secret stands in the Go runtime's memory.
func onHeap(t *testing.T, s *secret.Buffer) int {
	t.Helper()
	for range 10 {
		if n, ok := scanHeap(t, s); ok {
			return n
		}
	}
	t.Fatal("the Go heap is not where it is looked for")
	return 0
}

// scanHeap is onHeap; ok is false when the heap grew between the map of the memory and the
// look at it.
func scanHeap(t *testing.T, s *secret.Buffer) (n int, ok bool) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("no /proc/self/maps:", err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skip("no /proc/self/mem:", err)
	}
	defer mem.Close()
	room := secret.New(4 << 20) // what is read must not come to stand on the heap
	defer room.Wipe()
	// The arenas stand side by side; the kernel puts locked memory far away from them.
	const near = 64 << 30
	at := int64(uintptr(unsafe.Pointer(&maps[0])))
	for sc := bufio.NewScanner(bytes.NewReader(maps)); sc.Scan(); {
		var from, to int64
		if k, _ := fmt.Sscanf(sc.Text(), "%x-%x", &from, &to); k != 2 || to < at-near || from > at+near ||
			!strings.Contains(sc.Text(), " rw") {
			continue
		}
		ok = ok || from <= at && at < to
		for ; from < to; from += int64(room.Len() - s.Len()) {
			b := room.Bytes()[:min(int64(room.Len()), to-from)]
			if k, _ := mem.ReadAt(b, from); k > 0 {
				n += bytes.Count(b[:k], s.Bytes())
			}
		}
	}
	return n, ok
}

// leaks runs f with fresh secrets until it finds none on the heap, at most three times: a
// goroutine that is preempted in the middle of a copy leaves registers on its stack. It
// returns what the last run found.
func leaks(f func(found *[]string)) (found []string) {
	for range 3 {
		found = nil
		if f(&found); len(found) == 0 {
			break
		}
	}
	return found
}

// A witness is a card that takes everything, and looks into the heap at each command.
type witness struct {
	t     *testing.T
	s     *secret.Buffer
	apdus int
	found *[]string
}

func (w *witness) Transmit(_ context.Context, apdu []byte) ([]byte, error) {
	switch apdu[1] {
	case insVerify, insChange, insUnblock, insPutOdd, insPutData:
		w.apdus++
		if n := onHeap(w.t, w.s); n > 0 {
			*w.found = append(*w.found, fmt.Sprintf("command %02x: the secret stands on the heap %d times", apdu[1], n))
		}
	case insGetData:
		if apdu[3] == 0xc4 {
			return []byte{0, 64, 64, 64, 3, 3, 3, 0x90, 0}, nil
		}
	}
	return []byte{0x90, 0}, nil
}

func (*witness) PowerCycle(context.Context) error { return nil }
func (*witness) Close() error                     { return nil }

// handOver gives a witness a PIN and a key in each way there is.
func handOver(t *testing.T, caps caps, kdf *kdf, found *[]string) {
	pin := secret.Random(32)
	defer pin.Wipe()
	other := pin.Copy()
	defer other.Wipe()
	slices.Reverse(other.Bytes())
	w := &witness{t: t, s: pin, found: found}
	k := &Card{link: w, caps: caps, kdf: kdf}
	ctx := t.Context()
	if err := k.Verify(ctx, AdminPIN, pin); err != nil {
		t.Fatal(err)
	}
	if err := k.ChangePIN(ctx, UserPIN, other, pin); err != nil {
		t.Fatal(err)
	}
	if err := k.Unblock(ctx, other, pin); err != nil {
		t.Fatal(err)
	}
	if err := k.SetResetCode(ctx, other, pin); err != nil {
		t.Fatal(err)
	}
	if n := onHeap(t, pin); n > 0 {
		*found = append(*found, fmt.Sprintf("afterwards the PIN stands on the heap %d times", n))
	}
	if w.apdus != 6 {
		t.Errorf("%d commands", w.apdus)
	}
	if kdf != nil {
		return
	}
	key := importKey{pub: &publicKey{slot: Decryption, alg: Curve25519, point: make([]byte, 32)}, d: pin}
	_ = k.importKey(ctx, key, attribute{Algorithm: Curve25519}) // the witness has no public key to show
	if w.apdus != 7 {
		t.Errorf("%d commands", w.apdus)
	}
}

// While a card has a PIN in its hands, and afterwards, the PIN is in locked memory and
// nowhere else; so is a key that is imported.
func TestSecretsStayOffTheHeap(t *testing.T) {
	for _, c := range []struct {
		name string
		caps caps
		kdf  *kdf
	}{
		{"short", caps{chaining: true}, nil},
		{"extended", caps{extended: true}, nil},
		{"hashed", caps{chaining: true, kdf: true},
			&kdf{hash: 0x08, n: 100003, salt: [3][]byte{[]byte("saltsalt"), []byte("saltsalt"), []byte("saltsalt")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, l := range leaks(func(found *[]string) { handOver(t, c.caps, c.kdf, found) }) {
				t.Error(l)
			}
		})
	}
	// The test itself can see what stands there.
	s := secret.Random(32)
	copied := bytes.Clone(s.Bytes())
	if onHeap(t, s) == 0 {
		t.Error("a copy on the heap was not found")
	}
	clear(copied)
}

// The passphrase of a backup is nowhere but in locked memory when the backup has been
// written and read back; and go-crypto opens what was written with it, and only with it.
func TestBackupPassphraseStaysOffTheHeap(t *testing.T) {
	set, err := NewKeySet(P256, Identity{Name: "Owner"}, time.Now().Truncate(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Wipe()
	var pass *secret.Buffer
	var armored []byte
	for _, l := range leaks(func(found *[]string) {
		pass.Wipe()
		pass = secret.Random(32)
		if armored, err = set.Export(pass); err != nil {
			t.Fatal(err)
		}
		if n := onHeap(t, pass); n > 0 {
			*found = append(*found, fmt.Sprintf("the passphrase stands on the heap %d times", n))
		}
	}) {
		t.Error(l)
	}
	defer pass.Wipe()
	wrong := secret.Random(32)
	defer wrong.Wipe()
	if _, err := ParseKeySet(armored, wrong); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("another passphrase: %v", err)
	}
	list, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(armored))
	if err != nil || len(list) != 1 {
		t.Fatalf("%d keys, %v", len(list), err)
	}
	if err := list[0].PrivateKey.Decrypt(wrong.Bytes()); err == nil {
		t.Error("go-crypto opens it with another passphrase")
	}
	if err := list[0].DecryptPrivateKeys(pass.Bytes()); err != nil {
		t.Errorf("go-crypto: %v", err)
	}
	// The other way round: what go-crypto has protected in the same way.
	plain, err := set.secretKeys()
	if err != nil {
		t.Fatal(err)
	}
	cfg := &packet.Config{DefaultCipher: packet.CipherAES256,
		S2KConfig: &s2k.Config{S2KMode: s2k.IteratedSaltedS2K, Hash: crypto.SHA256, S2KCount: 1024}}
	if err := plain[1].EncryptWithConfig(pass.Bytes(), cfg); err != nil {
		t.Fatal(err)
	}
	var theirs bytes.Buffer
	if err := plain[1].Serialize(&theirs); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := unprotect(theirs.Bytes(), pass); !ok || err != nil {
		t.Errorf("made by go-crypto: %v, %v", ok, err)
	}
}

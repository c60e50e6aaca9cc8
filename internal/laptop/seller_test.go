package laptop

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"reown/boot"
	"reown/gpgcard"
	"reown/internal/handover"
)

// A party of a chain signs with a key in memory.
type party struct{ *openpgp.Entity }

func newParty(t *testing.T, name string) party {
	t.Helper()
	at := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	e, err := openpgp.NewEntity(name, "", "",
		&packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return party{e}
}

func (p party) fpr() string { return fmt.Sprintf("%X", p.PrimaryKey.Fingerprint) }

func (p party) cert(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (p party) sign(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	at := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	if err := openpgp.ArmoredDetachSign(&b, p.Entity, bytes.NewReader(data),
		&packet.Config{DefaultHash: crypto.SHA256, Time: func() time.Time { return at }}); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

// A chainDir is a /boot with a chain of two: from the maker to a shop, from the shop to
// nobody in particular.
type chainDir struct {
	t                   *testing.T
	dir                 string
	maker, shop, laptop party
	first, second       []byte
}

func newChainDir(t *testing.T) *chainDir {
	t.Helper()
	c := &chainDir{t: t, dir: t.TempDir(), maker: newParty(t, "maker"), shop: newParty(t, "shop"),
		laptop: newParty(t, "laptop")}
	st := &handover.Statement{Subjects: map[string]string{handover.SubjectROM: strings.Repeat("a", 64)},
		From: c.maker.fpr(), To: c.shop.fpr(), Order: "1"}
	c.first = c.marshal(st)
	c.second = c.marshal(st.Next(c.first, ""))
	c.write(0, c.first, c.maker.sign(t, c.first), c.maker.cert(t))
	c.write(1, c.second, append(c.shop.sign(t, c.second), c.laptop.sign(t, c.second)...),
		append(c.shop.cert(t), c.laptop.cert(t)...))
	return c
}

func (c *chainDir) marshal(s *handover.Statement) []byte {
	c.t.Helper()
	b, err := s.Marshal()
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

func (c *chainDir) write(seq int, statement, asc, key []byte) {
	c.t.Helper()
	name := filepath.Join(c.dir, handover.FileName(seq))
	for n, data := range map[string][]byte{name: statement, name + ".asc": asc, name + ".key": key} {
		if err := os.WriteFile(n, data, 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *chainDir) reader() *handoverReader {
	c.t.Helper()
	dir, err := boot.Open(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	return &handoverReader{dir: dir, verify: openPGP{}.Verify}
}

// TestHanded: which chain a shop continues. A last statement of its own that still waits
// for its signature does not stand in the way of another run.
func TestHanded(t *testing.T) {
	c := newChainDir(t)
	chain, files, err := c.reader().handed(t.Context(), c.shop.fpr())
	if err != nil || len(chain.Links) != 2 || len(files) != 2 {
		t.Fatalf("%+v, %v", chain, err)
	}
	c.write(1, c.second, c.laptop.sign(t, c.second), append(c.shop.cert(t), c.laptop.cert(t)...))
	chain, files, err = c.reader().handed(t.Context(), c.shop.fpr())
	if err != nil || len(chain.Links) != 1 || len(files) != 1 || chain.Last().To != c.shop.fpr() {
		t.Fatalf("a statement that waits: %+v, %v", chain, err)
	}
	// To anybody else such a chain is nothing.
	if chain, _, err := c.reader().handed(t.Context(), c.laptop.fpr()); chain != nil || err != nil {
		t.Errorf("%+v, %v", chain, err)
	}
	// One whose first statement does not verify is not continued, and not passed over.
	c.write(0, c.first, c.shop.sign(t, c.first), c.maker.cert(t))
	if chain, _, err := c.reader().handed(t.Context(), c.shop.fpr()); !errors.Is(err, handover.ErrSigner) {
		t.Errorf("%+v, %v", chain, err)
	}
}

// TestFilesAreBounded: somebody who can write to /boot makes files of any size and with any
// number of keys; neither is worked through.
func TestFilesAreBounded(t *testing.T) {
	many := func(c *chainDir) (keys []byte) {
		for range maxCerts + 1 {
			keys = append(keys, newParty(t, "many").cert(t)...)
		}
		return keys
	}
	huge := bytes.Repeat([]byte(" "), handover.MaxStatement+1)
	for name, change := range map[string]func(*chainDir){
		"statement":  func(c *chainDir) { c.write(0, huge, c.maker.sign(t, huge), c.maker.cert(t)) },
		"signatures": func(c *chainDir) { c.write(0, c.first, huge, c.maker.cert(t)) },
		"keys":       func(c *chainDir) { c.write(0, c.first, c.maker.sign(t, c.first), huge) },
		"many keys":  func(c *chainDir) { c.write(0, c.first, c.maker.sign(t, c.first), many(c)) },
	} {
		c := newChainDir(t)
		ring := map[string][]byte{c.laptop.fpr(): c.laptop.cert(t)}
		if set, err := c.reader().open(ring); err != nil || set == nil || set.ring != c.laptop.fpr() {
			t.Fatalf("%v", err)
		}
		change(c)
		if _, err := c.reader().open(ring); !errors.Is(err, handover.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// cutFS fails from one named write on: before it was done, or after.
type cutFS struct {
	boot.FS
	at   int
	done bool
	ops  *[]string
}

var errCutHere = errors.New("cut")

func (c cutFS) point(op string, do func() error) error {
	n := len(*c.ops)
	*c.ops = append(*c.ops, op)
	if c.at < 0 || n < c.at {
		return do()
	}
	if n == c.at && c.done {
		return errors.Join(do(), errCutHere)
	}
	return errCutHere
}

func (c cutFS) WriteFile(op, name string, data []byte) error {
	return c.point(op, func() error { return c.FS.WriteFile(op, name, data) })
}

func (c cutFS) Rename(op, from, to string) error {
	return c.point(op, func() error { return c.FS.Rename(op, from, to) })
}

func (c cutFS) SyncDir(op, name string) error {
	return c.point(op, func() error { return c.FS.SyncDir(op, name) })
}

// cut is the reader of this /boot with the power gone at the nth write; n < 0: never.
func (c *chainDir) cut(n int, done bool) (*handoverReader, *bootAdapter, *[]string) {
	c.t.Helper()
	ops := &[]string{}
	dir, err := boot.OpenFS(c.dir, cutFS{boot.System(c.dir), n, done, ops})
	if err != nil {
		c.t.Fatal(err)
	}
	h := &handoverReader{dir: dir, verify: openPGP{}.Verify}
	return h, &bootAdapter{dir: dir, verify: h.verify}, ops
}

// TestAddedSignaturesAreWholeOrNot cuts the power at each named write of the shop's
// signature that comes later, and of the receiver's, and repeats.
func TestAddedSignaturesAreWholeOrNot(t *testing.T) {
	c := newChainDir(t)
	receiver := newParty(t, "receiver")
	cert, err := gpgcard.ParseCert(receiver.cert(t))
	if err != nil {
		t.Fatal(err)
	}
	first, err := handover.Parse(c.first)
	if err != nil {
		t.Fatal(err)
	}
	c.second = c.marshal(first.Next(c.first, receiver.fpr()))
	unsigned, certs := c.laptop.sign(t, c.second), append(c.shop.cert(t), c.laptop.cert(t)...)
	signed := append(c.shop.sign(t, c.second), unsigned...)
	ring := map[string][]byte{c.laptop.fpr(): c.laptop.cert(t)}
	sign := func(data []byte) ([]byte, error) { return receiver.sign(t, data), nil }

	add := func(_ *handoverReader, b *bootAdapter) error { return oemBoot{b}.Sign(t.Context(), 1, signed) }
	accept := func(h *handoverReader, b *bootAdapter) error {
		return h.accept(b, ring, cert, handover.Digest(c.second), sign)
	}
	for name, do := range map[string]func(*handoverReader, *bootAdapter) error{"add": add, "accept": accept} {
		before := map[string][]byte{"add": unsigned, "accept": signed}[name]
		is := func() (ready, accepted bool) {
			set, err := c.reader().open(ring)
			if err != nil && !errors.Is(err, handover.ErrSigner) {
				t.Fatalf("%s: %v", name, err)
			}
			return err == nil, err == nil && set.chain.Accepted
		}
		c.write(1, c.second, before, certs)
		h, b, ops := c.cut(-1, false)
		if err := do(h, b); err != nil {
			t.Fatal(err)
		}
		if ready, accepted := is(); !ready || accepted != (name == "accept") {
			t.Fatalf("%s: ready %v, accepted %v", name, ready, accepted)
		}
		if len(*ops) < 3 {
			t.Fatalf("%s: %q", name, *ops)
		}
		for n, op := range *ops {
			for _, done := range []bool{false, true} {
				c.write(1, c.second, before, certs)
				h, b, _ := c.cut(n, done)
				if err := do(h, b); !errors.Is(err, errCutHere) {
					t.Errorf("%s, cut at %s: %v", name, op, err)
				}
				if ready, _ := is(); name == "accept" && !ready {
					t.Errorf("cut at %s: a hand-over that was ready is not any more", op)
				}
				h, b, _ = c.cut(-1, false)
				if err := do(h, b); err != nil {
					t.Errorf("%s, cut at %s, repeated: %v", name, op, err)
				}
				if ready, accepted := is(); !ready || accepted != (name == "accept") {
					t.Errorf("%s, cut at %s, repeated: ready %v, accepted %v", name, op, ready, accepted)
				}
			}
		}
	}
	// Somebody else's signature, or one over another statement, is not added.
	c.write(1, c.second, signed, certs)
	other, err := gpgcard.ParseCert(newParty(t, "other").cert(t))
	if err != nil {
		t.Fatal(err)
	}
	h, b, ops := c.cut(-1, false)
	if err := h.accept(b, ring, other, handover.Digest(c.second), sign); err == nil {
		t.Error("a signature by another key was added")
	}
	if err := h.accept(b, ring, cert, handover.Digest(c.first), sign); !errors.Is(err, handover.ErrChain) {
		t.Errorf("a statement that was not shown was signed: %v", err)
	}
	if len(*ops) > 0 {
		t.Errorf("written: %q", *ops)
	}
}

package luks_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// An erasable is a volume that Erase is to give up.
type erasable struct {
	name string
	f    *fixture
	img  []byte
	// peer: cryptsetup's luksErase takes it too, and must come to the same header
	peer bool
}

func erasables(t *testing.T) []erasable {
	var out []erasable
	two := format(t, shape{size: 256 << 10, sector: 512, slots: 2})
	two.Run("token", "add", "--key-description", "reown-test", "--key-slot", "1", two.img)
	out = append(out, erasable{"keyslots and a token", two, two.image(), false})
	plain := format(t, shape{size: 256 << 10, sector: 4096})
	out = append(out, erasable{"one keyslot", plain, plain.image(), true})
	apart := format(t, shape{size: 256 << 10, sector: 4096, detached: true})
	out = append(out, erasable{"detached header", apart, apart.image(), true})
	old := format1(t, 256<<10, 7)
	out = append(out, erasable{"LUKS1", old, old.image(), true})

	// Re-encryptions: ours in the middle of a hotzone, cryptsetup's unprotected one,
	// and one with the moment in which it has destroyed the old keyslot.
	ours := format(t, shape{size: 256 << 10, sector: 512})
	m := record(t, ours, luks.ReencryptOptions{Hotzone: 64 << 10}, 512)
	n := slices.IndexFunc(m.log, func(op lukstest.Op) bool { return op.Name == luks.WriteData })
	out = append(out, erasable{"re-encryption by us", ours, lukstest.Replay(m.base, m.log[:n+1]), false})
	for _, mode := range []string{"none", "journal"} {
		f := format(t, shape{size: 1 << 20, sector: 512})
		base := f.image()
		log := f.record(f.peerReencrypt("--resilience", mode)...)
		out = append(out, erasable{"re-encryption by cryptsetup, " + mode, f, lukstest.Replay(base, log[:len(log)/2]), false})
	}
	return out
}

// erasedDisk says what is wrong with a volume that was given up.
func (e *erasable) erased(img []byte) error {
	v, err := e.f.open(lukstest.NewDisk(slices.Clone(img), 512))
	if err != nil {
		return err
	}
	in := v.Info()
	if len(in.Keyslots) > 0 || len(in.Tokens) > 0 || len(in.Requirements) > 0 || len(in.Damage) > 0 {
		return errors.New("something is left in the header")
	}
	return e.noMaterial(img)
}

// noMaterial fails when a block of what stood between header and data is left.
func (e *erasable) noMaterial(img []byte) error {
	from := 32768
	if e.f.img1() {
		from = 4096
	}
	zero := make([]byte, 512)
	for off := from; off < e.f.offset; off += 512 {
		if b := img[off : off+512]; !bytes.Equal(b, zero) && bytes.Equal(b, e.img[off:off+512]) {
			return errors.New("key material is left")
		}
	}
	return nil
}

// img1 reports whether the fixture was made as LUKS1, whose key material follows
// the table at once.
func (f *fixture) img1() bool { return f.offset == 2<<20 }

func TestErase(t *testing.T) {
	ctx := context.Background()
	for _, e := range erasables(t) {
		t.Run(e.name, func(t *testing.T) {
			d := lukstest.NewDisk(slices.Clone(e.img), 512)
			v, err := e.f.open(d)
			if err != nil {
				t.Fatal(err)
			}
			d.Record()
			for range 2 {
				if err := v.Erase(ctx); err != nil {
					t.Fatal(err)
				}
				if err := e.erased(d.Bytes()); err != nil {
					t.Fatal(err)
				}
			}
			log := d.Log()
			if !bytes.Equal(d.Bytes()[e.f.offset:], e.img[e.f.offset:]) {
				t.Error("the data was touched")
			}
			// cryptsetup reads the header, finds nothing to open, and has nothing to add.
			left := regexp.MustCompile(`(?m)^  [0-9]+: (luks2|reencrypt|luks2-keyring)$|ENABLED|online-reencrypt`)
			e.f.put(e.img)
			if before := e.f.Run(e.f.on("luksDump")...); !left.MatchString(before) {
				t.Errorf("nothing to erase in\n%s", before)
			}
			e.f.put(d.Bytes())
			ours := e.f.Run(e.f.on("luksDump")...)
			if left.MatchString(ours) {
				t.Errorf("cryptsetup still sees keyslots or tokens:\n%s", ours)
			}
			if _, err := e.f.Try(e.f.on("open", "--test-passphrase", "--key-file", e.f.key)...); err == nil {
				t.Error("the passphrase opens it")
			}
			e.f.Run(e.f.on("luksErase", "--batch-mode")...)
			if e.peer {
				e.f.put(e.img)
				e.f.Run(e.f.on("luksErase", "--batch-mode")...)
				epoch := regexp.MustCompile(`(?m)^Epoch:.*$`)
				if peers := e.f.Run(e.f.on("luksDump")...); epoch.ReplaceAllString(peers, "") != epoch.ReplaceAllString(ours, "") {
					t.Errorf("cryptsetup's luksErase leaves\n%s\nand ours\n%s", peers, ours)
				}
			}
			e.cuts(t, log)
		})
	}
}

// cuts ends the erasing anywhere: the volume must still be one, must not look
// erased before it is, and the next call must finish.
func (e *erasable) cuts(t *testing.T, log []lukstest.Op) {
	r := rand.New(rand.NewPCG(5, uint64(len(log))))
	var points [][]lukstest.Op
	for k := range len(log) + 1 {
		points = append(points, log[:k], lukstest.Torn(log, k, 512, r))
		for _, keep := range []float64{0.1, 0.5, 0.9} {
			points = append(points, lukstest.PowerLoss(log, k, 512, keep, r))
		}
	}
	for i, ops := range points {
		d := lukstest.NewDisk(lukstest.Replay(e.img, ops), 512)
		v, err := e.f.open(d)
		if err != nil {
			t.Fatalf("point %d: %v", i, err)
		}
		if len(v.Info().Keyslots) == 0 {
			if err := e.noMaterial(d.Bytes()); err != nil {
				t.Errorf("point %d looks erased, but %v", i, err)
			}
		}
		if err := v.Erase(context.Background()); err != nil {
			t.Fatalf("point %d: %v", i, err)
		}
		if err := e.erased(d.Bytes()); err != nil {
			t.Errorf("point %d: %v", i, err)
		}
	}
	t.Logf("%d operations, %d cuts", len(log), len(points))
}

// A disk that swallows writes is not reported as erased.
func TestEraseReadsBack(t *testing.T) {
	f := format(t, shape{size: 256 << 10, sector: 512})
	v, err := luks.OpenDevice("disk", swallowing{lukstest.NewDisk(f.image(), 512)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Erase(context.Background()); !errors.Is(err, luks.ErrNotErased) {
		t.Errorf("a disk that ignores writes: %v", err)
	}
}

type swallowing struct{ *lukstest.Disk }

func (swallowing) WriteAt(string, []byte, int64) error { return nil }

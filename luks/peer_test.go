package luks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// An interop is what either program starts and the other finishes.
type interop struct {
	name   string
	shape  shape
	args   []string // cryptsetup's
	o      luks.ReencryptOptions
	sector int  // at the end
	same   bool // to us: only cryptsetup starts it
}

// matrix is every sector size with every protection, key size and place of the header, and
// what is only cryptsetup's own. By default each value is in it at least twice, and with each
// sector size; a soak takes the whole product.
func matrix() (all []interop) {
	sectors := []struct {
		name     string
		from, to int
	}{{"512", 512, 512}, {"4096", 4096, 4096}, {"512 to 4096", 512, 4096}}
	for i, s := range sectors {
		for k := range 8 {
			journal, short, detached := k&1 != 0, k&2 != 0, k&4 != 0
			if !lukstest.Soak() && k+i != 0 && k != 1+i && k != 7-i {
				continue
			}
			c := interop{name: s.name, shape: shape{size: 1 << 20, sector: s.from, detached: detached, keyBits: 512},
				sector: s.to}
			if s.from != s.to {
				c.args, c.o.SectorSize = []string{"--sector-size", strconv.Itoa(s.to)}, s.to
			}
			if journal {
				c.name, c.args, c.o.Resilience = c.name+", journal", append(c.args, "--resilience", "journal"), luks.Journal
			}
			if short {
				c.name, c.shape.keyBits = c.name+", 256 bit", 256
			}
			if detached {
				c.name += ", detached header"
			}
			all = append(all, c)
		}
	}
	sparse := []int{0, 1, 3} // of what was never written, each zone's worth and less
	if !lukstest.Soak() {
		sparse = sparse[1:2]
	}
	for _, c := range sparse {
		c := all[c]
		c.name, c.shape.sparse, c.shape.size = c.name+", sparse", true, 2<<20
		all = append(all, c)
	}
	return append(all,
		interop{"sha512 checksums", shape{size: 1 << 20, sector: 512}, []string{"--resilience-hash", "sha512"},
			luks.ReencryptOptions{}, 512, true},
		interop{"large hotzones", shape{size: 8 << 20, sector: 512}, []string{"--hotzone-size", "4M"},
			luks.ReencryptOptions{}, 512, true},
		interop{"two passphrases", shape{size: 1 << 20, sector: 512, slots: 1}, []string{"--key-slot", "0"},
			luks.ReencryptOptions{}, 512, true})
}

const peerHotzone = 256 << 10

// peerReencrypt is cryptsetup's command line for a re-encryption.
func (f *fixture) peerReencrypt(args ...string) []string {
	return f.on(append([]string{"reencrypt", "--force-offline-reencrypt", "--batch-mode", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000",
		"--hotzone-size", strconv.Itoa(peerHotzone>>10) + "k", "--key-file", f.key}, args...)...)
}

// data compares a finished image with the plaintext, by code that is not ours.
func (f *fixture) data(img []byte, sector int) error {
	f.put(img)
	if out, err := f.Try(f.on("luksDump")...); err != nil || strings.Contains(out, "reencrypt") {
		return fmt.Errorf("not finished: %v", err)
	}
	if _, err := f.Try(f.on("open", "--test-passphrase", "--key-file", f.key)...); err != nil {
		return err
	}
	vk, err := f.volumeKey(f.key)
	if err != nil {
		return err
	}
	if bytes.Equal(vk, f.oldKey) {
		if f.same(lukstest.XTS(vk, img[f.offset:], sector, false), img[f.offset:]) {
			return nil // not begun yet: nothing to finish
		}
		return errors.New("LOST under the old key")
	}
	if !f.same(lukstest.XTS(vk, img[f.offset:], sector, false), img[f.offset:]) {
		return errors.New("LOST: the data differs")
	}
	return nil
}

// ourResume finishes on a disk in memory.
func (f *fixture) ourResume(img []byte) ([]byte, error) {
	d := lukstest.NewDisk(slices.Clone(img), 512)
	v, err := f.open(d)
	if err != nil {
		return nil, err
	}
	err = v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{Hotzone: peerHotzone})
	return d.Bytes(), err
}

// peerResume lets cryptsetup finish, with the steps its manual gives.
func (f *fixture) peerResume(img []byte) ([]byte, error) {
	f.put(img)
	state, err := f.Try(f.on("luksDump")...)
	if err != nil {
		return nil, err
	}
	if strings.Contains(state, "in-reencryption") {
		if _, err := f.Try(f.on("repair", "--batch-mode", "--key-file", f.key)...); err != nil {
			return nil, err
		}
		if state, err = f.Try(f.on("luksDump")...); err != nil {
			return nil, err
		}
	}
	if strings.Contains(state, "online-reencrypt") {
		if _, err := f.Try(f.on("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--key-file",
			f.key)...); err != nil {
			return nil, err
		}
	}
	return f.image(), nil
}

// Cryptsetup starts and is killed after any write; we finish. Holes A and B of
// cryptsetup's last writes are among the points.
func TestWeFinishWhatCryptsetupLeft(t *testing.T) {
	for _, c := range matrix() {
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			base := f.image()
			log := f.record(f.peerReencrypt(c.args...)...)
			if err := f.data(f.image(), c.sector); err != nil {
				t.Fatalf("an undisturbed run of cryptsetup: %v", err)
			}
			lost, points, step := 0, 0, 1
			if !lukstest.Soak() {
				step = max(1, len(log)/3)
			}
			r := rand.New(rand.NewPCG(6, 6))
			for k := 0; k <= len(log); k += step {
				points++
				ops := log[:k]
				if k > 0 && len(log[k-1].Data) >= peerHotzone { // killed in the middle of a hotzone
					ops = lukstest.Torn(log, k, 4096, r)
				}
				img, err := f.ourResume(lukstest.Replay(base, ops))
				sector := c.shape.sector
				if err == nil && f.keyChanged(base, img) {
					sector = c.sector
				}
				if err == nil {
					err = f.data(img, sector)
				}
				if err != nil {
					lost++
					t.Errorf("killed after %d of %d operations: %v", k, len(log), err)
				}
			}
			t.Logf("cryptsetup killed, finished by us: lost %d of %d points", lost, points)
		})
	}
}

func (f *fixture) keyChanged(a, b []byte) bool {
	digest := func(img []byte) string {
		v, err := f.open(lukstest.NewDisk(img, 512))
		if err != nil {
			return ""
		}
		return v.Info().KeyDigest
	}
	return digest(a) != digest(b)
}

// We start and are killed after any write; cryptsetup finishes.
func TestCryptsetupFinishesWhatWeLeft(t *testing.T) {
	for _, c := range matrix() {
		if c.same {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			f := format(t, c.shape)
			base := f.image()
			d := lukstest.NewDisk(slices.Clone(base), 512)
			d.Record()
			v, err := f.open(d)
			if err != nil {
				t.Fatal(err)
			}
			o := c.o
			o.Hotzone = peerHotzone
			if err := v.Reencrypt(context.Background(), pass("first"), o); err != nil {
				t.Fatal(err)
			}
			log := d.Log()
			r := rand.New(rand.NewPCG(3, uint64(len(c.name))))
			type point struct {
				k    int
				kind string
				ops  []lukstest.Op
			}
			const killed, power = "killed", "power loss"
			var points []point
			add := func(k int, kind string) {
				ops := log[:k]
				if kind == power {
					ops = lukstest.PowerLoss(log, k, 4096, 0.5, r)
				}
				points = append(points, point{k, kind, ops})
			}
			if lukstest.Soak() {
				for range 100 {
					add(r.IntN(len(log)+1), power)
				}
				for k := range len(log) + 1 {
					add(k, killed)
				}
			} else {
				add(r.IntN(len(log)+1), killed)
				add(r.IntN(len(log)+1), power)
			}
			lost, count := map[string]int{}, map[string]int{}
			for i, p := range points {
				img := lukstest.Replay(base, p.ops)
				out, err := f.peerResume(img)
				sector := c.shape.sector
				if err == nil && f.keyChanged(base, out) {
					sector = c.sector
				}
				if err == nil {
					err = f.data(out, sector)
				}
				count[p.kind]++
				if err != nil {
					lost[p.kind]++
					t.Errorf("point %d, %s after %d of %d operations: %v", i, p.kind, p.k, len(log), err)
				}
				if n := count[p.kind]; n%100 == 0 || i+1 == len(points) {
					t.Logf("our run, finished by cryptsetup: power loss, lost %d of %d; killed, lost %d of %d", lost[power],
						count[power], lost[killed], count[killed])
				}
			}
		})
	}
}

// What the same interruptions do to cryptsetup alone, and to its runs finished by
// us: figures for docs/luks.md, not a verdict on this package.
func TestCryptsetupOnTheSameModel(t *testing.T) {
	n := 4
	if lukstest.Soak() {
		n = 250
	}
	f := format(t, shape{size: 1 << 20, sector: 512})
	base := f.image()
	log := f.record(f.peerReencrypt()...)
	r := rand.New(rand.NewPCG(1, 1))
	models := []struct {
		name   string
		points int
		ops    func(i int) []lukstest.Op
	}{
		{"ordered prefixes", min(n, len(log)+1), func(i int) []lukstest.Op { return log[:len(log)-i] }},
		{"power loss", n, func(int) []lukstest.Op {
			return lukstest.PowerLoss(log, r.IntN(len(log)+1), 4096, []float64{0.1, 0.5, 0.9}[r.IntN(3)], r)
		}},
	}
	for _, m := range models {
		byPeer, byUs := 0, 0
		for i := range m.points {
			img := lukstest.Replay(base, m.ops(i))
			if out, err := f.peerResume(img); err != nil || f.data(out, 512) != nil {
				byPeer++
			}
			if out, err := f.ourResume(img); err != nil || f.data(out, 512) != nil {
				byUs++
			}
		}
		t.Logf("cryptsetup's run of %d operations, %s: finished by cryptsetup, lost %d of %d; finished by us, lost %d of %d",
			len(log), m.name, byPeer, m.points, byUs, m.points)
	}
}

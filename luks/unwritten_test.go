package luks_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// In space that was never written the ciphertext itself proves how far an unprotected run came: it
// is zero, or what only the re-encryption makes of zeros. Data that looks random under both keys
// hides nothing there.
func TestRescueInUnwrittenSpace(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	const used = 64 << 10
	f.replacePlain(append(lukstest.Random(used, 5), make([]byte, 1<<20-used)...), 512)
	base := f.image()
	clear(base[f.offset+used:])
	f.put(base)
	log := f.record(f.peerReencrypt("--resilience", "none")...)
	r := rand.New(rand.NewPCG(7, 7))
	points := 0
	for k, op := range log {
		if op.Off < int64(f.offset) || len(op.Data) == 0 || op.Off+int64(len(op.Data)) > int64(len(base))-4096 {
			continue
		}
		for _, cut := range []int{len(op.Data), 4096 * (1 + r.IntN(len(op.Data)/4096))} {
			ops := slices.Clone(log[:k+1])
			ops[k].Data = op.Data[:cut]
			want := op.Off + int64(cut) - int64(f.offset)
			if want <= used {
				continue
			}
			img := lukstest.Replay(base, ops)
			out, found, err := rescue(img, luks.RescueOptions{InOrder: true})
			if err != nil || found.Position != want || found.Mixed != 0 {
				t.Fatalf("cut at %d: %+v, %v", want, found, err)
			}
			if points++; points > 2 { // asking cryptsetup for a key takes its time
				continue
			}
			f.put(out)
			key, err := f.volumeKey(f.key)
			if err != nil || bytes.Equal(key, f.oldKey) {
				t.Fatal(err)
			}
			if !bytes.Equal(lukstest.XTS(key, out[f.offset:][:used], 512, false), f.plain[:used]) {
				t.Errorf("cut at %d: the data differs", want)
			}
		}
	}
	if points < 4 {
		t.Errorf("only %d points", points)
	}
	// Begun again by mistake, all of it shows.
	last := 0
	for k, op := range log {
		if op.Off >= int64(f.offset) && len(op.Data) > 0 && op.Off < int64(f.offset)+512<<10 {
			last = k + 1
		}
	}
	img := lukstest.Replay(base, log[:last])
	f.put(img)
	again := f.record(f.on("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--resilience",
		"none",
		"--hotzone-size", "256k", "--key-file", f.key)...)
	for k, op := range again {
		if op.Off >= int64(f.offset) && len(op.Data) > 0 {
			img = lukstest.Replay(img, again[:k+1])
			break
		}
	}
	if out, found, err := rescueOnly(img, luks.RescueOptions{InOrder: true}); !errors.Is(err, luks.ErrTwice) ||
		!bytes.Equal(out, img) {
		t.Errorf("begun again: %+v, %v; changed %v", found, err, !bytes.Equal(out, img))
	}
}

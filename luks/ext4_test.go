package luks_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// packed is text, compressed to n bytes: no sector of it can be told from random bytes.
func packed(t *testing.T, n int, seed byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(seed), 3))
	for b.Len() < n {
		for range 1000 {
			if _, err := fmt.Fprintf(z, "%d all work %x and no play %c\n", r.Uint32(), r.Uint64(), 'a'+
				rune(r.IntN(26))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.Bytes()[:n]
}

// ext4 is a file system that is half full of compressed files.
func ext4(t *testing.T, size int) []byte {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	files := t.TempDir()
	for i := range 4 {
		name := filepath.Join(files, fmt.Sprintf("film%d", i))
		if err := os.WriteFile(name, packed(t, size/8, byte(i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	img := filepath.Join(t.TempDir(), "ext4")
	if err := os.WriteFile(img, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-d", files, img).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestKilledOnExt4: cryptsetup as Heads starts it is killed after each of its hotzones, which are one write
// each, on a file system with compressed files. Each volume is rescued, or one stretch of at most a hotzone is named;
// nothing is claimed
// that is not so.
func TestKilledOnExt4(t *testing.T) {
	size := 44 << 20
	if lukstest.Soak() {
		size = 512 << 20
	}
	const hotzone = 20 << 20 // cryptsetup's own
	f := format(t, shape{size: size, sector: 512})
	f.replacePlain(ext4(t, size), 512)
	base := f.Read("img")
	log := f.record(f.on("reencrypt", "--force-offline-reencrypt", "--batch-mode", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", f.key, "--resilience", "none")...)
	done, kills, named := int64(0), 0, 0
	for k, op := range log {
		if op.Off < int64(f.offset) {
			continue
		}
		done = op.Off + int64(len(op.Data)) - int64(f.offset)
		img := lukstest.Replay(base, log[:k+1])
		v, err := luks.OpenDevice("disk", lukstest.NewDisk(append([]byte(nil), img...), 512), nil)
		if err != nil {
			t.Fatal(err)
		}
		if re := v.Info().Reencryption; !re.Active || re.Finished {
			continue
		}
		kills++
		out, found, err := rescue(img, luks.RescueOptions{InOrder: true, Hotzone: hotzone})
		var edge *luks.EdgeError
		switch {
		case errors.As(err, &edge):
			named++
			if r := edge.Range; done < r.Offset || done > r.Offset+r.Length || r.Length > hotzone {
				t.Errorf("killed at byte %d: %v", done, err)
			}
		case err != nil:
			t.Errorf("killed at byte %d: %v", done, err)
		default:
			if err := f.data(out, 512); err != nil {
				t.Errorf("killed at byte %d: rescued from byte %d: %v", done, found.Position, err)
			}
		}
	}
	if named == kills {
		t.Error("the hotzone's length settles nothing")
	}
	if kills < size/hotzone-1 {
		t.Errorf("only %d kills", kills)
	}
	t.Logf("%d kills: %d rescued, %d with one stretch named", kills, kills-named, named)
}

package luks_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// loop attaches an image to a loop device, which needs root.
func loop(t *testing.T, args ...string) string {
	t.Helper()
	lukstest.Need(t, "losetup")
	out, err := exec.Command("losetup", append([]string{"--find", "--show"}, args...)...).CombinedOutput()
	if err != nil {
		t.Skipf("losetup: %v: %s (needs root)", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", dev).Run() })
	return dev
}

func TestBlockDevice(t *testing.T) {
	for _, block := range []string{"512", "4096"} {
		t.Run(block, func(t *testing.T) {
			f := format(t, shape{size: 2 << 20, sector: 512})
			dev := loop(t, "--sector-size", block, f.img)
			ctx := context.Background()
			if _, err := luks.Open(ctx, f.img, luks.Options{}); !errors.Is(err, luks.ErrInUse) {
				t.Errorf("the image under a loop device: %v", err)
			}
			v, err := luks.Open(ctx, dev, luks.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := luks.Open(ctx, dev, luks.Options{}); !errors.Is(err, luks.ErrInUse) {
				t.Errorf("a device that is held: %v", err)
			}
			if ro, err := luks.Open(ctx, dev, luks.Options{ReadOnly: true}); err != nil {
				t.Errorf("reading a device that is held: %v", err)
			} else {
				if err := ro.SetPassphrase(ctx, pass("first"), pass("x")); !errors.Is(err, luks.ErrReadOnly) {
					t.Errorf("a change while reading only: %v", err)
				}
				ro.Close()
			}
			if err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{Hotzone: 512 << 10}); err != nil {
				t.Fatal(err)
			}
			v.Close()
			if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			f.judge(t, f.key, 512)
		})
	}
}

// A partition inside a disk image, and nothing outside it.
func TestWindow(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 4096})
	part := f.Read("img")
	front, back := lukstest.Random(1<<20+512, 1), lukstest.Random(4096, 2)
	disk := f.Write("disk", bytes.Join([][]byte{front, part, back}, nil))
	v, err := luks.OpenAt(context.Background(), disk, int64(len(front)), int64(len(part)))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if err := v.Reencrypt(context.Background(), pass("first"), luks.ReencryptOptions{Hotzone: 256 << 10}); err != nil {
		t.Fatal(err)
	}
	got := f.Read("disk")
	if !bytes.Equal(got[:len(front)], front) || !bytes.Equal(got[len(front)+len(part):], back) {
		t.Error("bytes outside the window changed")
	}
	f.put(got[len(front) : len(front)+len(part)])
	f.judge(t, f.key, 4096)
	for _, w := range [][2]int64{{int64(len(got)), 0}, {0, int64(len(got)) + 1}, {-512, 1 << 20}} {
		if v, err := luks.OpenAt(context.Background(), disk, w[0], w[1]); !errors.Is(err, luks.ErrTooSmall) {
			t.Errorf("window %v: %v, %v", w, v, err)
		}
	}
}

// Two programs at one volume: the second is told so, whichever is which.
func TestLocks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("cryptsetup's lock directory needs root")
	}
	f := format(t, shape{size: 1 << 20, sector: 512})
	v := open(t, f.img)
	ctx := context.Background()
	checked := false
	var backup bytes.Buffer
	if err := v.Backup(ctx, &backup); err != nil {
		t.Fatal(err)
	}
	err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{Hotzone: 256 << 10, Progress: func(done, _ int64) {
		if done == 0 || checked {
			return
		}
		checked = true
		if out, err := f.Try("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--key-file", f.key,
			f.img); err == nil {
			t.Errorf("cryptsetup took part: %s", out)
		}
		if err := open(t, f.img).Resume(ctx, pass("first"), luks.ReencryptOptions{}); !errors.Is(err, luks.ErrInUse) {
			t.Errorf("a second run of ours: %v", err)
		}
		if err := luks.RestoreHeader(ctx, f.img, bytes.NewReader(backup.Bytes()), true, luks.Options{}); !errors.Is(err,
			luks.ErrInUse) {
			t.Errorf("a header written back under a run: %v", err)
		}
	}})
	if err != nil || !checked {
		t.Fatal(checked, err)
	}
	f.judge(t, f.key, 512)
	if m, _ := os.ReadDir("/run/cryptsetup"); len(m) > 0 {
		for _, e := range m {
			if strings.Contains(e.Name(), v.Info().UUID) {
				t.Errorf("lock %s was left", e.Name())
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	ctx := context.Background()
	good := f.Read("img")
	try := func(name string, img []byte, want func(error) bool, do func(v *luks.Volume) error) {
		t.Helper()
		f.put(img)
		v, err := luks.Open(ctx, f.img, luks.Options{})
		if err == nil {
			err = do(v)
			v.Close()
		}
		if err == nil || !want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(f.Read("img"), img) {
			t.Errorf("%s: something was written", name)
		}
	}
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	reencrypt := func(v *luks.Volume) error { return v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{}) }
	change := func(f func(b []byte)) []byte { b := bytes.Clone(good); f(b); return b }

	try("wrong passphrase", good, is(luks.ErrWrongPassphrase), func(v *luks.Volume) error {
		return v.Reencrypt(ctx, pass("wrong"), luks.ReencryptOptions{})
	})
	try("not LUKS", make([]byte, 1<<20), is(luks.ErrNotLUKS), reencrypt)
	try("both copies torn", change(func(b []byte) { b[5000]++; b[16384+5000]++ }), is(luks.ErrDamaged), reencrypt)
	try("a file system over the primary", change(func(b []byte) { copy(b, "\xeb\x58\x90mkfs.fat") }), is(luks.ErrForeign),
		reencrypt)
	try("truncated header", good[:500<<10], is(luks.ErrTooSmall), reencrypt)
	try("truncated data", good[:1<<20], is(luks.ErrTooSmall), reencrypt)
	try("last slot", good, is(luks.ErrLastSlot),
		func(v *luks.Volume) error { return v.KillKeyslot(ctx, 0, pass("first")) })
	try("no such slot", good, is(luks.ErrNoSuchSlot),
		func(v *luks.Volume) error { return v.KillKeyslot(ctx, 5, pass("first")) })
	unsupported := func(err error) bool { var e *luks.UnsupportedError; return errors.As(err, &e) }
	for _, o := range []luks.ReencryptOptions{{SectorSize: 1000}, {SectorSize: 8192}, {Cipher: "rot13-xts-plain64"},
		{KeyBits: 200}, {Resilience: "hope"}} {
		try("impossible target", good, unsupported, func(v *luks.Volume) error { return v.Reencrypt(ctx, pass("first"), o) })
	}
	try("rescue of a volume at rest", good, is(luks.ErrNoRescue), func(v *luks.Volume) error {
		_, err := v.Rescue(ctx, pass("first"), luks.RescueOptions{})
		return err
	})
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	try("cancelled", good, is(context.Canceled), func(v *luks.Volume) error {
		return v.Reencrypt(cancelled, pass("first"), luks.ReencryptOptions{})
	})

	// A requirement flag of the future.
	f.put(good)
	future := luks.EditJSON(t, good, `"config":{`, `"config":{"requirements":{"mandatory":["quantum-v9"]},`)
	try("unknown requirement", future, func(err error) bool {
		var e *luks.RequirementError
		return errors.As(err, &e) && e.Names[0] == "quantum-v9"
	}, reencrypt)
	// Argon2 with more memory than the machine has.
	huge := luks.EditJSON(t, good, `"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"`,
		`"type":"argon2id","time":4,"memory":2097152,"cpus":4,"salt":"`)
	try("memory", huge, func(err error) bool {
		var e *luks.MemoryError
		return errors.As(err, &e) && e.Need == 2<<30 && e.Have == 1<<30
	}, func(v *luks.Volume) error {
		luks.SetFreeMemory(v, 1<<30)
		return reencrypt(v)
	})
}

// One bad copy of the header is no obstacle, and is repaired by the next change.
func TestOneBadHeaderCopy(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	good := f.Read("img")
	for name, at := range map[string][2]int{"primary torn": {0, 9000}, "primary gone": {0, 0},
		"secondary torn": {16384, 9000}, "secondary gone": {16384, 0}} {
		t.Run(name, func(t *testing.T) {
			img := bytes.Clone(good)
			if at[1] == 0 {
				clear(img[at[0] : at[0]+16384])
			} else {
				img[at[0]+at[1]]++
			}
			f.put(img)
			v := open(t, f.img)
			if len(v.Info().Damage) != 1 {
				t.Errorf("damage: %v", v.Info().Damage)
			}
			if slot, err := v.AddKeyslot(context.Background(), pass("first"), pass("second"), 3); err != nil || slot != 3 {
				t.Fatal(slot, err)
			}
			if len(v.Info().Damage) != 0 {
				t.Errorf("damage afterwards: %v", v.Info().Damage)
			}
			f.judge(t, f.Write("second", []byte("second")), 512)
			if out, err := f.Try("repair", "--batch-mode", f.img); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			v.Close()
		})
	}
}

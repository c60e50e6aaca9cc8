package luks_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// tool runs a foreign program on an image.
func tool(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	lukstest.Need(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// found looks at an image, and sees that somebody who would change it is told the same.
func found(t *testing.T, img string, want luks.Kind, reason error) {
	t.Helper()
	ctx := context.Background()
	before, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	f := luks.Find(ctx, img, luks.Options{})
	if f.Kind != want || reason != nil && !errors.Is(f.Err, reason) || reason == nil && f.Err != nil {
		t.Errorf("%v: %v", f.Kind, f.Err)
	}
	if want != luks.Ambiguous {
		return
	}
	for name, do := range map[string]func(v *luks.Volume) error{
		"passwd":    func(v *luks.Volume) error { return v.SetPassphrase(ctx, pass("first"), pass("second")) },
		"reencrypt": func(v *luks.Volume) error { return v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{}) },
		"erase":     func(v *luks.Volume) error { return v.Erase(ctx) },
	} {
		v, err := luks.Open(ctx, img, luks.Options{})
		if err == nil {
			err = do(v)
			v.Close()
		}
		if !errors.Is(err, reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, _ := os.ReadFile(img); !bytes.Equal(before, after) {
		t.Error("the device was written to")
	}
}

// A whole disk that was LUKS once and has a partition table since, or the other way
// round: nobody can tell which of the two is in use.
func TestFindBesideAPartitionTable(t *testing.T) {
	for _, table := range []string{"dos", "gpt"} {
		for _, version := range []string{"LUKS1", "LUKS2"} {
			for _, magic := range []string{"kept", "wiped"} {
				t.Run(version+" "+table+" "+magic, func(t *testing.T) {
					f := format(t, shape{size: 8 << 20, sector: 512})
					if version == "LUKS1" {
						f = format1(t, 8<<20, 1)
					}
					tool(t, "label: "+table+"\n,2M\n,\n", "sfdisk", "--quiet", "--wipe", "never", f.img)
					img := f.Read("img")
					want, reason := luks.Ambiguous, luks.ErrPartitioned
					if magic == "wiped" {
						clear(img[:6])
						if version == "LUKS1" || table == "gpt" { // its entries lie on the second copy
							want, reason = luks.None, nil
						}
						f.put(img)
					}
					found(t, f.img, want, reason)
				})
			}
		}
	}
}

func TestFind(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	f1 := format1(t, 1<<20, 1)
	good, other := f.Read("img"), format(t, shape{size: 1 << 20, sector: 512}).Read("img")
	newer := func(times int) []byte {
		f.put(good)
		v := open(t, f.img)
		for i := range times {
			if _, err := v.AddKeyslot(context.Background(), pass("first"), pass("x"), 2-i); err != nil {
				t.Fatal(err)
			}
		}
		v.Close()
		return f.Read("img")
	}
	one, two := newer(1), newer(2)
	mix := func(primary, secondary []byte) []byte {
		return append(bytes.Clone(primary[:16384]), secondary[16384:]...)
	}
	change := func(from []byte, f func(b []byte)) []byte { b := bytes.Clone(from); f(b); return b }
	for _, c := range []struct {
		name   string
		img    []byte
		want   luks.Kind
		reason error
	}{
		{"LUKS2", good, luks.Container, nil},
		{"LUKS1", f1.Read("img"), luks.Container, nil},
		{"nothing", make([]byte, 1<<20), luks.None, nil},
		{"random", lukstest.Random(1<<20, 3), luks.None, nil},
		{"empty", nil, luks.None, nil},
		{"six zeros over the first magic", change(good, func(b []byte) { clear(b[:6]) }), luks.Torn, nil},
		{"six zeros over both", change(good, func(b []byte) { clear(b[:6]); clear(b[16384:16390]) }), luks.Ambiguous,
			luks.ErrDamaged},
		{"six zeros over LUKS1's", change(f1.Read("img"), func(b []byte) { clear(b[:6]) }), luks.Ambiguous, luks.ErrDamaged},
		{"first block zero", change(good, func(b []byte) { clear(b[:4096]) }), luks.Torn, nil},
		{"second copy gone", change(good, func(b []byte) { clear(b[16384:32768]) }), luks.Torn, nil},
		{"JSON of the first copy cut", change(one, func(b []byte) { copy(b[4096:6144], good[4096:6144]) }), luks.Torn, nil},
		{"first copy newer by one", mix(one, good), luks.Torn, nil},
		{"second copy newer by one", mix(good, one), luks.Torn, nil},
		{"first copy newer by two", mix(two, good), luks.Ambiguous, luks.ErrDisagree},
		{"second copy newer by two", mix(good, two), luks.Ambiguous, luks.ErrDisagree},
		{"the second copy is another volume's", mix(good, other), luks.Ambiguous, luks.ErrTwoHeaders},
		{"LUKS1 before another volume", mix(f1.Read("img"), good), luks.Ambiguous, luks.ErrTwoHeaders},
		{"torn first copy of another volume", change(mix(other, good), func(b []byte) { b[5000]++ }), luks.Ambiguous,
			luks.ErrForeign},
		{"both copies torn", change(good, func(b []byte) { b[5000]++; b[16384+5000]++ }), luks.Ambiguous, luks.ErrDamaged},
		{"set aside", change(f1.Read("img"), func(b []byte) { copy(b, "LUKS\xde\xad") }), luks.Ambiguous,
			luks.ErrLUKS1Interrupted},
		{"header cut off", good[:512<<10], luks.Ambiguous, luks.ErrTooSmall},
	} {
		t.Run(c.name, func(t *testing.T) { found(t, f.Write("x", c.img), c.want, c.reason) })
	}
	// What is repaired is what cryptsetup calls intact afterwards.
	f.put(change(good, func(b []byte) { clear(b[:6]) }))
	if err := open(t, f.img).SetPassphrase(context.Background(), pass("first"), pass("second")); err != nil {
		t.Fatal(err)
	}
	f.judge(t, f.Write("second", []byte("second")), 512)
}

// A file system or another program's label over the first copy.
func TestFindUnderAFileSystem(t *testing.T) {
	for name, args := range map[string][]string{
		"mkfs.ext4": {"-q", "-F"}, "mkswap": {"-f"}, "mkfs.vfat": nil,
	} {
		t.Run(name, func(t *testing.T) {
			f := format(t, shape{size: 8 << 20, sector: 512})
			tool(t, "", name, append(args, f.img)...)
			got := luks.Find(context.Background(), f.img, luks.Options{})
			if second := string(f.Read("img")[16384:16390]) == "SKUL\xba\xbe"; second && got.Kind != luks.Ambiguous || !second &&
				got.Kind != luks.None {
				t.Errorf("the second magic is there: %v; %v: %v", second, got.Kind, got.Err)
			}
		})
	}
}

// The halves of a mirror whose description stands at the end look like containers.
func TestFindInAMirror(t *testing.T) {
	for _, version := range []string{"0.90", "1.0"} {
		t.Run(version, func(t *testing.T) {
			f := format(t, shape{size: 4 << 20, sector: 512})
			f.put(mirrored(t, f.Read("img"), version))
			found(t, f.img, luks.Ambiguous, luks.ErrMember)
		})
	}
	f := format(t, shape{size: 1 << 20, sector: 512})
	twin := f.Write("twin", f.Read("img"))
	third := format(t, shape{size: 1 << 20, sector: 512})
	all := luks.FindAll(context.Background(), []string{f.img, third.img, twin}, luks.Options{})
	if all[0].Kind != luks.Ambiguous || !errors.Is(all[0].Err, luks.ErrTwin) || !errors.Is(all[2].Err, luks.ErrTwin) ||
		all[1].Kind != luks.Container {
		t.Errorf("%+v", all)
	}
	if f := luks.Find(context.Background(), filepath.Join(t.TempDir(), "none"),
		luks.Options{}); f.Kind != luks.Unreadable {
		t.Errorf("a device that is not there: %v", f.Kind)
	}
}

// mirrored gives an image the superblock of a mirror's half, as blkid knows it: the
// kernel, which is needed to make one, may have no MD.
func mirrored(t *testing.T, img []byte, version string) []byte {
	t.Helper()
	size := len(img)
	le := binary.LittleEndian
	sb := make([]byte, 256)
	le.PutUint32(sb, 0xa92b4efc)
	at := size&^(64<<10-1) - 64<<10
	if version == "1.0" {
		at = (size - 8192) &^ 4095
		le.PutUint32(sb[4:], 1)
		copy(sb[16:], lukstest.Random(16, 9))
		le.PutUint32(sb[72:], 1) // level
		le.PutUint32(sb[92:], 2) // disks
		le.PutUint64(sb[144:], uint64(at/512))
		sum := uint64(0)
		for i := 0; i < 256; i += 4 {
			sum += uint64(le.Uint32(sb[i:]))
		}
		le.PutUint32(sb[216:], uint32(sum)+uint32(sum>>32))
	} else {
		le.PutUint32(sb[8:], 90)
	}
	copy(img[at:], sb)
	name := filepath.Join(t.TempDir(), "half")
	if err := os.WriteFile(name, img, 0o600); err != nil {
		t.Fatal(err)
	}
	lukstest.Need(t, "blkid")
	out, err := exec.Command("blkid", "-p", "-o", "export", name).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "linux_raid_member") {
		t.Fatalf("blkid: %v: %s", err, out)
	}
	return img
}

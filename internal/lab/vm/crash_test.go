package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reown/internal/lab"
)

// TestDiskCacheLost records every write that the guest's kernel sends to the disk
// while the passphrase is changed and the data is put under a new key. From the
// record it makes disks as they may be after a power cut, unflushed writes lost or
// reordered, and lets cryptsetup finish what was begun: a passphrase opens each of
// them, and no file is harmed.
func TestDiskCacheLost(t *testing.T) {
	l, fw := newLaptop(t)
	ctx := deadline(t, 15*time.Minute)
	dir := filepath.Dir(l.Dir)
	base := filepath.Join(dir, "before.img")
	if _, err := run(ctx, nil, "cp", "--sparse=always", l.Disk(), base); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "writes")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const pass = "a new passphrase"
	m := boot(t, ctx, l, Options{Firmware: fw, Log: file})
	command := fmt.Sprintf("printf %%s '%s' >/tmp/old; printf %%s '%s' >/tmp/new; d=/dev/nvme0n1p2; "+
		"reown luks passwd $d --key-file /tmp/old --new-key-file /tmp/new && reown luks reencrypt $d --key-file /tmp/new", l.Seller.Disk, pass)
	if _, err := m.Sh(ctx, command); err != nil {
		t.Fatal(err)
	}
	m.Cut()
	log, err := OpenWriteLog(file)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	flushes := 0
	for _, e := range log.Entries {
		if e.Flush {
			flushes++
		}
	}
	points := 12
	if os.Getenv("REOWN_SOAK") != "" {
		points = 300
	}
	t.Logf("%d requests, %d flushes; %d power cuts:", len(log.Entries), flushes, points)
	if len(log.Entries) < 100 || flushes < 10 {
		t.Fatal("too few requests to prove anything")
	}
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	crashed := filepath.Join(dir, "crash.img")
	for i := range points {
		n := (i*len(log.Entries) + rnd.IntN(len(log.Entries))) / points
		result, err := afterCrash(t, l, log, base, crashed, n, rnd, pass)
		t.Logf("  after request %4d: %s", n, result)
		if err != nil {
			t.Errorf("seed %d, after request %d: %v", seed, n, err)
		}
	}
}

// afterCrash makes the disk of one power cut and lets cryptsetup finish and judge it.
func afterCrash(t *testing.T, l *lab.Laptop, log *WriteLog, base, crashed string, n int, rnd *rand.Rand, pass string) (string, error) {
	ctx := t.Context()
	if _, err := run(ctx, nil, "cp", "--sparse=always", base, crashed); err != nil {
		return "", err
	}
	f, err := os.OpenFile(crashed, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	err = log.Crash(f, n, rnd)
	f.Close()
	if err != nil {
		return "", err
	}
	offset, size := l.Window()
	v, err := lab.CopyVolume(crashed, offset, size, filepath.Dir(crashed))
	if err != nil {
		return "", err
	}
	defer os.Remove(v.Path)
	result := ""
	// cryptsetup wants the zone that was being written repaired by hand; what is left
	// then is resumed.
	for _, verb := range [][]string{{"repair"}, {"reencrypt", "--resume-only", "--force-offline-reencrypt"}} {
		dump, err := v.Dump(ctx)
		if err != nil {
			return result, err
		}
		if !strings.Contains(dump, "online-reencrypt") {
			break
		}
		if _, err := run(ctx, []byte(pass), "cryptsetup", append(verb, "--batch-mode", "--disable-locks", "--key-file", "-", v.Path)...); err != nil {
			return result, err
		}
		result += "cryptsetup " + verb[0] + "; "
	}
	opens := ""
	for _, p := range []string{l.Seller.Disk, pass} {
		if ok, err := v.Opens(ctx, p); err != nil {
			return result, err
		} else if ok {
			result += map[string]string{pass: "new", l.Seller.Disk: "old"}[p] + " passphrase opens; "
			opens = p
		}
	}
	if opens == "" {
		return result, fmt.Errorf("no passphrase opens the disk")
	}
	key, err := v.Key(ctx, opens)
	if err != nil {
		return result, err
	}
	files, err := v.Files(ctx, key)
	if err == nil {
		err = lab.SameFiles(files, l.Files)
	}
	return fmt.Sprintf("%s%d files unchanged", result, len(files)), err
}

// TestWriteLog reads a log made by hand.
func TestWriteLog(t *testing.T) {
	le := binary.LittleEndian
	sector := func(words ...uint64) []byte {
		var b []byte
		for _, w := range words {
			b = le.AppendUint64(b, w)
		}
		return append(b, make([]byte, 512-len(b))...)
	}
	data := func(c byte) []byte { return bytes.Repeat([]byte{c}, 512) }
	var raw []byte
	for _, p := range [][]byte{
		sector(logMagic, 1, 0, 512),
		sector(0, 1, 0, 512), data('a'),
		sector(0, 0, 1, 0),
		sector(0, 1, 0, 512), data('b'),
		sector(1, 1, 2, 512), data('c'),
		sector(2, 1, 0, 512), data('d')[:100], // cut off
	} {
		raw = append(raw, p...)
	}
	name := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := OpenWriteLog(name)
	if err != nil || len(l.Entries) != 4 {
		t.Fatalf("%v %+v", err, l)
	}
	defer l.Close()
	image := filepath.Join(t.TempDir(), "image")
	for n, want := range map[int]string{0: "..", 2: "a.", 3: "a.", 4: "ac"} {
		f, err := os.Create(image)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append(data('.'), data('.')...)); err != nil {
			t.Fatal(err)
		}
		if err := l.Crash(f, n, nil); err != nil {
			t.Fatal(err)
		}
		f.Close()
		got, _ := os.ReadFile(image)
		if string([]byte{got[0], got[512]}) != want {
			t.Errorf("after %d requests: %c%c, want %s", n, got[0], got[512], want)
		}
	}
	if err := os.WriteFile(name, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWriteLog(name); err == nil {
		t.Error("zeros are no log")
	}
}

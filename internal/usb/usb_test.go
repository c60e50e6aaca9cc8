package usb

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Nitrokey Pro: HID on interface 0, CCID on interface 1.
const proHex = `
12 01 1001 00 00 00 40 a020 0841 0101 01 02 03 01
09 02 7600 02 01 00 80 32
09 04 00 00 01 03 00 00 00
09 21 1001 00 01 22 2a00
07 05 84 03 0800 0a
09 04 01 00 03 0b 00 00 00
36 21 1001 00 02 02000000 100e0000 100e0000 00 cd250000 a1c50100 00 fe000000 00000000 00000000 ba040100 0f010000 00 00 0000 00 01
07 05 81 03 4000 18
07 05 02 02 4000 00
07 05 82 02 4000 00`

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseDescriptors(t *testing.T) {
	d, err := ParseDescriptors(unhex(t, proHex))
	if err != nil {
		t.Fatal(err)
	}
	if d.Vendor != 0x20a0 || d.Product != 0x4108 || d.Release != 0x0101 || d.Configuration != 1 || len(d.Interfaces) != 2 {
		t.Fatalf("got %+v", d)
	}
	hid, ok := d.Find(ClassHID)
	if !ok || hid.Number != 0 || len(hid.Extra) != 1 {
		t.Fatalf("HID interface %+v", hid)
	}
	ccid, ok := d.Find(ClassCCID)
	if !ok || ccid.Number != 1 || len(ccid.Extra) != 1 || len(ccid.Extra[0]) != 54 {
		t.Fatalf("CCID interface %+v", ccid)
	}
	in, ok := ccid.Endpoint(TypeBulk, true)
	if !ok || in.Address != 0x82 || in.MaxPacket != 64 {
		t.Fatalf("bulk in %+v", in)
	}
	if out, ok := ccid.Endpoint(TypeBulk, false); !ok || out.Address != 0x02 {
		t.Fatalf("bulk out %+v", out)
	}
}

// TestMalformedDescriptors cuts and bends a good description everywhere: an error
// or a description, never a panic, and an error wherever a length is a lie.
func TestMalformedDescriptors(t *testing.T) {
	good := unhex(t, proHex)
	for n := range good {
		if _, err := ParseDescriptors(good[:n]); !errors.Is(err, ErrDescriptor) {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	for _, c := range []struct {
		name string
		at   int
		to   byte
	}{
		{"no device descriptor", 1, 2},
		{"short configuration", 20, 8},
		{"long configuration", 20, 0x77},
		{"zero length", 27, 0},
		{"length past the end", 18 + 0x76 - 7, 8},
		{"short interface", 27, 8},
		{"endpoint with no packet size", 18 + 0x76 - 3, 0},
		{"endpoint zero", 18 + 0x76 - 5, 0x80},
	} {
		b := append([]byte(nil), good...)
		b[c.at] = c.to
		if c.name == "endpoint with no packet size" {
			b[c.at+1] = 0
		}
		if _, err := ParseDescriptors(b); !errors.Is(err, ErrDescriptor) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDevices(t *testing.T) {
	root := t.TempDir()
	write := func(path string, b []byte) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pro := unhex(t, proHex)
	librem := append([]byte(nil), pro...)
	copy(librem[8:], []byte{0x6d, 0x31, 0x4b, 0x4c})
	write("dev/002/010", librem)
	write("dev/001/004", pro)
	write("dev/001/005", pro[:30]) // broken
	write("sys/1-3/busnum", []byte("1\n"))
	write("sys/1-3/devnum", []byte("4\n"))
	write("sys/1-3/serial", []byte("00005F11\n"))
	write("sys/1-3:1.0/bInterfaceClass", []byte("03\n"))
	bus := &linux{sysfs: filepath.Join(root, "sys"), dev: filepath.Join(root, "dev")}
	found, err := bus.Devices()
	if err != nil || len(found) != 2 {
		t.Fatalf("%v %v", found, err)
	}
	if found[0].String() != "1-4 20a0:4108" || found[0].Serial != "00005F11" || found[1].String() != "2-10 316d:4c4b" ||
		found[1].Serial != "" {
		t.Fatalf("%+v", found)
	}
	// The address now belongs to another device.
	write("dev/001/004", librem)
	if _, err := bus.Open(found[0]); !errors.Is(err, ErrGone) {
		t.Fatalf("another device was opened: %v", err)
	}
	if err := os.Remove(filepath.Join(root, "dev/001/004")); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Open(found[0]); !errors.Is(err, ErrGone) {
		t.Fatalf("a missing device was opened: %v", err)
	}
	none := &linux{sysfs: filepath.Join(root, "no"), dev: filepath.Join(root, "no")}
	if found, err := none.Devices(); err != nil || len(found) != 0 {
		t.Fatalf("a machine without USB: %v %v", found, err)
	}
}

func FuzzParseDescriptors(f *testing.F) {
	f.Add(unhex(f, proHex))
	f.Add(unhex(f, proHex)[:40])
	f.Add([]byte{18, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDescriptors(b)
		if err != nil {
			if !errors.Is(err, ErrDescriptor) {
				t.Fatal(err)
			}
			return
		}
		for _, i := range d.Interfaces {
			for _, e := range i.Endpoints {
				if e.MaxPacket <= 0 {
					t.Fatal("an endpoint without packets")
				}
			}
			for _, x := range i.Extra {
				if len(x) < 2 || int(x[0]) != len(x) {
					t.Fatal("a class descriptor of the wrong length")
				}
			}
		}
	})
}

// TestSettling: something has come a moment ago, or nothing has.
func TestSettling(t *testing.T) {
	defer func(d time.Duration) { fresh = d }(fresh)
	fresh = time.Hour
	dir := t.TempDir()
	l := &linux{sysfs: dir, dev: dir}
	if l.Settling() {
		t.Error("an empty machine")
	}
	if err := os.MkdirAll(filepath.Join(dir, "001"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "001", "002"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !l.Settling() {
		t.Error("a node that has just been made")
	}
	if fresh = 0; l.Settling() {
		t.Error("one of long ago")
	}
}

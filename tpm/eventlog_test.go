package tpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// measured is what a coreboot with its measured boot on extends, in order.
var measured = []struct {
	pcr  int
	name string
}{
	{2, "FMAP: FMAP"}, {2, "CBFS: bootblock"}, {2, "CBFS: fallback/romstage"},
	{2, "CBFS: fallback/ramstage"}, {2, "CBFS: fallback/payload"}, {4, "an event for register 4"},
}

func le(vs ...any) []byte {
	var b bytes.Buffer
	for _, v := range vs {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func padded(s string, n int) []byte { return append([]byte(s), make([]byte, n-len(s))...) }

// table builds coreboot's fixed table of slots (50 there) behind a TCG header.
func table(agile bool, slots int) []byte {
	d := func(n string) []byte { return Hash(20, []byte(n)) }
	sig, magic, size := "Spec ID Event00", "CBT1", 82
	if agile {
		d = func(n string) []byte { return Hash(32, []byte(n)) }
		sig, magic, size = "Spec ID Event03", "CBT2", 100
	}
	vendor := le(uint8(0), uint8(1), uint8(0), []byte(magic), uint16(slots), uint16(len(measured)), uint32(size))
	spec := le(padded(sig, 16), uint32(0), uint8(2), uint8(1), uint8(1), uint8(0))
	if agile {
		spec = le(padded(sig, 16), uint32(0), uint8(0), uint8(2), uint8(0), uint8(2), uint32(1), uint16(algSHA256),
			uint16(32))
	}
	spec = append(spec, le(uint8(len(vendor)), vendor)...)
	b := le(uint32(0), uint32(3), make([]byte, 20), uint32(len(spec)), spec)
	for _, m := range measured {
		b = append(b, le(uint32(m.pcr), uint32(5))...)
		if agile {
			b = append(b, le(uint32(1), uint16(algSHA256))...)
		}
		b = append(b, le(d(m.name), uint32(50), padded(m.name, 50))...)
	}
	return append(b, make([]byte, max(0, slots-len(measured))*size)...)
}

func corebootTable(kind string) []byte {
	b := le(uint16(50), uint16(len(measured)))
	for _, m := range measured {
		d := Hash(map[string]int{"SHA1": 20, "SHA256": 32}[kind], []byte(m.name))
		b = append(b, le(uint32(m.pcr), padded(kind, 10), padded(string(d), 64), uint32(len(d)), padded(m.name, 50))...)
	}
	return append(b, make([]byte, (50-len(measured))*132)...)
}

// text builds what `cbmem -L` prints.
func text(kind string) []byte {
	var b strings.Builder
	switch kind {
	case "TPM2":
		b.WriteString("TPM2 log:\n\tSpecification: 2.00\n\tPlatform class: PC Client\n")
	case "TCPA":
		b.WriteString("TCPA log:\n\tSpecification: 1.21\n\tPlatform class: PC Client\n")
	default:
		b.WriteString(kind + "\n\n")
	}
	for i, m := range measured {
		s1, s2 := Hash(20, []byte(m.name)), Hash(32, []byte(m.name))
		switch kind {
		case "TPM2":
			fmt.Fprintf(&b, "TPM2 log entry %d:\n\tPCR: %d\n\tEvent type: Action\n\tDigests:\n\t\t SHA256: %x\n\t\t SHA1: %x\n\tEvent data: %s\n", i+1, m.pcr, s2, s1, m.name)
		case "TCPA":
			fmt.Fprintf(&b, "TCPA log entry %d:\n\tPCR: %d\n\tEvent type: Action\n\tDigest: %x\n\tEvent data: %s\n", i+1, m.pcr,
				s1, m.name)
		default:
			fmt.Fprintf(&b, " PCR-%d %x SHA1 [%s]\n", m.pcr, s1, m.name)
		}
	}
	return []byte(b.String())
}

// eventLogs are all forms, each with the register sizes it has digests for.
func eventLogs() map[string]struct {
	log   []byte
	sizes []int
} {
	type l = struct {
		log   []byte
		sizes []int
	}
	return map[string]l{
		"TPM 1.2 table":     {table(false, 50), []int{20}},
		"TPM 1.2 used":      {table(false, 0), []int{20}},
		"TPM 2.0 table":     {table(true, 50), []int{32}},
		"TPM 2.0 used":      {table(true, 0), []int{32}},
		"coreboot SHA1":     {corebootTable("SHA1"), []int{20}},
		"coreboot SHA256":   {corebootTable("SHA256"), []int{32}},
		"text TPM2":         {text("TPM2"), []int{20, 32}},
		"text TCPA":         {text("TCPA"), []int{20}},
		"text coreboot":     {text("coreboot TPM log:"), []int{20}},
		"text coreboot old": {text("coreboot TCPA log:"), []int{20}},
	}
}

func TestEventLogFormats(t *testing.T) {
	for name, c := range eventLogs() {
		t.Run(name, func(t *testing.T) {
			l, err := ParseEventLog(c.log)
			check(t, err)
			if len(l.Events) != len(measured) {
				t.Fatalf("%d events, want %d", len(l.Events), len(measured))
			}
			for i, m := range measured {
				if l.Events[i].PCR != m.pcr || l.Events[i].Name != m.name {
					t.Errorf("event %d: %+v, want %+v", i, l.Events[i], m)
				}
			}
			for _, size := range []int{20, 32} {
				got, err := l.Replay(size, 2)
				has := bytes.Contains([]byte{byte(c.sizes[0]), byte(c.sizes[len(c.sizes)-1])}, []byte{byte(size)})
				if !has {
					wantErr(t, err, ErrBadEventLog)
					continue
				}
				want := make([]byte, size)
				for _, m := range measured {
					if m.pcr == 2 {
						want = Hash(size, append(want, Hash(size, []byte(m.name))...))
					}
				}
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("replay of %d bytes: %x %v, want %x", size, got, err, want)
				}
			}
		})
	}
}

// tpm2-tools read the table for TPM 2.0 and come to the same values.
func TestEventLogAgainstTPM2Tools(t *testing.T) {
	if _, err := exec.LookPath("tpm2"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "log")
	check(t, os.WriteFile(file, table(true, 0), 0o600))
	out, err := exec.Command("tpm2", "eventlog", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l := must(ParseEventLog(table(true, 50)))(t)
	for _, pcr := range []int{2, 4} {
		want := fmt.Sprintf("%-2d : 0x%x", pcr, must(l.Replay(32, pcr))(t))
		if !strings.Contains(string(out), want) {
			t.Errorf("tpm2 eventlog does not say %q:\n%s", want, out)
		}
	}
}

func TestEventLogRefusals(t *testing.T) {
	t2 := table(true, 50)
	mutate := func(b []byte, off int, v ...byte) []byte {
		c := bytes.Clone(b)
		copy(c[off:], v)
		return c
	}
	first := 32 + 33 + 15 // offset of the first event of the TPM 2.0 table
	for name, b := range map[string][]byte{
		"empty":           nil,
		"no format":       []byte("hello"),
		"too large":       make([]byte, MaxEventLog+1),
		"cut header":      t2[:60],
		"cut event":       t2[:first+40],
		"register 24":     mutate(t2, first, 24),
		"many digests":    mutate(t2, first+8, 0xff, 0xff),
		"unknown digest":  mutate(t2, first+12, 0x44),
		"long data":       mutate(t2, first+14+32, 0xff, 0xff, 0xff, 0xff),
		"short SHA-256":   mutate(t2, 32+30, 31),
		"more than slots": mutate(corebootTable("SHA1"), 0, 1, 0),
		"long digest":     mutate(corebootTable("SHA1"), 4+4+10+64, 65),
		"text, no hex":    bytes.Replace(text("TCPA"), []byte("Digest: "), []byte("Digest: zz"), 1),
		"text, short":     []byte("coreboot TPM log:\n\n PCR-2 00ff SHA1 [x]\n"),
		"text, register":  []byte("coreboot TPM log:\n\n PCR-x " + strings.Repeat("00", 20) + " SHA1 [x]\n"),
		"text, no PCR":    []byte("TPM2 log:\nTPM2 log entry 1:\n\tEvent type: Action\n"),
	} {
		if l, err := ParseEventLog(b); !errors.Is(err, ErrBadEventLog) {
			t.Errorf("%s: got %+v, %v", name, l, err)
		}
	}
}

func TestPredictOTP(t *testing.T) {
	l := must(ParseEventLog(table(true, 50)))(t)
	zero := make([]byte, 32)
	now := PCRValues{0: zero, 1: zero, 2: must(l.Replay(32, 2))(t), 3: zero,
		4: Extend(must(l.Replay(32, 4))(t), Hash(32, []byte("usb"))), 7: Hash(32, []byte("old keyring"))}
	seven := Hash(32, []byte("new keyring"))
	got := must(PredictOTP(now, l, seven))(t)
	want := now.With(4, must(l.Replay(32, 4))(t)).With(7, seven)
	if !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	_, err := PredictOTP(now.With(2, zero), l, seven)
	wantErr(t, err, ErrEventLogMismatch)
	_, err = PredictOTP(now, must(ParseEventLog(table(false, 50)))(t), seven)
	wantErr(t, err, ErrBadEventLog)
	if _, err = PredictOTP(PCRValues{}, l, seven); err == nil {
		t.Error("predicted from nothing")
	}
}

func TestDUKFiles(t *testing.T) {
	devs := []DUKDevice{
		{Path: "/dev/sda3", UUID: "u-2", HeaderSHA256: sha256.Sum256([]byte("hdr3"))},
		{Path: "/dev/nvme0n1p2", UUID: "u-1", HeaderSHA256: sha256.Sum256([]byte("hdr2"))},
	}
	if got, want := string(KeyDevicesFile(devs)), "/dev/sda3 u-2\n/dev/nvme0n1p2 u-1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// Heads' own way, by sha256sum and the shell's glob.
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "lukshdr-_dev_sda3"), []byte("hdr3"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "lukshdr-_dev_nvme0n1p2"), []byte("hdr2"), 0o600))
	out, err := exec.Command("sh", "-c", "LC_ALL=C sha256sum "+dir+"/lukshdr-*").Output()
	check(t, err)
	want := strings.ReplaceAll(string(out), dir, "/tmp")
	if got := string(LUKSHeaderHashFile(devs)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	l := must(ParseEventLog(table(true, 50)))(t)
	otp := PCRValues{4: make([]byte, 32), 7: make([]byte, 32)}
	v := must(PredictDUK(otp, l, []Module{{"", []byte("ehci")}, {"a=1", []byte("xhci")}}, devs))(t)
	five := make([]byte, 32)
	for _, m := range []string{"ehci", "a=1", "xhci"} {
		five = Extend(five, Hash(32, []byte(m)))
	}
	if !bytes.Equal(v[5], five) {
		t.Errorf("PCR 5: got %x, want %x", v[5], five)
	}
	if want := Extend(make([]byte, 32), Hash(32, []byte(want))); !bytes.Equal(v[6], want) {
		t.Errorf("PCR 6: got %s, want %x", hex.EncodeToString(v[6]), want)
	}
}

func FuzzParseEventLog(f *testing.F) {
	for _, c := range eventLogs() {
		f.Add(c.log)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseEventLog(b)
		if err != nil {
			if !errors.Is(err, ErrBadEventLog) {
				t.Fatalf("error without its kind: %v", err)
			}
			return
		}
		if len(l.Events) > maxEvents {
			t.Fatalf("%d events", len(l.Events))
		}
		for pcr := range 24 {
			_, _ = l.Replay(20, pcr)
			_, _ = l.Replay(32, pcr)
		}
	})
}

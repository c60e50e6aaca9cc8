package rom

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reown/internal/rom/romtest"
)

func boardLayout(t testing.TB, name string) romtest.Layout {
	t.Helper()
	for _, l := range romtest.Layouts {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no layout %q", name)
	return romtest.Layout{}
}

// seller is what a maker of laptops leaves behind, the way Heads adds it.
var seller = []NewFile{
	{NamePubring, bytes.Repeat([]byte("seller's keyring "), 170)},
	{NameTrustDB, bytes.Repeat([]byte{1}, 1280)},
	{InitrdPrefix + ".gnupg/pubring.gpg", []byte("old keyring of the seller")},
	{InitrdPrefix + ".gnupg/otrust.txt", []byte("FPR:6:\n")},
	{InitrdPrefix + ".gnupg/keys/seller.key", []byte("armoured key of the seller")},
	{InitrdPrefix + ".gnupg/keys/seller.asc", []byte("another key of the seller")},
	{InitrdPrefix + "bin/gpgv.sh", []byte("#!/bin/sh\nexit 0\n")},
	{NameConfig, []byte("# made by the seller\nexport CONFIG_BOOT_DEV=\"/dev/sda1\"\nexport CONFIG_KEYBOARD_KEYMAP=\"de\"\nrm -rf /\nexport CONFIG_X=\"$(reboot)\"\n")},
}

// sold returns an image with the seller's files where Heads puts them.
func sold(t testing.TB, l romtest.Layout) []byte {
	t.Helper()
	img := l.Build()
	im := mustParse(t, img)
	for _, f := range seller {
		if err := im.Add(f.Name, f.Data, Heads); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func owner(n int) Changes {
	return Changes{
		Pubring:  bytes.Repeat([]byte("the owner's keyring "), n/20),
		TrustDB:  bytes.Repeat([]byte{2}, 1280),
		Settings: []Setting{{"CONFIG_BOOT_DEV", "/dev/nvme0n1p2"}, {"CONFIG_HAVE_GPG_KEY_BACKUP", "y"}},
	}
}

func TestPlanOnEveryLayout(t *testing.T) {
	for _, l := range romtest.Layouts {
		t.Run(l.Name, func(t *testing.T) {
			old := sold(t, l)
			before := bytes.Clone(old)
			p, err := NewPlan(old, owner(3000))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(old, before) {
				t.Fatal("the plan changed the old image")
			}
			checkOwned(t, l, p, owner(3000))
			if p.Shared == 0 {
				t.Error("the seller's files shared blocks with the payload; the plan says they did not")
			}
			if want := []DroppedLine{{"# made by the seller", WhySetting}, {`export CONFIG_KEYBOARD_KEYMAP="de"`, WhyValue},
				{"rm -rf /", WhyCommand}, {`export CONFIG_X="$(reboot)"`, WhyCommand}}; !slices.Equal(p.Dropped, want) {
				t.Errorf("dropped %q, want %q", p.Dropped, want)
			}
			if len(p.Removed) != 5 || len(p.Added) != 3 || len(p.Kept) != 0 {
				t.Errorf("removed %q, added %q, kept %q", p.Removed, p.Added, p.Kept)
			}

			// The second change finds the files on blocks of their own.
			for _, n := range []int{3000, 2980, 9000, 200} {
				next, err := NewPlan(p.New, owner(n))
				if err != nil {
					t.Fatal(err)
				}
				checkOwned(t, l, next, owner(n))
				if next.Shared != 0 {
					t.Errorf("keyring of %d bytes: %d shared blocks", n, next.Shared)
				}
				if len(next.Dropped) != 0 {
					t.Errorf("dropped %q", next.Dropped)
				}
				if same := bytes.Equal(next.Old, next.New); same != (len(next.Blocks) == 0) || n == 3000 && !same {
					t.Errorf("keyring of %d bytes: %d blocks", n, len(next.Blocks))
				}
				p = next
			}
		})
	}
}

// checkOwned compares a planned image with what re-owning promises, with other
// means than the plan's own proof.
func checkOwned(t *testing.T, l romtest.Layout, p *Plan, c Changes) {
	t.Helper()
	if !p.Aligned {
		t.Error("the owner's files are not on blocks of their own")
	}
	got := l.Coreboot(p.New)
	was := l.Coreboot(l.Build())
	want := map[string]string{}
	for name, data := range was {
		want[name] = data
	}
	want[NamePubring], want[NameTrustDB] = string(c.Pubring), string(c.TrustDB)
	want[NameConfig] = "export CONFIG_BOOT_DEV=\"/dev/nvme0n1p2\"\nexport CONFIG_HAVE_GPG_KEY_BACKUP=\"y\"\n"
	for name := range got {
		if got[name] != want[name] {
			t.Errorf("%s is wrong", name)
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
	if bytes.Contains(p.New, []byte("seller's")) || bytes.Contains(p.New, []byte("of the seller")) {
		t.Error("bytes of the seller are left in the image")
	}
	if heads := headsList(p.New, l); !slices.Equal(heads, []string{NamePubring, NameTrustDB, NameConfig}) {
		t.Errorf("Heads finds %q", heads)
	}
	for i := 0; i < len(p.Old); i += EraseSize {
		r := Range{uint32(i), uint32(i) + EraseSize}
		if differ := !bytes.Equal(p.Old[i:i+EraseSize], p.New[i:i+EraseSize]); differ != slices.Contains(p.Blocks, r) {
			t.Errorf("block 0x%x: differs %v", i, differ)
		}
	}
}

// headsList lists the owner's files as Heads' cbfs does: from the master header
// on, up to the first entry that is none.
func headsList(img []byte, l romtest.Layout) []string {
	be := binary.BigEndian.Uint32
	at := len(img) + int(int32(binary.LittleEndian.Uint32(img[len(img)-4:])))
	if string(img[at:at+4]) != "ORBC" {
		return nil
	}
	var list []string
	for off := int(be(img[at+20:])); off+24 < len(img) && string(img[off:off+8]) == "LARCHIVE"; {
		h := img[off:]
		name, _, _ := strings.Cut(string(h[24:be(h[20:])]), "\x00")
		if be(h[12:]) == TypeRaw && strings.HasPrefix(name, InitrdPrefix) {
			list = append(list, name)
		}
		off += int(be(h[20:])+be(h[8:])+63) &^ 63
	}
	return list
}

func TestCbfstoolAgreesOnPlannedImages(t *testing.T) {
	peer(t, "cbfstool")
	for _, l := range romtest.Layouts {
		t.Run(l.Name, func(t *testing.T) {
			p, err := NewPlan(sold(t, l), owner(3000))
			if err != nil {
				t.Fatal(err)
			}
			agreesWithCbfstool(t, p.New)
		})
	}
}

func TestAlignKeepsEveryFile(t *testing.T) {
	for _, size := range []uint32{0, 64 << 10} {
		old := sold(t, boardLayout(t, "16M"))
		p, err := Align(old, size)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Aligned || len(p.Removed) != 0 || len(p.Added) != 0 || len(p.Kept) != len(seller) {
			t.Fatalf("aligned %v, removed %q, added %q, kept %q", p.Aligned, p.Removed, p.Added, p.Kept)
		}
		// Heads adds at the end of the chip first; the order is what it measures.
		if p.PCR7SHA256 != pcr7(t, old) {
			t.Error("moving the files changed what Heads measures")
		}
		again, err := Align(p.New, size)
		if err != nil || len(again.Blocks) != 0 {
			t.Fatalf("aligned twice: %v, %v", again, err)
		}
		next, err := NewPlan(p.New, Changes{Pubring: []byte("k"), TrustDB: []byte("t"), EraseSize: size})
		if err != nil || next.Shared != 0 {
			t.Fatalf("%v", err)
		}
		if block := max(size, EraseSize); next.Blocks[0].Start%block != 0 {
			t.Errorf("blocks of %d bytes begin at 0x%x", block, next.Blocks[0].Start)
		}
	}
}

// An image without any file of an owner can be prepared for the first one.
func TestAlignWithoutFiles(t *testing.T) {
	for _, l := range romtest.Layouts {
		t.Run(l.Name, func(t *testing.T) {
			p, err := Align(l.Build(), 0)
			if err != nil || !p.Aligned || len(p.Blocks) == 0 || p.PCR7SHA256 != [32]byte{} {
				t.Fatalf("%+v, %v", p, err)
			}
			if again, err := Align(p.New, 0); err != nil || len(again.Blocks) != 0 {
				t.Errorf("aligned twice: %v", err)
			}
			next, err := NewPlan(p.New, owner(3000))
			if err != nil || next.Shared != 0 || !next.Aligned {
				t.Fatalf("the first files: %d shared blocks, %v", next.Shared, err)
			}
			if _, err := exec.LookPath("cbfstool"); err == nil {
				agreesWithCbfstool(t, p.New)
			}
		})
	}
}

func TestKeepOtherFiles(t *testing.T) {
	c := owner(100)
	c.Keep = []string{InitrdPrefix + "bin/gpgv.sh"}
	p, err := NewPlan(sold(t, boardLayout(t, "12M")), c)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Kept, c.Keep) || slices.Contains(p.Removed, c.Keep[0]) {
		t.Errorf("kept %q, removed %q", p.Kept, p.Removed)
	}
	c.Keep = []string{InitrdPrefix + "nothing"}
	if _, err := NewPlan(sold(t, boardLayout(t, "12M")), c); !errors.Is(err, ErrNotFound) {
		t.Errorf("keeping a file that is not there: %v", err)
	}
}

func TestNoSpace(t *testing.T) {
	l := boardLayout(t, "8M")
	img := l.Build()
	im := mustParse(t, img)
	// Leave a hole of 5 KiB, which holds the files but not on blocks of their own.
	if err := im.Add("filler", make([]byte, im.Free("filler", Heads)-5<<10), Heads); err != nil {
		t.Fatal(err)
	}
	p, err := NewPlan(img, owner(1000))
	if err != nil || p.Aligned || p.Shared == 0 {
		t.Fatalf("a tight image: %v, %v", p, err)
	}
	if _, err := NewPlan(img, owner(6000)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("6000 bytes into 5 KiB: %v", err)
	}
	if err := im.Add("more", make([]byte, 6000), CBFSTool); !errors.Is(err, ErrNoSpace) {
		t.Errorf("adding too much: %v", err)
	}
}

func TestRefusedImages(t *testing.T) {
	l := boardLayout(t, "12M")
	fmap, cbfs := int(l.FMAP), int(l.CBFS.Offset)
	area := func(img []byte, name string) []byte {
		for i := fmap + 56; ; i += 42 {
			if bytes.HasPrefix(img[i+8:], append([]byte(name), 0)) {
				return img[i:]
			}
		}
	}
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		want error
		edit func(img []byte) []byte
	}{
		"verified CBFS": {ErrVerified, func(b []byte) []byte { copy(b[len(b)-0x4000:], anchorMagic); return b }},
		"vboot": {ErrVerified,
			func(b []byte) []byte { copy(area(b, "RW_MRC_CACHE")[8:], "GBB\x00"); return b }},
		"no flash map":   {ErrUnknownLayout, func(b []byte) []byte { b[fmap] = 0; b[len(b)-1] = 0; return b }},
		"two flash maps": {ErrUnknownLayout, func(b []byte) []byte { copy(b[0x5000:], b[fmap:fmap+0x200]); return b }},
		"another size":   {ErrUnknownLayout, func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }},
		"no area":        {ErrUnknownLayout, func(b []byte) []byte { area(b, "COREBOOT")[8] = 'X'; return b }},
		"area outside": {ErrUnknownLayout,
			func(b []byte) []byte { le.PutUint32(area(b, "SI_BIOS")[4:], 0xf0000000); return b }},
		"areas overlap": {ErrUnknownLayout,
			func(b []byte) []byte { le.PutUint32(area(b, "SI_ME")[4:], 0x20000); return b }},
		"area inside the CBFS": {ErrUnknownLayout,
			func(b []byte) []byte { le.PutUint32(area(b, "RW_MRC_CACHE"), 0x50000); return b }},
		"many areas":            {ErrUnknownLayout, func(b []byte) []byte { le.PutUint16(b[fmap+54:], 0xffff); return b }},
		"master header differs": {ErrUnknownLayout, func(b []byte) []byte { b[cbfs+44+23]++; return b }},
		"gap": {ErrUnknownLayout,
			func(b []byte) []byte { b[bytes.Index(b, []byte("vbt.bin"))-24] = 0; return b }},
		"data outside": {ErrUnknownLayout,
			func(b []byte) []byte { b[bytes.Index(b, []byte("vbt.bin"))-16] = 0xf0; return b }},
		"attributes outside": {ErrUnknownLayout,
			func(b []byte) []byte { b[bytes.Index(b, []byte("vbt.bin"))-8] = 0xf0; return b }},
		"endless name": {ErrUnknownLayout, func(b []byte) []byte {
			i := bytes.Index(b, []byte("vbt.bin"))
			copy(b[i:i+8], "xxxxxxxx")
			return b
		}},
		"no CBFS at all": {ErrUnknownLayout, func(b []byte) []byte { clear(b[cbfs : cbfs+8]); return b }},
		"no master header": {ErrNotMeasurable, func(b []byte) []byte {
			im := mustParse(t, b)
			f, _ := im.Lookup("cbfs master header")
			b[f.DataOffset] = 0
			return b
		}},
		"a name that a shell splits": {ErrNotMeasurable, func(b []byte) []byte {
			i := bytes.Index(b, []byte(InitrdPrefix+".gnupg/keys/seller.key"))
			b[i+len(InitrdPrefix)] = '*'
			copy(b[i-12:], []byte{0, 0, 0, TypeRaw})
			return b
		}},
	} {
		t.Run(name, func(t *testing.T) {
			img := c.edit(sold(t, l))
			before := bytes.Clone(img)
			var err error
			if name == "a name that a shell splits" {
				_, err = PCR7Files(img) // a plan would remove it
			} else {
				_, err = NewPlan(img, owner(100))
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if !bytes.Equal(img, before) {
				t.Error("a refused image was changed")
			}
		})
	}
}

func TestRefusedNames(t *testing.T) {
	img := boardLayout(t, "8M").Build()
	im := mustParse(t, img)
	for _, name := range []string{"", "[x", "a b", "a\x00b", "é", strings.Repeat("x", 232)} {
		if err := im.Add(name, []byte("x"), CBFSTool); !errors.Is(err, ErrBadName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := im.Add("VBT.BIN", []byte("x"), CBFSTool); !errors.Is(err, ErrExists) {
		t.Errorf("a second file of a name: %v", err)
	}
	if err := im.Remove("nothing", CBFSTool); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing nothing: %v", err)
	}
	for _, files := range [][]NewFile{{{"vbt.bin", nil}}, {{NameConfig, nil}, {NameConfig, nil}}} {
		if _, err := Layout(img, files, 0); !errors.Is(err, ErrBadName) {
			t.Errorf("%v: %v", files, err)
		}
	}
	if _, err := Layout(img, nil, 5000); !errors.Is(err, ErrUnknownLayout) {
		t.Errorf("odd erase blocks: %v", err)
	}
}

func pcr7(t testing.TB, img []byte) [32]byte {
	t.Helper()
	_, sum, err := PCR7(img)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// The expected values were computed by another program, with Python's hashlib.
func TestPCR7(t *testing.T) {
	img := boardLayout(t, "16M").Build()
	im := mustParse(t, img)
	for _, f := range seller[:2] {
		if err := im.Add(f.Name, f.Data, CBFSTool); err != nil {
			t.Fatal(err)
		}
	}
	sum1, sum256, err := PCR7(img)
	if err != nil {
		t.Fatal(err)
	}
	const want1, want256 = "18959149e6cdb4c907c26acf7294b7642c7aed28",
		"855a3e2dfb61eb614221637839e192bcb0face6793de1d33339e30e5da9ccdf7"
	if got := hex.EncodeToString(sum1[:]); got != want1 {
		t.Errorf("SHA-1: %s", got)
	}
	if got := hex.EncodeToString(sum256[:]); got != want256 {
		t.Errorf("SHA-256: %s", got)
	}
	_, none, err := PCR7(boardLayout(t, "16M").Build())
	if err != nil || none != [32]byte{} {
		t.Errorf("without a file: %x, %v", none, err)
	}
}

// A shell does what cbfs-init does, on files that cbfstool extracts.
func TestPCR7ByShell(t *testing.T) {
	peer(t, "cbfstool", "sh", "sha1sum", "sha256sum", "xxd")
	dir := t.TempDir()
	p, err := NewPlan(sold(t, boardLayout(t, "16M")), owner(3000))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "rom"), p.New)
	const script = `set -e; cd "$1"; pcr=$2
for name in $(cbfstool rom print | awk '$3 == "raw" && $1 ~ "^heads/initrd/" {print $1}'); do
	cbfstool rom extract -n "$name" -f data >/dev/null 2>&1
	file=${name#heads/initrd}
	for digest in $(printf %s "$file" | $3 | cut -d' ' -f1) $($3 data | cut -d' ' -f1); do
		pcr=$(printf %s%s $pcr $digest | xxd -r -p | $3 | cut -d' ' -f1)
	done
done
echo $pcr`
	for tool, want := range map[string]string{"sha1sum": hex.EncodeToString(p.PCR7SHA1[:]),
		"sha256sum": hex.EncodeToString(p.PCR7SHA256[:])} {
		out, err := exec.Command("sh", "-c", script, "sh", dir, strings.Repeat("0", len(want)), tool).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s: %s (%v), we say %s", tool, got, err, want)
		}
	}
}

func TestPCR7OfTwoFilesWithOneName(t *testing.T) {
	img := boardLayout(t, "16M").Build()
	im := mustParse(t, img)
	for i, name := range []string{NameConfig, InitrdPrefix + "etc/config.usex"} {
		if err := im.Add(name, []byte(fmt.Sprint("content ", i)), CBFSTool); err != nil {
			t.Fatal(err)
		}
	}
	copy(img[bytes.Index(img, []byte("config.usex")):], "config.user")
	files, err := PCR7Files(img)
	if err != nil || len(files) != 2 || string(files[1].Data) != "content 0" {
		t.Fatalf("%v, %v: Heads reads the first file twice", files, err)
	}
}

func TestConfig(t *testing.T) {
	const old = "# c\nexport CONFIG_A=\"1\"\nCONFIG_B=plain/word\nexport CONFIG_C='x y'\n\nexport CONFIG_D=$(id)\nexport CONFIG_E=\"`id`\"\nexport CONFIG_F=\"a\"; id\nexport PATH=\"/evil\"\nCONFIG_G=a b\nexport CONFIG_H=\"a\"\"b\"\n# \x1b[2J\nexport CONFIG_I=\"last line"
	settings, rejected := ParseConfig([]byte(old))
	if want := []Setting{{"CONFIG_A", "1"}, {"CONFIG_B", "plain/word"}, {"CONFIG_C", "x y"}}; !slices.Equal(settings,
		want) {
		t.Errorf("settings %q", settings)
	}
	if len(rejected) != 8 {
		t.Errorf("rejected %d lines: %q", len(rejected), rejected)
	}
}

// Of a former owner's settings only those stay that say what the machine is. What
// Heads' scripts make of the rest was tried: another program for init, an unlocked
// chip, kernel arguments, a start without any check.
func TestOwnConfig(t *testing.T) {
	for _, line := range []string{
		`export CONFIG_BASIC="y"`, `export CONFIG_PUREBOOT_BASIC="y"`, `export CONFIG_IGNORE_ROLLBACK="y"`,
		`CONFIG_BOOT_KERNEL_ADD="init=/bin/sh"`,
		`export CONFIG_BOOTSCRIPT="/bin/sh"`, `export CONFIG_FLASH_OPTIONS="rm"`, `export CONFIG_RESTRICTED_BOOT="n"`,
		`export CONFIG_FINALIZE_PLATFORM_LOCKING="n"`,
		`export CONFIG_HAVE_GPG_KEY_BACKUP="y"`, `export CONFIG_BOOT_RECOVERY_SERIAL="ttyS0"`,
		`export CONFIG_ROOT_DEV="/dev/sdb"`, `# CONFIG_TPM=`,
		`export CONFIG_TPM="n"`, `export CONFIG_TPM=""`, `export CONFIG_TPM2_TOOLS="yes"`, `export CONFIG_BOOT_DEV="sda1"`,
		`export CONFIG_BOOT_DEV="/dev/../tmp/x"`,
		`export CONFIG_BOOT_DEV="/dev/sda1 /x"`, `export CONFIG_KEYBOARD_KEYMAP="/media/x.map"`,
		`export CONFIG_KEYBOARD_KEYMAP="/usr/lib/kbd/keymaps/../../x"`,
		`export CONFIG_USE_BLOB_JAIL="x"`, ` export CONFIG_TPM="y"`, `export  CONFIG_TPM="y"`, `export CONFIG_TPM="y"; id`,
		"export CONFIG_TPM=\"y\"\r", `CONFIG_TPM=y id`,
		"\x00", "\xff\xfe", `\`,
	} {
		got, kept, dropped, err := OwnConfig([]byte(line+"\n"), nil)
		if err != nil || len(got) != 0 || len(kept) != 0 || len(dropped) != 1 || dropped[0].Line != line {
			t.Errorf("%q became %q, kept %q, dropped %q, %v", line, got, kept, dropped, err)
		}
	}
	const honest = "CONFIG_USE_BLOB_JAIL=y\nexport CONFIG_TPM=\"y\"\nexport CONFIG_TPM2_TOOLS=\"y\"\n\nexport CONFIG_BOOT_DEV=\"/dev/sda1\"\n" +
		"export CONFIG_KEYBOARD_KEYMAP=\"/usr/lib/kbd/keymaps/i386/qwertz/de-latin1.map\"\nexport CONFIG_BOOT_DEV='/dev/nvme0n1p2'\nexport CONFIG_USER_USB_KEYBOARD=\"y\"\n"
	got, kept, dropped, err := OwnConfig([]byte(honest),
		[]Setting{{"CONFIG_TPM2_TOOLS", "n"}, {"CONFIG_Z", "z"}, {"CONFIG_Z", "zz"}})
	const want = "export CONFIG_USE_BLOB_JAIL=\"y\"\nexport CONFIG_TPM=\"y\"\nexport CONFIG_BOOT_DEV=\"/dev/nvme0n1p2\"\n" +
		"export CONFIG_KEYBOARD_KEYMAP=\"/usr/lib/kbd/keymaps/i386/qwertz/de-latin1.map\"\nexport CONFIG_USER_USB_KEYBOARD=\"y\"\nexport CONFIG_TPM2_TOOLS=\"n\"\nexport CONFIG_Z=\"zz\"\n"
	if err != nil || string(got) != want || len(kept) != 5 || len(dropped) != 0 {
		t.Errorf("got %q, kept %q, dropped %q, %v", got, kept, dropped, err)
	}
	for _, s := range []Setting{{"PATH", "x"}, {"CONFIG_", "x"}, {"CONFIG_a", "x"}, {"CONFIG_A", "\""}, {"CONFIG_A", "$x"},
		{"CONFIG_A", "`x"}, {"CONFIG_A", "a\nb"}, {"CONFIG_A", "\\"}} {
		if _, _, _, err := OwnConfig(nil, []Setting{s}); !errors.Is(err, ErrBadSetting) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, _, _, err := OwnConfig(make([]byte, MaxConfig+1), nil); err == nil {
		t.Error("a huge config.user")
	}
}

// What a shell makes of an updated config.user is what we say it is.
func TestShellReadsTheConfig(t *testing.T) {
	peer(t, "sh")
	b, _, _, err := OwnConfig([]byte("CONFIG_BOOT_DEV=/dev/plain/word\nexport CONFIG_TPM='y'\nid >&2\n"),
		[]Setting{{"CONFIG_A", "a b#c;d&e|f*?(){}[]<>~!"}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "config.user")
	write(t, name, b)
	settings, _ := ParseConfig(b)
	for _, s := range settings {
		out, err := exec.Command("sh", "-c", `. "$1"; eval "printf %s \"\$$2\""`, "sh", name, s.Name).CombinedOutput()
		if err != nil || string(out) != s.Value {
			t.Errorf("%s: a shell reads %q, we read %q (%v)", s.Name, out, s.Value, err)
		}
	}
}

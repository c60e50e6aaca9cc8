package rom

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"reown/internal/rom/romtest"
)

// peer skips the test if a tool is missing, or fails it where all must be there.
func peer(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skipf("%s is not installed", name)
		}
	}
}

func soak() bool { return os.Getenv("REOWN_SOAK") == "1" }

// run runs a tool and returns what it prints; ok is its success.
func run(t testing.TB, name string, args ...string) (out string, ok bool) {
	t.Helper()
	b, err := exec.Command(name, args...).CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return string(b), err == nil
}

func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, ok := run(t, name, args...)
	if !ok {
		t.Fatalf("%s %v: %s", name, args, out)
	}
	return out
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustParse(t testing.TB, b []byte) *Image {
	t.Helper()
	im, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

// agreesWithCbfstool compares our list of entries and our extracted files with
// those of cbfstool.
func agreesWithCbfstool(t *testing.T, img []byte) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "image")
	write(t, file, img)
	im := mustParse(t, img)
	base := im.Region().Start
	if im.FMAP() == nil {
		base = 0
	}
	var ours, theirs []string
	for _, f := range im.Files() {
		name := f.Name
		if f.Empty() {
			name = "(empty)"
		}
		ours = append(ours, fmt.Sprintf("%s 0x%x %d+%d", name, f.Offset-base, f.DataOffset-f.Offset, f.Size))
	}
	for _, line := range strings.Split(must(t, "cbfstool", file, "print", "-k"), "\n") {
		col := strings.Split(line, "\t")
		if len(col) < 6 || col[0] == "Name" || strings.HasPrefix(col[0], "[") {
			continue
		}
		meta, err1 := strconv.ParseUint(col[3], 0, 32)
		size, err2 := strconv.ParseUint(col[4], 0, 32)
		if err1 != nil || err2 != nil {
			t.Fatalf("cbfstool print: %q", line)
		}
		theirs = append(theirs, fmt.Sprintf("%s %s %d+%d", col[0], col[1], meta, size))
	}
	if a, b := strings.Join(ours, "\n"), strings.Join(theirs, "\n"); a != b {
		t.Fatalf("we list\n%s\ncbfstool lists\n%s", a, b)
	}
	for _, f := range im.Files() {
		if f.Empty() || f.Type == TypeHeader {
			continue
		}
		out := filepath.Join(dir, "out")
		must(t, "cbfstool", file, "extract", "-n", f.Name, "-f", out)
		got, err := im.Extract(f.Name)
		if err != nil || !bytes.Equal(got, read(t, out)) {
			t.Fatalf("%s: cbfstool extracts something else (%v)", f.Name, err)
		}
	}
}

func TestCbfstoolAgreesOnEveryLayout(t *testing.T) {
	peer(t, "cbfstool")
	for _, l := range romtest.Layouts {
		t.Run(l.Name, func(t *testing.T) {
			agreesWithCbfstool(t, l.Build())
		})
	}
}

// smallRegion is a flash map for fmaptool with a CBFS of a little under 256 KiB.
const smallRegion = `FLASH@0xfff80000 0x80000 {
	SI_DESC@0x0 0x1000
	SI_BIOS@0x1000 0x7f000 {
		RW_MRC_CACHE@0x0 0x10000
		FMAP@0x10000 0x200
		COREBOOT(CBFS)@0x10200 %s
	}
}
`

// cbfstoolImage lets coreboot's own tools make an image with a CBFS of that size;
// "" makes one with a master header instead of a flash map.
func cbfstoolImage(t testing.TB, dir, size string, withBootblock bool) string {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, name) }
	if size == "" { // without a flash map
		write(t, in("bb"), bytes.Repeat([]byte{0xeb}, 0x2000))
		must(t, "cbfstool", in("rom"), "create", "-m", "x86", "-s", "0x80000", "-B", in("bb"))
		write(t, in("stage"), bytes.Repeat([]byte("a stage "), 1000))
		must(t, "cbfstool", in("rom"), "add", "-f", in("stage"), "-n", "fallback/payload", "-t", "raw")
		return in("rom")
	}
	write(t, in("layout.fmd"), fmt.Appendf(nil, smallRegion, size))
	must(t, "fmaptool", in("layout.fmd"), in("fmap"))
	must(t, "cbfstool", in("rom"), "create", "-M", in("fmap"), "-r", "COREBOOT")
	if withBootblock {
		write(t, in("bb"), bytes.Repeat([]byte{0xeb}, 0x2000))
		must(t, "cbfstool", in("rom"), "add", "-f", in("bb"), "-n", "bootblock", "-t", "bootblock", "-b", "-0x2000")
	}
	must(t, "cbfstool", in("rom"), "add-master-header", "-r", "COREBOOT")
	text := []byte(strings.Repeat("a stage that compresses well. ", 400))
	write(t, in("stage"), text)
	must(t, "cbfstool", in("rom"), "add", "-f", in("stage"), "-n", "fallback/ramstage", "-t", "raw", "-c", "lzma")
	must(t, "cbfstool", in("rom"), "add", "-f", in("stage"), "-n", "vbt.bin", "-t", "raw", "-A", "sha256")
	must(t, "cbfstool", in("rom"), "add", "-f", in("stage"), "-n", "fallback/payload", "-t", "raw", "-a", "4096")
	return in("rom")
}

// After every one of thousands of random additions and removals our image and
// cbfstool's are equal to the byte.
func TestEqualToCbfstool(t *testing.T) {
	peer(t, "cbfstool", "fmaptool")
	steps := 300
	if soak() {
		steps = 6000
	}
	for name, c := range map[string]struct {
		size      string
		bootblock bool
	}{"bootblock": {"0x6ee00", true}, "no bootblock": {"0x6ee00", false}, "odd": {"0x5edcb", false},
		"odder": {"0x5edfb", false}, "legacy": {"", true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := cbfstoolImage(t, dir, c.size, c.bootblock)
			differ(t, dir, file, CBFSTool, steps/5+1, func(op, name, data string) (string, bool) {
				if op == "add" {
					return run(t, "cbfstool", file, "add", "-t", "raw", "-n", name, "-f", data)
				}
				return run(t, "cbfstool", file, "remove", "-n", name)
			})
		})
	}
}

// The same on the large images of boards, with fewer steps.
func TestEqualToCbfstoolOnEveryLayout(t *testing.T) {
	peer(t, "cbfstool")
	steps := 4
	if soak() {
		steps = 250
	}
	for _, l := range romtest.Layouts {
		t.Run(l.Name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "rom")
			write(t, file, l.Build())
			differ(t, dir, file, CBFSTool, steps, func(op, name, data string) (string, bool) {
				if op == "add" {
					return run(t, "cbfstool", file, "add", "-t", "raw", "-n", name, "-f", data)
				}
				return run(t, "cbfstool", file, "remove", "-n", name)
			})
		})
	}
}

// Heads' cbfs is in no distribution; the test runs where someone has put it into
// the path.
func TestEqualToHeadsCbfs(t *testing.T) {
	if _, err := exec.LookPath("cbfs"); err != nil {
		t.Skip("Heads' cbfs is not installed")
	}
	steps := 60
	if soak() {
		steps = 600
	}
	for _, l := range romtest.Layouts {
		if l.FMAP == 0 {
			continue // its -o wants a flash map
		}
		t.Run(l.Name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "rom")
			write(t, file, l.Build())
			differ(t, dir, file, Heads, steps, func(op, name, data string) (string, bool) {
				if op == "add" {
					return run(t, "cbfs", "-o", file, "-a", name, "-f", data)
				}
				return run(t, "cbfs", "-o", file, "-d", name)
			})
		})
	}
}

// Heads' cbfs finds the owner's files, and only those, in a planned image.
func TestHeadsCbfsReadsAPlan(t *testing.T) {
	if _, err := exec.LookPath("cbfs"); err != nil {
		t.Skip("Heads' cbfs is not installed")
	}
	for _, l := range romtest.Layouts {
		if l.FMAP == 0 {
			continue
		}
		p, err := NewPlan(sold(t, l), owner(3000))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "rom")
		write(t, file, p.New)
		files, err := PCR7Files(p.New)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			name := strings.TrimSuffix(InitrdPrefix, "/") + f.Name
			names = append(names, name)
			if got := must(t, "cbfs", "-t", "50", "-o", file, "-r", name); got != string(f.Data) {
				t.Errorf("%s: cbfs reads other data of %s", l.Name, name)
			}
		}
		var listed []string
		for _, name := range strings.Fields(must(t, "cbfs", "-t", "50", "-l", "-o", file)) {
			if strings.HasPrefix(name, InitrdPrefix) {
				listed = append(listed, name)
			}
		}
		if !slices.Equal(listed, names) || len(names) != 3 {
			t.Errorf("%s: cbfs lists %q, we measure %q", l.Name, listed, names)
		}
	}
}

// differ makes the same random changes with another program and with us, and
// compares all bytes after each.
func differ(t *testing.T, dir, file string, s Style, steps int, other func(op, name, data string) (string, bool)) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(s), uint64(steps)))
	data := filepath.Join(dir, "data")
	img := read(t, file)
	have := map[string]bool{}
	refused := 0
	for step := range steps {
		name := fmt.Sprintf("heads/initrd/%s%d", strings.Repeat("x", r.IntN(40)), r.IntN(4))
		op := "add"
		if len(have) > 0 && r.IntN(5) < 2 || have[name] {
			op = "remove"
			if !have[name] {
				for name = range have {
					break
				}
			}
		}
		im := mustParse(t, img)
		var err error
		if op == "add" {
			sizes := []int{1, 15, 16, 17, 39, 40, 63, 64, 100, 1000, 4096, 30_000, 90_000, 200_000, 8 << 20}
			content := make([]byte, sizes[r.IntN(len(sizes))])
			for i := range content {
				content[i] = byte(r.Uint32())
			}
			write(t, data, content)
			err = im.Add(name, content, s)
		} else {
			err = im.Remove(name, s)
		}
		said, ok := other(op, name, data)
		if ok != (err == nil) {
			t.Fatalf("step %d, %s %q: we say %v, it says %s", step, op, name, err, said)
		}
		theirs := read(t, file)
		if !ok {
			refused++
			img = theirs // it may have merged holes before it gave up
			continue
		}
		if !bytes.Equal(img, theirs) {
			at := 0
			for img[at] == theirs[at] {
				at++
			}
			t.Fatalf("step %d, %s %q: the images differ from 0x%x on", step, op, name, at)
		}
		if op == "add" {
			have[name] = true
		} else {
			delete(have, name)
		}
	}
	t.Logf("%d steps, %d refused by both, 0 differing bytes", steps, refused)
}

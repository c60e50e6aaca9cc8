package boot

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A layout's .menu file is what Heads's own scripts made of the layout; rewrite them
// with REOWN_HEADS=checkout go test ./boot -run TestEntries -update.
var update = flag.Bool("update", false, "rewrite the .menu files with Heads's own scripts")

var layouts = []string{"debian", "fedora", "qubes", "arch", "hostile"}

// makeLayout unpacks a layout into a new directory.
func makeLayout(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata/layouts", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{"lost+found/": "", "dangling": "-> nowhere"}
	current := ""
	for l := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(l, "-- "); ok && strings.HasSuffix(n, " --\n") {
			current = strings.TrimSuffix(n, " --\n")
			files[current] = ""
		} else if current != "" {
			files[current] += l
		}
	}
	if name == "debian" {
		files["initrd.img"] = "-> initrd.img-6.1.0-18-amd64"
		files["grub/empty/"] = ""
	}
	writeTree(t, dir, files)
	return dir
}

// headsMenu runs Heads's own scan_boot_options and parsers from a checkout, with the
// applets of busybox, and returns the menu file. It skips if there is no checkout.
func headsMenu(t testing.TB, dir string) []byte {
	t.Helper()
	src := os.Getenv("REOWN_HEADS")
	if src == "" {
		t.Skip("REOWN_HEADS does not name a checkout of linuxboot/heads")
	}
	needPeers(t, "bash", "busybox")
	bin := t.TempDir()
	if out, err := exec.Command("busybox", "--install", "-s", bin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const stubs = "TRACE_FUNC() { :; }; DEBUG() { :; }; DO_WITH_DEBUG() { \"$@\"; }; DIE() { exit 1; }\n"
	for _, n := range []string{"kexec-parse-boot.sh", "kexec-parse-bls.sh", "kexec-boot.sh"} {
		b, err := os.ReadFile(filepath.Join(src, "initrd/bin", n))
		if err != nil {
			t.Fatal(err)
		}
		b = bytes.Replace(b, []byte(". /etc/functions.sh\n"), []byte(stubs), 1)
		b = bytes.Replace(b, []byte(". /tmp/config\n"), nil, 1)
		if err := os.WriteFile(filepath.Join(bin, n), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fn, err := os.ReadFile(filepath.Join(src, "initrd/etc/functions.sh"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := strings.Cut(string(fn), "\nscan_boot_options() {")
	body, _, ok2 := strings.Cut(body, "\n}\n")
	if !ok || !ok2 {
		t.Fatal("no scan_boot_options in Heads's functions.sh")
	}
	// On a machine the directory is /boot, which Heads cuts from BLS entries.
	confs, _ := filepath.Glob(filepath.Join(dir, "loader/entries/*.conf"))
	for _, c := range confs {
		b, err := os.ReadFile(c)
		if err != nil {
			t.Fatal(err)
		}
		put := func(b []byte) {
			if err := os.WriteFile(c, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		put(bytes.ReplaceAll(b, []byte(" /boot/"), []byte(" "+dir+"/")))
		defer put(b)
	}
	menu := filepath.Join(t.TempDir(), "menu")
	script := stubs + "scan_boot_options() {" + body + "\n}\ncd /var/empty 2>/dev/null || cd " + t.TempDir() +
		"\nscan_boot_options \"$1\" grub.cfg \"$2\"\n"
	bash, _ := exec.LookPath("bash")
	cmd := exec.Command(bash, "-c", script, "heads", dir, menu)
	cmd.Env = []string{"PATH=" + bin, "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Logf("scan_boot_options: %v: %s", err, out)
	}
	b, err := os.ReadFile(menu)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return b
}

func lines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

// compareMenu: the same number of entries, and the same lines where we claim to know.
func compareMenu(t *testing.T, entries []Entry, menu []string) {
	t.Helper()
	if len(entries) != len(menu) {
		t.Errorf("%d entries, Heads has %d", len(entries), len(menu))
	}
	for i, e := range entries {
		if i >= len(menu) {
			t.Errorf("entry %d %q is not in Heads's menu", e.Index, e.Line)
		} else if e.Uncertain == "" && e.Line != menu[i] {
			t.Errorf("entry %d\n ours:  %q\n Heads: %q", e.Index, e.Line, menu[i])
		}
	}
}

// TestEntries compares with what Heads made of the same layouts.
func TestEntries(t *testing.T) {
	for _, name := range layouts {
		t.Run(name, func(t *testing.T) {
			golden := filepath.Join("testdata/layouts", name+".menu")
			dir := makeLayout(t, name)
			if *update {
				if err := os.WriteFile(golden, headsMenu(t, dir), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := d.Entries()
			if err != nil {
				t.Fatal(err)
			}
			menu := lines(want)
			if name == "fedora" {
				// The order of BLS entries is the directory's.
				slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Line, b.Line) })
				slices.Sort(menu)
			}
			compareMenu(t, entries, menu)
		})
	}
}

// TestEntriesLive runs Heads's own scripts over the same directories, so that the
// order is compared too.
func TestEntriesLive(t *testing.T) {
	for _, name := range layouts {
		t.Run(name, func(t *testing.T) {
			dir := makeLayout(t, name)
			menu := lines(headsMenu(t, dir))
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := d.Entries()
			if err != nil {
				t.Fatal(err)
			}
			compareMenu(t, entries, menu)
		})
	}
}

// TestSuggest: the entry that the seller's worker would choose.
func TestSuggest(t *testing.T) {
	want := map[string]string{
		"debian": "Debian GNU/Linux", "fedora": "Fedora Linux (6.10.3-200.fc40.x86_64) 40 (Workstation Edition)",
		"qubes": "Qubes, with Xen hypervisor", "arch": "Arch Linux", "hostile": "plain",
	}
	for _, name := range layouts {
		d, err := Open(makeLayout(t, name))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := d.Entries()
		if err != nil {
			t.Fatal(err)
		}
		i := Suggest(entries)
		if i == 0 || entries[i-1].Name != want[name] {
			t.Errorf("%s: suggested %d of %+v", name, i, entries)
		}
	}
}

// TestEntriesRandom compares on configurations put together at random from pieces
// that shells treat in special ways.
func TestEntriesRandom(t *testing.T) {
	n := 8
	if os.Getenv("REOWN_SOAK") == "1" {
		n = 300
	}
	if os.Getenv("REOWN_HEADS") == "" {
		t.Skip("REOWN_HEADS does not name a checkout of linuxboot/heads")
	}
	pieces := strings.Split(`a|b c|'|"|\|\\|$x|${y}|$name|$(echo z)|*|[a]|---| --- |(hd0)|()|/k|/i|,|  |	|;|&|<|#|{|}|~|!|$|$$|$1|\"|\$|-e|=|x|é|%|$_|${x:-y}|"a b"`, "|")
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		some := func(max int) string {
			var b strings.Builder
			for range r.IntN(max + 1) {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
			return b.String()
		}
		var cfg strings.Builder
		for range 6 {
			switch q := "'"; r.IntN(4) {
			case 0:
				cfg.WriteString("menuentry " + some(3) + "\n")
			case 1:
				q = `"`
				fallthrough
			default:
				cfg.WriteString("menuentry " + q + some(2) + q + " {\n")
			}
			if r.IntN(4) == 0 {
				cfg.WriteString("multiboot /k " + some(3) + "\nmodule " + []string{"", "--nounzip "}[r.IntN(2)] + "/i " + some(3) + "\n")
			} else {
				cfg.WriteString(" linux" + []string{" ", "16\t", "efi  "}[r.IntN(3)] + "/k " + some(4) + "\n")
				if r.IntN(2) == 0 {
					cfg.WriteString("\tinitrd /i" + []string{"", " /k", ",/k", " $x"}[r.IntN(4)] + "\n")
				}
			}
			cfg.WriteString(some(1) + "\n}\n")
		}
		dir := t.TempDir()
		writeTree(t, dir, map[string]string{"k": "", "i": "", "grub/grub.cfg": cfg.String()})
		menu := lines(headsMenu(t, dir))
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := d.Entries()
		if err != nil && !errors.Is(err, ErrNoEntries) {
			t.Fatal(err)
		}
		compareMenu(t, entries, menu)
		if t.Failed() {
			t.Fatalf("seed %d:\n%s\nHeads:\n%q", seed, cfg.String(), menu)
		}
	}
}

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

// headsOwn prepares Heads's own scripts from a checkout, with the applets of busybox
// and with /tmp and /boot elsewhere. It skips if there is no checkout.
type headsOwn struct {
	bin, tmp  string
	functions string // bash source: stubs and functions.sh's functions that are asked for
}

func newHeadsOwn(t testing.TB, dir string, functions ...string) headsOwn {
	t.Helper()
	src := os.Getenv("REOWN_HEADS")
	if src == "" {
		t.Skip("REOWN_HEADS does not name a checkout of linuxboot/heads")
	}
	needPeers(t, "bash", "busybox", "gpgv")
	h := headsOwn{bin: t.TempDir(), tmp: t.TempDir()}
	if out, err := exec.Command("busybox", "--install", "-s", h.bin).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(src, "initrd", name))
		if err != nil {
			t.Fatal(err)
		}
		// The top of /boot and /tmp, as words of the scripts; not parts of names.
		s := strings.ReplaceAll(string(b), "/tmp/", h.tmp+"/")
		return strings.ReplaceAll(s, "find /boot ", "find "+dir+" ")
	}
	h.functions = "STATUS() { :; }; STATUS_OK() { :; }; INFO() { :; }; WARN() { :; }; TRACE_FUNC() { :; }; DEBUG() { :; }; SINK_LOG() { cat >/dev/null; }\n" +
		"DO_WITH_DEBUG() { \"$@\"; }; DIE() { echo \"DIE: $*\" >&2; exit 1; }; recovery() { echo \"recovery: $*\" >&2; exit 1; }; detect_boot_device() { :; }; load_config_value() { :; }; _build_final_cmdline() { :; }\n"
	stubs := h.functions
	all := read("etc/functions.sh")
	for _, f := range functions {
		_, body, ok := strings.Cut(all, "\n"+f+"() {")
		body, _, ok2 := strings.Cut(body, "\n}\n")
		if !ok || !ok2 {
			t.Fatalf("no %s in Heads's functions.sh", f)
		}
		h.functions += f + "() {" + body + "\n}\n"
	}
	for _, n := range []string{"kexec-parse-boot.sh", "kexec-parse-bls.sh", "kexec-boot.sh"} {
		s := strings.Replace(read("bin/"+n), ". /etc/functions.sh\n", stubs, 1)
		s = strings.Replace(s, ". "+h.tmp+"/config\n", "", 1)
		if err := os.WriteFile(filepath.Join(h.bin, n), []byte(s), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// run executes a script with the functions in scope.
func (h headsOwn) run(t testing.TB, script string, args ...string) ([]byte, error) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bash, append([]string{"-c", h.functions + script, "heads"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + h.bin, "LC_ALL=C", "HOME=" + h.tmp}
	return cmd.CombinedOutput()
}

// headsMenu is the menu file that Heads's own scan_boot_options and parsers make.
func headsMenu(t testing.TB, dir string) []byte {
	t.Helper()
	h := newHeadsOwn(t, dir, "scan_boot_options")
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
	menu := filepath.Join(h.tmp, "menu")
	if out, err := h.run(t, `scan_boot_options "$1" grub.cfg "$2"`, dir, menu); err != nil {
		t.Logf("scan_boot_options: %v: %s", err, out)
	}
	b, err := os.ReadFile(menu)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return b
}

// headsAccepts runs Heads's own assert_signable, check_config, verify_checksums and
// the checks of default_select, with its own names for things.
func headsAccepts(t testing.TB, dir string, key *gpgKey) ([]byte, error) {
	t.Helper()
	h := newHeadsOwn(t, dir, "assert_signable", "check_config", "print_tree", "verify_checksums")
	gpgv, err := exec.LookPath("gpgv")
	if err != nil {
		t.Fatal(err)
	}
	wrapper := "#!" + filepath.Join(h.bin, "sh") + "\nexec " + gpgv + " --keyring " + key.keyring + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(h.bin, "gpgv.sh"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	bash, _ := exec.LookPath("bash")
	if err := os.Symlink(bash, filepath.Join(h.bin, "bash")); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.tmp, "menu"), headsMenu(t, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	const script = `
T="$2"
assert_signable
check_config "$1"
[ -e "$T/kexec/.gpg_verified" ] || { echo "signature not checked"; exit 1; }
TMP_HASH_FILE="$T/kexec/kexec_hashes.txt" TMP_TREE_FILE="$T/kexec/kexec_tree.txt"
verify_checksums "$1" n || { echo "checksums: $(grep -v 'OK$' "$T/hash_output")"; exit 1; }
for f in "$T"/kexec/kexec_default.*.txt; do
	n=$(basename "$f" | cut -d. -f2)
	[ "$(head -n "$n" "$T/menu" | tail -1)" = "$(cat "$f")" ] || { echo "entry $n: $(head -n "$n" "$T/menu" | tail -1)"; exit 1; }
	(cd "$1" && sha256sum -c "$T/kexec/kexec_default_hashes.txt" >/dev/null) || { echo "default hashes"; exit 1; }
	(cd "$1" && bash "` + "$3" + `" -b "$1" -e "$(cat "$f")" -f | xargs sha256sum | cmp - "$T/kexec/kexec_default_hashes.txt") || { echo "files of the entry"; exit 1; }
done
echo accepted
`
	out, err := h.run(t, script, dir, h.tmp, filepath.Join(h.bin, "kexec-boot.sh"))
	if err == nil && !strings.Contains(string(out), "accepted") {
		err = errors.New("not accepted")
	}
	return out, err
}

// TestHeadsOwnFunctions lets Heads's own functions judge a /boot of ours.
func TestHeadsOwnFunctions(t *testing.T) {
	_, owner := gpgPair(t)
	for _, name := range layouts {
		t.Run(name, func(t *testing.T) {
			dir := makeLayout(t, name)
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := d.Entries()
			if err != nil {
				t.Fatal(err)
			}
			replace(t, d, BuildOptions{Entry: Suggest(entries)}, func(b []byte) []byte { return owner.sign(t, b) }, owner.verify)
			if out, err := headsAccepts(t, dir, owner); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := headsAccepts(t, dir, owner); err == nil {
				t.Fatalf("accepted with a file added: %s", out)
			}
		})
	}
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
				cfg.WriteString("multiboot /k " + some(3) + "\nmodule " + []string{"", "--nounzip "}[r.IntN(2)] + "/i " + some(3) +
					"\n")
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

// TestDefault: the set's own default is found in the menu again, and only as it was.
func TestDefault(t *testing.T) {
	dir := makeLayout(t, "fedora")
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := d.Entries()
	if err != nil || len(entries) < 2 {
		t.Fatal(err, len(entries))
	}
	if i := d.Default(entries); i != 0 {
		t.Errorf("without a set: %d", i)
	}
	name := filepath.Join(dir, "kexec_default.2.txt")
	for line, want := range map[string]int{entries[1].Line + "\n": 2, entries[0].Line + "\n": 0, "": 0} {
		if err := os.WriteFile(name, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if i := d.Default(entries); i != want {
			t.Errorf("%q: %d, want %d", line, i, want)
		}
	}
}

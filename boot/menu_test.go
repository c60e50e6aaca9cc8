package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entry is a menuentry for a kernel.
func entry(title, rest string) string {
	return "menuentry '" + title + "' " + rest + " {\n\tlinux /" + strings.ReplaceAll(title, " ", "-") + " ro\n}\n"
}

// menus are the shapes of menus, and which entry GRUB starts by itself.
var menus = []struct {
	name, cfg, env, want string
	files                []string
}{
	{"no default", entry("a", "") + entry("b", ""), "", "a", nil},
	{"by number", "set default=\"1\"\n" + entry("a", "") + entry("b", ""), "", "b", nil},
	{"by number, too large", "set default=7\n" + entry("a", "") + entry("b", ""), "", "a", nil},
	{"by title", "set default='b'\n" + entry("a", "") + entry("b", ""), "", "b", nil},
	{"by id", "set default=gnulinux-b\n" + entry("a", "--id gnulinux-a") +
		entry("b", "--class x --id gnulinux-b --unrestricted"), "", "b", nil},
	{"by id, as Debian writes it", "if [ x\"${feature_menuentry_id}\" = xy ]; then\n  menuentry_id_option=\"--id\"\nelse\n  menuentry_id_option=\"\"\nfi\nset default=\"id-b\"\n" +
		entry("a", "$menuentry_id_option 'id-a'") + entry("b", "--class gnu $menuentry_id_option 'id-b'"), "", "b", nil},
	{"of a submenu", "set default='1>1'\n" + entry("a", "") + "submenu 'more' {\n" + entry("b", "") + entry("c", "") +
		"}\n" + entry("d", ""), "", "c", nil},
	{"a submenu alone", "set default=1\n" + entry("a", "") + "submenu 'more' {\n" + entry("b", "") + entry("c", "") +
		"}\n", "", "b", nil},
	{"by titles in submenus", "set default='more>deep>c'\n" + entry("a", "") + "submenu 'more' {\n" + entry("b", "") +
		"submenu 'deep' {\n" + entry("d", "") + entry("c", "") + "}\n}\n", "", "c", nil},
	{"a title with >", "set default='a >> b'\n" + "menuentry 'x' {\n\tlinux /x\n}\n" +
		"menuentry 'a > b' {\n\tlinux /ab\n}\n", "", "a > b", []string{"x", "ab"}},
	{"saved", "load_env\nset default=\"${saved_entry}\"\n" + entry("a", "") + entry("b", ""),
		"# GRUB Environment Block\nsaved_entry=b\n####", "b", nil},
	{"saved, none", "load_env\nset default=\"${saved_entry}\"\n" + entry("a", "") + entry("b", ""),
		"# GRUB Environment Block\n####", "a", nil},
	{"saved, not loaded", "set default=\"${saved_entry}\"\n" + entry("a", "") + entry("b", ""), "saved_entry=b\n", "a",
		nil},
	{"saved, as Debian writes it", "if [ -s $prefix/grubenv ]; then\n  set have_grubenv=true\n  load_env\nfi\nif [ \"${next_entry}\" ] ; then\n   set default=\"${next_entry}\"\n   set next_entry=\n   save_env next_entry\n   set boot_once=true\nelse\n   set default=\"${saved_entry}\"\nfi\n" +
		entry("a", "") + entry("b", "") + entry("c", ""), "saved_entry=b\nnext_entry=c\n", "b", nil},
	{"a variable that Heads takes for an entry", "menuentry_id_option=\"--id\"\nset default=1\nif [ -d /none ]; then\n" +
		entry("c", "") + "fi\n" + entry("a", "") + entry("b", ""), "", "b", nil},
	{"a function that sets", "set default=1\nfunction savedefault {\n  if [ -z \"${boot_once}\" ]; then\n    set default=0\n  fi\n}\n" + entry("a", "") + entry("b", ""), "", "b", nil},
	{"a default inside an entry", "set default=1\nmenuentry 'a' {\n\tset default=0\n\tlinux /a\n}\n" + entry("b", ""), "",
		"b", nil},
	{"guarded by a folder that is not there", "if [ -d /aem/ ]; then\n" + entry("a", "") + "fi\n" + entry("b", ""), "",
		"b", nil},
	{"guarded by a folder that is there", "if [ -d /dir ]; then\n" + entry("a", "") + "fi\n" + entry("b", ""), "", "a",
		[]string{"dir/x", "a", "b"}},
	{"guarded by a file on root", "if [ ! -f ($root)/none ]; then\n" + entry("a", "") + "fi\n" + entry("b", ""), "", "a",
		nil},
	{"else", "if [ -e /none ]; then\n" + entry("a", "") + "else\n" + entry("b", "") + "fi\n" + entry("c", ""), "", "b",
		nil},
	{"elif", "if [ -e /none ]; then\n" + entry("a", "") + "elif [ -e /b ]; then\n" + entry("b", "") + "else\n" +
		entry("c", "") + "fi\n", "", "b", nil},
	{"nested", "if [ -e /b ]; then\nif [ -e /none ]; then\n" + entry("a", "") + "fi\n" + entry("b", "") + "fi\n", "", "b",
		nil},
	{"the default is guarded away", "set default=a\nif false; then\n" + entry("a", "") + "fi\n" + entry("b", ""), "", "b",
		nil},
	{"the number counts what is shown", "set default=1\nif [ -d /aem ]; then\n" + entry("a", "") + "fi\n" +
		entry("b", "") + entry("c", ""), "", "c", nil},
	{"a test that nobody can tell", "if [ \"$grub_platform\" = efi ]; then\nset default=1\nfi\n" + entry("a", "") +
		entry("b", ""), "", "a", nil},
	{"the default's kernel is gone", "set default=0\nmenuentry 'gone' {\n\tlinux /gone\n}\n" + entry("b", "") +
		entry("c", ""), "", "b", []string{"b", "c"}},
	{"brackets and pipes", "set default=1\n" + entry("a", "") + "menuentry 'Linux [40] | x (2)' {\n\tlinux /b\n}\n", "",
		"Linux [40] x (2)", []string{"a", "b"}},
	{"a device before the path", "search --no-floppy --fs-uuid --set=root 1234\n" +
		"menuentry 'a' {\n\tlinux ($root)/a ro\n}\n", "", "a", []string{"a"}},
	{"comments and quotes", "# set default=1\nset default=1 # '\n" + entry("a", "") +
		"menuentry \"b \\\"x\\\"\" {\n\tlinux /b\n}\n", "", "", []string{"a", "b"}},
	{"recovery is not suggested", "set default=0\nmenuentry 'a (recovery mode)' {\n\tlinux /b\n}\n" + entry("b", ""), "",
		"b", []string{"b"}},
}

// menuGolden is what Heads's own scripts made of the menus; rewritten like the layouts'.
const menuGolden = "testdata/menus.golden"

func TestMenus(t *testing.T) {
	b, err := os.ReadFile(menuGolden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	golden := make(map[string][]string)
	for part := range strings.SplitSeq("\n"+string(b), "\n-- ") {
		name, text, _ := strings.Cut(part, " --\n")
		golden[name] = lines([]byte(strings.TrimSuffix(text, "\n")))
	}
	if *update {
		defer func() {
			var out strings.Builder
			for _, m := range menus {
				fmt.Fprintf(&out, "-- %s --\n%s\n", m.name, strings.Join(golden[m.name], "\n"))
			}
			if err := os.WriteFile(menuGolden, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}()
	}
	for _, m := range menus {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string]string{"grub/grub.cfg": m.cfg}
			if m.env != "" {
				files["grub/grubenv"] = m.env
			}
			for _, f := range append([]string{"a", "b", "c", "d"}, m.files...) {
				files[f] = "kernel"
			}
			if m.files != nil {
				for _, f := range []string{"a", "b", "c", "d"} {
					if !slices.Contains(m.files, f) {
						delete(files, f)
					}
				}
			}
			writeTree(t, dir, files)
			d, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			entries, err := d.Entries()
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if i := Suggest(entries); i > 0 {
				got = entries[i-1].Name
			}
			if m.want != "" && got != m.want {
				t.Errorf("suggested %q of %+v", got, entries)
			}
			if *update {
				golden[m.name] = lines(headsMenu(t, dir))
			}
			compareMenu(t, entries, golden[m.name])
		})
	}
}

// blsTree is a menu of BLS files.
func blsTree(cfg, env string, conf map[string]string) map[string]string {
	files := map[string]string{"grub2/grub.cfg": cfg + "\nblscfg\n", "k": "kernel"}
	if env != "" {
		files["grub2/grubenv"] = env
	}
	for n, c := range conf {
		files[n] = c + "linux /k\n"
	}
	return files
}

func TestBLSOrder(t *testing.T) {
	conf := func(title, version string) string {
		return "title " + title + "\nversion " + version + "\noptions v=" + version + "\n"
	}
	three := map[string]string{"loader/entries/m-6.9.conf": conf("six nine", "6.9"),
		"loader/entries/m-6.10.conf":     conf("six ten", "6.10"),
		"loader/entries/m-0-rescue.conf": conf("zero rescue", "0-rescue")}
	load := "load_env\nset default=\"${saved_entry}\"\n"
	for _, c := range []struct {
		name, want string
		files      map[string]string
	}{
		{"newest", "six ten", blsTree("", "", three)},
		{"saved by id", "six nine", blsTree(load, "saved_entry=m-6.9\n", three)},
		{"saved by title", "six nine", blsTree(load, "saved_entry=six nine\n", three)},
		{"by number", "six nine", blsTree("set default=1\n", "", three)},
		{"saved, gone", "six ten", blsTree(load, "saved_entry=m-5\n", three)},
		{"ostree", "F 40 (ostree:0)", blsTree("", "",
			map[string]string{"loader/entries/ostree-1.conf": conf("F 40 (ostree:1)", "1"),
				"loader/entries/ostree-2.conf": conf("F 40 (ostree:0)", "2")})},
		{"ostree, rolled back", "F 39 (ostree:0)",
			blsTree("", "", map[string]string{"loader/entries/ostree-1.conf": conf("F 40 (ostree:1)", "1"),
				"loader/entries/ostree-2.conf": conf("F 39 (ostree:0)", "2")})},
		{"a pipe in the title", "plain", blsTree("", "",
			map[string]string{"loader/entries/z-9.conf": conf("a | b", "9"), "loader/entries/a-1.conf": conf("plain", "1")})},
		{"brackets in the title", "F [40]", blsTree("", "",
			map[string]string{"loader/entries/z-9.conf": conf("F [40]", "9"), "loader/entries/a-1.conf": conf("plain", "1")})},
		{"no version", "second", blsTree("", "",
			map[string]string{"loader/entries/a-1.conf": "title first\n", "loader/entries/a-2.conf": "title second\n"})},
	} {
		dir := t.TempDir()
		writeTree(t, dir, c.files)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := d.Entries()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if i := Suggest(entries); i == 0 || entries[i-1].Name != c.want {
			t.Errorf("%s: suggested %d of %+v", c.name, i, entries)
		}
	}
}

// TestLoaderLink: /boot/loader as every OSTree system has it; and links that Heads does
// not follow, or that lead to what is not signed.
func TestLoaderLink(t *testing.T) {
	for _, c := range []struct {
		name, link, target, dir string
		n                       int
	}{
		{"ostree", "loader", "loader.1", "loader.1/entries", 1},
		{"absolute", "loader", "/boot/loader.1", "loader.1/entries", 1},
		{"twice", "loader", "x", "loader.1/entries", 1},
		{"entries itself is a link", "loader/entries", "../e", "e", 0},
		{"out", "loader", "../out", "loader.1/entries", 0},
		{"dangling", "loader", "loader.0", "loader.1/entries", 0},
		{"to itself", "loader", "loader", "loader.1/entries", 0},
	} {
		dir := t.TempDir()
		files := blsTree("", "", map[string]string{c.dir + "/a.conf": "title a\n"})
		files[c.link] = "-> " + c.target
		if c.name == "twice" {
			files["x"] = "-> ./y"
			files["y"] = "-> loader.1/../loader.1"
		}
		writeTree(t, dir, files)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := d.Entries()
		if len(entries) != c.n || (err == nil) != (c.n > 0) {
			t.Errorf("%s: %+v, %v", c.name, entries, err)
		}
		if os.Getenv("REOWN_HEADS") != "" && c.name != "absolute" && c.name != "out" {
			compareMenu(t, entries, lines(headsMenu(t, dir)))
		}
		if c.n > 0 {
			replace(t, d, BuildOptions{Entry: 1}, sign, goodSig)
			if code, _ := heads(t, dir, ""); code != 0 {
				t.Errorf("%s: Heads's commands exit with %d", c.name, code)
			}
		}
	}
}

// TestUnreadableMenus: the message names the file and the reason.
func TestUnreadableMenus(t *testing.T) {
	for want, files := range map[string]map[string]string{
		`"/extlinux/extlinux.conf": the firmware does not read menus of syslinux`: {"extlinux/extlinux.conf": "label a\n kernel /k\n"},
		`"/loader/loader.conf": the firmware reads the entries of systemd-boot`: {"loader/loader.conf": "default x\n",
			"loader/entries/a.conf": "title a\nlinux /k\n"},
		`"/EFI/loader/entries": the firmware looks`:        {"EFI/loader/entries/a.conf": "title a\n"},
		`"/EFI/Linux/a.efi": the firmware cannot start`:    {"EFI/Linux/a.efi": "MZ"},
		`"/EFI/debian/grub.cfg": the firmware passes over`: {"EFI/debian/grub.cfg": entry("a", "")},
		`"/grub/grub.cfg": its lines end`: {
			"grub/grub.cfg": strings.ReplaceAll(entry("a", ""), "\n", "\r\n"), "a": ""},
		`"/grub/grub.cfg": its entries are made by functions`:                    {"grub/grub.cfg": "function e {\n menuentry \"$1\" { linux /a; }\n}\ne x\n", "a": ""},
		`"/grub/grub.cfg": all its entries name files that are not there: "./a"`: {"grub/grub.cfg": entry("a", "")},
		`"/grub/grub.cfg": it only refers to "(root)/grub/other.cfg"`:            {"grub/grub.cfg": "configfile $prefix/other.cfg\n"},
		`"/grub/grub.cfg": it takes its entries from /loader/entries`:            {"grub/grub.cfg": "blscfg\n"},
		`"/grub/grub.cfg": it has no entry`:                                      {"grub/grub.cfg": "set timeout=5\n"},
		`"/grub/grub.cfg": it is a link that leads to no file`:                   {"grub/grub.cfg": "-> nowhere"},
		`"/a b/grub.cfg": the firmware cannot read`:                              {"a b/grub.cfg": entry("a", "")},
		`there is no grub.cfg`:                                                   {"vmlinuz": ""},
	} {
		dir := t.TempDir()
		writeTree(t, dir, files)
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Entries(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

// FuzzMenu: no text makes the reader of GRUB's language loop, grow or fail.
func FuzzMenu(f *testing.F) {
	for _, m := range menus {
		f.Add([]byte(m.cfg), []byte(m.env))
	}
	layoutSeedsMenu(f)
	f.Fuzz(func(t *testing.T, cfg, env []byte) {
		m := readMenu(cfg, env, "/grub", func(p string, _ byte) tri { return tri(len(p) % 3) })
		n := 0
		each(m.items, yes, func(*menuItem, tri) { n++ })
		if n > len(cfg)/len("menuentry{")+1 || len(m.def) > maxValue {
			t.Errorf("%d items, default of %d bytes", n, len(m.def))
		}
		m.choose()
	})
}

func layoutSeedsMenu(f *testing.F) {
	for _, name := range layouts {
		b, err := os.ReadFile(filepath.Join("testdata/layouts", name+".txtar"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte(fmt.Sprintln("saved_entry=0")))
	}
}

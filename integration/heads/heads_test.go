// Package heads_test tries the kit for Heads against stand-ins that follow the interface of its
// scripts. With REOWN_HEADS, a git directory of Heads, it is tried on that tree, too.
package heads_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a board's gui-init.sh has when it reads the hook. Every call of the firmware is logged.
const firmware = `
log() { echo $* >>"$LOG"; }
next() { head -n 1 "$1"; sed -i 1d "$1"; }
enable_usb() {
	[ "${_USB_ENABLED:-n}" = y ] && return
	log enable_usb
	for m in ehci-hcd ehci-pci xhci-hcd xhci-pci; do log insmod.sh $m.ko; done
	export _USB_ENABLED=y
}
recovery() { log recovery "$*"; exit 99; }
whiptail_warning() {
	log menu "$*"
	local answer=$(next "$ANSWERS")
	[ -n "$answer" ] || return 1
	echo "$answer" >&2
}
mount() { log mount "$*"; }
. "$SETTING"
if [ "$HOTP" = y ]; then enable_usb; fi
. "$HOOK"
log after
`

// start is one start of a firmware with the hook: exit codes that reown gives one after the other,
// answers to the firmware's menus, what comes after the hook.
type start struct {
	shell, hotp, codes, answers, then string
}

// run starts and returns the log of calls.
func (s start) run(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	hook, err := os.ReadFile("reown-hook.sh")
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	text := strings.NewReplacer("/tmp/", dir+"/", "/boot/", dir+"/boot/").Replace(string(hook))
	program := "#!/bin/sh\necho \"$(basename $0)${1:+ $*}\" >>" + at("log") + "\n"
	for name, content := range map[string]string{
		"hook": text, "init": firmware + s.then, "codes": lines(s.codes), "answers": lines(s.answers), "log": "",
		"setting":      "LOG=" + at("log") + " ANSWERS=" + at("answers") + " HOOK=" + at("hook") + " HOTP=" + s.hotp + "\n",
		"reown":        program + "code=$(head -n 1 " + at("codes") + ")\nsed -i 1d " + at("codes") + "\nexit ${code:-111}\n",
		"reboot.sh":    program,
		"boot/default": "", "oem-factory-reset.sh": program,
	} {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := append(strings.Fields(s.shell), at("init"))
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "SETTING=" + at("setting")}
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() != 99 || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	log, err := os.ReadFile(at("log"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(at("boot/oem")); err == nil {
		log = append(log, "oem is there\n"...)
	}
	return strings.Split(strings.TrimSpace(string(log)), "\n")
}

func lines(words string) string {
	if words == "" {
		return ""
	}
	return strings.ReplaceAll(words, " ", "\n") + "\n"
}

// short leaves of each call what tells it from the others.
func short(log []string) string {
	var all []string
	for _, l := range log {
		switch w := strings.Fields(l); {
		case w[0] == "menu" && strings.Contains(l, " m Go on to the firmware's menu"):
			all = append(all, "menu+m")
		case l == "reown wizard --check":
			all = append(all, "check")
		case l == "reown wizard --lost-key":
			all = append(all, "lost-key")
		case w[0] != "insmod.sh" && l != "oem is there":
			all = append(all, w[0])
		case w[0] != "insmod.sh":
			all = append(all, "oem")
		}
	}
	return strings.Join(all, " ")
}

func TestHook(t *testing.T) {
	for _, c := range []struct{ codes, answers, want string }{
		{"0", "", "check after"},
		{"7 0", "", "check enable_usb reown after"},
		{"7 5 0", "c", "check enable_usb reown menu reown after"},
		{"7 5 5 0", "c c", "check enable_usb reown menu reown menu reown after"},
		{"7 5", "m x", "check enable_usb reown menu menu recovery"}, // the firmware's menu is not offered
		{"7 5", "r x", "check enable_usb reown menu reboot.sh menu recovery"},
		{"7 5", "", "check enable_usb reown menu recovery"}, // no menu can be shown
		{"7 3", "m", "check enable_usb reown menu+m after"},
		{"7 1", "m", "check enable_usb reown menu+m after"},
		{"7 6 0", "c", "check enable_usb reown menu+m reown after"},
		{"7 137", "x", "check enable_usb reown menu+m recovery"},
		{"126", "m", "check menu+m after"}, // it cannot be started
		{"2", "x", "check menu+m recovery"},
		{"1 0", "c", "check menu+m enable_usb reown after"},
	} {
		for _, shell := range []string{"busybox ash", "bash"} {
			if got := short(start{shell: shell, codes: c.codes, answers: c.answers}.run(t)); got != c.want {
				t.Errorf("%s, exit codes %s, answers %q:\n got %s\nwant %s", shell, c.codes, c.answers, got, c.want)
			}
		}
	}
}

// What is said to somebody whose run has stopped is not what the firmware would say.
func TestStoppedRun(t *testing.T) {
	log := start{shell: "busybox ash", codes: "7 5", answers: "x"}.run(t)
	menu := log[slices.IndexFunc(log, func(l string) bool { return strings.HasPrefix(l, "menu") })]
	for _, s := range []string{"has stopped", "goes on where it stopped", "Continue", "Restart", "Recovery shell"} {
		if !strings.Contains(menu, s) {
			t.Errorf("the menu does not say %q: %s", s, menu)
		}
	}
	if strings.Contains(menu, "firmware's menu") {
		t.Errorf("the menu leads away: %s", menu)
	}
}

// The modules that are loaded are measured into PCR 5. An ordinary start loads what it did without
// the hook; one with something to do loads what a start of a board with a HOTP key loads.
func TestMeasuredModules(t *testing.T) {
	pcr5 := func(hotp, codes string) (v [32]byte) {
		for _, l := range (start{shell: "busybox ash", hotp: hotp, codes: codes}).run(t) {
			if m, ok := strings.CutPrefix(l, "insmod.sh "); ok {
				h := sha256.Sum256([]byte(m))
				v = sha256.Sum256(append(v[:], h[:]...))
			}
		}
		return v
	}
	if pcr5("n", "0") != [32]byte{} {
		t.Error("a start with nothing to do changes PCR 5")
	}
	hotp := pcr5("y", "0")
	for _, board := range []string{"y", "n"} {
		if got := pcr5(board, "7 0"); got != hotp {
			t.Errorf("HOTP %s: PCR 5 is %x, on ordinary starts %x", board, got, hotp)
		}
	}
}

func TestFactoryReset(t *testing.T) {
	for _, c := range []struct{ codes, answers, want string }{
		{"0 7 0", "", "check after check enable_usb reown end"},
		{"0 0 0", "n", "check after check menu mount mount enable_usb reown end oem"},
		{"0 0 5", "n x", "check after check menu mount mount enable_usb reown menu recovery oem"},
		{"0 0 0", "l", "check after check menu enable_usb lost-key end"},
		{"0 0 6", "l m", "check after check menu enable_usb lost-key menu+m end"},
		{"0 0", "f", "check after check menu oem-factory-reset.sh end"},
		{"0 0", "m", "check after check menu end"},
		{"0 0", "", "check after check menu end"},
	} {
		then := "\nINTEGRITY_REPORT_ALREADY_SHOWN=1 oem-factory-reset.sh --mode user\nlog end\n"
		log := start{shell: "bash", codes: c.codes, answers: c.answers, then: then}.run(t)
		if got := short(log); got != c.want {
			t.Errorf("exit codes %s, answers %q:\n got %s\nwant %s", c.codes, c.answers, got, c.want)
		}
		if i := slices.IndexFunc(log, func(l string) bool { return strings.HasPrefix(l, "oem-factory-reset.sh") }); i >= 0 &&
			log[i] != "oem-factory-reset.sh --mode user" {
			t.Errorf("the firmware's own is called as %q", log[i])
		}
	}
}

func TestShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip(err)
	}
	if out, err := exec.Command("shellcheck", "-S", "warning", "apply", "check",
		"reown-hook.sh").CombinedOutput(); err != nil {
		t.Errorf("%s", out)
	}
}

// write makes files below dir.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// content is all files below dir.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		all[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// release makes a folder like that of `make release`.
func release(t *testing.T) string {
	t.Helper()
	dir, sums := t.TempDir(), ""
	for _, n := range []string{"reown-1.2.3-linux-amd64", "reown-1.2.3-linux-ppc64le", "reown-1.2.3.tar.gz"} {
		write(t, dir, map[string]string{n: "the content of " + n})
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte("the content of "+n)), n)
	}
	write(t, dir, map[string]string{"SHA256SUMS": sums})
	return dir
}

const guiInit = `#!/bin/bash
clean_boot_check() {
	return
}

if detect_boot_device; then
	# there is a system
	clean_boot_check
else
	mount_boot
fi
`

// tree makes a Heads tree with what apply looks at.
func tree(t *testing.T, gui string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"Makefile":      "packages = packages/x86\ninclude modules/*\nall:\n\t@echo $(bin_modules-y): $(reown_tar) $(reown_output) $(reown_hash)\n",
		"modules/other": "modules-y += other\n", "initrd/bin/gui-init.sh": gui, "boards/one/one.config": "CONFIG_TPM=y\n",
	})
	return dir
}

func apply(args ...string) (string, error) {
	out, err := exec.Command("./apply", args...).CombinedOutput()
	return string(out), err
}

func TestApply(t *testing.T) {
	rel, dir := release(t), tree(t, guiInit)
	before := content(t, dir)
	if out, err := apply("--url", "https://example.org/r/", rel, dir, "one"); err != nil {
		t.Fatal(err, out)
	}
	once := content(t, dir)
	want := strings.Replace(guiInit, "\tclean_boot_check\nelse",
		"\t[ ! -r /bin/reown-hook.sh ] || . /bin/reown-hook.sh\n\tclean_boot_check\nelse", 1)
	if got := once["initrd/bin/gui-init.sh"]; got != want {
		t.Errorf("gui-init.sh is\n%s", got)
	}
	for n := range once {
		if before[n] == once[n] || strings.HasPrefix(n, "packages/") {
			continue
		}
		if !slices.Contains([]string{"modules/reown", "initrd/bin/gui-init.sh", "boards/one/one.config"}, n) {
			t.Errorf("%s was changed", n)
		}
	}
	if strings.Contains(once["modules/reown"], "@") {
		t.Errorf("the module file is not filled in:\n%s", once["modules/reown"])
	}
	for _, c := range []struct{ board, want string }{
		{"CONFIG_REOWN=n", ": reown-1.2.3.tar.gz"},
		{"CONFIG_REOWN=y", fmt.Sprintf("reown: reown-1.2.3.tar.gz bin/reown integration/heads/reown-hook.sh %x",
			sha256.Sum256([]byte("the content of reown-1.2.3.tar.gz")))},
	} {
		out, err := exec.Command("make", "-s", "-C", dir, c.board).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), c.want) {
			t.Errorf("%s: %v %s", c.board, err, out)
		}
	}
	if out, err := apply("--url", "https://example.org/r/", rel, dir, "one"); err != nil || out != "" {
		t.Errorf("the second time: %v %s", err, out)
	}
	if twice := content(t, dir); fmt.Sprint(twice) != fmt.Sprint(once) {
		t.Error("the second time changes something")
	}
}

func TestApplyRefuses(t *testing.T) {
	for name, spoil := range map[string]func(rel, dir string, f func(string, string)){
		"the call is gone": func(_, _ string, f func(string, string)) { f("initrd/bin/gui-init.sh", "#!/bin/bash\n") },
		"the call stands twice": func(_, _ string, f func(string, string)) {
			f("initrd/bin/gui-init.sh", guiInit+guiInit[strings.Index(guiInit, "if"):])
		},
		"another place": func(_, _ string, f func(string, string)) {
			f("initrd/bin/gui-init.sh", strings.Replace(guiInit, "detect_boot_device", "something_else", 1))
		},
		"something in between": func(_, _ string, f func(string, string)) {
			f("initrd/bin/gui-init.sh", strings.Replace(guiInit, "\t# there is a system", "\tother_check", 1))
		},
		"an older hook": func(_, _ string, f func(string, string)) {
			f("initrd/bin/gui-init.sh", strings.Replace(guiInit, "\t# there is a system", "\t. /tmp/reown-hook.sh", 1))
		},
		"another module":       func(_, _ string, f func(string, string)) { f("modules/reown", "something else\n") },
		"no modules are taken": func(_, _ string, f func(string, string)) { f("Makefile", "all:\n") },
		"a changed release": func(rel, _ string, _ func(string, string)) {
			_ = os.WriteFile(filepath.Join(rel, "reown-1.2.3.tar.gz"), []byte("other"), 0o644)
		},
		"no such board": func(_, dir string, _ func(string, string)) { _ = os.RemoveAll(filepath.Join(dir, "boards/one")) },
	} {
		rel, dir := release(t), tree(t, guiInit)
		spoil(rel, dir, func(n, s string) { write(t, dir, map[string]string{n: s}) })
		before := fmt.Sprint(content(t, dir))
		if out, err := apply(rel, dir, "one"); err == nil || !strings.Contains(out, "nothing was changed") {
			t.Errorf("%s: %v %s", name, err, out)
		}
		if fmt.Sprint(content(t, dir)) != before {
			t.Errorf("%s: something was changed", name)
		}
	}
}

// The binary of a release is taken only if it is the one that was named.
func TestBinary(t *testing.T) {
	rel := release(t)
	mk, err := filepath.Abs("build.mk")
	if err != nil {
		t.Fatal(err)
	}
	for sum, good := range map[string]bool{
		fmt.Sprintf("%x", sha256.Sum256([]byte("the content of reown-1.2.3-linux-amd64"))): true,
		strings.Repeat("0", 64): false, "": false,
	} {
		dir := t.TempDir()
		out, err := exec.Command("make", "-s", "-C", dir, "-f", mk, "BINARY="+filepath.Join(rel, "reown-1.2.3-linux-amd64"),
			"SHA256="+sum).CombinedOutput()
		st, there := os.Stat(filepath.Join(dir, "bin/reown"))
		if (err == nil) != good || (there == nil) != good || good && st.Mode().Perm() != 0o755 {
			t.Errorf("%q: %v %v %s", sum, err, there, out)
		}
	}
}

const kernelConfig = `#
# Linux/x86 6.1.8 Kernel Configuration
#
CONFIG_EPOLL=y
CONFIG_FUTEX=y
CONFIG_FILE_LOCKING=y
CONFIG_PROC_FS=y
CONFIG_SYSFS=y
CONFIG_BLOCK=y
CONFIG_TTY=y
CONFIG_VT=y
CONFIG_DEVTMPFS=y
CONFIG_USB=y
CONFIG_USB_XHCI_HCD=m
CONFIG_EFI_PARTITION=y
CONFIG_EXT4_FS=y
CONFIG_VFAT_FS=y
CONFIG_NLS_CODEPAGE_437=y
CONFIG_USB_STORAGE=m
CONFIG_TCG_TPM=y
CONFIG_TCG_TIS=y
CONFIG_SECURITYFS=y
CONFIG_POWER_SUPPLY=y
# CONFIG_EVENTFD is not set
`

func TestCheck(t *testing.T) {
	if os.Getenv("REOWN_HEADS") == "" {
		t.Log("REOWN_HEADS names no Heads tree; a configuration of our own is used")
	}
	change := func(old, new string) string { return strings.Replace(kernelConfig, old, new, 1) }
	for _, c := range []struct {
		config string
		runs   bool
		says   string
		not    string
	}{
		{kernelConfig, true, "miss  INIT_ON_FREE_DEFAULT_ON", "LEGACY_TIOCSTI"},
		{change("6.1.8", "6.12.1"), true, "miss  LEGACY_TIOCSTI", "stop "},
		{change("6.1.8", "4.14.62"), true, "miss  INIT_ON_FREE_DEFAULT_ON", "LEGACY_TIOCSTI"},
		{change("CONFIG_EPOLL=y", "# CONFIG_EPOLL is not set"), false, "stop  EPOLL", ""},
		{change("CONFIG_FILE_LOCKING=y\n", ""), false, "stop  FILE_LOCKING", ""},
		{change("CONFIG_USB_XHCI_HCD=m", "CONFIG_USB_EHCI_HCD=m"), true, "will run", "stop "},
		{change("CONFIG_SECURITYFS=y", "# CONFIG_SECURITYFS is not set"), true, "miss  SECURITYFS", "stop "},
		{change("CONFIG_TCG_TPM=y", "CONFIG_TCG_TPM=n"), true, "miss  TCG_TPM", "stop "},
		{"CONFIG_USB=y\n", false, "not known whether", "will NOT"}, // a defconfig
	} {
		name := filepath.Join(t.TempDir(), "linux.config")
		if err := os.WriteFile(name, []byte(c.config), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, shell := range []string{"sh", "busybox ash"} {
			args := append(strings.Fields(shell), "./check", name)
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			if (err == nil) != c.runs || !strings.Contains(string(out), c.says) || c.not != "" &&
				strings.Contains(string(out), c.not) {
				t.Errorf("%s, runs %v, says %q, not %q: %v\n%s", shell, c.runs, c.says, c.not, err, out)
			}
		}
	}
}

func TestCheckInitrd(t *testing.T) {
	dir := t.TempDir()
	config, root := filepath.Join(dir, "config"), filepath.Join(dir, "initrd")
	files := map[string]string{
		"bin/reown": "", "bin/reown-hook.sh": "", "bin/gui-init.sh": "\t. /bin/reown-hook.sh\n",
		"etc/config": "export CONFIG_FLASH_OPTIONS=\"flashprog --programmer internal\"\n",
	}
	for _, m := range []string{"ehci-hcd", "ehci-pci", "xhci-hcd", "xhci-pci", "usb-storage"} {
		files["lib/modules/"+m+".ko"] = ""
	}
	write(t, root, files)
	write(t, dir, map[string]string{"config": kernelConfig})
	if err := os.Chmod(filepath.Join(root, "bin/reown"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("./check", config, root).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("./check", config, root).CombinedOutput()
		if stick := strings.HasSuffix(name, "usb-storage.ko"); (err == nil) != stick || stick &&
			!strings.Contains(string(out), "usb-storage.ko") {
			t.Errorf("without %s: %v %s", name, err, out)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// On trees of Heads themselves: the kit goes in, the script stays one, and the tables in the
// documentation are those of the tree that they name.
func TestHeadsTree(t *testing.T) {
	git := os.Getenv("REOWN_HEADS")
	if git == "" {
		t.Skip("REOWN_HEADS names no git directory of Heads")
	}
	for _, commit := range []string{"aedae4ff", "fafb2e8c~1"} {
		dir := t.TempDir()
		sh := exec.Command("sh", "-c", `git --git-dir="$0" archive "$1" Makefile boards config initrd/bin | tar -x -C "$2"`,
			git, commit, dir)
		if out, err := sh.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", commit, err, out)
		}
		if err := os.MkdirAll(filepath.Join(dir, "modules"), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := apply(release(t), dir); err != nil {
			t.Errorf("%s: %v %s", commit, err, out)
		}
		gui := filepath.Join(dir, "initrd/bin/gui-init.sh")
		if _, err := os.Stat(gui); err != nil {
			gui = strings.TrimSuffix(gui, ".sh")
		}
		if b, err := os.ReadFile(gui); err != nil || bytes.Count(b, []byte("reown")) != 2 {
			t.Errorf("%s: %v, %s", commit, err, gui)
		}
		if out, err := exec.Command("bash", "-n", gui).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", commit, err, out)
		}
		if commit != "aedae4ff" {
			continue
		}
		want, err := exec.Command("./check", "--table", dir).Output()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := os.ReadFile("../../docs/heads-integration.md")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(doc, want) {
			t.Errorf("the tables in docs/heads-integration.md are not those of %s", commit)
		}
	}
}

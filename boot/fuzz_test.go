package boot

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layoutSeeds adds every file of the layouts with a name that ends in suffix.
func layoutSeeds(f *testing.F, suffix string) {
	for _, name := range layouts {
		b, err := os.ReadFile(filepath.Join("testdata/layouts", name+".txtar"))
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range strings.Split(string(b), "\n-- ")[1:] {
			n, content, _ := strings.Cut(part, " --\n")
			if strings.HasSuffix(n, suffix) {
				f.Add([]byte(content + "\n"))
			}
		}
	}
}

// sound checks what must hold of an entry, however hostile its source.
func sound(t *testing.T, e Entry) {
	t.Helper()
	e.fill()
	if e.Uncertain != "" {
		return
	}
	if strings.ContainsAny(e.Line, "\n\x00") || strings.Contains(e.Line, "  ") || e.Line != strings.TrimSpace(e.Line) &&
		!strings.ContainsAny(e.Line, "\v\f\r\u0085\u00a0") {
		t.Errorf("%q is not one line of echo's", e.Line)
	}
	for _, f := range e.Files {
		if !strings.HasPrefix(f, "./") || strings.ContainsAny(f, " \t\n|'\"\\") {
			t.Errorf("%q names the file %q", e.Line, f)
		}
	}
}

func FuzzGrub(f *testing.F) {
	layoutSeeds(f, "grub.cfg")
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _ := parseGrub(data, "/grub", func(p string) bool { return len(p)%2 == 0 })
		if len(entries) > maxEntries+1 || len(entries) > bytes.Count(data, []byte("menuentry"))+
			bytes.Count(data, []byte("MENUENTRY"))+bytes.Count(data, []byte{0})+bytes.Count(data, []byte{'\\'}) {
			t.Errorf("%d entries", len(entries))
		}
		for _, e := range entries {
			sound(t, e)
		}
	})
}

func FuzzBLS(f *testing.F) {
	layoutSeeds(f, ".conf")
	f.Fuzz(func(t *testing.T, data []byte) {
		opts, _ := kernelOpts(data, data)
		if e, ok := parseBLS(data, "/grub2", opts); ok {
			sound(t, e)
		}
	})
}

// FuzzHashes: what is accepted is sha256sum's own form.
func FuzzHashes(f *testing.F) {
	f.Add([]byte(strings.Repeat("a", 64) + "  ./x\n"))
	f.Add([]byte(strings.Repeat("0", 64) + " *./with  blanks\n" + strings.Repeat("1", 64) + "  ./y"))
	f.Add([]byte("\\" + strings.Repeat("a", 64) + "  ./x\\ny\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := parseHashes(data)
		if err != nil {
			return
		}
		for _, l := range lines {
			if len(l.sum) != 64 || l.path == "" || !signable(l.path) {
				t.Errorf("%+v", l)
			}
		}
	})
}

// TestLikeBash gives the model of the shell and bash itself the same random text.
func TestLikeBash(t *testing.T) {
	needPeers(t, "bash")
	pieces := strings.Split("a b|c|'|\"|\\|\\\\|$x|${y}|$|$$|$1|$9z|*|[a]|[|]|?| |  |\t|;|&|(|)|<|>|#|{|}|{a,b}|~|!|`|$(|-e|-n|-|=|%|é|\x80|\x01|\v|\r|\\\n|$'|$\"|${|}|$_|,|/", "|")
	pieces = append(pieces, "|", "\n")
	n := 2000
	if os.Getenv("REOWN_SOAK") == "1" {
		n = 20_000
	}
	r := rand.New(rand.NewPCG(3, 4))
	random := func() string {
		var b strings.Builder
		for range 1 + r.IntN(7) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		return b.String()
	}
	bash := func(script, stdin string) []string {
		t.Helper()
		cmd := exec.Command("bash", "-c", script)
		cmd.Dir, cmd.Env = t.TempDir(), []string{"LC_ALL=C", "PATH=/nowhere"}
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	}

	// evalEcho, for what it claims to know; what it does not know may run anything.
	var in, want []string
	for len(in) < n {
		s := strings.ReplaceAll(random(), "\n", "")
		if out, why := evalEcho(s); why == "" {
			in, want = append(in, s), append(want, out)
		}
	}
	got := bash(`while IFS= read -r -d '' entry; do printf '%s\0' "$(echo $(eval "echo \"$entry\""))"; done`,
		strings.Join(in, "\x00")+"\x00")
	if len(got) != n {
		t.Fatalf("bash answers %d of %d", len(got), n)
	}
	for i := range in {
		if got[i] != want[i] {
			t.Errorf("evalEcho(%q) = %q, bash says %q", in[i], want[i], got[i])
		}
	}

	// readLines, on one text.
	var text strings.Builder
	for range n {
		text.WriteString(strings.ReplaceAll(random(), "\x01", "") + "\n")
	}
	text.WriteString("a last line without its end")
	lines := readLines([]byte(text.String()))
	got = bash(`while read line; do printf '%s\0' "$line"; done`, text.String())
	if len(got) != len(lines) {
		t.Fatalf("%d lines, bash reads %d", len(lines), len(got))
	}
	for i := range lines {
		// bash drops a quoted blank at the end of some lines and not of others; what
		// counts is the words, and whether the line is the end of an entry.
		a, _ := words(lines[i])
		b, _ := words(got[i])
		if !slices.Equal(a, b) || (lines[i] == "}") != (got[i] == "}") {
			t.Fatalf("line %d is %q, bash reads %q", i, lines[i], got[i])
		}
	}
}

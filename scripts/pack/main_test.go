package main

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What is shipped says what the tables say: both are compiled, and print every sentence.
func TestPackedSaysTheSame(t *testing.T) {
	folder := filepath.Join("..", "..", "wizard", "msg")
	files, err := pack(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 4 {
		t.Fatalf("only %d files", len(files))
	}
	print := `package main

func main() {
	for _, l := range Langs {
		for m := None; m < count; m++ {
			println(l.Code, m, m.In(l.Lang))
		}
	}
}
`
	said := [2]string{}
	for i := range said {
		dir := t.TempDir()
		sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sources {
			text, err := os.ReadFile(s)
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := files[s]; ok && i == 1 {
				text = []byte(p)
			}
			f, err := parser.ParseFile(token.NewFileSet(), s, text, parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if len(s) > 8 && s[len(s)-8:] == "_test.go" {
				continue
			}
			at := int(f.Name.Pos()) - 1
			text = append(append(append([]byte{}, text[:at]...), "main"...), text[at+len("msg"):]...)
			write(t, filepath.Join(dir, filepath.Base(s)),
				strings.ReplaceAll(string(text), `"reown/internal/escape"`, `"say/escape"`))
		}
		if err := os.Mkdir(filepath.Join(dir, "escape"), 0o755); err != nil {
			t.Fatal(err)
		}
		used, err := os.ReadFile(filepath.Join("..", "..", "internal", "escape", "escape.go"))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "escape", "escape.go"), string(used))
		write(t, filepath.Join(dir, "main.go"), print)
		write(t, filepath.Join(dir, "go.mod"), "module say\n\ngo 1.24\n")
		run := exec.Command("go", "run", ".")
		run.Dir = dir
		out, err := run.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		said[i] = string(out)
	}
	if len(said[0]) < 100_000 || said[0] != said[1] {
		t.Errorf("packed, the texts differ: %d and %d bytes", len(said[0]), len(said[1]))
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

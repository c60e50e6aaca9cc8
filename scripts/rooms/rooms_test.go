// Package rooms has no code: its tests hold the source to the rules of docs/contributing.md.
package rooms

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// Structs that hold a context, and why no argument can.
var contexts = map[string]string{
	"boot.ctxReader":          "io.Reader has no context",
	"gpgcard.cardSigner":      "crypto.Signer has no context",
	"luks.run":                "is one run, and ends with it",
	"tpm.conn":                "go-tpm's transport.TPM has no context; lives for one method",
	"wizard.Snapshot":         "measures on demand, for one look; ends with it",
	"wizard/ui/tui.page":      "tview's callbacks have no context; is one question",
	"internal/lab/vm.Machine": "is one power-on of a virtual machine",
}

// sources calls do for each Go file of the project that is written by hand.
func sources(t *testing.T, do func(name string, src []byte)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel("../..", path)
		if d.IsDir() {
			if b := d.Name(); b == "testdata" || b == "vendor" || name == "bin" || b != ".." && strings.HasPrefix(b, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" || !d.Type().IsRegular() {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		do(name, src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 300 {
		t.Fatalf("only %d files were looked at", n)
	}
}

func parse(t *testing.T, name string, src []byte) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestNoContextInAStruct: who starts something says when it ends, at the call.
func TestNoContextInAStruct(t *testing.T) {
	found := map[string]bool{}
	sources(t, func(name string, src []byte) {
		if strings.HasSuffix(name, "_test.go") || strings.Contains(name, "test/") {
			return
		}
		ast.Inspect(parse(t, name, src), func(n ast.Node) bool {
			d, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			s, ok := d.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				if x, ok := f.Type.(*ast.SelectorExpr); ok && x.Sel.Name == "Context" {
					id := filepath.Dir(name) + "." + d.Name.Name
					found[id] = true
					if contexts[id] == "" {
						t.Errorf("%s holds a context: give it to the methods, or say why not", id)
					}
				}
			}
			return true
		})
	})
	for id := range contexts {
		if !found[id] {
			t.Errorf("%s holds no context any more", id)
		}
	}
}

// TestPublicPackages: what another program would use asks for no type that it cannot name, but for
// secret.Buffer, of which the package then says why.
func TestPublicPackages(t *testing.T) {
	for _, dir := range []string{"luks", "gpgcard", "tpm"} {
		uses := false
		sources(t, func(name string, src []byte) {
			if filepath.Dir(name) != dir || strings.HasSuffix(name, "_test.go") {
				return
			}
			for _, typ := range foreign(parse(t, name, src)) {
				if typ != "reown/internal/secret.Buffer" {
					t.Errorf("%s needs %s", name, typ)
				}
				uses = true
			}
		})
		doc, err := os.ReadFile(filepath.Join("../..", dir, "doc.go"))
		if err != nil {
			t.Fatal(err)
		}
		if uses && !bytes.Contains(doc, []byte("secret.Buffer")) {
			t.Errorf("%s/doc.go does not say why secret.Buffer", dir)
		}
		if !uses {
			t.Errorf("%s needs no secret: is it read?", dir)
		}
	}
}

// foreign are the module's internal types in a file's exported signatures, fields and variables.
func foreign(f *ast.File) (types []string) {
	internal := map[string]string{}
	for _, i := range f.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); strings.HasPrefix(p, "reown/internal/") {
			name := filepath.Base(p)
			if i.Name != nil {
				name = i.Name.Name
			}
			internal[name] = p
		}
	}
	look := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := s.X.(*ast.Ident); ok && internal[id.Name] != "" {
					types = append(types, internal[id.Name]+"."+s.Sel.Name)
				}
			}
			return true
		})
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				look(d.Type)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() {
					exported(s.Type, look)
				}
			}
		}
	}
	slices.Sort(types)
	return slices.Compact(types)
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// exported looks at a type, of a struct at what can be seen from outside.
func exported(t ast.Expr, look func(ast.Node)) {
	s, ok := t.(*ast.StructType)
	if !ok {
		look(t)
		return
	}
	for _, f := range s.Fields.List {
		if len(f.Names) == 0 || slices.ContainsFunc(f.Names, (*ast.Ident).IsExported) {
			look(f.Type)
		}
	}
}

// columns is how long a line may be; a tab is one.
const columns = 120

// TestLinesAreShort: no line is longer than a reader's window, but where a text stands in it that is one line on
// the screen, too, or a script is quoted.
func TestLinesAreShort(t *testing.T) {
	sources(t, func(name string, src []byte) {
		quoted := map[int]bool{} // lines of texts that cannot be broken
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				first, last := fset.Position(l.Pos()).Line, fset.Position(l.End()).Line
				for line := first; line <= last && (first < last || len(l.Value) > columns/3); line++ {
					quoted[line] = true
				}
			}
			return true
		})
		for i, line := range strings.Split(string(src), "\n") {
			if n := utf8.RuneCountInString(line); n > columns && !quoted[i+1] {
				t.Errorf("%s:%d has %d columns", name, i+1, n)
			}
		}
	})
}

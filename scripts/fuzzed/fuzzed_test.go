// Package fuzzed has no code: its test looks at all packages.
package fuzzed

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// reads are the names under which foreign bytes are taken apart.
var reads = regexp.MustCompile(`^(Parse|Decode|Unmarshal|Read|Open|Load|Scan)`)

// Functions with such a name that need no fuzzer, and why.
var without = map[string]string{
	"gpgcard.ParseCert":      "it is ParseCerts, which FuzzCert calls, for one",
	"internal/rom.ParseFMAP": "FuzzImage calls it through Parse",
	"internal/secret.Read":   "the bytes are taken as they are",
}

// takesBytes says whether a function is given bytes, a text, or something to read from.
func takesBytes(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		switch t := p.Type.(type) {
		case *ast.ArrayType:
			if id, ok := t.Elt.(*ast.Ident); ok && t.Len == nil && id.Name == "byte" {
				return true
			}
		case *ast.SelectorExpr:
			if s := t.Sel.Name; s == "Reader" || s == "ReaderAt" || s == "ReadSeeker" {
				return true
			}
		}
	}
	return false
}

// TestEveryParserIsFuzzed: an exported function that takes foreign bytes apart is called by a
// fuzz target of its package.
func TestEveryParserIsFuzzed(t *testing.T) {
	found := 0
	for _, top := range []string{"boot", "gpgcard", "internal", "luks", "tpm", "wizard"} {
		err := filepath.WalkDir(filepath.Join("../..", top), func(dir string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if n := d.Name(); n == "lab" || n == "testdata" || strings.HasSuffix(n, "test") || n == "uniseg" {
				return fs.SkipDir
			}
			parsers, called := parsersOf(t, dir)
			for _, name := range parsers {
				found++
				pkg, _ := filepath.Rel("../..", dir)
				key := filepath.ToSlash(pkg) + "." + name
				_, excused := without[key]
				if called[name] == excused {
					t.Errorf("%s: fuzzed %v, excused %v", key, called[name], excused)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 10 {
		t.Errorf("only %d parsers found", found)
	}
}

// parsersOf returns a package's exported parsers, and what its fuzz targets call.
func parsersOf(t *testing.T, dir string) (parsers []string, called map[string]bool) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	called = map[string]bool{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case strings.HasSuffix(f.Name(), "_test.go"):
				if strings.HasPrefix(fn.Name.Name, "Fuzz") {
					ast.Inspect(fn, func(n ast.Node) bool {
						if id, ok := n.(*ast.Ident); ok {
							called[id.Name] = true
						}
						return true
					})
				}
			case fn.Recv == nil && fn.Name.IsExported() && reads.MatchString(fn.Name.Name) && takesBytes(fn):
				parsers = append(parsers, fn.Name.Name)
			}
		}
	}
	return parsers, called
}

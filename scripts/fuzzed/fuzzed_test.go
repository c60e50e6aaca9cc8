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
	"slices"
	"strings"
	"testing"
)

// reads are the names under which foreign bytes are taken apart.
var reads = regexp.MustCompile(`^(?i:Parse|Decode|Unmarshal|Read|Open|Load|Scan)`)

// Functions with such a name that need no fuzzer, and why.
var without = map[string]string{
	"gpgcard.UnmarshalBytePoint":  "the curve's point is what the card's answer, which is fuzzed, held",
	"gpgcard.UnmarshalByteSecret": "gives nothing: a card has no secret to give",
	"gpgcard.UnmarshalSignature":  "gives nothing: nothing is verified by it",
	"internal/secret.Read":        "the bytes are taken as they are",
	"internal/stick.load":         "hands a file of the firmware's to the kernel",
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

// TestEveryParserIsFuzzed: a function that takes foreign bytes apart, exported or not, is called by
// a fuzz target of its package, or by what that calls.
func TestEveryParserIsFuzzed(t *testing.T) {
	found, used := 0, map[string]bool{}
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
				used[key] = true
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
	if found < 60 {
		t.Errorf("only %d parsers found", found)
	}
	for key := range without {
		if !used[key] {
			t.Errorf("%s is excused and not there", key)
		}
	}
}

// parsersOf returns a package's parsers, and what its fuzz targets call, through whatever functions
// of the package. A name stands for all functions and methods that have it.
func parsersOf(t *testing.T, dir string) (parsers []string, called map[string]bool) {
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string][]string{}
	var todo []string
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		isTest := strings.HasSuffix(f.Name(), "_test.go")
		for _, d := range file.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := fn.Name.Name
			ast.Inspect(fn, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && id != fn.Name {
					calls[name] = append(calls[name], id.Name)
				}
				return true
			})
			switch {
			case isTest && strings.HasPrefix(name, "Fuzz"):
				todo = append(todo, name)
			case fn.Recv != nil && (name == "Read" || name == "ReadAt"): // io.Reader's: the bytes are asked for, not taken
			case !isTest && reads.MatchString(name) && takesBytes(fn) && !slices.Contains(parsers, name):
				parsers = append(parsers, name)
			}
		}
	}
	called = map[string]bool{}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		for _, n := range calls[name] {
			if !called[n] {
				called[n] = true
				todo = append(todo, n)
			}
			if n == "ReadAll" { // of package io, which calls it
				todo = append(todo, "Read")
			}
		}
	}
	return parsers, called
}

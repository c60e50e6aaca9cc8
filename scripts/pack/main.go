// Pack writes the wizard's texts as one string a language, for the program that is shipped: tables of
// strings cost a header each, and the linker would mix the languages, which pack badly so.
//
// usage: go run ./scripts/pack DIR, after ./scripts/overlay DIR; then -overlay DIR/ship.json
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const folder = "wizard/msg"

// packed is table.go where a table is one string.
const packed = `package msg

import "strings"

type table string

func (t *table) at(m M) string {
	s := string(*t)
	for range m {
		_, s, _ = strings.Cut(s, "\x00")
	}
	s, _, _ = strings.Cut(s, "\x00")
	return s
}
`

// names are the sentences in their order, from None on.
func names(source string) (all []string, err error) {
	f, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		return nil, err
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			all = append(all, v.Names[0].Name)
		}
		return true
	})
	if len(all) < 2 || all[0] != "None" || all[len(all)-1] != "count" {
		return nil, errors.New(source + " is not a list from None to count")
	}
	return all[:len(all)-1], nil
}

// language reads a table; "" for the name of a file that has none.
func language(source string) (name string, texts map[string]string, err error) {
	f, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
	if err != nil {
		return "", nil, err
	}
	texts = map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		lit, ok := v.Values[0].(*ast.CompositeLit)
		if t, isIdent := typeName(lit); !ok || !isIdent || t != "table" {
			return true
		}
		name = v.Names[0].Name
		for _, e := range lit.Elts {
			kv, ok := e.(*ast.KeyValueExpr)
			if !ok {
				err = fmt.Errorf("%s: an entry without a name", source)
				return false
			}
			key, isName := kv.Key.(*ast.Ident)
			value, isText := kv.Value.(*ast.BasicLit)
			if !isName || !isText {
				err = fmt.Errorf("%s: an entry that is no plain text", source)
				return false
			}
			text, bad := strconv.Unquote(value.Value)
			if bad != nil || strings.Contains(text, "\x00") {
				err = fmt.Errorf("%s: %s is no text", source, key.Name)
				return false
			}
			texts[key.Name] = text
		}
		return false
	})
	return name, texts, err
}

func typeName(l *ast.CompositeLit) (string, bool) {
	if l == nil {
		return "", false
	}
	i, ok := l.Type.(*ast.Ident)
	if !ok {
		return "", false
	}
	return i.Name, true
}

// pack returns the packed files by the names of those that they stand for.
func pack(folder string) (map[string]string, error) {
	order, err := names(filepath.Join(folder, "names.go"))
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "??.go"))
	if err != nil {
		return nil, err
	}
	out := map[string]string{filepath.Join(folder, "table.go"): packed}
	for _, source := range files {
		name, texts, err := language(source)
		if err != nil {
			return nil, err
		}
		if name == "" {
			continue
		}
		all := make([]string, len(order))
		for i, n := range order {
			all[i] = texts[n]
			delete(texts, n)
		}
		if len(texts) > 0 {
			return nil, fmt.Errorf("%s has names that there are not", source)
		}
		out[source] = fmt.Sprintf("package msg\n\nvar %s table = %s\n", name, strconv.Quote(strings.Join(all, "\x00")))
	}
	return out, nil
}

func run(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "overlay.json"))
	if err != nil {
		return err
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(data, &overlay); err != nil {
		return err
	}
	files, err := pack(folder)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "msg"), 0o755); err != nil {
		return err
	}
	for source, text := range files {
		from, err := filepath.Abs(source)
		if err != nil {
			return err
		}
		to, err := filepath.Abs(filepath.Join(dir, "msg", filepath.Base(source)))
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
		overlay.Replace[from] = to
	}
	if data, err = json.Marshal(overlay); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "ship.json"), data, 0o644)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pack DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

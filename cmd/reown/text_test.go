package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/luks"
	"reown/wizard"
	"reown/wizard/msg"
)

// Errors that never reach a person: what they are for instead.
var innerErrors = map[string]string{
	"luks.WroteError": "what had been written before the error that it wraps: afterWriting",
	"wizard.Finding":  "stands in a PreflightError; what it wraps has its own text",
}

// TestEveryErrorHasAText reads the source: each exported error variable and
// error type of the packages that the binary is made of must stand in one of
// the text_*.go tables.
func TestEveryErrorHasAText(t *testing.T) {
	explained := map[string]bool{}
	rows, _ := filepath.Glob("text_*.go")
	for _, name := range append(rows, "text.go") {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					explained[x.Name+"."+s.Sel.Name] = true
				}
			}
			return true
		})
	}
	seen := 0
	for _, name := range exportedErrors(t, "../..") {
		seen++
		if !explained[name] && innerErrors[name] == "" {
			t.Errorf("%s has no text: add a row to cmd/reown/text_*.go", name)
		}
	}
	t.Logf("%d exported errors", seen)
}

// exportedErrors lists package.Name of the exported error variables and types
// below root, without those of test-only packages and commands.
func exportedErrors(t *testing.T, root string) []string {
	var names []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			base := d.Name()
			if rel != "." && (strings.HasPrefix(base, ".") || base == "bin" || base == "cmd" || base == "lab" ||
				base == "testdata" || strings.HasSuffix(base, "test")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		if f.Name.Name == "main" {
			return nil
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
						for _, id := range v.Names {
							if strings.HasPrefix(id.Name, "Err") && id.IsExported() {
								names = append(names, f.Name.Name+"."+id.Name)
							}
						}
					}
				}
			case *ast.FuncDecl:
				if d.Recv == nil || d.Name.Name != "Error" {
					continue
				}
				typ := d.Recv.List[0].Type
				if s, ok := typ.(*ast.StarExpr); ok {
					typ = s.X
				}
				if id, ok := typ.(*ast.Ident); ok && id.IsExported() {
					names = append(names, f.Name.Name+"."+id.Name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestTextsAreWhole(t *testing.T) {
	for _, r := range texts() {
		if (r.err == nil) == (r.typ == nil) || r.What == "" || r.Data == "" || r.Do == "" {
			t.Errorf("incomplete row: %+v", r)
		}
		for _, s := range []string{r.What, r.Data, r.Do} {
			if strings.Contains(strings.ToLower(s), "todo") {
				t.Errorf("unfinished text %q", s)
			}
		}
	}
}

func TestAnUnknownErrorIsNotRenamed(t *testing.T) {
	var out bytes.Buffer
	code := finish(&cli.Env{Stderr: &out}, fmt.Errorf("reading block 7: %w", errors.New("input/output error")))
	if code != exitFailed || !strings.Contains(out.String(), "reading block 7: input/output error") {
		t.Errorf("code %d: %s", code, out.String())
	}
}

func TestHelpCoversEveryCommand(t *testing.T) {
	var walk func(c *cli.Command, path []string)
	walk = func(c *cli.Command, path []string) {
		var out bytes.Buffer
		if code := run(t.Context(), &cli.Env{Stdout: &out, Stderr: os.Stderr},
			append([]string{"help"}, path...)); code != 0 || c.Short == "" {
			t.Errorf("help %v: code %d", path, code)
		}
		if c.Run == nil && len(c.Sub) == 0 {
			t.Errorf("%v does nothing", path)
		}
		for _, s := range c.Sub {
			walk(s, append(path, s.Name))
		}
	}
	walk(root(), nil)
}

// TestExplainInARun: what an error means by itself is not what it means in the middle of
// a run, when the steps before have changed much.
func TestExplainInARun(t *testing.T) {
	for _, err := range []error{wizard.ErrWrongSecret, &wizard.PreflightError{}, wizard.ErrNotPrepared, gpgcard.ErrNoCard,
		luks.ErrWrongPassphrase} {
		alone, step := explain(err), explain(fmt.Errorf("x: %w", &wizard.StepError{Step: "seal", Err: err}))
		if !strings.HasPrefix(alone.Data, "Nothing ") {
			t.Fatalf("%v: %q", err, alone.Data)
		}
		if step.What != alone.What || step.Do != alone.Do || step.Exit != alone.Exit ||
			strings.HasPrefix(step.Data, "Nothing ") {
			t.Errorf("%v: %+v", err, step)
		}
	}
	// What says more stays.
	if d := explain(&wizard.StepError{Step: "card",
		Err: wizard.ErrOtherKeys}).Data; d != explain(wizard.ErrOtherKeys).Data {
		t.Errorf("%q", d)
	}
	if d := explain(wizard.ErrNotVerified).Data; d != "Nothing was changed in this start." { // it may be the second
		t.Errorf("%q", d)
	}
}

// Whatever goes wrong, somebody at the wizard reads of it in their language.
func TestErrorsInEveryLanguage(t *testing.T) {
	english := regexp.MustCompile(`(?i)\b(the|and|with|this|your|that|which|nothing|cannot|does|from)\b`)
	for _, l := range msg.Langs {
		for _, r := range texts() {
			err := r.err
			if err == nil {
				if v := reflect.New(r.typ).Elem(); r.typ.Kind() == reflect.Pointer {
					v.Set(reflect.New(r.typ.Elem()))
					err = v.Interface().(error)
				} else {
					err = v.Interface().(error)
				}
			}
			for _, err := range []error{err, &wizard.StepError{Step: "disk", Err: err}} {
				what, data, do := explainIn(err, l.Lang)
				for _, s := range []string{what, data, do} {
					if s == "" || l.Lang != msg.EN && english.MatchString(s) {
						t.Errorf("%T %v in %s: %q", err, r.err, l.Code, s)
					}
				}
			}
		}
		lines := farewell(wizard.ErrPaused, l.Lang)
		if l.Lang != msg.EN && english.MatchString(strings.Join(lines, " ")) {
			t.Errorf("%s: %q", l.Code, lines)
		}
	}
}

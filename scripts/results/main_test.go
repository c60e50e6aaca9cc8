package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// goTest lets go test run packages of one module, each with one test file.
func goTest(t *testing.T, bodies map[string]string) (good bool, said string) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"go.mod": "module m\n\ngo 1.26\n"}
	for name, body := range bodies {
		files[name+"/x_test.go"] = "package " + name + "\nimport (\"os\"; \"testing\")\nvar _ = os.Exit\n" + body
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "-json", "./...")
	cmd.Dir = dir
	out, _ := cmd.Output()
	var b strings.Builder
	good = report(strings.NewReader(string(out)), &b)
	return good, b.String()
}

// TestReport has go test itself say what becomes of tests.
func TestReport(t *testing.T) {
	pass := "func TestA(t *testing.T) { t.Log(\"quiet\") }\n"
	good, said := goTest(t, map[string]string{"a": pass, "b": pass})
	for _, want := range []string{"pass  m/a  ", "pass  m/b  ", "2 passed, 0 failed, 0 skipped"} { // in any order
		good = good && strings.Contains(said, want)
	}
	if !good || strings.Contains(said, "quiet") {
		t.Errorf("all pass, and it said\n%s", said)
	}
	fails := func(what string) string { return "func TestB(t *testing.T) { " + what + " }\n" }
	good, said = goTest(t, map[string]string{"a": pass, "fails": fails(`t.Error("loud")`),
		"part":   fails(`t.Run("x", func(t *testing.T) { t.Error("louder") })`),
		"panics": fails(`panic("loudest")`), "exits": fails(`os.Exit(3)`), "compiles": fails(`not()`)})
	if good || strings.Contains(said, "quiet") {
		t.Errorf("good is %v, and it said\n%s", good, said)
	}
	for _, want := range []string{`(?s)FAIL  m/fails TestB\n.*loud\n.*fail  m/fails  `,
		`(?s)FAIL  m/part TestB/x\n.*louder\n`, `panic: loudest`, `(?s)fail  m/exits  .*RUN   TestB`, `undefined: not`,
		`pass  m/a`} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if good, said := goTest(t, map[string]string{"a": ""}); good {
		t.Errorf("without any test it said\n%s", said)
	}
}

// TestCutOff: go test was killed before a package ended.
func TestCutOff(t *testing.T) {
	var b strings.Builder
	const begun = `{"Action":"start","Package":"m/a"}
{"Action":"output","Package":"m/a","Test":"TestA","Output":"so far\n"}
{"Action":"pass","Package":"m/a","Test":"TestB"}
`
	if report(strings.NewReader(begun), &b) || !strings.Contains(b.String(), "so far") {
		t.Errorf("it said\n%s", &b)
	}
}

package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"reown/cmd/reown/internal/cli"
)

// everyCommand calls f for each command that runs, with the words that call it.
func everyCommand(f func(c *cli.Command, words []string)) {
	var walk func(c *cli.Command, words []string)
	walk = func(c *cli.Command, words []string) {
		if c.Run != nil {
			f(c, words)
		}
		for _, s := range c.Sub {
			walk(s, append(slices.Clip(words), s.Name))
		}
	}
	walk(root(), nil)
}

// says runs a command line and returns what it prints.
func says(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), &cli.Env{Stdin: strings.NewReader(""), Stdout: &o, Stderr: &e}, args)
	return code, o.String(), e.String()
}

var (
	valueName = regexp.MustCompile(`^(\[=)?[A-Z][A-Z0-9_=[\]@+]*\]?$|^(card|disk|tpm)$`)
	inText    = regexp.MustCompile(`--([a-z][a-z0-9-]+)`)
)

// Flags of other programs, or of another command, that our texts name.
var foreign = []string{"detach-sign", "armor", "resilience", "sig", "digest-algo", "export-secret-keys", "import"}

// TestEveryFlagIsDescribed: each flag says what it does, and no text names one that is not there.
func TestEveryFlagIsDescribed(t *testing.T) {
	flags := 0
	everyCommand(func(c *cli.Command, words []string) {
		name := strings.Join(words, " ")
		all, _ := c.Flags()
		texts := c.Args + " " + c.Short + " " + c.Long
		all.VisitAll(func(f *flag.Flag) {
			flags++
			written, means := cli.Describe(f)
			word := strings.TrimPrefix(strings.TrimPrefix(written, "--"+f.Name), " ")
			if len(means) < 8 || strings.HasSuffix(means, ".") || word != "" && !valueName.MatchString(word) {
				t.Errorf("reown %s: %q, %q", name, written, means)
			}
			texts += " " + means
		})
		for _, m := range inText.FindAllStringSubmatch(texts, -1) {
			if all.Lookup(m[1]) == nil && !slices.Contains(foreign, m[1]) {
				t.Errorf("reown %s: the text names --%s, which there is not", name, m[1])
			}
		}
	})
	if flags < 150 {
		t.Errorf("only %d flags found", flags)
	}
}

// TestAskedForHelp: --help and --version print and succeed, wherever they stand.
func TestAskedForHelp(t *testing.T) {
	everyCommand(func(_ *cli.Command, words []string) {
		for _, ask := range []string{"-h", "--help"} {
			code, out, errs := says(t, append(slices.Clip(words), ask)...)
			_, help, _ := says(t, append([]string{"help"}, words...)...)
			if code != exitDone || errs != "" || out != help || !strings.Contains(out, "usage: reown "+words[0]) {
				t.Errorf("%v %s: exit code %d, %q, %q", words, ask, code, out, errs)
			}
			for l := range strings.Lines(out) {
				if strings.HasPrefix(l, "  ") && len(l) > 81 {
					t.Errorf("%v: %q", words, l)
				}
			}
		}
		if code, out, errs := says(t, append(slices.Clip(words), "--version")...); code != exitDone ||
			!strings.HasPrefix(out, "reown ") || errs != "" {
			t.Errorf("%v --version: exit code %d, %q, %q", words, code, out, errs)
		}
	})
	for _, c := range []struct{ line, says string }{
		{"luks --help", "reown luks - "}, {"-h", "reown - "}, {"--help", "reown - "}, {"--version", "reown "},
		{"help luks info", "reown luks info - "},
	} {
		if code, out, errs := says(t, strings.Fields(c.line)...); code != exitDone || !strings.HasPrefix(out, c.says) ||
			errs != "" {
			t.Errorf("%s: exit code %d, %q, %q", c.line, code, out, errs)
		}
	}
}

// TestTheNearestWord: who mistypes is told the word that was meant, and nobody is sent anywhere else.
func TestTheNearestWord(t *testing.T) {
	for line, want := range map[string]string{
		"wizrad": "did you mean wizard?", "stauts": "did you mean status?", "luks inof": "did you mean info?",
		"help cadr":     "did you mean card?",
		"status --jsno": "did you mean --json?", "prepare --secret-out x": "did you mean --secrets-out?",
		"xylophone": "", "luks zzzz": "", "status --zzzzz": "",
	} {
		code, out, errs := says(t, strings.Fields(line)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, want) ||
			strings.Contains(errs, "did you mean") != (want != "") {
			t.Errorf("%s: exit code %d, %q", line, code, errs)
		}
	}
}

// roff is a text in the man page: short lines, each sentence on one of its own, as mdoc wants, and
// no line that is taken for a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "--", `\-\-`, `"`, `\(dq`).Replace(s)
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && (len(line)+1+len(word) > 78 || ends.MatchString(line)) {
			lines, line = append(lines, line), ""
		}
		if line == "" && strings.ContainsAny(word[:1], ".'") {
			word = `\&` + word
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return strings.Join(append(lines, line), "\n")
}

// ends matches the end of a sentence.
var ends = regexp.MustCompile(`\w\w[)"\]]?[.?!][)"]?$`)

// manPage is docs/reown.8, in mdoc.
func manPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".\\\" Generated from the commands themselves: go test ./cmd/reown -run TestManual -update\n"+
		".Dd November 30, 2026\n.Dt REOWN 8\n.Os\n.Sh NAME\n.Nm reown\n.Nd %s\n.Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar flags\n.Sh DESCRIPTION\n"+
		"Without a command, as the firmware calls it,\n.Nm\nbegins or goes on with a run if there is something to do.\nIt says nothing otherwise.\n"+
		"With\n.Fl \\-help\nafter a command it prints what this page says of it.\n", root().Short)
	flags := func(title string, fs *flag.FlagSet, want func(string) bool) {
		var list strings.Builder
		fs.VisitAll(func(f *flag.Flag) {
			if want(f.Name) {
				written, means := cli.Describe(f)
				fmt.Fprintf(&list, ".It %s\n%s\n", roff(written), roff(means))
			}
		})
		if list.Len() == 0 {
			return
		}
		if title != "" {
			fmt.Fprintf(&b, ".Pp\n%s:\n", roff(title))
		}
		fmt.Fprintf(&b, ".Bl -tag -width Ds\n%s.El\n", list.String())
	}
	section := ""
	shown := map[*cli.Shared]string{}
	everyCommand(func(c *cli.Command, words []string) {
		title := "COMMANDS OF A WHOLE MACHINE"
		if len(words) > 1 {
			title = strings.ToUpper(words[0]) + " COMMANDS"
		}
		if title != section {
			fmt.Fprintf(&b, ".Sh %s\n", title)
			section = title
		}
		name := strings.Join(words, " ")
		fmt.Fprintf(&b, ".Ss reown %s\n%s.\n.Bd -ragged -offset indent\n%s\n.Ed\n", name, roff(upper(c.Short)),
			roff("reown "+name+" "+c.Args))
		for p := range strings.SplitSeq(strings.TrimSpace(c.Long), "\n\n") {
			switch {
			case p == "":
			case regexp.MustCompile(`(?m)^\S+  +\S`).MatchString(p): // a table
				fmt.Fprintf(&b, ".Bd -literal -offset indent\n%s\n.Ed\n", strings.NewReplacer(`\`, `\e`, "--", `\-\-`).Replace(p))
			default:
				fmt.Fprintf(&b, ".Pp\n%s\n", roff(p))
			}
		}
		all, shared := c.Flags()
		flags("", all, func(n string) bool { return !shared[n] })
		if c.Shared == nil {
			return
		}
		if first := shown[c.Shared]; first != "" {
			fmt.Fprintf(&b, ".Pp\nAnd the flags that stand under\n.Sx %s ,\nlast list.\n", first)
			return
		}
		shown[c.Shared] = "reown " + name
		flags(c.Shared.Title, all, func(n string) bool { return shared[n] })
	})
	b.WriteString(".Sh EXIT STATUS\n.Bl -tag -width Ds\n")
	for _, x := range exits {
		fmt.Fprintf(&b, ".It %d\n%s\n", x.code, x.means)
	}
	b.WriteString(".El\n")
	return b.String()
}

var exits = []struct {
	code  int
	means string
}{
	{exitDone, "done, or nothing to do"}, {exitFailed, "failed"}, {exitUsage, "a wrong call"},
	{exitNotVerified, "the hand-over could not be verified"}, {exitNoAnswer, "an answer is missing, with --no-input"},
	{exitStopped, "stopped; the same command goes on"}, {exitRefused, "refused for safety"},
	{exitDue, "there is something to do, from wizard --check"},
}

func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// commandsPage is docs/commands.md: what help says of every command.
func commandsPage(t *testing.T) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nWhat `reown help COMMAND` says of each, generated from the program:\n`go test ./cmd/reown -run TestManual -update`. " +
		"The man page `reown.8` has the same.\n")
	everyCommand(func(_ *cli.Command, words []string) {
		_, help, _ := says(t, append([]string{"help"}, words...)...)
		fmt.Fprintf(&b, "\n## reown %s\n\n```\n%s```\n", strings.Join(words, " "), help)
	})
	return b.String()
}

// TestManual: the man page and the list of commands are what the program says, and mandoc finds no fault.
func TestManual(t *testing.T) {
	for name, want := range map[string]string{"../../docs/reown.8": manPage(), "../../docs/commands.md": commandsPage(t)} {
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(name); err != nil || string(have) != want {
			t.Errorf("%s is not what the program says: go test ./cmd/reown -run TestManual -update (%v)", name, err)
		}
	}
	if _, err := exec.LookPath("mandoc"); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal("mandoc is missing")
		}
		t.Skip("mandoc is missing")
	}
	if out, err := exec.Command("mandoc", "-Tlint", "../../docs/reown.8").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}

// A command line of ours in a document: in backticks or in a block, with or without sudo.
var ourLine = regexp.MustCompile("(?m)(?:^|`|\\s)reown ([a-z][^`\n|;&#]*(?:\\\\\n[^`\n|;&#]*)*)")

// TestDocsNameWhatThereIs: what documents show as a command line of reown has the words and flags of one.
func TestDocsNameWhatThereIs(t *testing.T) {
	files, _ := filepath.Glob("../../docs/*.md")
	seen := 0
	for _, name := range append(files, "../../README.md") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ourLine.FindAllStringSubmatch(string(data), -1) {
			if !strings.Contains(m[1], " --") {
				continue
			}
			c, _, err := root().Find(strings.Fields(m[1]))
			if err != nil || c.Run == nil {
				continue // prose: "reown does ..."
			}
			all, _ := c.Flags()
			seen++
			for _, f := range inText.FindAllStringSubmatch(m[1], -1) {
				if all.Lookup(f[1]) == nil {
					t.Errorf("%s: reown %s: there is no --%s", filepath.Base(name), m[1], f[1])
				}
			}
		}
	}
	t.Logf("%d command lines", seen)
	if seen < 20 {
		t.Errorf("only %d command lines found", seen)
	}
}

package boot

import (
	"path"
	"strings"
)

// Heads reads grub.cfg with bash: `read line`, unquoted expansions and an eval.
// This file models what those do to a line, byte for byte where the result depends
// on the line alone. Where it depends on something else (files in the working
// directory, the shell's own variables, a command to run) the model says why the
// result is uncertain, and the entry keeps its number but cannot be the default.

const ifs = " \t\n"

// readLines is `while read line`: a backslash quotes the next byte, joins lines
// before a newline; blanks at both ends go; a last line without newline is not
// seen by the loop's body.
func readLines(data []byte) []string {
	var lines []string
	var cur []byte
	keep := 0 // cur[:keep] must not be trimmed: it ends with a quoted blank
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case 0: // bash drops NUL bytes
		case '\\':
			i++
			for i < len(data) && data[i] == 0 {
				i++
			}
			if i < len(data) && data[i] != '\n' {
				cur = append(cur, data[i])
				keep = len(cur)
			}
		case '\n':
			for len(cur) > keep && (cur[len(cur)-1] == ' ' || cur[len(cur)-1] == '\t') {
				cur = cur[:len(cur)-1]
			}
			lines, cur, keep = append(lines, string(cur)), nil, 0
		case ' ', '\t':
			if len(cur) > 0 {
				cur = append(cur, c)
			}
		default:
			cur = append(cur, c)
		}
	}
	return lines
}

// bashQuirks are the two bytes that bash uses inside for marks of its own; what it
// makes of them differs from version to version.
const bashQuirks = "\x01\x7f"

// words is an unquoted expansion: split at blanks. glob is true if a word is a
// pattern that bash may replace by file names. names are those that may be there.
func words(s string, names ...string) (w []string, glob bool) {
	w = strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(ifs, r) })
	for _, x := range w {
		if isGlob(x, names) {
			glob = true
		}
	}
	return w, glob
}

// isGlob reports a pattern that may match. One of brackets alone stands for names of its
// own length, so that it is known what it matches.
func isGlob(w string, names []string) bool {
	if strings.ContainsAny(w, "*?") {
		return true
	}
	_, after, ok := strings.Cut(w, "[")
	if !ok || !strings.Contains(after, "]") {
		return false
	}
	if strings.Contains(w, "/") {
		return true
	}
	for rest := w; ; {
		_, in, ok := strings.Cut(rest, "[")
		if !ok {
			break
		}
		// Classes, and what they are not, path.Match has not, or writes in another way.
		if in == "" || strings.IndexByte("!^:.=]\\", in[0]) >= 0 {
			return true
		}
		rest = in
	}
	for _, n := range names {
		if ok, err := path.Match(w, n); ok || err != nil {
			return true
		}
	}
	_, err := path.Match(w, "")
	return err != nil
}

// headsTop are the names at the top of Heads's initrd, where its scripts run.
var headsTop = []string{
	"bin", "blobs", "boot", "data", "dev", "etc", "init", "lib", "lib32", "lib64", "media", "mnt", "mount-boot",
	"mount-boot.sh",
	"proc", "root", "run", "sbin", "share", "sys", "tests", "tmp", "usr", "var", ".bash_history", ".gnupg",
}

// cutField is `cut -d' ' -fN` (one field) on one line: a line without a blank is
// printed whole, whatever the field.
func cutField(s string, n int) string {
	f := strings.Split(s, " ")
	if len(f) == 1 {
		return s
	}
	if n > len(f) {
		return ""
	}
	return f[n-1]
}

// cutFrom is `cut -d' ' -fN-`.
func cutFrom(s string, n int) string {
	f := strings.Split(s, " ")
	if len(f) == 1 {
		return s
	}
	if n > len(f) {
		return ""
	}
	return strings.Join(f[n-1:], " ")
}

// dropParens is sed 's/([^)]*)//g': it removes (hd0,gpt2) and ($root).
func dropParens(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '(')
		if i < 0 {
			break
		}
		j := strings.IndexByte(s[i:], ')')
		if j < 0 {
			break
		}
		b.WriteString(s[:i])
		s = s[i+j+1:]
	}
	return b.String() + s
}

// dropDashes is sed 's|[[:space:]]*---[[:space:]]*| |g' and then 's|^ ||;s| $||'.
func dropDashes(s string) string {
	const space = " \t\n\v\f\r"
	var b strings.Builder
	for {
		i := strings.Index(s, "---")
		if i < 0 {
			break
		}
		b.WriteString(strings.TrimRight(s[:i], space) + " ")
		s = strings.TrimLeft(s[i+3:], space)
	}
	return strings.TrimSuffix(strings.TrimPrefix(b.String()+s, " "), " ")
}

func isVarStart(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
func isVarByte(c byte) bool  { return isVarStart(c) || c >= '0' && c <= '9' }

// hasVariable is grep -E '\$\{?[a-zA-Z_][a-zA-Z0-9_]*\}?'.
func hasVariable(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '$' && (isVarStart(s[i+1]) || s[i+1] == '{' && i+2 < len(s) && isVarStart(s[i+2])) {
			return true
		}
	}
	return false
}

// shellVars are lower-case variables that Heads's parsers have set; all other
// lower-case variables expand to nothing there. Upper-case ones may come from the
// environment.
var shellVars = map[string]bool{
	"append": true, "appenddir": true, "blsdir": true, "bootdir": true, "bootlen": true, "checkpath": true,
	"cmd": true, "cmd2": true, "entry": true, "f": true, "file": true, "filedir": true, "firstval": true,
	"grubenv": true, "init": true, "initrd": true, "kernel": true, "kernelopts": true, "kexectype": true,
	"line": true, "modules": true, "name": true, "path": true, "splitval": true, "state": true,
	"trimcmd": true, "val": true,
}

// evalEcho is `echo $(eval "echo \"$entry\"")`, which Heads prints entries with.
// why is "" if the result depends on entry alone.
func evalEcho(entry string, names ...string) (out, why string) {
	var b []byte
	quoted := true // the text begins inside the quotes that eval's echo opens
	i := 0
	for ; i < len(entry) && why == ""; i++ {
		c := entry[i]
		switch {
		case strings.IndexByte(bashQuirks, c) >= 0:
			why = "it holds a control character"
		case c == '"':
			quoted = !quoted
		case c == '`':
			why = "it holds a command that the firmware would run"
		case c == '$':
			n := 0
			n, why = expansion(entry[i+1:])
			if n < 0 {
				b = append(b, '$')
			} else {
				i += n
			}
		case c == '\\' && quoted:
			if i+1 == len(entry) {
				why = "its quotes do not balance" // it quotes the closing quote
			} else if strings.IndexByte("$`\"\\", entry[i+1]) >= 0 {
				i++
				b = append(b, entry[i])
			} else {
				b = append(b, c)
			}
		case quoted:
			b = append(b, c)
		case c == '\\':
			why = "it holds a backslash outside quotes"
		case strings.IndexByte("'&|;<>(){}~#!*?[", c) >= 0:
			why = "it holds shell syntax outside quotes"
		default:
			b = append(b, c)
		}
	}
	if why == "" && !quoted {
		why = "its quotes do not balance"
	}
	if why != "" {
		return "", why
	}
	w, glob := words(string(b), names...)
	switch {
	case glob:
		why = "it holds a pattern (* ? [ ]) that the firmware may replace by file names"
	case len(w) > 0 && isEchoOption(w[0]):
		why = "its name begins with an option of echo"
	}
	return strings.Join(w, " "), why
}

func isEchoOption(w string) bool {
	return len(w) > 1 && w[0] == '-' && strings.Trim(w[1:], "neE") == ""
}

// expansion reads what follows a $: how many bytes the variable's name takes (it
// expands to nothing), or -1 for a literal dollar.
func expansion(s string) (n int, why string) {
	if s == "" {
		return -1, ""
	}
	name, n := s, 0
	braces := s[0] == '{'
	if braces {
		name = s[1:]
	}
	for n < len(name) && isVarByte(name[n]) {
		n++
	}
	switch {
	case s[0] == '(':
		return 0, "it holds a command that the firmware would run"
	case n > 0 && isVarStart(name[0]):
		v := name[:n]
		if braces {
			if n == len(name) || name[n] != '}' {
				return 0, "it holds a shell expansion"
			}
			n += 2
		}
		if shellVars[v] || strings.ToLower(v) != v || v == "_" {
			return 0, "it holds the variable " + v + ", which has a meaning of its own in the firmware"
		}
		return n, ""
	case braces || n > 0 || strings.IndexByte("@*#?-$!_'\"[", s[0]) >= 0:
		return 0, "it holds a shell expansion"
	}
	return -1, ""
}

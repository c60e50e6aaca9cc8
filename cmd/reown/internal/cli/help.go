package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// A flag is described where it is declared, once: `reown help`, --help, the man page and
// docs/commands.md all come from that. The first word of the description of a flag that takes a
// value is what the value is called; "[=WORD]" if it can be left out.

// Shared are flags that several commands have; help shows them after the command's own.
type Shared struct {
	Title string
	Bind  func(fs *flag.FlagSet)
}

// A helpWanted is what Parse returns for --help: the flags that there are.
type helpWanted struct{ fs *flag.FlagSet }

func (*helpWanted) Error() string { return "help" }

// ErrVersion is what Parse returns for --version.
var ErrVersion = errors.New("version")

// WantsHelp says whether err is the answer of a command to --help.
func WantsHelp(err error) bool {
	var h *helpWanted
	return errors.As(err, &h)
}

// Flags returns the flags of a command that runs, and the names of those that are shared.
func (c *Command) Flags() (all *flag.FlagSet, shared map[string]bool) {
	var h *helpWanted
	if !errors.As(c.Run(context.Background(), new(Env), []string{"-h"}), &h) {
		panic("a command without flags: " + c.Name)
	}
	shared = map[string]bool{}
	if c.Shared != nil {
		fs := NewFlags("")
		c.Shared.Bind(fs)
		fs.VisitAll(func(f *flag.Flag) { shared[f.Name] = h.fs.Lookup(f.Name) != nil })
	}
	return h.fs, shared
}

// Describe returns a flag as it is written, such as "--disk-file FILE", and what it means.
func Describe(f *flag.Flag) (written, means string) {
	written, means = "--"+f.Name, f.Usage
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	isBool := ok && b.IsBoolFlag()
	if word, rest, _ := strings.Cut(means, " "); !isBool || strings.HasPrefix(word, "[=") {
		if !isBool {
			written += " "
		}
		written, means = written+word, rest
	}
	if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "-1" {
		means += " (default: " + d + ")"
	}
	return written, means
}

// Help prints the manual of the command that words name below c, or of c.
func (c *Command) Help(e *Env, words []string) error {
	path := c.Name
	for _, a := range words {
		next := c.lookup(a)
		if next == nil {
			return c.unknown(path, a)
		}
		c, path = next, path+" "+next.Name
	}
	fmt.Fprintf(e.Stdout, "%s - %s\n", path, c.Short)
	if c.Run != nil {
		fmt.Fprintln(e.Stdout)
		fill(e.Stdout, "usage: "+path, 8+len(path), c.Args)
	}
	if c.Long != "" {
		fmt.Fprintf(e.Stdout, "\n%s\n", strings.TrimSpace(c.Long))
	}
	if c.Run != nil {
		all, shared := c.Flags()
		list := func(title string, want bool) {
			all.VisitAll(func(f *flag.Flag) {
				if shared[f.Name] == want {
					fmt.Fprint(e.Stdout, title)
					title = ""
					written, means := Describe(f)
					fill(e.Stdout, "  "+written, 24, means)
				}
			})
		}
		list("\n", false)
		if c.Shared != nil {
			list("\n"+c.Shared.Title+":\n", true)
		}
	}
	if len(c.Sub) > 0 {
		fmt.Fprintln(e.Stdout)
		for _, s := range c.Sub {
			fmt.Fprintf(e.Stdout, "  %-10s %s\n", s.Name, s.Short)
		}
	}
	return nil
}

// fill writes head and then text in 80 columns, text from column left on.
func fill(w io.Writer, head string, left int, text string) {
	line := fmt.Sprintf("%-*s", left-1, head)
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 80 || len(line) >= left && line == head {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = strings.Repeat(" ", left-1)
		}
		line += " " + word
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}

// nearest returns a question after the one of names that was meant, or "".
func nearest(typed string, names []string) string {
	best, least := "", 2+len(typed)/6 // so many letters may be wrong
	for _, n := range names {
		if d := distance(typed, n); d < least {
			best, least = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// distance counts the letters to put in, take out, change or swap to get from a to b.
func distance(a, b string) int {
	var rows [3][]int // the last three rows of the table
	for i := range len(a) + 1 {
		row := make([]int, len(b)+1)
		for j := range row {
			if i == 0 || j == 0 {
				row[j] = i + j
				continue
			}
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(rows[2][j]+1, row[j-1]+1, rows[2][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], rows[1][j-2]+1)
			}
		}
		rows = [3][]int{rows[1], rows[2], row}
	}
	return rows[2][len(b)]
}

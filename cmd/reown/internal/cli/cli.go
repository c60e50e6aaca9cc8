// Package cli is what all commands of the program share. Its rules are a contract; scripts and
// our own tests rely on them:
//
//   - a report goes to stdout, everything else to stderr;
//   - `--json` on whatever reports, one JSON document, no secret in it;
//   - secrets come from files, file descriptors or the terminal, never from
//     flags or the environment;
//   - exit codes are those of the constants below and no others;
//   - an error is printed as: what happened, what it means for the data, what
//     to do now (package main, text.go).
//
// It knows no command, and opens no device.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit codes.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotVerified = 3 // the hand-over could not be verified
	ExitNoAnswer    = 4 // --no-input, and an answer is missing
	ExitStopped     = 5 // stopped; can be resumed
	ExitRefused     = 6 // refused for safety
	ExitDue         = 7 // `reown wizard --check`: there is something to do
)

// Env is what a command may touch of the outside world apart from devices.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// A command is one word of the command line. It either runs or has sub-commands.
type Command struct {
	Name  string
	Args  string // synopsis of what follows the name
	Short string // one line, for the list
	Long  string // what help says of it, without its flags
	Run   func(ctx context.Context, e *Env, args []string) error
	Sub   []*Command
	*Shared
}

// UsageError is a wrong call; its exit code is ExitUsage.
type UsageError struct{ Msg string }

func (e *UsageError) Error() string { return e.Msg }

// Usagef makes a UsageError.
func Usagef(format string, a ...any) error { return &UsageError{fmt.Sprintf(format, a...)} }

// ExitError gives an error its own exit code.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string { return e.Err.Error() }
func (e *ExitError) Unwrap() error { return e.Err }

// WithExit gives err an exit code; nil stays nil.
func WithExit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{code, err}
}

// Find walks the words of a command line down to the command that runs, or whose help is wanted.
func (c *Command) Find(args []string) (*Command, []string, error) {
	path := c.Name
	for len(c.Sub) > 0 {
		if len(args) == 0 {
			return nil, nil, Usagef("%s needs one of: %s", path, strings.Join(c.names(), ", "))
		}
		switch args[0] {
		case "-h", "-help", "--help":
			return c, args, nil
		}
		next := c.lookup(args[0])
		if next == nil {
			return nil, nil, c.unknown(path, args[0])
		}
		c, args, path = next, args[1:], path+" "+next.Name
	}
	return c, args, nil
}

func (c *Command) lookup(name string) *Command {
	for _, s := range c.Sub {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (c *Command) names() (n []string) {
	for _, s := range c.Sub {
		n = append(n, s.Name)
	}
	return n
}

func (c *Command) unknown(path, word string) error {
	return Usagef("%s has no command %q%s; it has: %s", path, word, nearest(word, c.names()),
		strings.Join(c.names(), ", "))
}

// NewFlags returns a flag set that reports errors instead of exiting.
func NewFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// Parse parses flags that may stand before or after the operands, and checks the
// number of operands (max < 0: any).
func Parse(fs *flag.FlagSet, args []string, min, max int) ([]string, error) {
	var operands []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, wrongFlag(fs, err)
		}
		args = fs.Args()
		if len(args) == 0 {
			break
		}
		operands, args = append(operands, args[0]), args[1:]
	}
	if len(operands) < min || max >= 0 && len(operands) > max {
		return nil, Usagef("%s: wrong number of operands (%d); see `%s --help`", fs.Name(), len(operands), fs.Name())
	}
	return operands, nil
}

// wrongFlag is what a command line that package flag refuses comes to.
func wrongFlag(fs *flag.FlagSet, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	switch {
	case errors.Is(err, flag.ErrHelp):
		return &helpWanted{fs}
	case !unknown:
		return Usagef("%s: %v", fs.Name(), err)
	case name == "version":
		return ErrVersion
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, "--"+f.Name) })
	return Usagef("%s has no flag --%s%s; see `%s --help`", fs.Name(), name, nearest("--"+name, names), fs.Name())
}

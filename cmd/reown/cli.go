package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"reown/internal/escape"
	"reown/internal/laptop"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotVerified = 3 // the hand-over could not be verified
	exitNoAnswer    = 4 // --no-input, and an answer is missing
	exitStopped     = 5 // stopped; can be resumed
	exitRefused     = 6 // refused for safety
)

// env is what a command may touch of the outside world apart from devices.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// A command is one word of the command line. It either runs or has sub-commands.
type command struct {
	name  string
	args  string // synopsis of what follows the name
	short string // one line, for the list
	long  string // the manual page, shown by `reown help NAME`
	run   func(ctx context.Context, e *env, args []string) error
	sub   []*command
}

// usageError is a wrong call; its exit code is exitUsage.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, a ...any) error { return &usageError{fmt.Sprintf(format, a...)} }

// exitError gives an error its own exit code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func withExit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code, err}
}

// root lists the commands in the order in which help shows them.
func root() *command {
	return &command{name: "reown", short: "make a pre-installed laptop its buyer's own", sub: []*command{
		wizardCommand(), statusCommand(), planCommand(), resumeCommand(), stepCommand(), verifyCommand(),
		prepareCommand(), releaseCommand(), logCommand(),
		luksCommand(), cardCommand(), tpmCommand(), romCommand(), bootCommand(), totpCommand(), hotpCommand(),
	}}
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, e *env, args []string) int {
	if len(args) == 0 {
		return finish(e, runInit(ctx, e))
	}
	switch args[0] {
	case "help", "--help", "-h":
		return finish(e, help(e, args[1:]))
	case "version", "--version":
		fmt.Fprintln(e.stdout, versionLine())
		return exitDone
	case laptop.RestartVerb: // how a run ends
		return finish(e, laptop.RestartNow())
	}
	cmd, rest, err := find(root(), args)
	if err != nil {
		return finish(e, err)
	}
	return finish(e, cmd.run(ctx, e, rest))
}

// find walks the words of a command line down to the command that runs.
func find(c *command, args []string) (*command, []string, error) {
	path := c.name
	for len(c.sub) > 0 {
		if len(args) == 0 {
			return nil, nil, usagef("%s needs one of: %s", path, names(c))
		}
		next := lookup(c, args[0])
		if next == nil {
			return nil, nil, usagef("%s has no command %q; it has: %s", path, args[0], names(c))
		}
		c, args, path = next, args[1:], path+" "+next.name
	}
	return c, args, nil
}

func lookup(c *command, name string) *command {
	for _, s := range c.sub {
		if s.name == name {
			return s
		}
	}
	return nil
}

func names(c *command) string {
	var n []string
	for _, s := range c.sub {
		n = append(n, s.name)
	}
	return strings.Join(n, ", ")
}

// help prints the manual of a command, or the list of all.
func help(e *env, args []string) error {
	c, path := root(), "reown"
	for _, a := range args {
		next := lookup(c, a)
		if next == nil {
			return usagef("%s has no command %q", path, a)
		}
		c, path = next, path+" "+next.name
	}
	fmt.Fprintf(e.stdout, "%s - %s\n", path, c.short)
	if c.run != nil {
		fmt.Fprintf(e.stdout, "\nusage: %s %s\n", path, c.args)
	}
	if c.long != "" {
		fmt.Fprintf(e.stdout, "\n%s\n", strings.TrimSpace(c.long))
	}
	if len(c.sub) > 0 {
		fmt.Fprintln(e.stdout)
		for _, s := range c.sub {
			fmt.Fprintf(e.stdout, "  %-10s %s\n", s.name, s.short)
		}
	}
	return nil
}

// newFlags returns a flag set that reports errors instead of exiting.
func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse parses flags that may stand before or after the operands, and checks the
// number of operands (max < 0: any).
func parse(fs *flag.FlagSet, args []string, min, max int) ([]string, error) {
	var operands []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, usagef("%s: %v", fs.Name(), err)
		}
		args = fs.Args()
		if len(args) == 0 {
			break
		}
		operands, args = append(operands, args[0]), args[1:]
	}
	if len(operands) < min || max >= 0 && len(operands) > max {
		return nil, usagef("%s: wrong number of operands (%d); see `reown help %s`", fs.Name(), len(operands), strings.TrimPrefix(fs.Name(), "reown "))
	}
	return operands, nil
}

// finish prints an error with its remedy and returns its exit code.
func finish(e *env, err error) int {
	if err == nil {
		return exitDone
	}
	var ue *usageError
	if errors.As(err, &ue) {
		fmt.Fprintf(e.stderr, "reown: %s\n", escape.Text(ue.msg))
		return exitUsage
	}
	t := explain(err)
	fmt.Fprintf(e.stderr, "reown: %s\n", escape.Lines(err.Error()))
	fmt.Fprintf(e.stderr, "  what happened:  %s\n  your data:      %s\n  what to do:     %s\n", t.What, t.Data, t.Do)
	var xe *exitError
	if errors.As(err, &xe) {
		return xe.code
	}
	if t.Exit != 0 {
		return t.Exit
	}
	return exitFailed
}

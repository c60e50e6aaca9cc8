package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/cmd/reown/internal/cli"
	"reown/cmd/reown/internal/plumbing"
	"reown/internal/escape"
	"reown/internal/laptop"
	"reown/internal/version"
)

// The exit codes, short for the tables of texts.
const (
	exitDone        = cli.ExitDone
	exitFailed      = cli.ExitFailed
	exitUsage       = cli.ExitUsage
	exitNotVerified = cli.ExitNotVerified
	exitNoAnswer    = cli.ExitNoAnswer
	exitStopped     = cli.ExitStopped
	exitRefused     = cli.ExitRefused
	exitDue         = cli.ExitDue
)

// root lists the commands in the order in which help shows them.
func root() *cli.Command {
	c := &cli.Command{Name: "reown", Short: "make a pre-installed laptop its buyer's own", Sub: []*cli.Command{
		wizardCommand(), statusCommand(), planCommand(), resumeCommand(), stepCommand(), verifyCommand(),
		prepareCommand(), releaseCommand(), logCommand(),
	}}
	c.Sub = append(c.Sub, plumbing.Commands()...)
	return c
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, e *cli.Env, args []string) int {
	if len(args) == 0 {
		return finish(e, runInit(ctx, e))
	}
	switch args[0] {
	case "help", "--help", "-help", "-h":
		paged, pager := e.Paged()
		err := root().Help(paged, args[1:])
		pager.Show()
		return finish(e, err)
	case "version", "--version", "-version":
		return finish(e, cli.ErrVersion)
	case laptop.RestartVerb: // how a run ends
		return finish(e, laptop.RestartNow())
	}
	cmd, rest, err := root().Find(args)
	paged, pager := e, (*cli.Pager)(nil)
	if slices.Contains([]string{"status", "plan", "verify"}, args[0]) || cmd != nil && cmd.Run == nil ||
		slices.Contains(rest, "--help") {
		paged, pager = e.Paged()
	}
	if err == nil && cmd.Run != nil {
		err = cmd.Run(ctx, paged, rest)
	}
	if err == nil && cmd.Run == nil || cli.WantsHelp(err) {
		err = root().Help(paged, args[:len(args)-len(rest)])
	}
	pager.Show()
	return finish(e, err)
}

// finish prints an error with its remedy and returns its exit code.
func finish(e *cli.Env, err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, cli.ErrVersion) {
		fmt.Fprintln(e.Stdout, "reown", version.String())
		return exitDone
	}
	if errors.Is(err, errDue) { // an answer, no failure
		return exitDue
	}
	var ue *cli.UsageError
	if errors.As(err, &ue) {
		fmt.Fprintln(e.Stderr, cli.Wrap(e.Stderr, "reown: "+escape.Text(ue.Msg)))
		return exitUsage
	}
	t := explain(err)
	if said := (*saidError)(nil); errors.As(err, &said) {
		fmt.Fprintln(e.Stderr, cli.Wrap(e.Stderr, "reown: "+
			escape.Lines(strings.Join(farewell(said.error, said.lang), "\n  "))))
	} else {
		text := fmt.Sprintf("reown: %s\n  what happened:  %s\n  your data:      %s\n  what to do:     %s",
			escape.Lines(err.Error()), t.What, t.Data, t.Do)
		fmt.Fprintln(e.Stderr, cli.Wrap(e.Stderr, text))
	}
	var xe *cli.ExitError
	if errors.As(err, &xe) {
		return xe.Code
	}
	if t.Exit != 0 {
		return t.Exit
	}
	return exitFailed
}

// Reown makes a pre-installed laptop its buyer's own. See README.md and
// `reown help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"reown/cmd/reown/internal/cli"
)

func main() {
	harden()
	if !runtimeFits() {
		// Anything that waits would end the program with a message about the Go
		// runtime; this one says what to change.
		println("reown: this kernel has no eventfd (CONFIG_EVENTFD); use a release build of reown, which does without")
		os.Exit(exitFailed)
	}
	// A signal asks the running step to stop at its next safe point. SIGQUIT, too: Go's own answer
	// to it prints registers, and they may hold a part of a key.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP,
		syscall.SIGQUIT)
	defer stop()
	e := &cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(run(ctx, e, os.Args[1:]))
}

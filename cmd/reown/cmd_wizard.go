package main

import "context"

// runInit is `reown` alone, what the firmware's init calls.
func runInit(ctx context.Context, e *env) error { return nil }

func wizardCommand() *command {
	return &command{name: "wizard", short: "take ownership, or continue an interrupted run"}
}

func statusCommand() *command { return &command{name: "status", short: "what the machine is in"} }
func planCommand() *command   { return &command{name: "plan", short: "what would be done"} }
func resumeCommand() *command { return &command{name: "resume", short: "finish an interrupted run"} }
func stepCommand() *command   { return &command{name: "step", short: "do one step"} }
func verifyCommand() *command { return &command{name: "verify", short: "check the hand-over"} }
func prepareCommand() *command {
	return &command{name: "prepare", short: "the OEM's side: make the machine ready to ship"}
}
func releaseCommand() *command {
	return &command{name: "release", short: "resale or end of life: give the machine up"}
}
func logCommand() *command { return &command{name: "log", short: "the log, with nothing secret in it"} }

package wizard_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"reown/wizard"
	"reown/wizard/ui"
)

// bench is a sequence of two tasks, and what it is told.
type bench struct {
	wizard.Sequence
	done   [2]bool // as the probes measure
	said   [2]error
	held   int
	let    error
	events []string
}

func newBench() *bench {
	b := &bench{}
	b.Hold = func() func() error { b.held++; return func() error { b.held--; return b.let } }
	b.Note = func(event, step, _ string) { b.events = append(b.events, event+" "+step) }
	for i, name := range []string{"one", "two"} {
		b.Tasks = append(b.Tasks, wizard.Task{ID: name, Probe: func(context.Context) wizard.State {
			if b.done[i] {
				return wizard.State{Status: ui.Completed}
			}
			return wizard.State{}
		}, Do: func(ctx context.Context) error {
			if b.held != 1 && !b.Tasks[i].Pausable {
				return fmt.Errorf("held %d times", b.held)
			}
			b.done[i] = b.said[i] == nil
			if b.said[i] == nil {
				return ctx.Err()
			}
			return b.said[i]
		}})
	}
	return b
}

func TestSequence(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name   string
		set    func(*bench)
		want   wizard.Outcome
		err    error
		events string
	}{
		{"both", func(*bench) {}, wizard.Done, nil, "[begin one end one begin two end two]"},
		{"what is done is left out", func(b *bench) { b.done[0] = true }, wizard.Done, nil, "[begin two end two]"},
		{"what looks is done anyhow, and not noted",
			func(b *bench) { b.done[0], b.Tasks[0].Looks, b.said[0] = true, true, broken }, wizard.Failed, broken, "[]"},
		{"failed", func(b *bench) { b.said[0] = broken }, wizard.Failed, broken, "[begin one fail one]"},
		{"not done", func(b *bench) { b.Tasks[0].Do = func(context.Context) error { return nil } }, wizard.Failed, nil,
			"[begin one fail one]"},
		{"put off", func(b *bench) { b.said[0] = wizard.ErrSealImpossible }, wizard.Later, nil,
			"[begin one later one begin two end two]"},
		{"nothing is put off by looking", func(b *bench) { b.Tasks[0].Looks, b.said[0] = true, wizard.ErrSealImpossible },
			wizard.Failed, wizard.ErrSealImpossible, "[]"},
		{"restarts", func(b *bench) { b.said[1] = wizard.ErrRestart }, wizard.Restarts, wizard.ErrRestart,
			"[begin one end one begin two fail two]"},
		{"cannot let go", func(b *bench) { b.let = broken }, wizard.Failed, broken, "[begin one end one begin two end two]"},
	} {
		b := newBench()
		c.set(b)
		end := b.Run(t.Context())
		if end.Outcome != c.want || c.err != nil && !errors.Is(end.Err, c.err) ||
			(end.Err == nil) != (c.want == wizard.Done || c.want == wizard.Later) {
			t.Errorf("%s: %+v", c.name, end)
		}
		if got := fmt.Sprint(b.events); got != c.events {
			t.Errorf("%s: %s", c.name, got)
		}
		if b.held != 0 {
			t.Errorf("%s: held %d times at the end", c.name, b.held)
		}
		var step *wizard.StepError
		if end.Err != nil && b.let == nil && !errors.As(end.Err, &step) {
			t.Errorf("%s: %v names no step", c.name, end.Err)
		}
	}
}

// A task is stopped in its middle only where it may be; any other ends first.
func TestSequenceStopped(t *testing.T) {
	for _, pausable := range []bool{false, true} {
		b := newBench()
		ctx, stop := context.WithCancel(t.Context())
		b.Tasks[0].Pausable = pausable
		do := b.Tasks[0].Do
		b.Tasks[0].Do = func(ctx context.Context) error { stop(); return do(ctx) }
		end := b.Run(ctx)
		want := "two"
		if pausable {
			want = "one"
		}
		if end.Outcome != wizard.Paused || end.Step != want || !errors.Is(end.Err, context.Canceled) ||
			end.AsError() != wizard.ErrPaused {
			t.Errorf("%+v, want a pause at %s", end, want)
		}
		if !slices.Contains(b.events, "pause "+want) {
			t.Errorf("%q", b.events)
		}
	}
}

// One task that is put off has not been done.
func TestSequenceOne(t *testing.T) {
	b := newBench()
	b.said[1] = wizard.ErrSealImpossible
	if end := b.One(t.Context(), 1); end.Outcome != wizard.Failed || !errors.Is(end.Err, wizard.ErrSealImpossible) ||
		b.done[0] {
		t.Errorf("%+v", end)
	}
}

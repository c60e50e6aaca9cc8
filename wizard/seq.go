package wizard

import (
	"context"
	"errors"
	"sync"

	"reown/internal/journal"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// Outcome is how a step, or a run of them, has ended.
type Outcome int

// The outcomes; there are no others.
const (
	Done     Outcome = iota // measuring shows it; or it only looks, and has found nothing
	Later                   // put off to another start; what does not need it has been done
	Restarts                // goes on after a restart of the computer, and not before
	Waits                   // a person must plug something in; then the step is done again
	Paused                  // stopped at a safe point, because somebody asked for it
	Failed
)

// Wait is what a step waits for that only a person can do.
type Wait int

// What there is to wait for.
const (
	WaitSpare Wait = iota + 1 // the second security key
	WaitMain                  // the one that the person was shown
	WaitStick                 // the stick that was chosen
)

func (w Wait) String() string {
	switch w {
	case WaitSpare:
		return "plug.spare"
	case WaitMain:
		return "plug.main"
	case WaitStick:
		return "plug.stick"
	}
	return "nothing"
}

// waitError is returned by a step that cannot go on before the person has plugged
// something in.
type waitError struct{ what Wait }

func (e *waitError) Error() string { return "waiting for the page " + e.what.String() }

// Ended is how a step or a run has ended.
type Ended struct {
	Outcome Outcome
	Step    string // ID of the step at which a run stopped; "" where all were gone through
	Wait    Wait   // of Waits
	// Err is the cause of every outcome but Done and Later: a *StepError, joined by what
	// letting go of /boot has said, if anything.
	Err error
}

// AsError is how a run has ended for somebody who only tells errors apart: nil for Done,
// ErrRestart for Later, ErrPaused for Paused.
func (e Ended) AsError() error {
	switch e.Outcome {
	case Later:
		return ErrRestart
	case Paused:
		return ErrPaused
	}
	return e.Err
}

// A Task is a step as the sequencer sees it, no matter whose journey it belongs to.
type Task struct {
	ID       string
	Looks    bool // changes nothing: done in every run, not put off, and not noted
	Pausable bool // takes hours: /boot is let go, and the end of the context stops it at a safe point
	// Probe measures; nil where the journey judges its end as a whole.
	Probe func(context.Context) State
	Do    func(context.Context) error
}

// A Sequence does tasks in order: it measures, leaves out what is done, holds /boot,
// notes, acts and measures again. A task that is not Pausable is not stopped in its
// middle. Every field but Tasks may be nil.
type Sequence struct {
	Tasks []Task
	Hold  func() (release func() error)  // keeps /boot writable between writes
	Note  func(event, step, text string) // writes to a journal
	State func(i int, s State)           // told how far a task is
	Begun func(i int)                    // told that a task begins to act

	mu   sync.Mutex
	let  func() error // lets go of /boot; nil: it is not held
	held error        // what letting go has said before
}

// Run does every task that measuring does not show as done.
func (q *Sequence) Run(ctx context.Context) Ended {
	end := Ended{}
	for i := range q.Tasks {
		switch e := q.task(ctx, i); e.Outcome {
		case Done:
		case Later:
			end.Outcome = Later
		default:
			return q.close(e)
		}
	}
	return q.close(end)
}

// One does one task. Put off, it has failed.
func (q *Sequence) One(ctx context.Context, i int) Ended {
	e := q.task(ctx, i)
	if e.Outcome == Later {
		e = Ended{Outcome: Failed, Step: q.Tasks[i].ID, Err: &StepError{q.Tasks[i].ID, ErrSealImpossible}}
	}
	return q.close(e)
}

// close lets go of /boot for good.
func (q *Sequence) close(e Ended) Ended {
	err := q.Release()
	if err != nil && e.Outcome == Done {
		e.Outcome = Failed
	}
	if err != nil {
		e.Err = errors.Join(e.Err, err)
	}
	return e
}

// task does one task. /boot may be held when it returns.
func (q *Sequence) task(ctx context.Context, i int) Ended {
	t := q.Tasks[i]
	if err := ctx.Err(); err != nil {
		q.note("pause", t, "")
		return Ended{Outcome: Paused, Step: t.ID, Err: &StepError{t.ID, err}}
	}
	q.hold()
	state := q.measure(ctx, i, false)
	if finished(state) && !t.Looks {
		return Ended{}
	}
	if state.Later {
		q.note("later", t, "")
		return Ended{Outcome: Later}
	}
	q.note("begin", t, "")
	work := context.WithoutCancel(ctx)
	if t.Pausable {
		work = ctx
		if err := q.Release(); err != nil { // it takes hours
			return Ended{Outcome: Failed, Step: t.ID, Err: &StepError{t.ID, err}}
		}
	}
	if q.Begun != nil {
		q.Begun(i)
	}
	err := t.Do(work)
	q.hold()
	return q.ended(ctx, i, err)
}

// ended tells how a task has ended, of which err is what it said.
func (q *Sequence) ended(ctx context.Context, i int, err error) Ended {
	t := q.Tasks[i]
	var wait *waitError
	end := Ended{Step: t.ID}
	switch {
	case err == nil:
		if state := q.measure(ctx, i, true); finished(state) {
			q.note("end", t, "")
			return Ended{}
		}
		q.note("fail", t, "not done")
		return Ended{Outcome: Failed, Step: t.ID, Err: &StepError{t.ID, &NotDoneError{t.ID}}}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		q.note("pause", t, "")
		q.measure(ctx, i, false)
		end.Outcome = Paused
	case errors.Is(err, ErrSealImpossible) && !t.Looks:
		q.note("later", t, "")
		q.show(i, afterRestart())
		return Ended{Outcome: Later}
	case errors.As(err, &wait):
		q.note("wait", t, wait.what.String())
		end.Outcome, end.Wait = Waits, wait.what
	default:
		q.note("fail", t, err.Error())
		q.show(i, State{Status: ui.Trouble, Detail: msg.Technical, Args: []any{err}})
		if end.Outcome = Failed; errors.Is(err, ErrRestart) {
			end.Outcome = Restarts
		}
	}
	end.Err = &StepError{t.ID, err}
	return end
}

// measure measures a task, and shows what it finds. One that only looks, or that cannot
// be measured, is done when it has acted and has not failed.
func (q *Sequence) measure(ctx context.Context, i int, acted bool) State {
	t, s := q.Tasks[i], State{}
	switch {
	case acted && (t.Looks || t.Probe == nil):
		s = completed(msg.None)
	case t.Probe != nil:
		s = t.Probe(context.WithoutCancel(ctx))
	}
	q.show(i, s)
	return s
}

func (q *Sequence) show(i int, s State) {
	if q.State != nil {
		q.State(i, s)
	}
}

// note writes to the journal. Until something changes, nothing is written either.
func (q *Sequence) note(event string, t Task, text string) {
	if q.Note != nil && !t.Looks {
		q.Note(event, t.ID, text)
	}
}

// hold keeps /boot writable from the next write on: a task writes several times.
func (q *Sequence) hold() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.let == nil && q.Hold != nil {
		q.let = q.Hold()
	}
}

// Release lets go of /boot until the present task has ended: a person is asked, or is
// waited for. It returns what went wrong with that, now or before.
func (q *Sequence) Release() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.let != nil {
		q.held = errors.Join(q.held, q.let())
		q.let = nil
	}
	return q.held
}

// Notes returns what writes to the journal in /boot. One that cannot be written stops
// nothing: it is for people.
func Notes(ctx context.Context, m *Machine) func(event, step, text string) {
	old, _ := m.Boot.ReadHint(ctx, hintJournal)
	log := journal.Continue(old, func(line []byte) error {
		return m.Boot.AppendHint(context.WithoutCancel(ctx), hintJournal, line)
	})
	return func(event, step, text string) {
		_ = log.Add(m.Platform.Now(), journal.Entry{Event: event, Step: step, Text: text})
	}
}

package wizard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"reown/internal/journal"
	"reown/internal/judge"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// A note is a line below the tasks.
type note struct {
	m    msg.M
	args []any
}

// runner shows the steps as the sequencer does them.
type runner struct {
	Sequence
	job    *Job
	lang   msg.Lang
	steps  []Step
	show   func(ui.Tasks)
	screen sync.Mutex // guards what follows
	states []State
	notes  []note
	unsafe bool // the step at work must not be stopped
	began  time.Time
	rate   meter
	shown  time.Time
}

func newRunner(ctx context.Context, j *Job, lang msg.Lang) *runner {
	r := &runner{job: j, lang: lang, steps: Steps(), began: time.Now(), show: func(ui.Tasks) {}}
	r.Hold, r.Note, r.State, r.Begun = j.M.Boot.Hold, Notes(ctx, j.M), r.set, r.begin
	s := j.measure(ctx)
	for _, st := range r.steps {
		r.states = append(r.states, probe(st, s))
		r.Tasks = append(r.Tasks, Task{ID: st.ID, Looks: st.Looks, Pausable: st.Pausable,
			Probe: func(ctx context.Context) State { return probe(st, j.measure(ctx)) },
			Do: func(ctx context.Context) error {
				defer r.say()
				defer j.M.Card.Announce(nil)
				return st.Apply(ctx, j)
			}})
	}
	return r
}

func (r *runner) set(i int, s State) {
	r.screen.Lock()
	r.states[i] = s
	r.screen.Unlock()
	r.show(r.tasks())
}

// say shows what the person must know while a step is at work, in the place of what
// was told before.
func (r *runner) say(notes ...note) {
	r.screen.Lock()
	r.notes = notes
	r.screen.Unlock()
	r.show(r.tasks())
}

func (r *runner) begin(i int) {
	st := r.steps[i]
	r.job.Progress = func(done, total int64) { r.progress(i, done, total) }
	r.job.Touch = r.touch
	r.job.M.Card.Announce(func(waits bool) {
		if waits {
			r.touch(1, 1)
		} else {
			r.say(during(st)...)
		}
	})
	r.screen.Lock()
	r.rate = meter{}
	r.states[i].Status = ui.InProgress
	r.unsafe = st.Unsafe
	r.screen.Unlock()
	r.say(during(st)...)
}

// during is what the person must know while a step is at work.
func during(st Step) []note {
	switch {
	case st.Unsafe:
		return []note{{m: msg.NoteUnsafe}}
	case st.Pausable:
		return []note{{m: msg.NoteMayLeave}, {m: msg.NotePause}}
	}
	return []note{{m: msg.NoteSafe}}
}

// touch tells that the security key waits for a finger now, whose owner may take their time.
func (r *runner) touch(n, of int) {
	_ = r.Release() // it is told at the end
	if of > 1 {
		r.say(note{m: msg.NoteTouchOf, args: []any{n, of}})
	} else {
		r.say(note{m: msg.NoteTouch})
	}
}

// progress is called often; the screen is told four times a second.
func (r *runner) progress(i int, done, total int64) {
	now := time.Now()
	r.screen.Lock()
	r.rate.add(now, done)
	r.states[i].Done, r.states[i].Total = done, total
	if now.Sub(r.shown) < 250*time.Millisecond && done < total {
		r.screen.Unlock()
		return
	}
	r.shown = now
	if r.steps[i].Bytes {
		left, rate := r.rate.left(total)
		if rate > 0 {
			r.states[i].Detail, r.states[i].Args = msg.DiskRate,
				[]any{msg.Bytes(done), msg.Bytes(total), rate / 1e6, minutes(left, r.lang)}
		} else {
			r.states[i].Detail, r.states[i].Args = msg.DiskOf, []any{msg.Bytes(done), msg.Bytes(total)}
		}
	} else {
		r.states[i].Detail, r.states[i].Args = msg.None, nil
	}
	r.screen.Unlock()
	r.show(r.tasks())
}

// tasks is the task list as it is now.
func (r *runner) tasks() ui.Tasks {
	r.screen.Lock()
	defer r.screen.Unlock()
	t := ui.Tasks{Lang: r.lang, CanPause: !r.unsafe, Elapsed: minutes(time.Since(r.began), r.lang)}
	for i, st := range r.steps {
		if st.Optional && r.states[i].Status == ui.NotNeeded {
			continue
		}
		t.Tasks = append(t.Tasks, task(st, r.states[i], r.lang))
	}
	for _, n := range r.notes {
		t.Notes = append(t.Notes, n.m.In(r.lang, n.args...))
	}
	return t
}

// task is one row of the task list.
func task(st Step, s State, l msg.Lang) ui.Task {
	return ui.Task{
		Title: st.Title.In(l), State: s.Status, Status: statusWords(s.Status, l), Detail: s.Detail.In(l, s.Args...),
		Bar: s.Status == ui.InProgress && s.Total > 0, Done: s.Done, Total: s.Total,
	}
}

func statusWords(s ui.TaskState, l msg.Lang) string {
	switch s {
	case ui.InProgress:
		return msg.StateInProgress.In(l)
	case ui.Completed:
		return msg.StateCompleted.In(l)
	case ui.CannotStart:
		return msg.StateCannotStart.In(l)
	case ui.Trouble:
		return msg.StateTrouble.In(l)
	case ui.NotNeeded:
		return msg.StateNotNeeded.In(l)
	}
	return msg.StateNotStarted.In(l)
}

// meter measures a rate over the last half minute or so.
type meter struct {
	at   []time.Time
	done []int64
}

func (m *meter) add(now time.Time, done int64) {
	if n := len(m.at); n > 0 && now.Sub(m.at[n-1]) < time.Second {
		return
	}
	m.at, m.done = append(m.at, now), append(m.done, done)
	if len(m.at) > 30 {
		m.at, m.done = m.at[1:], m.done[1:]
	}
}

// left returns the time until total at the present rate, and that rate in units a
// second; 0, 0 while it is not known.
func (m *meter) left(total int64) (time.Duration, int64) {
	n := len(m.at)
	if n < 3 {
		return 0, 0
	}
	d, t := m.done[n-1]-m.done[0], m.at[n-1].Sub(m.at[0]).Seconds()
	if d <= 0 || t <= 0 {
		return 0, 0
	}
	rate := float64(d) / t
	return time.Duration(float64(total-m.done[n-1]) / rate * float64(time.Second)), int64(rate)
}

// proven tries the secrets of an open run that were given, where they are set.
func proven(ctx context.Context, m *Machine, keys *Keys) error {
	s := measure(ctx, m)
	if r := s.Past().receipt; r == nil {
		return nil
	} else if keys.Disk != nil {
		if err := s.boundTo(ctx, keys.Disk); err != nil {
			return err
		}
	}
	if keys.Owner == nil || m.TPM == nil || s.Past().receipt.SRK == "" {
		return nil
	}
	return m.TPM.CheckOwner(ctx, keys.Owner)
}

// RunStep does one step, with the secrets that it needs, and checks that it is done.
// A step that is done does nothing.
func RunStep(ctx context.Context, m *Machine, name string, choices Choices, keys *Keys, show func(ui.Tasks)) error {
	// Somebody who types the name of a step has looked.
	j := &Job{M: m, Choice: choices, Secrets: keys, said: judge.Said{Looked: true}}
	defer j.copies.wipe()
	if err := proven(ctx, m, keys); err != nil {
		return err
	}
	r := newRunner(ctx, j, msg.EN)
	if show != nil {
		r.show = show
	}
	for i, st := range r.steps {
		if st.ID == name {
			return r.One(ctx, i).AsError()
		}
	}
	return &UnknownStepError{name}
}

// Log returns the journal as text, one line an entry; nothing in it is secret. It
// says how many lines could not be read.
func Log(ctx context.Context, m *Machine) ([]journal.Entry, int, error) {
	data, err := m.Boot.ReadHint(ctx, hintJournal)
	if errors.Is(err, ErrNotFound) {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, fmt.Errorf("reading the journal: %w", err)
	}
	e, skipped := journal.Read(data)
	return e, skipped, nil
}

package wizard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"reown/internal/journal"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// A note is a line below the tasks.
type note struct {
	m    msg.M
	args []any
}

// runner does the steps in order and shows how far they are.
type runner struct {
	job    *Job
	lang   msg.Lang
	steps  []Step
	log    *journal.Writer
	mu     sync.Mutex // guards what follows
	states []State
	notes  []note
	unsafe bool // the step at work must not be stopped
	began  time.Time
	rate   meter
	shown  time.Time
	let    func() error // lets go of /boot; nil: it is not held
	held   error        // what letting go has said before
}

func newRunner(ctx context.Context, j *Job, lang msg.Lang) *runner {
	r := &runner{job: j, lang: lang, steps: Steps(), began: time.Now()}
	s := j.measure(ctx)
	for _, st := range r.steps {
		r.states = append(r.states, probe(st, s))
	}
	old, _ := j.M.Boot.ReadHint(ctx, hintJournal)
	r.log = journal.Continue(old, func(line []byte) error {
		return j.M.Boot.AppendHint(context.WithoutCancel(ctx), hintJournal, line)
	})
	return r
}

// note writes to the journal. A journal that cannot be written stops nothing: it is
// for people.
func (r *runner) note(event, step, text string) {
	_ = r.log.Add(r.job.M.Platform.Now(), journal.Entry{Event: event, Step: step, Text: text})
}

// hold keeps /boot writable from the next write on: a step writes several times.
func (r *runner) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.let == nil {
		r.let = r.job.M.Boot.Hold()
	}
}

// release ends that. It returns what went wrong with it, now or before.
func (r *runner) release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.let != nil {
		r.held = errors.Join(r.held, r.let())
		r.let = nil
	}
	return r.held
}

// run does every step that measuring does not show as done.
func (r *runner) run(ctx context.Context, show func(ui.Tasks)) (err error) {
	defer func() {
		if e := r.release(); e != nil {
			err = errors.Join(err, e)
		}
	}()
	show(r.tasks())
	restart := false
	for i, st := range r.steps {
		if ctx.Err() != nil {
			r.note("pause", st.ID, "")
			return ErrPaused
		}
		later, err := r.step(ctx, i, st, show)
		if err != nil {
			return err
		}
		restart = restart || later
	}
	if restart {
		return ErrRestart
	}
	return nil
}

// step does one step. later says that only another start can: it is put off.
func (r *runner) step(ctx context.Context, i int, st Step, show func(ui.Tasks)) (later bool, err error) {
	r.hold()
	state := probe(st, r.job.measure(ctx))
	r.set(i, state, show)
	if finished(state) && !st.Looks {
		return false, nil
	}
	if state.Later {
		r.note("later", st.ID, "")
		return true, nil
	}
	r.note("begin", st.ID, "")
	work := ctx
	if !st.Pausable {
		work = context.WithoutCancel(ctx)
	}
	r.begin(i, st, show)
	r.job.Progress = func(done, total int64) { r.progress(i, done, total, show) }
	r.job.Touch = func(n, of int) { r.touch(n, of, show) }
	if st.Pausable { // it takes hours
		if err := r.release(); err != nil {
			return false, &StepError{Step: st.ID, Err: err}
		}
	}
	err = st.Apply(work, r.job)
	r.hold()
	r.mu.Lock()
	r.notes = nil
	r.mu.Unlock()
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			r.note("pause", st.ID, "")
			r.set(i, probe(st, r.job.measure(context.WithoutCancel(ctx))), show)
			return false, ErrPaused
		}
		if errors.Is(err, ErrSealImpossible) {
			r.note("later", st.ID, "")
			r.set(i, afterRestart(), show)
			return true, nil
		}
		var wait *waitError
		if errors.As(err, &wait) {
			r.note("wait", st.ID, wait.page)
			return false, err
		}
		r.note("fail", st.ID, err.Error())
		r.set(i, State{Status: ui.Trouble, Detail: msg.Verbatim, Args: []any{err.Error()}}, show)
		return false, &StepError{Step: st.ID, Err: err}
	}
	if state = completed(msg.M{}); !st.Looks {
		state = probe(st, r.job.measure(work))
	}
	r.set(i, state, show)
	if !finished(state) {
		r.note("fail", st.ID, "not done")
		return false, &StepError{Step: st.ID, Err: &NotDoneError{Step: st.ID}}
	}
	r.note("end", st.ID, "")
	return false, nil
}

func (r *runner) set(i int, s State, show func(ui.Tasks)) {
	r.mu.Lock()
	r.states[i] = s
	r.mu.Unlock()
	show(r.tasks())
}

func (r *runner) begin(i int, st Step, show func(ui.Tasks)) {
	r.mu.Lock()
	r.rate = meter{}
	r.states[i].Status = ui.InProgress
	r.unsafe = st.Unsafe
	switch {
	case st.Unsafe:
		r.notes = []note{{m: msg.NoteUnsafe}}
	case st.Pausable:
		r.notes = []note{{m: msg.NoteMayLeave}, {m: msg.NotePause}}
	default:
		r.notes = []note{{m: msg.NoteSafe}}
	}
	r.mu.Unlock()
	show(r.tasks())
}

// touch tells that the security key waits for a finger now, whose owner may take their time.
func (r *runner) touch(n, of int, show func(ui.Tasks)) {
	_ = r.release() // it is told at the end
	r.mu.Lock()
	r.notes = []note{{m: msg.NoteTouch}}
	if of > 1 {
		r.notes = []note{{m: msg.NoteTouchOf, args: []any{n, of}}}
	}
	r.mu.Unlock()
	show(r.tasks())
}

// progress is called often; the screen is told four times a second.
func (r *runner) progress(i int, done, total int64, show func(ui.Tasks)) {
	now := time.Now()
	r.mu.Lock()
	r.rate.add(now, done)
	r.states[i].Done, r.states[i].Total = done, total
	if now.Sub(r.shown) < 250*time.Millisecond && done < total {
		r.mu.Unlock()
		return
	}
	r.shown = now
	if r.steps[i].ID == "disk" {
		left, rate := r.rate.left(total)
		if rate > 0 {
			r.states[i].Detail, r.states[i].Args = msg.DiskRate, []any{gigabytes(done), gigabytes(total), rate / 1e6, minutes(left, r.lang)}
		} else {
			r.states[i].Detail, r.states[i].Args = msg.DiskOf, []any{gigabytes(done), gigabytes(total)}
		}
	} else {
		r.states[i].Detail, r.states[i].Args = msg.M{}, nil
	}
	r.mu.Unlock()
	show(r.tasks())
}

// tasks is the task list as it is now.
func (r *runner) tasks() ui.Tasks {
	r.mu.Lock()
	defer r.mu.Unlock()
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

// minutes rounds a duration up, as a person would say it.
func minutes(d time.Duration, l msg.Lang) string {
	switch m := int((d + time.Minute - 1) / time.Minute); {
	case d < time.Minute:
		return msg.Seconds.In(l, int(d.Seconds()))
	case m < 120:
		return msg.Minutes.In(l, m)
	default:
		return msg.Hours.In(l, m/60, m%60)
	}
}

// RunStep does one step, with the secrets that it needs, and checks that it is done.
// A step that is done does nothing.
func RunStep(ctx context.Context, m *Machine, name string, choices Choices, keys *Keys, show func(ui.Tasks)) error {
	if show == nil {
		show = func(ui.Tasks) {}
	}
	j := &Job{M: m, Choice: choices, Secrets: keys}
	defer j.copies.wipe()
	r := newRunner(ctx, j, msg.EN)
	for i, st := range r.steps {
		if st.ID == name {
			later, err := r.step(ctx, i, st, show)
			if later {
				err = &StepError{Step: st.ID, Err: ErrSealImpossible}
			}
			if e := r.release(); e != nil {
				err = errors.Join(err, e)
			}
			return err
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

package wizard

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"reown/internal/judge"
	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

func stepDisk() Step {
	return Step{
		ID: "disk", Title: msg.StepDisk, Does: msg.DoesDisk, Loses: msg.LosesDisk,
		Needs: NeedDisk | NeedUser, Pausable: true, Bytes: true, Shows: ShowDisks,
		Probe: probeDisk, Rehearse: rehearseDisk, Apply: applyDisk,
	}
}

func probeDisk(s *Snapshot) (State, error) {
	disks, err := s.Disks()
	if err != nil {
		return State{}, err
	}
	r, _ := s.Receipt()
	st := State{Status: ui.NotNeeded, Detail: msg.DiskNone}
	chosen, ready := 0, 0
	for _, d := range disks {
		if !selected(r, d.UUID) {
			continue
		}
		chosen++
		switch {
		case d.Reencrypting && s.ours(d):
			st.Status = ui.InProgress
			st.Done, st.Total = st.Done+d.Done, st.Total+d.Total
		case s.rekeyed(d):
			ready++
			st.Done, st.Total = st.Done+d.Size, st.Total+d.Size
		default:
			st.Total += d.Size
		}
	}
	switch {
	case chosen == 0:
	case ready == chosen:
		return completed(msg.DiskDone, chosen), nil
	case st.Status == ui.InProgress || ready > 0:
		st.Status, st.Detail, st.Args = ui.InProgress, msg.DiskPart, []any{percent(st.Done, st.Total)}
	default:
		return notStarted(msg.DiskNotYours, chosen, msg.Bytes(st.Total)), nil
	}
	return st, nil
}

// freeMemory must be left beside what the disk's keyslots need, in bytes.
const freeMemory = 48 << 20

func rehearseDisk(r *Rehearsal) {
	disks, err := r.Disks()
	if err != nil {
		r.fail("disk", err)
	}
	for i, d := range disks {
		if r.chosen(d.UUID) {
			r.disk(d, r.m.Disks[i])
		}
	}
	receipt, _ := r.Receipt()
	alone := r.alone(receipt)
	for _, d := range r.m.Doubtful {
		if !slices.Contains(alone, d.Path) {
			r.add("disk", DiskAmbiguous, d.Err, d.Path, msg.Say(msg.Technical, d.Err.Error()))
		}
	}
}

// disk rehearses one disk.
func (r *Rehearsal) disk(d DiskInfo, disk Disk) {
	n := len(r.found)
	if d.Keyslots == 0 && !d.Reencrypting {
		r.add("keyslots", DiskNoKeyslot, nil, d.Path)
	}
	if have := r.m.Platform.Memory(); have > 0 && d.KDFMemory+freeMemory > have {
		r.add("memory", LittleMemory, nil, (d.KDFMemory+freeMemory)>>20, have>>20)
	}
	if len(r.found) == n && (r.anew || !r.rekeyed(d)) {
		found, err := disk.Rehearse(r.ctx, r.anew || !r.ours(d))
		r.device("disk", found, err)
	}
	if key := r.current[d.UUID]; len(r.found) == n && key != nil && !r.ours(d) &&
		!slices.Contains(r.choice.Noise, d.UUID) {
		r.found = append(r.found, LookAt(r.ctx, disk, d, key)...)
	}
	_, err := r.Receipt()
	for i := range r.found[n:] {
		p := &r.found[n+i]
		if p.Volume = d.UUID; r.anew || err == nil || len(r.m.Disks) < 2 { // the steps go by the receipt
			p.without(LeaveOut)
		}
	}
}

// LookAt finds what a re-encryption would spoil: pass opens the disk, and under the key that its header
// names for its beginning there must be something.
func LookAt(ctx context.Context, disk Disk, d DiskInfo, pass *secret.Buffer) []Problem {
	switch err := disk.Look(ctx, pass); {
	case errors.Is(err, ErrNoise):
		return []Problem{newProblem("disk", DiskNoise, err, d.Path)}
	case errors.Is(err, ErrUnseen):
		return []Problem{newProblem("disk", DiskUnseen, err, d.Path)}
	case err != nil && ctx.Err() == nil:
		return []Problem{DeviceProblem("disk", err)}
	}
	return nil
}

func applyDisk(ctx context.Context, j *Job) error {
	s := j.look(ctx)
	cert, r, err := s.ownership()
	if err != nil {
		return err
	}
	owner, err := j.owner(cert)
	if err != nil {
		return err
	}
	disks, err := s.Disks()
	if err != nil {
		return err
	}
	if err := j.may(s, judge.SetPassphrase, judge.Reencrypt); err != nil {
		return err
	}
	note := func() error { return j.note(ctx, cert, r) }
	var work []DiskWork
	told := false // of a choice that a run under way does not know yet
	for i, d := range disks {
		if !selected(r, d.UUID) {
			continue
		}
		w := DiskWork{Disk: j.M.Disks[i], Info: d, Rekey: !s.rekeyed(d)}
		if !s.ours(d) {
			if w.Old = j.Secrets.Current[d.UUID]; w.Old == nil {
				w.Old = j.Secrets.Disk
				if err := w.Disk.CheckPassphrase(ctx, w.Old); err != nil {
					return fmt.Errorf("the present passphrase of %s was not given: %w", d.Path, err)
				}
			}
		}
		v := r.rekey(d.UUID)
		told = v.chose(j.Choice) && v.Begun || told
		w.Fill, w.Lose, w.Survey = v.Fill, v.Lost, j.surveys.last(i)
		if v.volume(d) != judge.VolumeUnderWay {
			w.Before = func() error { return v.markOld(ctx, w.Disk, j.Secrets.Disk) }
		}
		w.Begin = func(digest string, mark func([]byte) (string, error)) error {
			v.New, v.Begun, v.Reached = digest, false, false
			var err error
			if v.Bind, err = mark(r.binding(owner)); err != nil {
				return err
			}
			return note()
		}
		w.Begun = func() error { v.Begun = true; return note() }
		w.Reached = func() error {
			v.Reached = true
			v.Trial, _ = j.tryOld(ctx, w.Disk)
			return note()
		}
		work = append(work, w)
	}
	if told {
		if err := note(); err != nil {
			return err
		}
	}
	return j.OwnDisks(ctx, work)
}

// giveUp notes that the owner does without what cannot be read.
func (j *Job) giveUp(bad *UnreadError) {
	if j.Choice.Lost == nil {
		j.Choice.Lost = map[string][]Stretch{}
	}
	j.Choice.Lost[bad.Volume] = merge(append(j.Choice.Lost[bad.Volume], bad.Bad...))
}

// chose takes over what was chosen in this start, and says whether it is new.
func (v *Rekey) chose(c Choices) bool {
	lost := merge(append(v.Lost, c.Lost[v.UUID]...))
	changed := c.Fill && !v.Fill || !slices.Equal(lost, v.Lost)
	v.Fill, v.Lost = v.Fill || c.Fill, lost
	return changed
}

// markOld keeps the mark of the key of before.
func (v *Rekey) markOld(ctx context.Context, d Disk, pass *secret.Buffer) (err error) {
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	v.Salt = hex.EncodeToString(salt)
	v.Mark, err = d.Mark(ctx, pass, salt)
	return err
}

// DiskWork is what becomes of one disk.
type DiskWork struct {
	Disk Disk
	Info DiskInfo
	// Old opens it now. Nil: only the new passphrase does, and a re-encryption that is
	// under way is this run's.
	Old   *secret.Buffer
	Rekey bool // it gets a volume key of its own
	// Fill, Lose and Survey are as in Rekeying.
	Fill   bool
	Lose   []Stretch
	Survey *DiskSurvey
	// Before, Begin, Begun and Reached are told of the re-encryption to that key: while the disk is
	// still closed, before anything is written, when the header says so, and when all is done.
	// Each may be nil; all but the first must leave the disk alone.
	Begin                  Begin
	Before, Begun, Reached func() error
}

// OwnDisks makes the disk passphrase the only one of each disk, and re-encrypts. First
// the passphrases, then the long part: a new volume key is never wrapped under a
// passphrase that somebody else knows. A re-encryption that somebody else began is
// finished first. Progress counts the bytes of all disks.
func (j *Job) OwnDisks(ctx context.Context, work []DiskWork) error {
	var before, total int64
	for _, w := range work {
		total += w.Info.Size
	}
	progress := func(w DiskWork) Progress {
		at := before
		before += w.Info.Size
		return func(done, of int64) {
			if j.Progress != nil && of > 0 {
				j.Progress(at+int64(float64(done)/float64(of)*float64(w.Info.Size)), total)
			}
		}
	}
	for _, w := range work {
		show := progress(w)
		if w.Old == nil {
			continue
		}
		if w.Info.Reencrypting {
			if err := w.Disk.Reencrypt(ctx, w.Old, Rekeying{Progress: show, Lose: w.Lose, Survey: w.Survey}); err != nil {
				return fmt.Errorf("finishing what was begun on %s: %w", w.Info.Path, err)
			}
		}
		if err := w.Disk.SetPassphrase(ctx, w.Old, j.Secrets.Disk); err != nil {
			return fmt.Errorf("setting the passphrase of %s: %w", w.Info.Path, err)
		}
	}
	before = 0
	for _, w := range work {
		show := progress(w)
		if !w.Rekey {
			continue
		}
		if err := w.reencrypt(ctx, j.Secrets.Disk, show); err != nil {
			return fmt.Errorf("re-encrypting %s: %w", w.Info.Path, err)
		}
	}
	return nil
}

// reencrypt gives one disk its new key, or goes on with that.
func (w *DiskWork) reencrypt(ctx context.Context, pass *secret.Buffer, show Progress) error {
	if w.Before != nil {
		if err := w.Before(); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	begun := w.Begun
	how := Rekeying{Begin: w.Begin, Fill: w.Fill, Lose: w.Lose, Survey: w.Survey}
	how.Progress = func(done, of int64) {
		if begun != nil { // from here on the header of before, put back, would be an alarm
			if err := begun(); err != nil {
				stop(fmt.Errorf("noting that it has begun: %w", err))
			}
			begun = nil
		}
		show(done, of)
	}
	err := w.Disk.Reencrypt(ctx, pass, how)
	switch cause := context.Cause(ctx); {
	case err != nil && cause != nil && !errors.Is(cause, context.Canceled):
		return cause
	case err != nil || w.Reached == nil:
		return err
	}
	return w.Reached()
}

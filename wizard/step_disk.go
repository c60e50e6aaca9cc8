package wizard

import (
	"context"
	"fmt"

	"reown/internal/secret"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

func stepDisk() Step {
	return Step{
		ID: "disk", Title: msg.StepDisk, Does: msg.DoesDisk, Loses: msg.LosesDisk,
		Needs: NeedDisk, Pausable: true, Bytes: true, Shows: ShowDisks,
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
		return notStarted(msg.DiskNotYours, chosen, gigabytes(st.Total)), nil
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
	for _, d := range disks {
		if r.chosen(d.UUID) {
			r.disk(d)
		}
	}
}

// disk rehearses one disk.
func (r *Rehearsal) disk(d DiskInfo) {
	n := len(r.found)
	if d.Format != "LUKS2" && d.Format != "" {
		r.add("format", DiskFormat, nil, d.Path, d.Format)
	}
	if d.Keyslots == 0 && !d.Reencrypting {
		r.add("keyslots", DiskNoKeyslot, nil, d.Path)
	}
	if have := r.m.Platform.Memory(); have > 0 && d.KDFMemory+freeMemory > have {
		r.add("memory", LittleMemory, nil, (d.KDFMemory+freeMemory)>>20, have>>20)
	}
	_, err := r.Receipt()
	for i := range r.found[n:] {
		p := &r.found[n+i]
		if p.Volume = d.UUID; r.anew || err == nil || len(r.m.Disks) < 2 { // the steps go by the receipt
			p.without(LeaveOut)
		}
	}
}

func applyDisk(ctx context.Context, j *Job) error {
	s := j.measure(ctx)
	r, err := s.Receipt()
	if err != nil {
		return err
	}
	disks, err := s.Disks()
	if err != nil {
		return err
	}
	var work []DiskWork
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
		work = append(work, w)
	}
	return j.OwnDisks(ctx, work)
}

// DiskWork is what becomes of one disk.
type DiskWork struct {
	Disk Disk
	Info DiskInfo
	// Old opens it now. Nil: only the new passphrase does, and a re-encryption that is
	// under way is this run's.
	Old   *secret.Buffer
	Rekey bool // it gets a volume key of its own
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
			if err := w.Disk.Reencrypt(ctx, w.Old, show); err != nil {
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
		if err := w.Disk.Reencrypt(ctx, j.Secrets.Disk, show); err != nil {
			return fmt.Errorf("re-encrypting %s: %w", w.Info.Path, err)
		}
	}
	return nil
}

package boot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// A TrialKind says why /boot cannot be changed.
type TrialKind string

const (
	TrialReadOnly TrialKind = "the file system is read-only"
	TrialFull     TrialKind = "there is not enough room"
	TrialFixed    TrialKind = "it cannot be replaced or removed" // immutable, append-only
	TrialBroken   TrialKind = "the disk reports an error"
)

// A TrialProblem is one name that the run could not replace; "." is /boot itself.
type TrialProblem struct {
	Name string    `json:"name"`
	Kind TrialKind `json:"kind"`
}

// A TrialError lists what a run would stop at.
type TrialError struct{ Problems []TrialProblem }

func (e *TrialError) Error() string {
	var parts []string
	for i, p := range e.Problems {
		if i == 5 {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.Problems)-i))
			break
		}
		name := "/boot"
		if p.Name != "." {
			name += "/" + p.Name
		}
		parts = append(parts, name+": "+string(p.Kind))
	}
	return "/boot cannot be changed: " + strings.Join(parts, "; ")
}

// Trial replaces each file that a run replaces or removes by one with the same content,
// and writes and removes again a file of so many bytes: what the run will add. So it is
// not attributes that are judged but what they do. /boot is left as it was, each name at
// every moment; only a file kexec_reown.tmp may remain after a cut. It returns an
// *OddError, a *TrialError, or what else went wrong.
func (d *Dir) Trial(ctx context.Context, bytes int64) error {
	t, err := walk(d.path)
	if err != nil {
		return err
	}
	defer t.close()
	if odd := t.odd(); odd != nil {
		return &OddError{odd}
	}
	restore, err := d.Writable()
	if err != nil {
		return trialError(".", err, nil)
	}
	return errors.Join(d.try(ctx, t, bytes), restore())
}

func (d *Dir) try(ctx context.Context, t *tree, bytes int64) error {
	if err := d.w.WriteFile("trial.write:room", tmpName, make([]byte, bytes)); err != nil {
		name := tmpName
		if there, serr := d.exists(tmpName); serr == nil && !there {
			name = "."
		}
		return trialError(name, errors.Join(err, d.w.Remove("trial.clear:room", tmpName)), nil)
	}
	if err := d.w.Remove("trial.remove:room", tmpName); err != nil {
		return trialError(tmpName, err, nil)
	}
	var problems []TrialProblem
	for i := range t.nodes {
		n := &t.nodes[i]
		name := n.path[2:]
		if !n.typ.IsRegular() || name == tmpName || !excluded(n.path) && n.path != oemPath {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := t.read(n, maxListed)
		if err == nil {
			err = d.w.WriteFile("trial.write:"+name, tmpName, data)
		}
		if err == nil {
			err = d.w.Rename("trial.rename:"+name, tmpName, name)
		}
		if err == nil {
			continue
		}
		kind := trialKind(err)
		if kind != TrialFixed {
			return trialError(name, errors.Join(err, d.w.Remove("trial.clear:"+name, tmpName)), problems)
		}
		problems = append(problems, TrialProblem{name, kind})
	}
	err := d.w.Remove("trial.clear", tmpName)
	if err == nil {
		err = d.sync("trial.syncdir")
	}
	if err != nil {
		return trialError(".", err, problems)
	}
	if problems != nil {
		return &TrialError{problems}
	}
	return nil
}

// trialError adds a problem that ends the trial. An error of no known kind stays itself.
func trialError(name string, err error, before []TrialProblem) error {
	kind := trialKind(err)
	if kind == "" {
		return fmt.Errorf("trying to replace /boot/%s: %w", name, err)
	}
	return &TrialError{append(before, TrialProblem{name, kind})}
}

func trialKind(err error) TrialKind {
	is := func(list ...error) bool {
		for _, e := range list {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case is(syscall.EROFS):
		return TrialReadOnly
	case is(syscall.ENOSPC, syscall.EDQUOT):
		return TrialFull
	case is(syscall.EPERM, syscall.EACCES, syscall.EBUSY, syscall.ETXTBSY):
		return TrialFixed
	case is(syscall.EIO, syscall.ENXIO, syscall.ENODEV):
		return TrialBroken
	}
	return ""
}

package plumbing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"reown/cmd/reown/internal/cli"
	"reown/internal/secret"
	"reown/luks"
)

// luksRun runs a long job on one or several devices in parallel, with progress on
// stderr. One device's failure does not stop the others.
func luksRun(ctx context.Context, e *cli.Env, f *luksFlags, args []string,
	job func(context.Context, *luks.Volume, *secret.Buffer, *secret.Buffer, func(done, total int64)) error) error {
	ops, err := cli.Parse(f.FlagSet, args, 1, -1)
	if err != nil {
		return err
	}
	if len(ops) > 1 && (f.opts.Header != "" || f.opts.Offset != 0 || f.opts.Size != 0) {
		return cli.Usagef("%s: a header or window belongs to one device", f.Name())
	}
	if len(ops) > 1 {
		for _, found := range luks.FindAll(ctx, ops, f.opts) {
			if errors.Is(found.Err, luks.ErrTwin) {
				return found.Err
			}
		}
	}
	defer f.wipe()
	key, err := f.readKey(e, "key-file", f.key)
	if err != nil {
		return err
	}
	var newKey *secret.Buffer
	if f.newKey != "" {
		if newKey, err = f.readKey(e, "new-key-file", f.newKey); err != nil {
			return err
		}
	}
	m := &meter{w: e.Stderr}
	infos := make([]luks.Info, len(ops))
	errs := make([]error, len(ops))
	var wg sync.WaitGroup
	for i, op := range ops {
		wg.Go(func() {
			v, err := luks.Open(ctx, op, f.opts)
			if err != nil {
				errs[i] = err
				return
			}
			defer v.Close()
			errs[i] = job(ctx, v, key, newKey, m.device(op))
			infos[i] = v.Info()
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return f.report(e, infos...)
}

// A meter prints how far devices are: bytes, rate and time left, at most once a
// second for each.
type meter struct {
	mu sync.Mutex
	w  io.Writer
}

func (m *meter) device(name string) func(done, total int64) {
	var start, last time.Time
	var first int64
	return func(done, total int64) {
		now := time.Now()
		if start.IsZero() {
			start, first = now, done
		}
		if done < total && now.Sub(last) < time.Second {
			return
		}
		last = now
		m.mu.Lock()
		defer m.mu.Unlock()
		line := fmt.Sprintf("%s: %d of %d MiB", name, done>>20, total>>20)
		if t := now.Sub(start).Seconds(); t > 0 && done > first {
			rate := float64(done-first) / t
			left := time.Duration(float64(total-done) / rate * float64(time.Second))
			line += fmt.Sprintf(", %.0f MiB/s, %s left", rate/(1<<20), left.Round(time.Second))
		}
		fmt.Fprintln(m.w, line)
	}
}

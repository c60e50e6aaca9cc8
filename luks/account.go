package luks

import (
	"errors"
	"slices"
	"sync"
)

// An account is what has been written to a volume since it was opened, by name: what may
// be said about the data after an error follows from it, and not from the error.
type account struct {
	mu    sync.Mutex
	names []string
}

func (a *account) add(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Contains(a.names, name) {
		a.names = append(a.names, name)
	}
}

// close adds to an error what had been written before it.
func (a *account) close(err *error) {
	var w *WroteError
	if *err == nil || errors.As(*err, &w) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.names) > 0 {
		*err = &WroteError{Names: slices.Clone(a.names), Err: *err}
	}
}

// A WroteError is an error after which the device is not as it was. Without one nothing
// had been written. Names are the names of the writes, in the order of the first of each
// since the volume was opened.
type WroteError struct {
	Names []string
	Err   error
}

func (e *WroteError) Error() string { return e.Err.Error() }
func (e *WroteError) Unwrap() error { return e.Err }

// Data reports whether encrypted data was written.
func (e *WroteError) Data() bool { return e.any(WriteData, WriteRecovery) }

// Header reports whether the header was written: anything but room in it that no keyslot
// refers to.
func (e *WroteError) Header() bool {
	return e.any(WriteHeal, WritePrimary, WriteSecondary, WriteLUKS1, WriteConvert, WriteRestore)
}

func (e *WroteError) any(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(e.Names, n) })
}

// counted is a device whose writes are on an account, those that fail as well.
type counted struct {
	Device
	a *account
}

func (c counted) WriteAt(name string, p []byte, off int64) error {
	c.a.add(name)
	return c.Device.WriteAt(name, p, off)
}

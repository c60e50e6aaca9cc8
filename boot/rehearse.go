package boot

import (
	"context"
	"errors"
	"maps"
	"sync"
)

// errRehearsal stands in for a signature.
var errRehearsal = errors.New("another set")

// placeholders are extras that are known only in the run: a rehearsal has them of the
// size that Heads gives them.
var placeholders = map[string][]byte{
	"kexec_rollback.txt":     make([]byte, 86),
	"kexec_primhdl_hash.txt": make([]byte, 91),
	"kexec_hotp_counter":     []byte("0\n"),
}

// Rehearse does all of Build, Stage and Install that can be done without a write: the
// whole set for the chosen entry is made in memory, with stand-ins for what the TPM will
// give, and checked by Heads's rules as if it were signed. bytes is what Stage and
// Install will write at most, at one time, for Trial. It returns what those would:
// *OddError, ErrEntry (with a *GoneError if files are missing), ErrNoEntries, ErrSetName,
// ErrTooLarge, ErrForm. Each file is read once.
func (d *Dir) Rehearse(ctx context.Context, o BuildOptions) (set *Set, bytes int64, err error) {
	o.Extra = maps.Clone(o.Extra)
	if o.Extra == nil {
		o.Extra = make(map[string][]byte)
	}
	for n, b := range placeholders {
		if _, ok := o.Extra[n]; !ok {
			o.Extra[n] = b
		}
	}
	t, err := walk(d.path)
	if err != nil {
		return nil, 0, err
	}
	defer t.close()
	t.known = new(sync.Map)
	if set, err = d.build(ctx, t, o); err != nil {
		return nil, 0, err
	}
	want := string(set.SignedBytes())
	r, err := d.check(t, set, []byte("rehearsal"), func(_, data []byte) error {
		if string(data) != want {
			return errRehearsal
		}
		return nil
	}, []Form{set.Form})
	if err != nil {
		return nil, 0, err
	}
	if err := r.ErrButOEM(); err != nil {
		return nil, 0, err
	}
	if o.Entry != 0 && !r.DefaultOK {
		return nil, 0, &MismatchError{r}
	}
	// Staged and in place at one time, each in whole blocks, and room for receipts,
	// journal and hand-over.
	const block, room = 32 << 10, 1 << 20
	for _, b := range set.Files {
		bytes += 2 * (int64(len(b))/block + 1) * block
	}
	return set, bytes + room, nil
}

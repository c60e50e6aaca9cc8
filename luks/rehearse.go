package luks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reown/internal/secret"
)

// A Rehearsal is what setting a passphrase and re-encrypting would do.
type Rehearsal struct {
	// Problems are why it would not reach its end; none if it would. Each wraps an error
	// that this package exports.
	Problems []error
	// Cipher and KeyBits are the data's afterwards.
	Cipher  string
	KeyBits int
	// Drops are the keyslots whose passphrases end: all, since the rehearsal does not
	// know which one the passphrase opens; Unbound are those that open no data.
	Drops, Unbound []int
	// Tokens and Flags are dropped, too.
	Tokens, Flags []string
	// Memory, bytes, and Time are what one key derivation takes at most, of those
	// that there are and of the new ones.
	Memory int64
	Time   time.Duration
}

// pretend are the volume keys of a rehearsal: stand-ins, by where their material lies and
// by digest. newPass opens only what the rehearsal has made.
type pretend struct {
	newPass  *secret.Buffer
	byOffset map[int64]*secret.Buffer
	byDigest map[int]*secret.Buffer
}

// open is openSlot without key derivation.
func (p *pretend) open(k *keyslot, d *digest, pass *secret.Buffer) (*secret.Buffer, error) {
	if vk := p.byOffset[k.area.offset]; vk != nil {
		return vk.Copy(), nil
	}
	if pass == p.newPass {
		return nil, ErrWrongPassphrase
	}
	if p.byDigest[d.id] == nil {
		p.byDigest[d.id] = secret.New(k.keySize)
	}
	return p.byDigest[d.id].Copy(), nil
}

func (p *pretend) wipe() {
	for _, b := range p.byOffset {
		b.Wipe()
	}
	for _, b := range p.byDigest {
		b.Wipe()
	}
}

// Rehearse goes through SetPassphrase, if passphrase says so, and Reencrypt, up to the last header, on a copy in
// memory: everything that they decide is decided, and nothing is written. It needs no
// passphrase. What it cannot know is which keyslot a passphrase opens, and whether the
// disk can be read and written. A volume in re-encryption is judged for being resumed.
// The error is that of a device that cannot be read.
func (v *Volume) Rehearse(ctx context.Context, o ReencryptOptions, passphrase bool) (Rehearsal, error) {
	o.Progress = nil
	var r Rehearsal
	if err := v.load(); err != nil {
		return r, err
	}
	problem := func(err error) {
		if err != nil {
			r.Problems = append(r.Problems, err)
		}
	}
	if v.reopen != nil {
		problem(v.reopen())
	}
	problem(v.rehearseKDF(&r))
	w := *v
	w.stale = append([]int64(nil), v.stale...)
	w.readOnly, w.noLocks, w.account = false, true, &account{}
	same := v.hdr == v.data
	w.hdr = newOverlay(v.hdr)
	w.data = w.hdr
	if !same {
		w.data = newOverlay(v.data)
	}
	newPass := secret.Random(16)
	defer newPass.Wipe()
	w.pretend = &pretend{newPass, map[int64]*secret.Buffer{}, map[int]*secret.Buffer{}}
	defer w.pretend.wipe()
	err := w.rehearse(ctx, newPass, o, passphrase, &r)
	var un *IOError
	if ctx.Err() != nil || errors.As(err, &un) {
		return r, errors.Join(ctx.Err(), err)
	}
	problem(err)
	return r, nil
}

// rehearse runs on a copy.
func (v *Volume) rehearse(ctx context.Context, newPass *secret.Buffer, o ReencryptOptions, passphrase bool,
	r *Rehearsal) error {
	if err := v.begin(ctx); err != nil {
		return err
	}
	run, err := v.reencryption()
	if err != nil {
		return err
	}
	if run != nil {
		if run.slot.area.typ == "none" && !run.finished {
			return fmt.Errorf("%w: it was started with resilience none", ErrUnproven)
		}
		r.Cipher = run.final.encryption
		return v.fits(run.prev)
	}
	r.note(v.h, o.Inherit)
	old := secret.Random(16)
	defer old.Wipe()
	pass := old
	if passphrase {
		pass = newPass
		if err := v.SetPassphrase(ctx, old, newPass); err != nil {
			return err
		}
	}
	if v.h.v1 != nil {
		if err := v.Convert(ctx, 2); err != nil {
			return err
		}
	}
	known, err := v.start(ctx, pass, o)
	if err != nil {
		return err
	}
	defer known.wipe()
	if run, err = v.reencryption(); err != nil {
		return err
	}
	r.Cipher, r.KeyBits = run.final.encryption, known.new.Len()*8
	u, err := v.newRun(ctx, run, pass, known, o)
	if err != nil {
		return err
	}
	defer u.close()
	// The longest descriptions that the header must hold.
	unit := run.unit()
	for _, at := range [][2]int64{{0, unit}, {roundDown(run.total/2, unit), unit}, {roundDown(run.total-1, unit), 0}} {
		if at[0] == 0 && at[1] >= run.total || at[0]+at[1] > run.total {
			continue
		}
		root := v.h.root.clone()
		run.refresh(v.h.meta)
		run.setSegments(root, at[0], at[1])
		if err := v.commit(ctx, root); err != nil {
			return err
		}
	}
	if err := u.finish(ctx, true); err != nil || !o.BackToLUKS1 {
		return err
	}
	return v.Convert(ctx, 1)
}

// note lists what would be dropped.
func (r *Rehearsal) note(h *header2, inherit bool) {
	for _, n := range h.meta.passSlots() {
		r.Drops = append(r.Drops, n)
		if h.meta.unbound(n) {
			r.Unbound = append(r.Unbound, n)
		}
	}
	if inherit {
		return
	}
	for _, n := range sortedIDs(h.meta.tokens) {
		r.Tokens = append(r.Tokens, h.meta.tokens[n].typ)
	}
	if l, ok := h.root.m["config"].(*object).m["flags"].(*list); ok {
		for _, n := range l.items {
			s, _ := stringOf(n)
			r.Flags = append(r.Flags, s)
		}
	}
}

// rehearseKDF says why no passphrase could be tried on this machine, or no new keyslot be
// made.
func (v *Volume) rehearseKDF(r *Rehearsal) error {
	var failed error
	usable := false
	free := v.free()
	for _, n := range v.h.meta.passSlots() {
		k := v.h.meta.keyslots[n]
		ns, err := k.kdf.cost(k.area.keySize)
		if need := int64(k.kdf.memory) << 10; err == nil && free > 0 && need > free {
			err = &MemoryError{Slot: n, Need: need, Have: free}
		}
		if err == nil {
			err = affordable(ns)
		}
		if err != nil {
			if failed = err; !errors.As(err, new(*MemoryError)) { // which names it
				failed = fmt.Errorf("keyslot %d: %w", n, err)
			}
			continue
		}
		usable = true
		r.Time = max(r.Time, time.Duration(ns))
		r.Memory = max(r.Memory, int64(k.kdf.memory)<<10)
	}
	if !usable && failed != nil {
		return failed
	}
	if v.h.v1 != nil || v.kdf != KDFArgon2 || choosesNothing {
		return nil
	}
	k, err := v.newKDF(v.kdf, kdf{})
	if err == nil {
		r.Memory = max(r.Memory, int64(k.memory)<<10)
		r.Time = max(r.Time, targetKDF)
	}
	return err
}

package tpm

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/go-tpm/tpm2"

	"reown/internal/secret"
)

// Heads' counters are NV indices 0x01000000 to 0x01ffffff of eight bytes.
const (
	counterFirst  = 0x01000000
	counterSize   = 8
	counterPrefix = 0x01
)

func counterAttributes() tpm2.TPMANV {
	return tpm2.TPMANV{OwnerRead: true, AuthRead: true, AuthWrite: true, NT: tpm2.TPMNTCounter}
}

// index is an NV index with its public area.
type index struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	pub    tpm2.TPMSNVPublic
}

// counterIndex says whether an index is one of Heads', but none of 0x01c0xxxx, where
// the TCG's registry keeps endorsement certificates, and not the anchor's.
func counterIndex(h uint32) bool {
	return h>>24 == counterPrefix && h>>16 != 0x01c0 && h != v2AnchorIndex
}

func (i *index) isCounter() bool {
	a := i.pub.Attributes
	a.Written = false
	return counterIndex(uint32(i.handle)) && a == counterAttributes() && i.pub.DataSize == counterSize
}

func (i *index) id() string { return fmt.Sprintf("%07x", uint32(i.handle)) }

func (v *v2) nvPublic(c *conn, h named, s ...tpm2.Session) (*index, error) {
	r, err := tpm2.NVReadPublic{NVIndex: h}.Execute(c, s...)
	if err != nil {
		return nil, c.check(err)
	}
	pub, err := r.NVPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	return &index{tpm2.TPMHandle(h.HandleValue()), r.NVName, *pub}, nil
}

// area is object for NV indices.
func (v *v2) area(c *conn, k *key, h tpm2.TPMHandle) (*index, error) {
	there, err := v.listed(c, k, uint32(h))
	if err != nil || !there {
		return nil, err
	}
	first, err := v.nvPublic(c, h)
	if err != nil {
		return nil, err
	}
	return v.nvPublic(c, tpm2.NamedHandle{Handle: h, Name: first.name}, k.audit())
}

// counterIndices returns the NV indices that are counters as Heads makes them.
func (v *v2) counterIndices(c *conn) ([]*index, error) {
	hs, err := v.handles(c, counterFirst)
	if err != nil {
		return nil, err
	}
	var out []*index
	for _, h := range hs {
		i, err := v.nvPublic(c, tpm2.TPMHandle(h))
		if errors.As(err, new(*CommandError)) {
			continue // an area that is shown to nobody is no counter of Heads'
		}
		if err != nil {
			return nil, err
		}
		if i.isCounter() {
			out = append(out, i)
		}
	}
	return out, nil
}

func (v *v2) counters(c *conn) ([]string, error) {
	is, err := v.counterIndices(c)
	ids := []string{}
	for _, i := range is {
		ids = append(ids, i.id())
	}
	return ids, err
}

// createCounter defines a counter at a random index, as Heads does, and increments
// it once so that it can be read. A counter that is there already, perhaps from a
// call that was interrupted, is taken instead: a TPM has room for few.
func (v *v2) createCounter(c *conn, owner *secret.Buffer) (Counter, error) {
	if err := v.tidy(c); err != nil {
		return Counter{}, err
	}
	k, err := v.primary(c)
	if err != nil {
		return Counter{}, err
	}
	existing, err := v.counterIndices(c)
	if err != nil {
		return Counter{}, err
	}
	if len(existing) > 0 {
		return v.increment(c, k, existing[0].handle)
	}
	h, err := v.freeIndex(c)
	if err != nil {
		return Counter{}, err
	}
	_, err = tpm2.NVDefineSpace{
		AuthHandle: k.owner(owner),
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: h, NameAlg: tpm2.TPMAlgSHA256, Attributes: counterAttributes(), DataSize: counterSize,
		}),
	}.Execute(c)
	if err := v.ownerError(c, c.check(err)); err != nil {
		return Counter{}, err
	}
	return v.increment(c, k, h)
}

// freeIndex picks an unused index.
func (v *v2) freeIndex(c *conn) (tpm2.TPMHandle, error) {
	used, err := v.handles(c, counterFirst)
	if err != nil {
		return 0, err
	}
	for {
		var b [4]byte
		if _, err := rand.Read(b[1:]); err != nil {
			panic(err)
		}
		b[0] = counterPrefix
		if h := binary.BigEndian.Uint32(b[:]); counterIndex(h) && !slices.Contains(used, h) {
			return tpm2.TPMHandle(h), nil
		}
	}
}

// counterHandle reads a counter's name as Heads writes it.
func counterHandle(id string) (tpm2.TPMHandle, error) {
	n, err := strconv.ParseUint(id, 16, 32)
	if err != nil || n>>24 != counterPrefix {
		return 0, fmt.Errorf("%w: %q is no counter's name", ErrNoCounter, id)
	}
	return tpm2.TPMHandle(n), nil
}

func (v *v2) incrementCounter(c *conn, id string) (Counter, error) {
	return v.withCounter(c, id, v.increment)
}

func (v *v2) readCounter(c *conn, id string) (Counter, error) {
	return v.withCounter(c, id, v.read)
}

func (v *v2) withCounter(c *conn, id string, do func(*conn, *key, tpm2.TPMHandle) (Counter, error)) (Counter, error) {
	h, err := counterHandle(id)
	if err != nil {
		return Counter{}, err
	}
	k, done, err := v.salt(c)
	if err != nil {
		return Counter{}, err
	}
	defer done()
	n, err := do(c, k, h)
	if refused(err, v2Handle) || refused(err, v2NVUninit) {
		err = fmt.Errorf("%w (%w)", ErrNoCounter, err)
	}
	return n, err
}

func (v *v2) increment(c *conn, k *key, h tpm2.TPMHandle) (Counter, error) {
	i, err := v.nvPublic(c, h)
	if err != nil {
		return Counter{}, err
	}
	defer v.orderly(c)
	_, err = tpm2.NVIncrement{
		AuthHandle: tpm2.AuthHandle{Handle: h, Name: i.name, Auth: k.session()},
		NVIndex:    tpm2.NamedHandle{Handle: h, Name: i.name},
	}.Execute(c)
	if err != nil {
		return Counter{}, c.check(err)
	}
	return v.read(c, k, h)
}

func (v *v2) read(c *conn, k *key, h tpm2.TPMHandle) (Counter, error) {
	i, err := v.nvPublic(c, h) // again: the first increment changes the index's name
	if err != nil {
		return Counter{}, err
	}
	defer v.orderly(c)
	r, err := tpm2.NVRead{
		AuthHandle: tpm2.AuthHandle{Handle: h, Name: i.name, Auth: k.session()},
		NVIndex:    tpm2.NamedHandle{Handle: h, Name: i.name},
		Size:       counterSize,
	}.Execute(c)
	if err != nil {
		return Counter{}, c.check(err)
	}
	if len(r.Data.Buffer) != counterSize {
		return Counter{}, fmt.Errorf("%w: counter of %d bytes", ErrProtocol, len(r.Data.Buffer))
	}
	n := binary.BigEndian.Uint64(r.Data.Buffer)
	return Counter{ID: i.id(), Line: fmt.Sprintf("%s: %016x", i.id(), n), Value: n}, nil
}

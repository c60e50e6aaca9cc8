package tpm

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"strconv"

	"reown/internal/secret"
)

// createCounter makes Heads' counter, or uses the one that is there under one of its labels:
// a TPM 1.2 has room for four, and Clear removes them.
func (v *v1) createCounter(c *conn, owner *secret.Buffer) (Counter, error) {
	ids, err := c.v1Handles(v1ResourceCounter)
	if err != nil {
		return Counter{}, err
	}
	for _, id := range ids {
		p, err := c.call(v1ReadCounter, id)
		if err != nil {
			continue
		}
		p.u16()
		if l := p.u32(); l != v1CounterLabel && l != v1CounterLabelReset {
			continue
		}
		if n, err := v.increment(c, id); err == nil || c.io != nil || refused(err, v1BadCounter) { // busy: it was read above
			return n, err
		}
	}
	s, err := c.osap(v1EntityOwner, v1Owner, passwordAuth(owner))
	if err != nil {
		return Counter{}, v1SetUpError(err)
	}
	p, err := c.authorised(v1CreateCounter, s, nil, pack(s.hide(sha1.Sum(nil)), uint32(v1CounterLabel)))
	if err != nil {
		return Counter{}, v.ownerError(c, err)
	}
	id := p.u32()
	if p.bad {
		return Counter{}, ErrProtocol
	}
	return v.increment(c, id)
}

// v1Counter makes a Counter of TPM_COUNTER_VALUE: tag, label, count.
func v1Counter(id uint32, p *parser) (Counter, error) {
	raw := bytes.Clone(p.take(10))
	if p.bad {
		return Counter{}, ErrProtocol
	}
	q := parser{b: raw[6:]}
	return Counter{ID: strconv.FormatUint(uint64(id), 10), Line: fmt.Sprintf("%d: %x", id, raw), Value: uint64(q.u32())},
		nil
}

func (v *v1) increment(c *conn, id uint32) (Counter, error) {
	s, err := c.oiap(sha1.Sum(nil)) // Heads' `-pwdc ''`
	if err != nil {
		return Counter{}, err
	}
	p, err := c.authorised(v1IncrementCounter, s, nil, pack(id))
	if refused(err, v1BadCounter) {
		// Either it does not exist, or another one was the first of this start.
		if _, rerr := c.call(v1ReadCounter, id); rerr == nil {
			return Counter{}, fmt.Errorf("%w (%w)", ErrCounterBusy, err)
		}
		return Counter{}, fmt.Errorf("%w (%w)", ErrNoCounter, err)
	}
	if err != nil {
		return Counter{}, err
	}
	return v1Counter(id, p)
}

func v1CounterID(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no counter's number", ErrNoCounter, id)
	}
	return uint32(n), nil
}

func (v *v1) incrementCounter(c *conn, id string) (Counter, error) {
	n, err := v1CounterID(id)
	if err != nil {
		return Counter{}, err
	}
	return v.increment(c, n)
}

func (v *v1) readCounter(c *conn, id string) (Counter, error) {
	n, err := v1CounterID(id)
	if err != nil {
		return Counter{}, err
	}
	p, err := c.call(v1ReadCounter, n)
	if refused(err, v1BadCounter) {
		return Counter{}, fmt.Errorf("%w (%w)", ErrNoCounter, err)
	}
	if err != nil {
		return Counter{}, err
	}
	return v1Counter(n, p)
}

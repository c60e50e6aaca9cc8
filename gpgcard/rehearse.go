package gpgcard

import (
	"context"
	"fmt"

	"reown/internal/secret"
)

// A Plan is what is going to be done to a card that is reset first.
type Plan struct {
	User, Admin *secret.Buffer // the PINs that will be set; nil: none
	Algorithm   Algorithm      // of the keys; 0: none
	Import      bool           // keys from outside, instead of keys made on the card
	KDF         bool           // PINs will be hashed
}

// Rehearse lists what this card is going to refuse of a plan, by asking it: nothing is
// written and no PIN is sent. The problems are those that the acts would return:
// ErrNoReset, *PINLengthError for each PIN, *AlgorithmError for each slot, ErrNoKDF,
// ErrNotImportable, ErrTooLarge. err says that the card could not be asked.
//
// A Gnuk that may be a Nitrokey Start is judged as one: it would take its keys, and then
// refuse the PINs.
//
// A terminated card answers nothing. What is known of it is what its reader's name or ids say: a Nitrokey Start
// will refuse short PINs.
func (c *Card) Rehearse(ctx context.Context, p Plan) (problems []error, err error) {
	if c.terminated {
		return c.rehearseUnseen(p), nil
	}
	d, err := c.applicationData(ctx)
	if err != nil {
		return nil, err
	}
	add := func(err error) { problems = append(problems, err) }
	if !c.resettable() {
		add(ErrNoReset)
	}
	if p.KDF && !c.caps.kdf {
		add(ErrNoKDF)
	}
	for _, x := range []struct {
		which PIN
		pin   *secret.Buffer
	}{{UserPIN, p.User}, {AdminPIN, p.Admin}} {
		if x.pin == nil {
			continue
		}
		lo, hi, unsure := c.planned(d.pw, x.which, p.KDF)
		e := c.pinLength(x.which, x.pin.Len(), lo, hi)
		if e == nil {
			continue
		}
		if unsure && e.Reason == "" {
			e.Reason = "it may be a Nitrokey Start; nothing here says that it is not"
		}
		add(e)
	}
	if p.Algorithm == 0 {
		return problems, nil
	}
	if p.Import {
		more, err := c.rehearseImport(ctx, d, p.Algorithm)
		return append(problems, more...), err
	}
	for _, a := range c.algorithms(ctx, d) {
		if a == p.Algorithm {
			return problems, nil
		}
	}
	add(&AlgorithmError{Slot: Signature, Algorithm: p.Algorithm, Detail: "it does not make such keys"})
	return problems, nil
}

// rehearseUnseen is Rehearse for a card that answers nothing.
func (c *Card) rehearseUnseen(p Plan) (problems []error) {
	if !c.start() || p.KDF {
		return nil
	}
	for which, pin := range map[PIN]*secret.Buffer{UserPIN: p.User, AdminPIN: p.Admin} {
		if pin == nil {
			continue
		}
		if e := c.pinLength(which, pin.Len(), startMin, 127); e != nil {
			problems = append(problems, e)
		}
	}
	return problems
}

// planned is limitsWith for PINs that are set after a reset. unsure: the shortest is a
// Nitrokey Start's, which the card may be.
func (c *Card) planned(pw pwStatus, which PIN, kdf bool) (lo, hi int, unsure bool) {
	lo, hi = c.limitsWith(pw, which, kdf)
	if unsure = lo < startMin && !kdf && c.gnuk() && c.unnamed(); unsure {
		lo = startMin
	}
	return lo, hi, unsure
}

func (c *Card) rehearseImport(ctx context.Context, d *applicationData, alg Algorithm) (problems []error, err error) {
	if !c.caps.keyImport {
		return []error{fmt.Errorf("%w: the card takes no keys from outside", ErrNotImportable)}, nil
	}
	listed, _ := c.listed(ctx, d)
	for s := range slots {
		if listed[alg] != int(slots) {
			problems = append(problems, &AlgorithmError{Slot: s, Algorithm: alg, Detail: "it is not in the card's list"})
			continue
		}
		have, _ := parseAttribute(s, d.attr[s]) // an unknown one is replaced
		if have.Algorithm != alg {
			have = c.candidates(ctx, s, alg, have)[0]
		}
		parts, err := c.encode(command{name: "importing a key", ins: insPutOdd, p1: 0x3f, p2: 0xff,
			data: make([]byte, importSize(s, have))})
		for _, p := range parts {
			p.mem.Wipe()
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("the %v key: %w", s, err))
		}
	}
	return problems, nil
}

// importSize is the length of importKey.headerList, in bytes.
func importSize(s Slot, a attribute) int {
	var lengths []byte
	n := 0
	add := func(size int) { lengths = appendLength(append(lengths, 0), size); n += size }
	if half := a.bits() / 16; half > 0 {
		add((a.exponentBits + 7) / 8)
		add(half)
		add(half)
		for range 3 * (a.format >> 1) {
			add(half)
		}
		if a.format&1 == 1 {
			add(2 * half)
		}
	} else {
		add((a.pointLen() + 1) / 2)
		if a.withPublic {
			add(a.pointLen() + 1)
		}
	}
	inner := appendTLV(appendTLV(nil, 0x7f48, lengths), 0x5f48, make([]byte, n))
	return len(appendTLV(nil, 0x4d, s.crt(), inner))
}

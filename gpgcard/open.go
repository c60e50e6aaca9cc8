package gpgcard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/internal/usb"
)

// A Selector chooses one card. The zero value takes the only OpenPGP card there is.
type Selector struct {
	// Reader is "" for any, a bus ("pcsc", "usb"), or a bus and a name
	// ("pcsc:Nitrokey", "usb:1-4"); a PC/SC name may be a part of the whole.
	Reader string
	// Serial is "" for any, or as Serial prints it, the number alone, or the whole
	// AID.
	Serial string
}

func (s Selector) matchesReader(r Reader) bool {
	bus, name, named := strings.Cut(s.Reader, ":")
	if s.Reader == "" || bus == r.Bus && (!named || name == r.Name ||
		strings.HasPrefix(r.Name, name+".")) { // a slot of it
		return true
	}
	return bus == r.Bus && r.Bus == "pcsc" && strings.Contains(strings.ToLower(r.Name), strings.ToLower(name))
}

// Found is one OpenPGP card as List found it.
type Found struct {
	Reader     Reader `json:"reader"`
	Serial     Serial `json:"serial"`     // zero when Terminated
	Terminated bool   `json:"terminated"` // a reset was begun and not ended
	// Fingerprint of the signature key, "" for none.
	Fingerprint string `json:"fingerprint,omitempty"`
	Err         error  `json:"-"` // the reader holds something that could not be read
}

// List looks into every reader. Readers without a card, and cards without the
// OpenPGP application, are left out; a reader that fails is listed with its error.
// The same token seen over two buses is listed once, by the first. It waits as Open does.
func List(ctx context.Context, buses ...Bus) (out []Found, err error) {
	left := usb.Settle(ctx, func() bool { return settling(buses) }, func() bool {
		out, err = listNow(ctx, buses)
		return err != nil || len(out) > 0
	})
	if left != nil {
		return nil, left
	}
	return out, err
}

func listNow(ctx context.Context, buses []Bus) ([]Found, error) {
	var out []Found
	_, err := each(ctx, buses, Selector{}, func(c *Card) (bool, error) {
		f := Found{Reader: c.reader, Serial: c.serial, Terminated: c.terminated}
		for _, o := range out {
			if !f.Terminated && o.Serial == f.Serial && o.Reader.Bus != f.Reader.Bus {
				return false, nil
			}
		}
		if !c.terminated {
			d, err := c.applicationData(ctx)
			if err != nil {
				return false, err
			}
			if d.fpr[Signature] != [20]byte{} {
				f.Fingerprint = fmt.Sprintf("%X", d.fpr[Signature])
			}
		}
		out = append(out, f)
		return false, nil
	}, func(r Reader, err error) { out = append(out, Found{Reader: r, Err: err}) })
	return out, err
}

// Open selects the card that the selector names. More than one that matches is
// ErrSeveralCards, and never the first of them.
//
// A terminated card cannot tell its serial number. It is taken for the one that is
// asked for when no other card matches: its keys are gone already, and Reset is
// all that can be done with it.
//
// Where there is none, and a Bus says that one may be about to come, it is waited for.
func Open(ctx context.Context, sel Selector, buses ...Bus) (c *Card, err error) {
	left := usb.Settle(ctx, func() bool { return settling(buses) }, func() bool {
		c, err = openNow(ctx, sel, buses)
		return !errors.Is(err, ErrNoReader) && !errors.Is(err, ErrNoCard)
	})
	if left != nil {
		return nil, left
	}
	return c, err
}

func settling(buses []Bus) bool {
	return slices.ContainsFunc(buses, func(b Bus) bool { return usb.Settling(b) })
}

func openNow(ctx context.Context, sel Selector, buses []Bus) (*Card, error) {
	var match, spare *Card
	var failed error
	fail := func(err error) (*Card, error) {
		if match != nil {
			match.Close()
		}
		if spare != nil {
			spare.Close()
		}
		return nil, err
	}
	readers, err := each(ctx, buses, sel, func(c *Card) (bool, error) {
		switch {
		case c.terminated && sel.Serial != "":
			if spare != nil {
				return false, fmt.Errorf("%w: two of them are terminated", ErrSeveralCards)
			}
			spare = c
		case sel.Serial != "" && !c.serial.matches(sel.Serial):
			return false, nil
		case match != nil && !c.terminated && match.serial == c.serial && match.reader.Bus != c.reader.Bus:
			return false, nil // the same token over another bus
		case match != nil:
			return false, fmt.Errorf("%w: %v in %v and %v in %v", ErrSeveralCards, match.serial, match.reader, c.serial,
				c.reader)
		default:
			match = c
		}
		return true, nil
	}, func(r Reader, err error) {
		switch {
		case errors.Is(err, ErrNoApplet):
		case r.Bus == "": // all of a bus
			failed = errors.Join(failed, err)
		default:
			failed = errors.Join(failed, fmt.Errorf("%v: %w", r, err))
		}
	})
	switch {
	case err != nil:
		return fail(err)
	case match != nil:
		if spare != nil {
			spare.Close()
		}
		return match, nil
	case spare != nil:
		return spare, nil
	case failed != nil:
		return fail(failed)
	case readers == 0:
		return fail(ErrNoReader)
	}
	return fail(ErrNoCard)
}

// each opens the card in every reader that matches and gives it to use, which says
// whether it keeps it. Readers that cannot be used are given to skip. It returns
// the number of readers.
func each(ctx context.Context, buses []Bus, sel Selector, use func(*Card) (keep bool, err error),
	skip func(Reader, error)) (int, error) {
	n := 0
	for _, b := range buses {
		readers, err := b.Readers(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return n, err
			}
			// The card may be on the other one.
			skip(Reader{}, err)
			continue
		}
		for _, r := range readers {
			n++
			if !r.Present || !sel.matchesReader(r) {
				continue
			}
			if err := try(ctx, b, r, use, skip); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// try is each with one reader.
func try(ctx context.Context, b Bus, r Reader, use func(*Card) (keep bool, err error), skip func(Reader, error)) error {
	c, err := open(ctx, b, r)
	switch {
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && !errors.Is(err, ErrNoApplet):
		skip(r, err)
	}
	if c == nil || err != nil {
		return nil
	}
	keep, err := use(c)
	if !keep {
		c.Close()
	}
	return err
}

// open returns no card and no error for an empty slot: a Bus may not know before.
func open(ctx context.Context, b Bus, r Reader) (*Card, error) {
	link, err := b.Connect(ctx, r)
	if errors.Is(err, ErrRemoved) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return New(ctx, link, r)
}

// Matches reports that a card which List found is one that the selector means.
func (s Selector) Matches(f Found) bool {
	return s.matchesReader(f.Reader) && (s.Serial == "" || f.Terminated || f.Serial.matches(s.Serial))
}

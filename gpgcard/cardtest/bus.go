package cardtest

import (
	"context"
	"fmt"
	"time"

	"reown/gpgcard"
)

// A Bus is a set of readers in this process. A reader without a card is empty.
type Bus struct {
	Name  string // "pcsc" or "usb"
	Slots []Slot
}

// A Slot is one reader of a Bus.
type Slot struct {
	Name     string
	Card     *Card
	VID, PID uint16
}

// NewBus is a Bus with one reader for each card.
func NewBus(cards ...*Card) *Bus {
	b := &Bus{Name: "test"}
	for i, c := range cards {
		b.Slots = append(b.Slots, Slot{Name: fmt.Sprint(i), Card: c})
	}
	return b
}

// Readers implements gpgcard.Bus.
func (b *Bus) Readers(context.Context) ([]gpgcard.Reader, error) {
	var out []gpgcard.Reader
	for _, s := range b.Slots {
		out = append(out, gpgcard.Reader{Bus: b.Name, Name: s.Name, Present: s.Card != nil, VID: s.VID, PID: s.PID})
	}
	return out, nil
}

// Connect implements gpgcard.Bus.
func (b *Bus) Connect(_ context.Context, r gpgcard.Reader) (gpgcard.Link, error) {
	for _, s := range b.Slots {
		if s.Name == r.Name && s.Card != nil {
			return NewLink(s.Card), nil
		}
	}
	return nil, gpgcard.ErrRemoved
}

// A Link connects a client in this process to a card.
type Link struct {
	Card *Card
	wait func(touch bool)
}

// NewLink powers the card on.
func NewLink(c *Card) *Link {
	c.PowerOn()
	return &Link{Card: c}
}

// Transmit implements gpgcard.Transport; a card without power is ErrRemoved.
func (l *Link) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	done := make(chan []byte, 1)
	cmd := append([]byte(nil), apdu...) // the caller wipes its own
	go func() { done <- l.Card.Transmit(cmd) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case r := <-done:
			if r == nil {
				return nil, gpgcard.ErrRemoved
			}
			return r, nil
		case <-tick.C:
			if l.wait != nil {
				l.wait(l.Card.WaitingForTouch())
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// SetWait implements gpgcard.Waiter.
func (l *Link) SetWait(f func(touch bool)) { l.wait = f }

// PowerCycle implements gpgcard.Link.
func (l *Link) PowerCycle(context.Context) error {
	l.Card.PowerOff()
	l.Card.PowerOn()
	return nil
}

// Close implements gpgcard.Link.
func (l *Link) Close() error { l.Card.PowerOff(); return nil }

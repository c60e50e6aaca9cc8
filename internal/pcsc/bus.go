package pcsc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reown/gpgcard"
)

// Bus offers the readers of one pcscd to gpgcard. The zero value uses
// DefaultSocket.
type Bus struct {
	Socket string
}

var _ gpgcard.Bus = Bus{}

// Readers lists the daemon's readers. Without a daemon there are none, which is
// no error (tokens are then reached over USB) unless its socket was named.
func (b Bus) Readers(ctx context.Context) ([]gpgcard.Reader, error) {
	c, err := Dial(ctx, b.Socket)
	if errors.Is(err, ErrNotRunning) && b.Socket == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	states, err := c.Readers(ctx)
	if err != nil {
		return nil, err
	}
	var out []gpgcard.Reader
	for _, s := range states {
		out = append(out, gpgcard.Reader{Bus: "pcsc", Name: s.Name, Product: s.Name, Present: s.Present, ATR: s.ATR})
	}
	return out, nil
}

// Connect takes the reader exclusively, for at most busyWait waiting for another
// program (scdaemon holds it for a moment after each use).
func (b Bus) Connect(ctx context.Context, r gpgcard.Reader) (gpgcard.Link, error) {
	c, err := Dial(ctx, b.Socket)
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		k, err := c.Connect(ctx, r.Name, true)
		if err == nil {
			if err := k.Begin(ctx); err != nil {
				c.Close()
				return nil, translate(err, "reserving "+r.Name)
			}
			return &link{c: c, k: k, name: r.Name}, nil
		}
		if !errors.Is(err, CodeSharing) || tries == busyTries {
			c.Close()
			return nil, translate(err, "connecting to "+r.Name)
		}
		if err := sleep(ctx, busyPause); err != nil {
			c.Close()
			return nil, err
		}
	}
}

const (
	busyTries = 15
	busyPause = 200 * time.Millisecond
)

// link is a connection that holds the reader and a transaction.
type link struct {
	c    *Client
	k    *Card
	name string
}

func (l *link) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	r, err := l.k.Transmit(ctx, apdu)
	if err != nil {
		return nil, translate(err, "command to "+l.name)
	}
	return r, nil
}

// PowerCycle gives the transaction up for the moment of the reset; the reader
// stays ours, being connected exclusively.
func (l *link) PowerCycle(ctx context.Context) error {
	if err := l.k.End(ctx); err != nil && !errors.Is(err, CodeReset) {
		return translate(err, "switching the card in "+l.name+" off")
	}
	if err := l.k.Reconnect(ctx, true); err != nil {
		return translate(err, "switching the card in "+l.name+" on")
	}
	return translate(l.k.Begin(ctx), "reserving "+l.name)
}

// Close resets the card. The daemon itself resets a card whose client went away,
// so that a failure here leaves no verified PIN either.
func (l *link) Close() error {
	if l.c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var err error
	if l.c.err == nil {
		_ = l.k.End(ctx)
		err = l.k.Disconnect(ctx)
	}
	l.c.Close()
	l.c = nil
	if errors.Is(err, CodeRemoved) || errors.Is(err, CodeReaderGone) || errors.Is(err, CodeInvalidHandle) {
		return nil
	}
	return translate(err, "giving "+l.name+" back")
}

// translate maps the daemon's codes to the sentinels of gpgcard.
func translate(err error, doing string) error {
	var code Code
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &code):
		return fmt.Errorf("%s: %w", doing, err)
	}
	switch code {
	case CodeSharing:
		return fmt.Errorf("%s: %w: %w", doing, gpgcard.ErrBusy, err)
	case CodeNoCard, CodeRemoved, CodeReaderGone, CodeUnknownReader, CodeUnpowered, CodeUnresponsive, CodeNotTransacted:
		return fmt.Errorf("%s: %w: %w", doing, gpgcard.ErrRemoved, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

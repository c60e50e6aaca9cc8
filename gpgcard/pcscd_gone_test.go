package gpgcard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/internal/pcsc"
)

// TestAHungDaemon: a real pcscd that is stopped in its tracks is left by the end of the
// context, in the middle of a command and before one; when it goes on, so do we. One that
// ends is told as such.
func TestAHungDaemon(t *testing.T) {
	t.Parallel()
	d, _ := daemon(t, cardtest.New(cardtest.Nitrokey3))
	bus := pcsc.Bus{Socket: d.Socket}
	c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, bus)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(context.Context) error{
		"a command": func(ctx context.Context) error { _, err := c.Info(ctx); return err },
		"a look":    func(ctx context.Context) error { _, err := gpgcard.List(ctx, bus); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := use(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = c.Close() // the daemon forgets the card by itself
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	c, err = gpgcard.Open(t.Context(), gpgcard.Selector{}, bus)
	if err != nil {
		t.Fatalf("afterwards: %v", err)
	}
	d.Stop()
	if _, err = c.Info(t.Context()); err == nil || strings.Contains(err.Error(), "context") {
		t.Errorf("it has ended: %v", err)
	}
	_ = c.Close()
	if _, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, bus); !errors.Is(err, pcsc.ErrNotRunning) {
		t.Errorf("after its end: %v", err)
	}
}

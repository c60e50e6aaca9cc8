package ccid

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"reown/internal/usb"
)

// stuck is a reader whose slot a command that was given up keeps for ever.
type stuck struct {
	usb.Device
	seq byte
}

func (s *stuck) BulkOut(_ context.Context, _ byte, p []byte) error { s.seq = p[6]; return nil }

func (s *stuck) BulkIn(_ context.Context, _ byte, p []byte) (int, error) {
	return copy(p, []byte{msgSlotStatusResp, 0, 0, 0, 0, 0, s.seq, 0x40, codeBusy, 0}), nil
}

// A card that is still at work when the patience ends was not switched off.
func TestPowerOffOfABusySlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader(&stuck{}, Descriptor{MaxMessage: maxMessage, In: usb.Endpoint{MaxPacket: 64}})
		err := r.PowerOff(t.Context())
		var ce *CommandError
		if !errors.Is(err, ErrNoAnswer) || !errors.As(err, &ce) || ce.Code != codeBusy {
			t.Errorf("got %v", err)
		}
		if r.seq < 10 {
			t.Errorf("asked %d times", r.seq)
		}
	})
}

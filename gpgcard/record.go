package gpgcard

import (
	"context"
	"fmt"
	"io"

	"reown/internal/usb"
)

// Record are buses whose cards' exchanges are written to w, in the text form that
// testdata/apdu/README.md describes: "> command", "< response", in hexadecimal digits, and
// "#" before all else. What holds a PIN, a secret key or decrypted data is "**". A write
// that fails is w's to keep.
func Record(w io.Writer, buses ...Bus) []Bus {
	var all []Bus
	for _, b := range buses {
		all = append(all, recordedBus{b, w})
	}
	return all
}

type recordedBus struct {
	Bus
	w io.Writer
}

// Settling says what the bus below says.
func (b recordedBus) Settling() bool { return usb.Settling(b.Bus) }

func (b recordedBus) Connect(ctx context.Context, r Reader) (Link, error) {
	l, err := b.Bus.Connect(ctx, r)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(b.w, "# %s:%s %04x:%04x\n", r.Bus, printable([]byte(r.Product)), r.VID, r.PID)
	return &recordedLink{Link: l, w: b.w}, nil
}

type recordedLink struct {
	Link
	w    io.Writer
	rest bool // of an answer that is not written down
}

func (l *recordedLink) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	out, back := hides(apdu)
	if len(apdu) > 1 && apdu[1] == insResponse {
		back = l.rest
	}
	l.rest = back
	if out {
		fmt.Fprintf(l.w, "> %x**\n", apdu[:4])
	} else {
		fmt.Fprintf(l.w, "> %x\n", apdu)
	}
	r, err := l.Link.Transmit(ctx, apdu)
	switch {
	case err != nil:
		fmt.Fprintf(l.w, "# %s\n", printable([]byte(err.Error())))
	case back && len(r) > 2:
		fmt.Fprintf(l.w, "< **%x\n", r[len(r)-2:])
	default:
		fmt.Fprintf(l.w, "< %x\n", r)
	}
	return r, err
}

// hides says whether a command, or its answer, is not written down: a PIN, hashes of PINs,
// a secret key, private objects, what was decrypted. Which command it was is in its first
// four bytes.
func hides(apdu []byte) (command, answer bool) {
	if len(apdu) < 5 {
		return false, false
	}
	switch p1, p2 := apdu[2], apdu[3]; apdu[1] {
	case insVerify, insChange, insUnblock, insPutOdd:
		return true, false
	case insPutData:
		return p1 == 0 && (p2 == 0xd3 || p2 == 0xf9) || p1 == 1, false
	case insGetData:
		return false, p1 == 1
	case insPSO:
		return false, p1 == 0x80
	}
	return false, false
}

// SetWait implements Waiter, as far as the link below does.
func (l *recordedLink) SetWait(f func(touch bool)) {
	if w, ok := l.Link.(Waiter); ok {
		w.SetWait(f)
	}
}

// ShortOnly implements Limiter, as far as the link below does.
func (l *recordedLink) ShortOnly() bool {
	s, ok := l.Link.(Limiter)
	return ok && s.ShortOnly()
}

// PowerCycle implements Link.
func (l *recordedLink) PowerCycle(ctx context.Context) error {
	fmt.Fprintln(l.w, "# off and on")
	return l.Link.PowerCycle(ctx)
}

package usbip_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"reown/gpgcard/cardtest/usbdev"
	"reown/gpgcard/cardtest/usbdev/usbip"
	"reown/internal/ccid"
	"reown/internal/usb"
)

// card echoes commands.
type card struct{}

func (c *card) ATR() []byte {
	return []byte{0x3b, 0xda, 0x18, 0xff, 0x81, 0xb1, 0xfe, 0x75, 0x1f, 0x03, 0x00, 0x31, 0xf5, 0x73, 0xc0, 0x01, 0x60,
		0x00, 0x90, 0x00, 0x1c}
}
func (c *card) Transmit(apdu []byte) []byte { return append(bytes.Clone(apdu), 0x90, 0x00) }

func serve(t *testing.T, d *usbdev.Device) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "usbip")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- usbip.Serve(ctx, l, d.Open()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

func TestLoop(t *testing.T) {
	for _, p := range []usbdev.Profile{usbdev.Pro, usbdev.NK3, usbdev.Gnuk} {
		t.Run(p.Name, func(t *testing.T) {
			d := usbdev.New(p, &card{}, nil)
			path := serve(t, d)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if _, err := usbip.Dial(ctx, "unix", path, "9-9"); !errors.Is(err, usb.ErrGone) {
				t.Fatalf("a device that is not exported: %v", err)
			}
			dev, err := usbip.Dial(ctx, "unix", path, usbip.BusID)
			if err != nil {
				t.Fatal(err)
			}
			r, err := ccid.Open(dev)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			c, err := r.Connect(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range []int{5, 100, 261} {
				cmd := bytes.Repeat([]byte{1}, n)
				got, err := c.Transmit(ctx, cmd)
				if err != nil || !bytes.Equal(got, append(cmd, 0x90, 0x00)) {
					t.Fatalf("%d bytes: %x %v", n, got, err)
				}
			}
			if p.Name == "gnuk" {
				return
			}
			// A cancelled exchange is cut off; the next connection works.
			d.Slow(time.Second)
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			if _, err := c.Transmit(short, []byte{0, 1, 2, 3}); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v", err)
			}
			if _, err := c.Transmit(ctx, []byte{0, 1, 2, 3}); !errors.Is(err, ccid.ErrClosed) {
				t.Fatalf("got %v", err)
			}
			d.Slow(0)
			if err := c.PowerCycle(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Transmit(ctx, []byte{0, 1, 2, 3}); err != nil {
				t.Fatal(err)
			}
			d.Unplug()
			if _, err := c.Transmit(ctx, []byte{0, 1, 2, 3}); !errors.Is(err, usb.ErrGone) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

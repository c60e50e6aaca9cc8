package usb_test

// usbfs is only true behind a real kernel.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reown/gpgcard/cardtest/usbdev"
	"reown/gpgcard/cardtest/usbdev/guest"
	"reown/internal/ccid"
	"reown/internal/usb"
)

func TestMain(m *testing.M) {
	guest.Main(checkGuest)
	os.Exit(m.Run())
}

// vmCard echoes commands, and thinks when told to.
type vmCard struct{}

func (vmCard) ATR() []byte {
	return []byte{0x3b, 0xda, 0x18, 0xff, 0x81, 0xb1, 0xfe, 0x75, 0x1f, 0x03, 0x00, 0x31, 0xf5, 0x73, 0xc0, 0x01, 0x60,
		0x00, 0x90, 0x00, 0x1c}
}

func (vmCard) Transmit(apdu []byte) []byte {
	if len(apdu) > 1 && apdu[1] == 0x47 {
		time.Sleep(500 * time.Millisecond) // a key generation, in miniature
	}
	return append(bytes.Clone(apdu), 0x90, 0x00)
}

// vmReport answers each report with its complement.
type vmReport struct {
	mu sync.Mutex
	b  [64]byte
}

func (r *vmReport) SetReport(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range min(len(p), 64) {
		r.b[i] = ^p[i]
	}
}

func (r *vmReport) GetReport() []byte { r.mu.Lock(); defer r.mu.Unlock(); return bytes.Clone(r.b[:]) }

func TestUSBFS(t *testing.T) {
	token := usbdev.New(usbdev.Pro, vmCard{}, &vmReport{})
	guest.Boot(t, token, nil, func(line string, reply func(string)) {
		switch line {
		case "UNPLUG":
			token.Unplug()
		case "PLUG":
			token.Plug()
		case "SLOW":
			token.Slow(2 * time.Second)
			reply("ok")
		case "FAST":
			token.Slow(0)
			reply("ok")
		}
	})
}

// await finds the token, other than the one at an old address.
func await(old int) usb.Info {
	for range 300 {
		all, err := ccid.Find(usb.System())
		guest.Must(err)
		for _, i := range all {
			if i.Address != old && i.Serial != "" {
				return i
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	panic("no token")
}

func checkGuest() {
	ctx := context.Background()
	tell := func(s string) {
		fmt.Println(s)
		var b [8]byte
		_, err := os.Stdin.Read(b[:])
		guest.Must(err)
	}
	info := await(0)
	fmt.Println("found", info, info.Serial)
	guest.Check(info.Serial == usbdev.Pro.Serial, "serial %q", info.Serial)

	// APDUs through T=1, in both directions longer than a block, with waiting.
	c, err := ccid.Connect(ctx, usb.System(), info)
	guest.Must(err)
	waits := 0
	c.SetWait(func(bool) { waits++ })
	for _, n := range []int{5, 52, 53, 54, 260, 2000} {
		cmd := bytes.Repeat([]byte{7}, n)
		got, err := c.Transmit(ctx, cmd)
		guest.Must(err)
		guest.Check(bytes.Equal(got, append(cmd, 0x90, 0x00)), "%d bytes came back as %x", n, got)
	}
	_, err = c.Transmit(ctx, []byte{0, 0x47, 0x80, 0})
	guest.Must(err)
	guest.Check(waits > 5, "%d requests for time in half a second", waits)
	fmt.Println("apdus ok, waits", waits)

	// Another program finds the interface taken.
	_, err = ccid.Connect(ctx, usb.System(), info)
	guest.Check(errors.Is(err, usb.ErrBusy), "a second connection: %v", err)

	// A cancelled exchange; the card recovers by power.
	tell("SLOW")
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	_, err = c.Transmit(short, []byte{0, 1, 2, 3})
	cancel()
	guest.Check(errors.Is(err, context.DeadlineExceeded), "cancelled: %v", err)
	tell("FAST")
	guest.Must(c.PowerCycle(ctx))
	_, err = c.Transmit(ctx, []byte{0, 1, 2, 3})
	guest.Must(err)
	guest.Must(c.Close())
	fmt.Println("cancel ok")

	// HID feature reports, with the kernel's driver put aside and back.
	driver := func() string {
		l, _ := filepath.Glob("/sys/bus/usb/drivers/usbhid/*:1.0")
		return strings.Join(l, " ")
	}
	for range 100 {
		if driver() != "" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	guest.Check(driver() != "", "usbhid has not bound the interface: the test proves nothing")
	dev, err := usb.System().Open(info)
	guest.Must(err)
	guest.Must(dev.Claim(0))
	guest.Check(driver() == "", "usbhid still has %s", driver())
	report := bytes.Repeat([]byte{0x5a}, 64)
	_, err = dev.Control(ctx, usb.Setup{RequestType: 0x21, Request: 9, Value: 0x0300}, report)
	guest.Must(err)
	n, err := dev.Control(ctx, usb.Setup{RequestType: 0xa1, Request: 1, Value: 0x0300}, report)
	guest.Must(err)
	guest.Check(n == 64 && bytes.Equal(report, bytes.Repeat([]byte{0xa5}, 64)), "report %x", report)
	_, err = dev.Control(ctx, usb.Setup{RequestType: 0xa1, Request: 99}, report)
	guest.Check(errors.Is(err, usb.ErrStall), "a request that is refused: %v", err)
	guest.Must(dev.Release(0))
	for range 100 {
		if driver() != "" {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	guest.Check(driver() != "", "usbhid was not given the interface back")
	guest.Must(dev.Reset())
	guest.Must(dev.Close())
	guest.Check(errors.Is(dev.BulkOut(ctx, 2, nil), usb.ErrGone), "a closed device takes transfers")
	fmt.Println("hid ok")

	// Pulled out while a transfer waits; and back.
	dev, err = usb.System().Open(info)
	guest.Must(err)
	guest.Must(dev.Claim(1))
	ended := make(chan error)
	go func() {
		_, err := dev.BulkIn(ctx, 0x82, make([]byte, 512))
		ended <- err
	}()
	time.Sleep(100 * time.Millisecond)
	fmt.Println("UNPLUG")
	err = <-ended
	guest.Check(errors.Is(err, usb.ErrGone), "unplugged: %v", err)
	_, err = dev.Control(ctx, usb.Setup{RequestType: 0x80, Request: 6, Value: 0x0100}, make([]byte, 18))
	guest.Check(errors.Is(err, usb.ErrGone), "after unplugging: %v", err)
	guest.Must(dev.Close())
	for range 100 {
		if all, _ := ccid.Find(usb.System()); len(all) == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, err = usb.System().Open(info)
	guest.Check(errors.Is(err, usb.ErrGone), "opened what is not there: %v", err)
	fmt.Println("PLUG")
	c, err = ccid.Connect(ctx, usb.System(), await(info.Address))
	guest.Must(err)
	_, err = c.Transmit(ctx, []byte{0, 1, 2, 3})
	guest.Must(err)
	guest.Must(c.Close())
	fmt.Println("unplug ok")
}

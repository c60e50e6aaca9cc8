package ccid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/ccid"
	"reown/internal/usb"
)

// TestRepairs: T=1 repairs what was damaged or lost on the way to or from the card, in
// the middle of long commands and answers, without the card executing anything twice.
func TestRepairs(t *testing.T) {
	for _, c := range []struct {
		name string
		arm  func(*usbdev.Device, int)
	}{
		{"wrong check byte", (*usbdev.Device).Corrupt},
		{"lost block", (*usbdev.Device).LoseBlocks},
		{"lost answer", (*usbdev.Device).LoseAnswers},
		{"both", func(d *usbdev.Device, n int) { d.LoseBlocks(n - n/2); d.Corrupt(n / 2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &echo{extra: 700}
			d := usbdev.New(usbdev.Pro, e, nil)
			conn := connect(t, d)
			for faults := 1; faults <= 2; faults++ {
				for _, n := range []int{5, 254, 255, 600, 1500} {
					c.arm(d, faults)
					exchange(t, conn, e, n)
				}
			}
		})
	}
}

// TestFaultAnywhere damages one block at each position of an exchange of several blocks.
func TestFaultAnywhere(t *testing.T) {
	for name, arm := range map[string]func(*usbdev.Device){
		"corrupt": func(d *usbdev.Device) { d.Corrupt(1) },
		"lose":    func(d *usbdev.Device) { d.LoseBlocks(1) },
		"mute":    func(d *usbdev.Device) { d.LoseAnswers(1) },
	} {
		t.Run(name, func(t *testing.T) {
			e := &echo{extra: 600}
			d := usbdev.New(usbdev.Pro, e, nil)
			conn := connect(t, d)
			for at := 1; at <= 14; at++ {
				d.After(at, func() { arm(d) })
				exchange(t, conn, e, 600)
			}
		})
	}
}

// TestLost: what cannot be repaired is said, and nothing is executed twice.
func TestLost(t *testing.T) {
	e := &echo{}
	d := usbdev.New(usbdev.Pro, e, nil)
	conn := connect(t, d)

	// The answer never comes through, but resynchronisation does: the card may have
	// executed the command.
	d.Corrupt(4)
	if _, err := conn.Transmit(ctx(t), apdu(20)); !errors.Is(err, ccid.ErrLost) {
		t.Fatalf("got %v", err)
	}
	if e.count() != 1 {
		t.Fatalf("executed %d times", e.count())
	}
	if _, err := conn.Transmit(ctx(t), apdu(20)); !errors.Is(err, ccid.ErrClosed) {
		t.Fatalf("a broken connection was used: %v", err)
	}
	if err := conn.PowerCycle(ctx(t)); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, e, 20)

	// A long command whose first block does not come through has not been executed: it
	// is sent again after resynchronisation.
	d.LoseBlocks(4)
	exchange(t, conn, e, 600)

	// Nothing comes through any more.
	d.LoseBlocks(1 << 20)
	if _, err := conn.Transmit(ctx(t), apdu(20)); !errors.Is(err, ccid.ErrLost) {
		t.Fatalf("got %v", err)
	}
	d.LoseBlocks(0)
	if err := conn.PowerCycle(ctx(t)); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, e, 20)
}

// TestWaiting: a card may ask for time as often as it likes, on every level.
func TestWaiting(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.Name, func(t *testing.T) {
			e := &echo{}
			d := usbdev.New(p, e, nil)
			conn := connect(t, d)
			waits := 0
			conn.SetWait(func(touch bool) {
				if touch {
					t.Error("a touch that nobody wants")
				}
				waits++
			})
			d.Extensions(500)
			exchange(t, conn, e, 20)
			if waits < 500 {
				t.Fatalf("%d requests for time", waits)
			}
			d.Extensions(0)
			waits = 0
			d.Slow(20 * p.Extension)
			exchange(t, conn, e, 20)
			if waits < 5 {
				t.Fatalf("%d requests for time from a slow card", waits)
			}
			conn.SetWait(nil)
			exchange(t, conn, e, 20)
		})
	}
}

// TestSilence: a reader that says nothing for a while has not failed, and is reported.
func TestSilence(t *testing.T) {
	if testing.Short() {
		t.Skip("takes six seconds")
	}
	p := usbdev.NK3
	p.Extension = time.Hour
	e := &echo{}
	d := usbdev.New(p, e, nil)
	conn := connect(t, d)
	silent := 0
	conn.Reader().Notify = func(n ccid.Notice) {
		if n.Silent && n.Elapsed > 0 {
			silent++
		}
	}
	d.Slow(5500 * time.Millisecond)
	exchange(t, conn, e, 20)
	if silent != 1 {
		t.Fatalf("silence was reported %d times", silent)
	}
}

// TestMessages: late answers are skipped, split ones put together.
func TestMessages(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.Name, func(t *testing.T) {
			e := &echo{extra: 200}
			d := usbdev.New(p, e, nil)
			conn := connect(t, d)
			d.Stale(3)
			exchange(t, conn, e, 20)
			d.Split(64)
			exchange(t, conn, e, 20)
			d.Stale(1)
			exchange(t, conn, e, 40)
		})
	}
}

// TestUnplug pulls the token out at each transfer of connecting and of an exchange, and
// expects usb.ErrGone each time, and a working connection afterwards.
func TestUnplug(t *testing.T) {
	for _, p := range profiles {
		t.Run(p.Name, func(t *testing.T) {
			for at := 1; ; at++ {
				e := &echo{extra: 300}
				d := usbdev.New(p, e, nil)
				bus := usbdev.NewBus(d)
				use := func() error {
					found, err := ccid.Find(bus)
					if err != nil || len(found) != 1 {
						t.Fatalf("found %v, %v", found, err)
					}
					c, err := ccid.Connect(ctx(t), bus, found[0])
					if err != nil {
						return err
					}
					defer c.Close()
					_, err = c.Transmit(ctx(t), apdu(100))
					return err
				}
				d.UnplugAfter(at)
				err := use()
				if d.Plugged() || err == nil { // err: it was pulled out by Close
					if err != nil {
						t.Fatal(err)
					}
					if at < 7 {
						t.Fatalf("only %d transfers", at)
					}
					return
				}
				if !errors.Is(err, usb.ErrGone) {
					t.Fatalf("transfer %d: %v", at, err)
				}
				d.Plug()
				if err := use(); err != nil {
					t.Fatalf("transfer %d: plugged in again: %v", at, err)
				}
			}
		})
	}
}

// TestCancel: the context ends every wait, also for a token that has crashed.
func TestCancel(t *testing.T) {
	e := &echo{}
	d := usbdev.New(usbdev.NK3, e, nil)
	conn := connect(t, d)
	d.Slow(500 * time.Millisecond)
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := conn.Transmit(short, apdu(20)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	d.Slow(0)
	if err := conn.PowerCycle(ctx(t)); err != nil { // waits until the card is idle
		t.Fatal(err)
	}
	exchange(t, conn, e, 20)
	if _, err := conn.Transmit(short, apdu(20)); !errors.Is(err, context.DeadlineExceeded) || e.count() != 2 {
		t.Fatalf("with a context that has ended: %v, %d commands", err, e.count())
	}
	exchange(t, conn, e, 20) // nothing was sent: the connection is whole
	d.Hang()
	done, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := conn.Transmit(done, apdu(20)); !errors.Is(err, context.Canceled) {
		t.Fatalf("a crashed token: %v", err)
	}
	d.Unplug()
	if _, err := conn.Transmit(ctx(t), apdu(20)); !errors.Is(err, ccid.ErrClosed) || !errors.Is(err, context.Canceled) {
		t.Fatalf("the reason was forgotten: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBusy: one program at a time.
func TestBusy(t *testing.T) {
	bus := usbdev.NewBus(usbdev.New(usbdev.Gnuk, &echo{}, nil))
	found, err := ccid.Find(bus)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ccid.Connect(ctx(t), bus, found[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ccid.Connect(ctx(t), bus, found[0]); !errors.Is(err, usb.ErrBusy) {
		t.Fatalf("got %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transmit(ctx(t), apdu(5)); !errors.Is(err, ccid.ErrClosed) {
		t.Fatalf("a closed connection: %v", err)
	}
	if c, err = ccid.Connect(ctx(t), bus, found[0]); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestBadATR: a reader at TPDU level needs a card that offers T=1.
func TestBadATR(t *testing.T) {
	for name, c := range map[string]struct {
		atr  []byte
		want error
	}{
		"T=0 only":   {[]byte{0x3b, 0x02, 0x14, 0x50}, ccid.ErrUnsupported},
		"check byte": {append(bytes.Clone(zeitcontrol[:20]), 0x1d), ccid.ErrProtocol},
		"cut":        {zeitcontrol[:12], ccid.ErrProtocol},
		"no TS":      {append([]byte{0x3a}, zeitcontrol[1:]...), ccid.ErrProtocol},
	} {
		bus := usbdev.NewBus(usbdev.New(usbdev.Pro, &echo{atr: c.atr}, nil))
		found, err := ccid.Find(bus)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ccid.Connect(ctx(t), bus, found[0]); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlainReader: a reader that leaves voltage and IFSD to the host.
func TestPlainReader(t *testing.T) {
	p := usbdev.Pro
	p.Features = 0x00010032 // and makes no PPS
	e := &echo{extra: 300}
	var sent []string
	d := usbdev.New(p, e, nil)
	d.Log(func(line string) { sent = append(sent, line) })
	conn := connect(t, d)
	log := strings.Join(sent, "\n")
	for _, want := range []string{"out 620000000000", "020000", "ff1118f6", "1810ff7500fe00",
		"00c101fe3e"} { // power on with 3 V, PPS, speed, S(IFS request)
		if !strings.Contains(log, want) {
			t.Errorf("%s is missing in\n%s", want, log)
		}
	}
	exchange(t, conn, e, 300)
}

// button is a card that waits for a touch.
type button struct {
	echo
	waiting atomic.Bool
	finger  chan struct{}
}

func (b *button) WaitingForTouch() bool { return b.waiting.Load() }

func (b *button) Transmit(apdu []byte) []byte {
	b.waiting.Store(true)
	<-b.finger
	b.waiting.Store(false)
	return b.echo.Transmit(apdu)
}

// TestTouch: a Gnuk says that it waits for its button.
func TestTouch(t *testing.T) {
	b := &button{finger: make(chan struct{})}
	conn := connect(t, usbdev.New(usbdev.Gnuk, b, nil))
	var once sync.Once
	conn.SetWait(func(touch bool) {
		if touch {
			once.Do(func() { close(b.finger) })
		}
	})
	exchange(t, conn, &b.echo, 20)
}

// gemPC is a common reader that leaves the speed to its driver.
func gemPC() usbdev.Profile {
	p := usbdev.Pro
	p.Vendor, p.Product, p.Model = 0x08e6, 0x3437, "USB SmartCard Reader"
	p.Features, p.Protocols, p.HIDInterface, p.HangsWhenInterleaved = 0x00010230, 3, -1, false
	p.Clock, p.MaxRate, p.Rates = 4000, 344086, []uint32{10753, 21505, 43011, 86022, 129032, 172043, 250000, 344086}
	return p
}

// TestMuteCard: a connection is not made to a card that answers no block, on a reader with
// and without an exchange of block sizes of its own.
func TestMuteCard(t *testing.T) {
	for _, features := range []uint32{0x00010230, 0x00010630} {
		p := gemPC()
		p.Features = features
		d := usbdev.New(p, &echo{}, nil)
		d.LoseBlocks(1 << 20)
		bus := usbdev.NewBus(d)
		found, err := ccid.Find(bus)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ccid.Connect(ctx(t), bus, found[0]); !errors.Is(err, ccid.ErrLost) {
			t.Fatalf("got %v", err)
		}
		d.LoseBlocks(0)
		e := &echo{}
		exchange(t, connect(t, usbdev.New(p, e, nil)), e, 300)
	}
}

// TestPPS: the card is asked for a faster speed, its answer is used, and a card that does
// not want to, or a pair that does not get along, stays at the default.
func TestPPS(t *testing.T) {
	atrs := map[string][]byte{
		"TA1 18":             zeitcontrol,
		"TA1 11":             {0x3b, 0x90, 0x11, 0x81, 0x31, 0xfe, 0x45, 0x8a},
		"T=0 first, TA1 96":  {0x3b, 0x90, 0x96, 0x80, 0x31, 0xfe, 0x45, 0x0c},
		"one speed":          {0x3b, 0x90, 0x18, 0x91, 0x01, 0x31, 0xfe, 0x45, 0x92},
		"one speed, its own": {0x3b, 0x90, 0x18, 0x91, 0x11, 0x31, 0xfe, 0x45, 0x82},
	}
	for name, want := range map[string]map[usbdev.PPS]string{
		// The speed that the reader is told, "-" for none; twice where the card is reset.
		"TA1 18": {usbdev.PPSTakes: "18", usbdev.PPSDefault: "11", usbdev.PPSMute: "11", usbdev.PPSWrong: "11",
			usbdev.PPSLies: "18 11"},
		"TA1 11":             {usbdev.PPSTakes: "11", usbdev.PPSMute: "11"},
		"T=0 first, TA1 96":  {usbdev.PPSTakes: "96", usbdev.PPSDefault: "11", usbdev.PPSMute: "-", usbdev.PPSLies: "96"},
		"one speed":          {usbdev.PPSTakes: "18", usbdev.PPSMute: "18"},
		"one speed, its own": {usbdev.PPSTakes: "-"},
	} {
		for how, speeds := range want {
			t.Run(fmt.Sprint(name, how), func(t *testing.T) {
				e := &echo{atr: atrs[name]}
				d := usbdev.New(gemPC(), e, nil)
				d.PPS(how)
				var told []string
				d.Log(func(line string) {
					if p, set := strings.CutPrefix(line, "out 61"); set {
						told = append(told, p[18:20])
					}
				})
				bus := usbdev.NewBus(d)
				found, err := ccid.Find(bus)
				if err != nil {
					t.Fatal(err)
				}
				c, err := ccid.Connect(ctx(t), bus, found[0])
				works := speeds != "-" && !(how == usbdev.PPSLies && name[0] == 'T' && name[1] == '=')
				if (err == nil) != works || err != nil && !errors.Is(err, ccid.ErrUnsupported) {
					t.Fatalf("connected: %v, want %v", err, works)
				}
				if got := strings.Join(told, " "); got != strings.Trim(speeds, "-") {
					t.Errorf("the reader was told %q, want %q", got, speeds)
				}
				if err == nil {
					exchange(t, c, e, 300)
					err = c.Close()
				}
				if err != nil && works {
					t.Error(err)
				}
			})
		}
	}
}

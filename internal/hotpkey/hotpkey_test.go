package hotpkey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/internal/ccid"
	"reown/internal/hotpkey/hotptest"
	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/usb"
)

// rfcSecret is the secret of RFC 4226's test vectors.
const rfcSecret = "12345678901234567890"

func buffer(s string) *secret.Buffer { return secret.From([]byte(s)) }

func ctx(t testing.TB) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return c
}

func codeOf(t testing.TB, key string, counter uint64) otp.Code {
	t.Helper()
	c, err := otp.HOTP(buffer(key), counter)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fixture is one emulated key on a bus.
type fixture struct {
	bus     *usbdev.Bus
	dev     *usbdev.Device
	card    *cardtest.Card
	pro     *hotptest.Pro
	secrets *hotptest.Secrets
	touches []Touch
}

func newPro(p usbdev.Profile) *fixture {
	f := &fixture{card: cardtest.New(cardtest.ZeitControl)}
	f.pro = hotptest.NewPro(f.card)
	f.pro.Storage = p.Name == "storage"
	f.dev = usbdev.New(p, f.card, f.pro)
	f.bus = usbdev.NewBus(f.dev)
	return f
}

func newNK3() *fixture {
	f := &fixture{card: cardtest.New(cardtest.Nitrokey3), secrets: hotptest.NewSecrets()}
	f.card.AddApplet(f.secrets)
	f.card.AddApplet(hotptest.Admin{Version: [3]int{1, 8, 3}})
	f.dev = usbdev.New(usbdev.NK3, f.card, nil)
	f.bus = usbdev.NewBus(f.dev)
	return f
}

// open opens the key, with a short polling interval.
func (f *fixture) open(t testing.TB) *Token {
	t.Helper()
	k, err := Find(ctx(t), f.bus, Options{Touch: func(x Touch) { f.touches = append(f.touches, x) }, quick: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// stored returns the secret, as the key holds it.
func (f *fixture) stored() (key []byte, counter uint64, set bool) {
	if f.pro != nil {
		s := f.pro.Slot()
		return bytes.TrimRight(s.Secret[:], "\x00"), s.Counter, s.Programmed
	}
	c, ok := f.secrets.Credential(slotName)
	return c.Secret, uint64(c.Counter), ok
}

var families = map[string]func() *fixture{
	"pro":     func() *fixture { return newPro(usbdev.Pro) },
	"librem":  func() *fixture { return newPro(usbdev.Librem) },
	"storage": func() *fixture { return newPro(usbdev.Storage) },
	"nk3":     newNK3,
}

func eachFamily(t *testing.T, f func(t *testing.T, x *fixture)) {
	for name, make := range families {
		t.Run(name, func(t *testing.T) { f(t, make()) })
	}
}

// pin is the right PIN; on a Nitrokey 3 it is set if need be.
func (f *fixture) pin() *secret.Buffer {
	if f.pro != nil {
		return buffer(cardtest.FactoryPW3)
	}
	if p, _ := f.secrets.PIN(); p == nil {
		f.secrets.SetPIN("sesame-77", hotptest.DefaultTries)
	}
	return buffer("sesame-77")
}

func TestSealAndCheck(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		pin := f.pin()
		k := f.open(t)
		if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 0)); !errors.Is(err, ErrNoSlot) {
			t.Fatalf("an empty slot: %v", err)
		}
		i, err := k.Info(ctx(t))
		if err != nil || i.Slot != SlotEmpty {
			t.Fatalf("%+v %v", i, err)
		}
		next, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{})
		if err != nil || next != 2 {
			t.Fatalf("next %d, %v", next, err)
		}
		if key, counter, set := f.stored(); string(key) != rfcSecret || counter != 2 || !set {
			t.Fatalf("the key holds %q at %d (%v)", key, counter, set)
		}
		for _, c := range []uint64{2, 3, 12} { // 12 is nine ahead of 3+1... within the window
			if next, err = Verify(ctx(t), k, buffer(rfcSecret), c); err != nil || next != c+1 {
				t.Fatalf("counter %d: next %d, %v", c, next, err)
			}
		}
		if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 12)); !errors.Is(err, ErrWrongCode) {
			t.Fatalf("a code was accepted twice: %v", err)
		}
		if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 13+Window)); !errors.Is(err, ErrWrongCode) {
			t.Fatalf("a code beyond the window was accepted: %v", err)
		}
		if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 13+Window-1)); err != nil {
			t.Fatalf("the last code of the window: %v", err)
		}
		if i, err = k.Info(ctx(t)); err != nil || i.Slot != SlotSet {
			t.Fatalf("%+v %v", i, err)
		}
		// Again, over the old one, with another secret.
		other := "abcdefghijklmnopqrst"
		if _, err := k.Seal(ctx(t), pin, buffer(other), SetOptions{}); err != nil {
			t.Fatal(err)
		}
		if key, _, _ := f.stored(); string(key) != other {
			t.Fatalf("the key holds %q", key)
		}
		if f.dev.Hung() {
			t.Fatal("the key hangs")
		}
	})
}

func TestInfo(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		k := f.open(t)
		i, err := k.Info(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		want := Info{
			Model: k.model.Name, Address: "1-2", Serial: "0000A1B2", Firmware: "0.15", PIN: "admin PIN", PINSet: true,
			PINTries:   3,
			AdminTries: 3, UserTries: 3, MinPIN: 8, MaxPIN: 25, Slot: SlotEmpty, Counter: -1,
		}
		if f.pro != nil && f.pro.Storage {
			want.Firmware = "0.57"
		}
		if f.secrets != nil {
			want = Info{
				Model: "Nitrokey 3", Address: "1-2", Serial: "4E4B3301", Firmware: "1.8.3", SecretsApp: "4.14.0",
				PIN: "secrets PIN", PINTries: -1,
				AdminTries: 3, UserTries: 3, MinPIN: 4, MaxPIN: 127, Slot: SlotEmpty, Counter: -1,
			}
		}
		if i != want {
			t.Fatalf("got  %+v\nwant %+v", i, want)
		}
		if len(f.touches) != 0 {
			t.Fatalf("info asked for a touch: %v", f.touches)
		}
		if err := k.Set(ctx(t), f.pin(), buffer(rfcSecret), 77, SetOptions{}); err != nil {
			t.Fatal(err)
		}
		if i, err = k.Info(ctx(t)); err != nil || i.Slot != SlotSet || (f.pro != nil && !f.pro.Storage && i.Counter != 77) {
			t.Fatalf("%+v %v", i, err)
		}
	})
}

// Firmware from before HOTP verification is told by its version, without a code that
// would light the key red, and before a PIN is tried or anything is written.
func TestOldFirmware(t *testing.T) {
	for _, c := range []struct {
		storage bool
		version [2]byte
		old     bool
	}{
		{false, [2]byte{0, 7}, true}, {false, [2]byte{0, 8}, true}, {false, [2]byte{0, 9}, false},
		{false, [2]byte{0, 10}, false}, {false, [2]byte{1, 0}, false},
		{true, [2]byte{0, 53}, true}, {true, [2]byte{0, 54}, false},
	} {
		card := cardtest.New(cardtest.ZeitControl)
		pro := hotptest.NewPro(card)
		pro.Storage, pro.Version = c.storage, c.version
		model := usbdev.Pro
		if c.storage {
			model = usbdev.Storage
		}
		k, err := Find(ctx(t), usbdev.NewBus(usbdev.New(model, card, pro)), Options{quick: true})
		if err != nil {
			t.Fatal(err)
		}
		if i, err := k.Info(ctx(t)); err != nil || i.TooOld != c.old {
			t.Errorf("%+v: %+v, %v", c, i, err)
		}
		pro.Commands()
		_, err = k.Seal(ctx(t), buffer("12345678"), buffer(rfcSecret), SetOptions{})
		if errors.Is(err, ErrOldFirmware) != c.old || !c.old && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		for _, cmd := range pro.Commands() {
			if c.old && cmd != hidGetStatus && cmd != hidGetDeviceStatus {
				t.Errorf("%+v: command %02x was sent", c, cmd)
			}
		}
		k.Close()
	}
}

// TestWrongPIN: the tries go down by one, the caller hears how many are left, the last
// one is not used unless allowed, and the working slot stays as it is.
func TestWrongPIN(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		pin := f.pin()
		k := f.open(t)
		if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
			t.Fatal(err)
		}
		tries := 3
		if f.secrets != nil {
			tries = hotptest.DefaultTries
		}
		for left := tries - 1; left >= 1; left-- {
			err := k.Set(ctx(t), buffer("87654321"), buffer("bbbbbbbbbbbbbbbbbbbb"), 0, SetOptions{})
			var pe *PINError
			if !errors.As(err, &pe) || pe.Left != left || pe.Which != k.model.PIN {
				t.Fatalf("%v, want %d left", err, left)
			}
		}
		for range 3 {
			if err := k.Set(ctx(t), pin, buffer("bbbbbbbbbbbbbbbbbbbb"), 0, SetOptions{}); !errors.Is(err, ErrLastTry) {
				t.Fatalf("the last try: %v", err)
			}
		}
		if i, err := k.Info(ctx(t)); err != nil || i.PINTries != 1 {
			t.Fatalf("%+v %v", i, err)
		}
		if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 2)); err != nil {
			t.Fatalf("the working slot was damaged: %v", err)
		}
		err := k.Set(ctx(t), buffer("87654321"), buffer("bbbbbbbbbbbbbbbbbbbb"), 0, SetOptions{LastTry: true})
		var pe *PINError
		if !errors.As(err, &pe) || pe.Left != 0 {
			t.Fatalf("the last try: %v", err)
		}
		if err := k.Set(ctx(t), pin, buffer(rfcSecret), 0, SetOptions{LastTry: true}); !errors.Is(err, ErrPINBlocked) {
			t.Fatalf("a blocked PIN: %v", err)
		}
		if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 3)); err != nil {
			t.Fatalf("the working slot was damaged: %v", err)
		}
	})
}

// TestBadArguments: nothing is sent.
func TestBadArguments(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		f.pin()
		k := f.open(t)
		if f.pro != nil {
			f.pro.Commands()
		} else {
			f.secrets.Commands()
		}
		long := string(bytes.Repeat([]byte("x"), k.model.MaxPIN+1))
		for _, c := range []struct {
			pin, key string
			counter  uint64
			want     error
		}{
			{"", rfcSecret, 0, ErrPINLength},
			{long, rfcSecret, 0, ErrPINLength},
			{"1234567\x00", rfcSecret, 0, ErrPINLength},
			{"12345678", "short", 0, ErrBadSecret},
			{"12345678", string(make([]byte, 41)), 0, ErrBadSecret},
		} {
			if err := k.Set(ctx(t), buffer(c.pin), buffer(c.key), c.counter, SetOptions{NewPIN: true}); !errors.Is(err, c.want) {
				t.Errorf("PIN of %d, secret of %d bytes: %v", len(c.pin), len(c.key), err)
			}
		}
		if _, err := k.Check(ctx(t), otp.Code{'1', '2', '3', '4', '5', 'x'}); !errors.Is(err, otp.ErrBadCode) {
			t.Errorf("a code that is none: %v", err)
		}
		if f.pro != nil && len(f.pro.Commands()) != 0 || f.secrets != nil && len(f.secrets.Commands()) != 0 {
			t.Error("something was sent")
		}
		if f.secrets != nil {
			if err := k.Set(ctx(t), f.pin(), buffer(rfcSecret), 1<<32-1, SetOptions{}); !errors.Is(err, ErrBadCounter) {
				t.Errorf("a counter that overflows: %v", err)
			}
		}
	})
}

// TestReset: only a Nitrokey 3 loses its PIN.
func TestReset(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		pin := f.pin()
		k := f.open(t)
		if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
			t.Fatal(err)
		}
		if f.pro != nil {
			if err := k.Reset(ctx(t), buffer("87654321")); err == nil {
				t.Fatal("reset with a wrong PIN")
			}
			if _, _, set := f.stored(); !set {
				t.Fatal("a wrong PIN erased the slot")
			}
		}
		if err := k.Reset(ctx(t), pin); err != nil {
			t.Fatal(err)
		}
		if _, _, set := f.stored(); set {
			t.Fatal("the slot is still there")
		}
		if _, err := k.Check(ctx(t), codeOf(t, rfcSecret, 2)); !errors.Is(err, ErrNoSlot) {
			t.Fatalf("after a reset: %v", err)
		}
		if f.secrets == nil {
			return
		}
		if err := k.Set(ctx(t), buffer("new-pin"), buffer(rfcSecret), 0, SetOptions{}); !errors.Is(err, ErrNoPIN) {
			t.Fatalf("a PIN was set without permission: %v", err)
		}
		if err := k.Set(ctx(t), buffer("new"), buffer(rfcSecret), 0, SetOptions{NewPIN: true}); !errors.Is(err,
			ErrPINLength) {
			t.Fatalf("a PIN that is too short was set: %v", err)
		}
		f.touches = nil
		if _, err := k.Seal(ctx(t), buffer("new-pin"), buffer(rfcSecret), SetOptions{NewPIN: true}); err != nil {
			t.Fatal(err)
		}
		if p, tries := f.secrets.PIN(); string(p) != "new-pin" || tries != hotptest.DefaultTries {
			t.Fatalf("PIN %q, %d tries", p, tries)
		}
		if len(f.touches) != 1 {
			t.Fatalf("touches: %v", f.touches)
		}
	})
}

func TestRegenerateAES(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		k := f.open(t)
		if f.pro == nil {
			if err := k.RegenerateAES(ctx(t), nil); err != nil {
				t.Fatal(err)
			}
			return
		}
		f.pro.Busy = 20 * time.Millisecond
		var pe *PINError
		if err := k.RegenerateAES(ctx(t), buffer("87654321")); !errors.As(err, &pe) || pe.Left != 2 || f.pro.AESKeys != 0 {
			t.Fatalf("got %v, %d times", err, f.pro.AESKeys)
		}
		if err := k.RegenerateAES(ctx(t), f.pin()); err != nil || f.pro.AESKeys != 1 {
			t.Fatalf("got %v, %d times", err, f.pro.AESKeys)
		}
		for _, status := range []byte{10, 11} {
			f.pro.Force = func(cmd byte) (byte, bool) { return status, cmd == hidNewAESKey || cmd == hidGenerateKeys }
			var se *StatusError
			if err := k.RegenerateAES(ctx(t), f.pin()); !errors.As(err, &se) || se.Status != uint16(status) {
				t.Fatalf("got %v", err)
			}
		}
	})
}

// TestTouches: they are announced, counted, and as many as the key asks for.
func TestTouches(t *testing.T) {
	f := newNK3()
	pin := f.pin()
	k := f.open(t)
	for _, c := range []struct {
		name    string
		prepare func()
		want    string
	}{
		{"first secret", func() {}, "1/1 to confirm the PIN"},
		{"replaced", func() {}, "1/3 to confirm the PIN, 2/3 to remove the old secret, 3/3 to confirm the PIN"},
		{"a key that remembers the PIN", func() { f.secrets.KeepsPIN = true },
			"1/3 to confirm the PIN, 2/3 to remove the old secret"},
		{"an old app", func() { f.secrets.KeepsPIN, f.secrets.Version = false, [3]byte{4, 12, 0} },
			"1/3 to confirm the PIN, 2/3 to remove the old secret"},
	} {
		c.prepare()
		f.touches = nil
		if err := k.Set(ctx(t), pin, buffer(rfcSecret), 0, SetOptions{}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got := ""
		for i, x := range f.touches {
			if i > 0 {
				got += ", "
			}
			got += fmt.Sprintf("%d/%d %s", x.N, x.Of, x.Why)
		}
		if got != c.want {
			t.Errorf("%s: touches %q, want %q", c.name, got, c.want)
		}
	}
}

// TestNoTouch: it is announced again, nothing changes before the PIN is confirmed, and
// after it Set can be repeated.
func TestNoTouch(t *testing.T) {
	f := newNK3()
	pin := f.pin()
	k := f.open(t)
	if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
		t.Fatal(err)
	}
	f.touches = nil
	f.secrets.Touched = func() bool { return false }
	if err := k.Set(ctx(t), pin, buffer("bbbbbbbbbbbbbbbbbbbb"), 0, SetOptions{}); !errors.Is(err, ErrNoTouch) {
		t.Fatalf("got %v", err)
	}
	if len(f.touches) != touchAttempts || f.touches[0].Again || !f.touches[1].Again || f.touches[1].N != 1 {
		t.Fatalf("announced %v", f.touches)
	}
	if _, tries := f.secrets.PIN(); tries != hotptest.DefaultTries {
		t.Fatalf("%d tries left", tries)
	}
	if key, _, _ := f.stored(); string(key) != rfcSecret {
		t.Fatal("the working slot is gone")
	}
	// A finger that comes late twice, each time.
	n := 0
	f.secrets.Touched = func() bool { n++; return n%3 == 0 }
	if err := k.Set(ctx(t), pin, buffer("bbbbbbbbbbbbbbbbbbbb"), 0, SetOptions{}); err != nil {
		t.Fatal(err)
	}
	// None after the deletion: the slot is empty, and Set is repeated.
	n = 0
	f.secrets.Touched = func() bool { n++; return n <= 2 }
	if err := k.Set(ctx(t), pin, buffer(rfcSecret), 0, SetOptions{}); !errors.Is(err, ErrNoTouch) {
		t.Fatalf("got %v", err)
	}
	f.secrets.Touched = nil
	if _, err := k.Seal(ctx(t), pin, buffer(rfcSecret), SetOptions{}); err != nil {
		t.Fatal(err)
	}
	f.secrets.Touched = func() bool { return false }
	if err := k.Reset(ctx(t), nil); !errors.Is(err, ErrNoTouch) {
		t.Fatalf("got %v", err)
	}
	if key, _, _ := f.stored(); string(key) != rfcSecret {
		t.Fatal("reset without a touch")
	}
}

// TestOneOwner: the key's card and its HOTP side exclude each other.
func TestOneOwner(t *testing.T) {
	eachFamily(t, func(t *testing.T, f *fixture) {
		k := f.open(t)
		if _, err := Find(ctx(t), f.bus, Options{}); !errors.Is(err, usb.ErrBusy) {
			t.Fatalf("a second owner: %v", err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if f.pro != nil && f.dev.Powered() { // a Nitrokey 3's card cannot be switched off
			t.Fatal("the card still has power")
		}
		k, err := Find(ctx(t), f.bus, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ccid.Connect(ctx(t), f.bus, k.info); !errors.Is(err, usb.ErrBusy) {
			t.Fatalf("the card beside the HOTP side: %v", err)
		}
		k.Close()
		c, err := ccid.Connect(ctx(t), f.bus, k.info)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := Find(ctx(t), f.bus, Options{}); !errors.Is(err, usb.ErrBusy) {
			t.Fatalf("the HOTP side beside the card: %v", err)
		}
		if f.dev.Hung() {
			t.Fatal("the key hangs")
		}
	})
}

func TestFind(t *testing.T) {
	if _, err := Find(ctx(t), usbdev.NewBus(), Options{}); !errors.Is(err, ErrNoToken) {
		t.Fatalf("no key: %v", err)
	}
	gnuk := usbdev.New(usbdev.Gnuk, cardtest.New(cardtest.Gnuk), nil)
	if _, err := Find(ctx(t), usbdev.NewBus(gnuk), Options{}); !errors.Is(err, ErrNoToken) {
		t.Fatalf("a key without HOTP: %v", err)
	}
	a, b := newPro(usbdev.Pro), newNK3()
	bus := usbdev.NewBus(gnuk, a.dev, b.dev)
	if _, err := Find(ctx(t), bus, Options{}); !errors.Is(err, ErrManyTokens) {
		t.Fatalf("two keys: %v", err)
	}
	for serial, model := range map[string]string{"a1b2": "Nitrokey Pro", "4e4b3301": "Nitrokey 3",
		"0x0000A1B2": "Nitrokey Pro"} {
		k, err := Find(ctx(t), bus, Options{Serial: serial})
		if err != nil || k.Model().Name != model {
			t.Fatalf("%s: %v", serial, err)
		}
		k.Close()
	}
	if _, err := Find(ctx(t), bus, Options{Serial: "77"}); !errors.Is(err, ErrNoToken) {
		t.Fatalf("a serial number that nobody has: %v", err)
	}
}

// TestUnplug pulls the key out at every transfer of Set and Check. Put back in, the old
// secret or the new one is there and works, and Set can be repeated; on a Nitrokey 3 it
// may have been deleted, because the new one can only be stored after that.
func TestUnplug(t *testing.T) {
	for name, make := range map[string]func() *fixture{"pro": families["pro"], "nk3": newNK3} {
		t.Run(name, func(t *testing.T) {
			const other = "abcdefghijklmnopqrst"
			empty := 0
			for at := 1; ; at++ {
				f := make()
				pin := f.pin()
				k := f.open(t)
				if err := k.Set(ctx(t), pin, buffer(rfcSecret), 5, SetOptions{}); err != nil {
					t.Fatal(err)
				}
				f.dev.UnplugAfter(at)
				err := k.Set(ctx(t), pin, buffer(other), 7, SetOptions{})
				if f.dev.Plugged() { // it was over before
					f.dev.UnplugAfter(0)
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("pulled out at each of %d transfers; %d times the slot was empty", at-1, empty)
					break
				}
				if !errors.Is(err, usb.ErrGone) {
					t.Fatalf("transfer %d: %v", at, err)
				}
				k.Close()
				if f.pro != nil {
					f.pro.Restart()
				}
				f.dev.Plug()
				key, counter, set := f.stored()
				switch {
				case set && string(key) == rfcSecret && counter == 5, set && string(key) == other && counter == 7:
				case !set && f.secrets != nil:
					empty++
				default:
					t.Fatalf("transfer %d: the slot holds %q at %d (%v)", at, key, counter, set)
				}
				k = f.open(t)
				if i, err := k.Info(ctx(t)); err != nil ||
					i.PINTries != map[bool]int{true: 3, false: hotptest.DefaultTries}[f.pro != nil] {
					t.Fatalf("transfer %d: a try was lost: %+v %v", at, i, err)
				}
				if _, err := k.Seal(ctx(t), pin, buffer(other), SetOptions{}); err != nil {
					t.Fatalf("transfer %d: repeating: %v", at, err)
				}
				k.Close()
			}
			if name == "nk3" && empty == 0 {
				t.Error("the window between deleting and storing was not hit: the test proves nothing")
			}
		})
	}
}

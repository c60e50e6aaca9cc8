package gpgcard_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// plan is what a card behind a reader of any name is going to refuse, with an admin PIN.
func plan(t *testing.T, p cardtest.Profile, admin string) []error {
	t.Helper()
	c, err := gpgcard.Open(t.Context(), gpgcard.Selector{},
		asToken{cardtest.NewBus(cardtest.New(p)), gpgcard.Reader{Bus: "pcsc", Name: "Virtual PCD 00 00", Present: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	problems, err := c.Rehearse(t.Context(), gpgcard.Plan{Admin: pin(admin)})
	if err != nil {
		t.Fatal(err)
	}
	return problems
}

// TestTerminatedStart: one that a cut reset has left says nothing, and its name tells that it will refuse short PINs.
func TestTerminatedStart(t *testing.T) {
	for _, r := range []gpgcard.Reader{
		{Bus: "usb", Name: "1-2", VID: 0x20a0, PID: 0x4211, Present: true},
		{Bus: "pcsc", Name: "Nitrokey Nitrokey Start (FSIJ-1.2.15-43204556) 00 00", Present: true},
	} {
		card := cardtest.New(start())
		card.Terminate()
		c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, asToken{cardtest.NewBus(card), r})
		if err != nil {
			t.Fatal(err)
		}
		for admin, refused := range map[string]bool{"12345678": true, "correct horse battery": false} {
			problems, err := c.Rehearse(t.Context(), gpgcard.Plan{User: pin("correct horse battery"), Admin: pin(admin)})
			if err != nil || (len(problems) > 0) != refused {
				t.Errorf("%s, an admin PIN of %d: %v, %v", r.Bus, len(admin), problems, err)
			}
		}
		c.Close()
	}
}

// TestTwoOfOneSerial: two tokens that tell one number are two, unless they are on different buses.
func TestTwoOfOneSerial(t *testing.T) {
	one, two := cardtest.NewBus(cardtest.New(cardtest.Nitrokey3)), cardtest.NewBus(cardtest.New(cardtest.Nitrokey3))
	for bus, want := range map[string]error{"usb": gpgcard.ErrSeveralCards, "pcsc": nil} {
		a := asToken{one, gpgcard.Reader{Bus: "usb", Name: "1-2", Present: true}}
		b := asToken{two, gpgcard.Reader{Bus: bus, Name: "1-3", Present: true}}
		c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, a, b)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v", bus, err)
		}
		if c != nil {
			c.Close()
		}
		if found, err := gpgcard.List(t.Context(), a, b); err != nil ||
			len(found) != map[bool]int{true: 2, false: 1}[want != nil] {
			t.Errorf("%s: %d are listed, %v", bus, len(found), err)
		}
	}
}

// TestMakesByEveryWay: what is known of a make is the same over USB, which has its ids, and
// behind pcscd, which has a name (the ones of libccid's list), and what its application tells
// holds behind a reader of any name.
func TestMakesByEveryWay(t *testing.T) {
	start := start()
	start.Manufacturer = 0x000f // newer ones have Nitrokey's number
	for _, m := range []struct {
		name     string
		vid, pid uint16
		card     cardtest.Profile
		quirks   []string
		anywhere []string // known of the application alone
		min, max int      // of an admin PIN after a reset
	}{
		{"Nitrokey Nitrokey Pro", 0x20a0, 0x4108, cardtest.ZeitControl, []string{"RQ001", "RQ007"}, []string{"RQ001"}, 8, 25},
		{"Nitrokey Nitrokey Storage", 0x20a0, 0x4109, cardtest.ZeitControl, []string{"RQ002", "RQ007"}, []string{"RQ001"}, 8,
			20},
		{"Purism, SPC Librem Key", 0x316d, 0x4c4b, cardtest.ZeitControl, []string{"RQ001", "RQ007"}, []string{"RQ001"}, 8,
			25},
		{"Nitrokey Nitrokey 3", 0x20a0, 0x42b2, cardtest.Nitrokey3, []string{"RQ006"}, []string{"RQ006"}, 8, 127},
		{"Nitrokey Nitrokey Start", 0x20a0, 0x4211, lives["nitrokey-start-1.2.15"].card, []string{"RQ003", "RQ004"},
			[]string{"RQ004"}, 14, 127},
		{"Nitrokey Nitrokey Start", 0x20a0, 0x4211, start, []string{"RQ003", "RQ004"}, []string{"RQ003", "RQ004"}, 14, 127},
		{"Free Software Initiative of Japan Gnuk", 0x234b, 0, cardtest.Gnuk, []string{"RQ004"}, []string{"RQ004"}, 8, 127},
		{"Yubico YubiKey OTP+FIDO+CCID", 0x1050, 0x0407, cardtest.YubiKey, []string{"RQ005"}, []string{"RQ005"}, 8, 127},
		{"Canokeys Canokey", 0x20a0, 0x42d4, cardtest.CanoKey, []string{"RQ008"}, []string{"RQ008"}, 8, 64},
	} {
		info := func(r gpgcard.Reader) gpgcard.Info {
			t.Helper()
			r.Present = true
			c, err := gpgcard.Open(t.Context(), gpgcard.Selector{}, asToken{cardtest.NewBus(cardtest.New(m.card)), r})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			i, err := c.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return i
		}
		usb := info(gpgcard.Reader{Bus: "usb", Name: "1-2", VID: m.vid, PID: m.pid})
		pcscd := info(gpgcard.Reader{Bus: "pcsc", Name: m.name + " (FSIJ-1.2.15-43204556) 00 00"})
		unnamed := info(gpgcard.Reader{Bus: "pcsc", Name: "Virtual PCD 00 00"})
		for way, i := range map[string]gpgcard.Info{"usb": usb, "pcscd": pcscd} {
			if !slices.Equal(i.Quirks, m.quirks) {
				t.Errorf("%s over %s: %v, want %v", m.name, way, i.Quirks, m.quirks)
			}
			if i.Admin.Reset[0] != m.min || i.Admin.Reset[1] != m.max {
				t.Errorf("%s over %s: an admin PIN of %v", m.name, way, i.Admin.Reset)
			}
		}
		if fmt.Sprint(usb.User, usb.Admin, usb.Algorithms) != fmt.Sprint(pcscd.User, pcscd.Admin, pcscd.Algorithms) {
			t.Errorf("%s: %+v over USB, %+v over pcscd", m.name, usb, pcscd)
		}
		if !slices.Equal(unnamed.Quirks, m.anywhere) {
			t.Errorf("%s behind another name: %v, want %v", m.name, unnamed.Quirks, m.anywhere)
		}
		if short := m.min > 8; short && plan(t, m.card, "12345678") == nil {
			t.Errorf("%s behind another name: a plan with a short PIN is not refused", m.name)
		}
	}
}

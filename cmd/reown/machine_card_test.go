package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
	"reown/gpgcard/cardtest/usbdev"
	"reown/wizard"
)

// A laptop's own card reader, empty, is no security key that fails: with nothing else
// plugged in there is none, and one that is plugged in is the only one.
func TestAnEmptyCardReader(t *testing.T) {
	reader := usbdev.New(usbdev.Pro, cardtest.New(cardtest.ZeitControl), nil)
	reader.Eject()
	bus := usbdev.NewBus(reader)
	c := &card{buses: []gpgcard.Bus{usbCards{bus}}}
	if _, err := c.Info(t.Context()); !errors.Is(err, wizard.ErrNoCard) {
		t.Fatalf("nothing but the reader: %v", err)
	}
	if found, err := gpgcard.List(t.Context(), c.buses...); err != nil || len(found) != 0 {
		t.Fatalf("the list: %+v, %v", found, err)
	}
	bus.Add(usbdev.New(usbdev.NK3, cardtest.New(cardtest.Nitrokey3), nil))
	if i, err := c.Info(t.Context()); err != nil || i.Serial != "4E4B3301" {
		t.Fatalf("with a key: %+v, %v", i, err)
	}
}

// A key in the middle of a reset has no serial number that anybody could be shown.
func TestATerminatedKeyHasNoSerial(t *testing.T) {
	k := cardtest.New(cardtest.Nitrokey3)
	k.Terminate()
	i, err := (&card{buses: []gpgcard.Bus{cardtest.NewBus(k)}}).Info(t.Context())
	if err != nil || !i.Terminated || i.Serial != "" {
		t.Fatalf("%+v, %v", i, err)
	}
}

// An older result stays whole until the new one is on the disk; what is no file is
// written to as it is.
func TestResultsReplaceAFile(t *testing.T) {
	dir := t.TempDir()
	file, older, link := filepath.Join(dir, "backup"), filepath.Join(dir, "older"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, []byte("an older backup"), 0o644), os.Link(file, older), os.Symlink(older, link)); err != nil {
		t.Fatal(err)
	}
	is := func(name, want string) {
		t.Helper()
		if b, err := os.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	if err := writeResult(&env{}, file, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	is(file, "new")
	is(older, "an older backup")
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if err := writeResult(&env{}, link, []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	is(older, "newer")
	if fi, err := os.Lstat(link); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", fi.Mode(), err)
	}
}

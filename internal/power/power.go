// Package power is what the kernel tells of a machine's power supplies, and how much is
// enough for what.
package power

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// A Policy is the charge that something needs where there is no mains, in percent.
type Policy int

// The policies: a run takes hours, the firmware chip seconds.
const (
	ForRun   Policy = 40
	ForFlash Policy = 30
)

// ErrLow says that neither mains nor enough battery would carry the machine through.
var ErrLow = errors.New("not enough power")

// A State is what the kernel tells of the machine's power supplies.
type State struct {
	Mains    bool // a mains or USB supply is connected
	Battery  int  // charge of the fullest battery in percent; -1: no battery, or it does not tell
	Supplies int  // how many the kernel knows; none on most desktops
}

// Enough says whether mains is connected, a battery holds as much as the policy says, or
// the kernel knows of no supply at all.
func (p Policy) Enough(s State) bool { return s.Mains || s.Supplies == 0 || s.Battery >= int(p) }

// Check returns ErrLow where there is not enough.
func (p Policy) Check(s State) error {
	switch {
	case p.Enough(s):
		return nil
	case s.Battery < 0:
		return fmt.Errorf("%w: no mains, and the battery does not tell its charge", ErrLow)
	}
	return fmt.Errorf("%w: no mains, and the battery is at %d %%, below %d %%", ErrLow, s.Battery, int(p))
}

// Read reads /sys/class/power_supply, whose parent's file system is sys
// (os.DirFS("/sys") on a real machine).
func Read(sys fs.FS) (State, error) {
	s := State{Battery: -1}
	const dir = "class/power_supply"
	entries, err := fs.ReadDir(sys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("reading the power supplies: %w", err)
	}
	for _, e := range entries {
		attr := func(name string) string {
			b, _ := fs.ReadFile(sys, dir+"/"+e.Name()+"/"+name)
			return strings.TrimSpace(string(b))
		}
		// A mouse's battery, for example, does not power the machine.
		if attr("scope") == "Device" {
			continue
		}
		switch attr("type") {
		case "Mains", "USB", "Wireless":
			s.Supplies++
			s.Mains = s.Mains || attr("online") == "1"
		case "Battery":
			if attr("present") == "0" {
				continue
			}
			s.Supplies++
			if n, ok := charge(attr); ok && n > s.Battery {
				s.Battery = n
			}
		}
	}
	return s, nil
}

// charge returns a battery's charge in percent.
func charge(attr func(string) string) (int, bool) {
	if n, err := strconv.Atoi(attr("capacity")); err == nil && n >= 0 && n <= 100 {
		return n, true
	}
	for _, kind := range []string{"energy", "charge"} {
		now, err1 := strconv.Atoi(attr(kind + "_now"))
		full, err2 := strconv.Atoi(attr(kind + "_full"))
		if err1 == nil && err2 == nil && full > 0 && now >= 0 {
			return min(100, int(int64(now)*100/int64(full))), true
		}
	}
	return 0, false
}

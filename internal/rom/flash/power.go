package flash

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// MinBattery is the charge that a write needs without mains, in percent.
const MinBattery = 30

// ErrPower says that neither mains nor enough battery would carry the machine
// through a write.
var ErrPower = errors.New("not enough power to write the firmware")

// A PowerState is what the kernel tells of the machine's power supplies.
type PowerState struct {
	Mains    bool // a mains or USB supply is connected
	Battery  int  // charge of the fullest battery in percent; -1: no battery
	Supplies int  // how many the kernel knows; none on most desktops
}

// Power reads /sys/class/power_supply, whose parent's file system is sys
// (os.DirFS("/sys") on a real machine).
func Power(sys fs.FS) (PowerState, error) {
	s := PowerState{Battery: -1}
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

// Check returns ErrPower unless mains is connected, a battery holds MinBattery
// percent, or the kernel knows of no supply at all.
func (s PowerState) Check() error {
	switch {
	case s.Mains || s.Supplies == 0 || s.Battery >= MinBattery:
		return nil
	case s.Battery < 0:
		return fmt.Errorf("%w: no mains, and the battery does not tell its charge", ErrPower)
	}
	return fmt.Errorf("%w: no mains, and the battery is at %d %%, below %d %%", ErrPower, s.Battery, MinBattery)
}

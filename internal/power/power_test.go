package power

import (
	"errors"
	"testing"
	"testing/fstest"
)

func TestPower(t *testing.T) {
	supply := func(attrs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(attrs); i += 2 {
			m[attrs[i]] = attrs[i+1]
		}
		return m
	}
	mains, noMains := supply("type", "Mains", "online", "1"), supply("type", "Mains", "online", "0")
	for name, c := range map[string]struct {
		supplies map[string]map[string]string
		want     State
		ok       bool
	}{
		"desktop": {nil, State{Battery: -1}, true},
		"mains": {map[string]map[string]string{"AC": mains,
			"BAT0": supply("type", "Battery", "capacity", "3")}, State{true, 3, 2}, true},
		"battery full": {map[string]map[string]string{"AC": noMains,
			"BAT0": supply("type", "Battery", "present", "1", "capacity", "30")}, State{false, 30, 2}, true},
		"battery low": {map[string]map[string]string{"AC": noMains,
			"BAT0": supply("type", "Battery", "capacity", "29")}, State{false, 29, 2}, false},
		"two batteries": {map[string]map[string]string{"BAT0": supply("type", "Battery", "capacity", "5"),
			"BAT1": supply("type", "Battery", "energy_now", "400", "energy_full", "500")}, State{false, 80, 2}, true},
		"battery taken out": {map[string]map[string]string{"AC": noMains,
			"BAT0": supply("type", "Battery", "present", "0", "capacity", "90")}, State{false, -1, 1}, false},
		"a mouse's battery": {map[string]map[string]string{"AC": noMains,
			"hid": supply("type", "Battery", "scope", "Device", "capacity", "90")}, State{false, -1, 1}, false},
		"USB-C": {map[string]map[string]string{"ucsi": supply("type", "USB", "online", "1")},
			State{true, -1, 1}, true},
		"battery without fuel gauge": {map[string]map[string]string{"BAT0": supply("type", "Battery", "capacity", "unknown",
			"charge_now", "-5", "charge_full", "0")}, State{false, -1, 1}, false},
	} {
		sys := fstest.MapFS{}
		for name, attrs := range c.supplies {
			for a, v := range attrs {
				sys["class/power_supply/"+name+"/"+a] = &fstest.MapFile{Data: []byte(v + "\n")}
			}
		}
		got, err := Read(sys)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
		if err := ForFlash.Check(got); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrLow) {
			t.Errorf("%s: %v", name, err)
		}
		// A run wants more than the chip's seconds, and the same of all else.
		if run := ForRun.Enough(got); run != (c.ok && (got.Mains || got.Supplies == 0 || got.Battery >= 40)) {
			t.Errorf("%s: enough for a run: %v", name, run)
		}
	}
}

package stick

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The driver is measured before it is loaded, and not loaded where that fails.
func TestDriverIsMeasured(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, Driver), []byte("driver"), 0o600); err != nil {
		t.Fatal(err)
	}
	var did []string
	var measured, loaded error
	s := &System{Sysfs: dir, Modules: dir,
		Measure: func(_ context.Context, m []byte) error { did = append(did, "measure "+string(m)); return measured },
		load:    func(m []byte) error { did = append(did, "load "+string(m)); return loaded }}
	for _, c := range []struct {
		measured, loaded error
		want             bool
		did              []string
	}{
		{nil, nil, true, []string{"measure driver", "load driver"}},
		{nil, errors.New("no"), false, []string{"measure driver", "load driver"}},
		{errors.New("no"), nil, false, []string{"measure driver"}},
	} {
		did, measured, loaded = nil, c.measured, c.loaded
		if got := s.loadDriver(t.Context()); got != c.want || !slices.Equal(did, c.did) {
			t.Errorf("measuring %v, loading %v: %v, %q", c.measured, c.loaded, got, did)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "bus/usb/drivers/usb-storage"), 0o755); err != nil {
		t.Fatal(err)
	}
	if did = nil; s.loadDriver(t.Context()) || did != nil {
		t.Errorf("a driver that is there: %q", did)
	}
}

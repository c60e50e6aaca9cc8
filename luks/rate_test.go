package luks_test

import (
	"testing"
	"time"

	"reown/luks"
	"reown/luks/lukstest"
)

// slow is a disk on which each read takes a while, and that must not be written.
type slow struct {
	luks.Device
	t     *testing.T
	reads []int64
}

func (s *slow) ReadAt(p []byte, off int64) error {
	if len(p) >= 1<<20 {
		s.reads = append(s.reads, off)
		time.Sleep(10 * time.Millisecond)
	}
	return s.Device.ReadAt(p, off)
}

func (s *slow) WriteAt(name string, p []byte, off int64) error {
	s.t.Errorf("%s was written", name)
	return nil
}

func TestReadRate(t *testing.T) {
	img := make([]byte, 160<<20)
	copy(img, format(t, shape{size: 256 << 10, sector: 512}).image())
	d := &slow{Device: lukstest.NewDisk(img, 512), t: t}
	v, err := luks.OpenDevice("disk", d, nil)
	if err != nil {
		t.Fatal(err)
	}
	rate, err := v.ReadRate(t.Context())
	if err != nil || rate <= 0 || rate > (4<<20)*100 {
		t.Fatalf("%d bytes a second from a disk that reads 4 MiB in 10 ms at best: %v", rate, err)
	}
	if n := len(d.reads); n < 2 || d.reads[0] >= 32<<20 || n == 32 && d.reads[n-1] < 130<<20 {
		t.Errorf("read at %d", d.reads)
	}
}

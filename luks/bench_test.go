package luks_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reown/luks"
	"reown/luks/lukstest"
)

// benchSize is the size of the benchmarks' data in MiB; REOWN_BENCH_MIB changes it,
// REOWN_BENCH_DIR the directory, which decides the disk that is measured.
func benchSize(b *testing.B) int64 {
	n, err := strconv.ParseInt(os.Getenv("REOWN_BENCH_MIB"), 10, 64)
	if err != nil {
		return 256 << 20
	}
	return n << 20
}

// BenchmarkReencrypt measures, interleaved and on one image, this package, the
// disk's own limit, and cryptsetup with its defaults and with the protection Heads
// leaves out. Each iteration is one whole pass of each.
func BenchmarkReencrypt(b *testing.B) {
	for _, sector := range []int{512, 4096} {
		b.Run(strconv.Itoa(sector), func(b *testing.B) { benchReencrypt(b, sector) })
	}
}

// A benchImage is a LUKS2 image full of random data.
type benchImage struct {
	b    *testing.B
	img  string
	args []string // cryptsetup's
}

func newBenchImage(b *testing.B, size int64, sector int) *benchImage {
	lukstest.Need(b, "cryptsetup")
	dir, err := os.MkdirTemp(os.Getenv("REOWN_BENCH_DIR"), "reown-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	img, key := dir+"/img", dir+"/key"
	if err := os.WriteFile(key, []byte("first"), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(img)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(16<<20 + size); err != nil {
		b.Fatal(err)
	}
	for off := int64(0); off < 16<<20+size; off += 4 << 20 {
		if _, err := f.WriteAt(lukstest.Random(4<<20, byte(off>>22)), off); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	m := &benchImage{b, img, []string{"--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000",
		"--key-file", key, img}}
	m.peer("luksFormat", "--type", "luks2", "--sector-size", strconv.Itoa(sector))
	return m
}

func (m *benchImage) peer(args ...string) *exec.Cmd {
	cmd := exec.Command("cryptsetup", append(args, m.args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.b.Fatalf("%v: %s", err, out)
	}
	return cmd
}

// timed opens the image, lets f work on it, and returns the seconds of both.
func (m *benchImage) timed(f func(*luks.Volume) error) float64 {
	start := time.Now()
	v, err := luks.Open(context.Background(), m.img, luks.Options{})
	if err != nil {
		m.b.Fatal(err)
	}
	defer v.Close()
	if err := f(v); err != nil {
		m.b.Fatal(err)
	}
	return time.Since(start).Seconds()
}

func reencrypt(v *luks.Volume) error {
	return v.Reencrypt(context.Background(), pass("first"), luks.ReencryptOptions{})
}

func benchReencrypt(b *testing.B, sector int) {
	size := benchSize(b)
	m := newBenchImage(b, size, sector)
	peerRSS := int64(0)
	work := []struct {
		name string
		run  func()
	}{
		{"reown", func() { m.timed(reencrypt) }},
		{"cryptsetup", func() {
			cmd := m.peer("reencrypt", "--force-offline-reencrypt")
			peerRSS = max(peerRSS, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		}},
		{"cryptsetup-none", func() { m.peer("reencrypt", "--force-offline-reencrypt", "--resilience", "none") }},
		{"raw", func() { m.timed(luks.RawPass) }},
	}
	times := make([][]float64, len(work))
	for b.Loop() {
		for i, w := range work {
			start := time.Now()
			w.run()
			times[i] = append(times[i], time.Since(start).Seconds())
		}
	}
	rate := make([]float64, len(work))
	for i, w := range work {
		rate[i] = float64(size>>20) / median(times[i])
		b.ReportMetric(rate[i], w.name+"-MiB/s")
	}
	b.ReportMetric(rate[0]/rate[1], "x-cryptsetup")
	b.ReportMetric(rate[0]/rate[3], "x-raw")
	b.ReportMetric(float64(peerRSS)/1024, "cryptsetup-MiB-RSS")
}

// BenchmarkLinear measures disks of growing size, interleaved with bare passes of
// reads and writes. REOWN_BENCH_SIZES lists the sizes in MiB.
func BenchmarkLinear(b *testing.B) {
	sizes := strings.Fields(os.Getenv("REOWN_BENCH_SIZES"))
	if len(sizes) == 0 {
		sizes = []string{"64", "256"}
	}
	for _, s := range sizes {
		mib, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s, func(b *testing.B) {
			m := newBenchImage(b, mib<<20, 512)
			var ours, raw []float64
			for b.Loop() {
				raw = append(raw, m.timed(luks.RawPass))
				ours = append(ours, m.timed(reencrypt))
			}
			b.ReportMetric(median(ours)/float64(mib)*1024, "s/GiB")
			b.ReportMetric(median(raw)/float64(mib)*1024, "raw-s/GiB")
			b.ReportMetric(median(raw)/median(ours), "x-raw")
		})
	}
}

func median(x []float64) float64 {
	s := append([]float64(nil), x...)
	for i := range s {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
	return s[len(s)/2]
}

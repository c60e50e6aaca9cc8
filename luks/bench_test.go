package luks_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
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

func benchReencrypt(b *testing.B, sector int) {
	lukstest.Need(b, "cryptsetup")
	size := benchSize(b)
	dir, err := os.MkdirTemp(os.Getenv("REOWN_BENCH_DIR"), "reown-bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	img, key := dir+"/img", dir+"/key"
	if err := os.WriteFile(key, []byte("first"), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(img)
	if err != nil {
		b.Fatal(err)
	}
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
	f.Close()
	pbkdf := []string{"--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", key, img}
	peer := func(args ...string) *exec.Cmd {
		cmd := exec.Command("cryptsetup", append(args, pbkdf...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return cmd
	}
	peer("luksFormat", "--type", "luks2", "--sector-size", strconv.Itoa(sector))
	ours := func(o luks.ReencryptOptions) {
		v, err := luks.Open(context.Background(), img, luks.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer v.Close()
		if err := v.Reencrypt(context.Background(), pass("first"), o); err != nil {
			b.Fatal(err)
		}
	}
	peerRSS := int64(0)
	work := []struct {
		name string
		run  func()
	}{
		{"reown", func() { ours(luks.ReencryptOptions{}) }},
		{"cryptsetup", func() {
			cmd := peer("reencrypt", "--force-offline-reencrypt")
			peerRSS = max(peerRSS, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
		}},
		{"cryptsetup-none", func() { peer("reencrypt", "--force-offline-reencrypt", "--resilience", "none") }},
		{"raw", func() {
			v, err := luks.Open(context.Background(), img, luks.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer v.Close()
			if err := luks.RawPass(v); err != nil {
				b.Fatal(err)
			}
		}},
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

func median(x []float64) float64 {
	s := append([]float64(nil), x...)
	for i := range s {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
	return s[len(s)/2]
}

package boot

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkHash500MB hashes 500 MB of /boot (kernels, initrds and a thousand GRUB
// modules), and lets Heads's command do the same right after each run:
//
//	go test ./boot -run - -bench Hash500MB -benchtime 3x
func BenchmarkHash500MB(b *testing.B) {
	needPeers(b, "bash", "sha256sum")
	dir := b.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "grub"), 0o755); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 12_000_000)
	if _, err := rand.Read(buf); err != nil {
		b.Fatal(err)
	}
	total := 0
	put := func(name string, size int) {
		buf[0]++
		if err := os.WriteFile(filepath.Join(dir, name), buf[:size], 0o644); err != nil {
			b.Fatal(err)
		}
		total += size
	}
	for i := range 40 {
		put(fmt.Sprintf("initrd.img-6.1.0-%d", i), len(buf))
	}
	for i := range 1000 {
		put(fmt.Sprintf("grub/%d.mod", i), 20_000)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		if _, _, err := Hash(context.Background(), dir, nil); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
		start = time.Now()
		cmd := exec.Command("bash", "-c", `cd "$1" && find ./ -type f ! -path './kexec*' -print0 | xargs -0 sha256sum >/dev/null`, "heads", dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		theirs += time.Since(start)
	}
	rate := func(d time.Duration) float64 { return float64(total) * float64(b.N) / 1e6 / d.Seconds() }
	b.ReportMetric(rate(ours), "MB/s")
	b.ReportMetric(rate(theirs), "sha256sum-MB/s")
	b.ReportMetric(float64(theirs)/float64(ours), "times-sha256sum")
}

// TestLargeConfig: a grub.cfg made to keep the parser busy ends like any other.
func TestLargeConfig(t *testing.T) {
	readable := func(string) bool { return true }
	for _, unit := range []string{"menuentry 'x' {\nlinux /k\n}\n", "module /m\n", "/k,", "((((", "a)(", "$x", "\\\n",
		"---", "\"", "menuentry '"} {
		data := "menuentry 'a' {\nmultiboot /k\nlinux /k\ninitrd " + strings.Repeat(unit, maxConfig/len(unit)-30) + "\n}\n"
		entries, _ := parseGrub([]byte(data), "/grub", readable)
		for _, e := range entries {
			if len(e.Line) > 2*maxConfig {
				t.Errorf("%q makes an entry of %d bytes", unit, len(e.Line))
			}
		}
		if e, ok := parseBLS([]byte("linux /k\noptions "+data), "/", "x"); ok && len(e.Line) > 2*maxConfig {
			t.Errorf("%q makes a BLS entry of %d bytes", unit, len(e.Line))
		}
	}
}

package luks_test

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// maxRSS is what a re-encryption with default settings may take, in KiB, key
// derivation aside. A firmware's initrd lives in memory and panics when it is full.
const maxRSS = 160 << 10

// TestPeakMemory re-encrypts in a process of its own and looks at its peak.
func TestPeakMemory(t *testing.T) {
	if img := os.Getenv("REOWN_TEST_IMAGE"); img != "" {
		v, err := luks.Open(context.Background(), img, luks.Options{})
		if err == nil {
			err = v.Reencrypt(context.Background(), pass("first"), luks.ReencryptOptions{Fill: true})
		}
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.Write(status)
		return
	}
	p := lukstest.NewPeer(t)
	key, img := p.Write("key", []byte("first")), p.Write("img", nil)
	if err := os.Truncate(img, 272<<20); err != nil {
		t.Fatal(err)
	}
	p.Run("luksFormat", "--batch-mode", "--type", "luks2", "--sector-size", "512", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--key-file", key, img)
	cmd := exec.Command(os.Args[0], "-test.run=^TestPeakMemory$")
	cmd.Env = append(os.Environ(), "REOWN_TEST_IMAGE="+img)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Not Rusage.Maxrss: a child's counts what its parent had when it was forked.
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no peak in %s", out)
	}
	rss, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("peak memory %d MiB", rss>>10)
	if rss > maxRSS {
		t.Errorf("peak memory %d KiB, allowed are %d", rss, maxRSS)
	}
}

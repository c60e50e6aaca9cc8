package lab

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func soak() bool { return os.Getenv("REOWN_SOAK") == "1" }

// long leaves a test to `make soak`; the quick run has a sample of what it shows in the test that is
// named.
func long(t *testing.T, sample string) {
	t.Helper()
	if !soak() {
		t.Skip("one more whole run; a sample is " + sample + ": REOWN_SOAK=1")
	}
}

// copyOf copies a switched-off laptop into a new directory.
func (l *Laptop) copyOf(t *testing.T) *Laptop {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if _, err := tool(t.Context(), nil, "cp", "-a", "--sparse=always", l.Dir+"/.", dir); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "pcsc")); err != nil {
		t.Fatal(err)
	}
	c, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

// TestKilledAtRandom kills runs at random times, up to four times each, until one
// comes through, and judges the laptop: a hundred laptops.
func TestKilledAtRandom(t *testing.T) {
	long(t, "TestReownedLaptop, which is killed in the disk's step")
	const laptops = 100
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for range laptops {
		l := newLaptop(t, Options{DataMiB: 256})
		for range 4 {
			if l.killAfter(t, time.Duration(rnd.IntN(5000))*time.Millisecond) {
				kills++
			}
			l.remember(t)
			if err := l.PowerCycle(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		l.finish(t)
		l.Stop()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d laptops, %d kills, none lost", laptops, kills)
}

// killAfter starts the wizard and kills it after a time; false when it had ended.
func (l *Laptop) killAfter(t *testing.T, d time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	cmd := exec.CommandContext(ctx, reownBinary(t), append(l.wizardArgs(t), l.Flags()...)...)
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code > 0 {
		t.Errorf("a start ended with exit code %d\n%s", code, out)
	}
	return cmd.ProcessState.ExitCode() == -1
}

// Package peer measures code against `openssl speed`, and runs tests on
// processors that QEMU emulates. Only tests import it.
package peer

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// turns is how often each side is measured; the medians are compared.
const turns = 3

// Compare runs work, which returns how many bytes it processed, in turns with
// `openssl speed args` on blocks of blockSize bytes, and reports both rates and
// our rate as a multiple of OpenSSL's. Both are taken over processor time, so
// that a busy machine does not decide.
func Compare(b *testing.B, blockSize int, args []string, work func() int) {
	openssl := Need(b, "openssl")
	args = append([]string{"speed", "-mr", "-seconds", "1", "-bytes", strconv.Itoa(blockSize)}, args...)
	for b.Loop() {
		var ours, theirs []float64
		for range turns {
			theirs = append(theirs, speed(b, openssl, args))
			ours = append(ours, rate(work))
		}
		slices.Sort(ours)
		slices.Sort(theirs)
		o, t := ours[turns/2], theirs[turns/2]
		b.ReportMetric(o/1e9, "GB/s")
		b.ReportMetric(t/1e9, "openssl-GB/s")
		b.ReportMetric(o/t, "x-openssl")
		b.ReportMetric(0, "ns/op")
	}
}

// Need returns the path of a program. Without it the test is skipped, or fails
// where REOWN_REQUIRE_PEERS=1 says that all peers must be there.
func Need(t testing.TB, program string) string {
	path, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("REOWN_REQUIRE_PEERS") == "1":
		t.Fatalf("REOWN_REQUIRE_PEERS=1, but: %v", err)
	default:
		t.Skip(err)
	}
	return path
}

var result = regexp.MustCompile(`(?m)^\+F:\d+:[^:]+:([0-9.e+]+)`)

// speed returns OpenSSL's bytes per second.
func speed(b *testing.B, openssl string, args []string) float64 {
	out, err := exec.Command(openssl, args...).Output()
	if err != nil {
		b.Fatalf("openssl %v: %v", args, err)
	}
	m := result.FindSubmatch(out)
	if m == nil {
		b.Fatalf("openssl %v: no result in %q", args, out)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// rate returns work's bytes per second of processor time.
func rate(work func() int) float64 {
	const long = time.Second / 2
	n := 0
	start := user()
	for {
		for range 32 {
			n += work()
		}
		if d := user() - start; d >= long {
			return float64(n) / d.Seconds()
		}
	}
}

// user is the processor time that this process has used.
func user() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("getrusage: %v", err))
	}
	return time.Duration(u.Utime.Nano())
}

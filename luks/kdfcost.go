package luks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sys/unix"
)

// maxKDF is how long a key derivation of a header may take on this machine. A longer one
// is refused without being run: somebody who wrote the header chose it.
const maxKDF = time.Minute

// A SlowKDFError says that a key derivation would take longer than a minute.
type SlowKDFError struct{ Need time.Duration }

func (e *SlowKDFError) Error() string {
	return fmt.Sprintf("its key derivation would take %v on this computer", e.Need)
}

// affordable refuses a derivation that would take too long, in nanoseconds.
func affordable(ns float64) error {
	if ns <= float64(maxKDF) {
		return nil
	}
	return &SlowKDFError{time.Duration(min(ns, math.MaxInt64/2)).Round(time.Second)}
}

// speeds are what this machine needs, measured once: nanoseconds by hash for one round of
// PBKDF2, and for one KiB in one pass of Argon2 with one lane.
var speeds struct {
	sync.Mutex
	pbkdf2 map[string]float64
	argon  float64
}

// fastest is the least time of several short runs of f: a busy machine interrupts some.
func fastest(f func()) float64 {
	least := time.Duration(math.MaxInt64)
	for range 7 {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	return float64(max(least, 1))
}

// pbkdf2Cost estimates nanoseconds.
func pbkdf2Cost(hashName string, iterations, length int) (float64, error) {
	newHash, err := hashByName(hashName)
	if err != nil {
		return 0, err
	}
	speeds.Lock()
	defer speeds.Unlock()
	if speeds.pbkdf2[hashName] == 0 {
		const rounds = 1000
		ns := fastest(func() { rawPBKDF2(context.Background(), newHash, []byte("speed"), []byte("speed"), rounds, 1).Wipe() })
		if speeds.pbkdf2 == nil {
			speeds.pbkdf2 = map[string]float64{}
		}
		speeds.pbkdf2[hashName] = ns / rounds
	}
	blocks := float64((length + newHash().Size() - 1) / newHash().Size())
	return speeds.pbkdf2[hashName] * float64(iterations) * blocks, nil
}

// argonCost estimates nanoseconds. Memory beyond the processor's caches takes about half
// as long again as the small run that is measured.
func argonCost(passes, kib, lanes int) float64 {
	speeds.Lock()
	defer speeds.Unlock()
	if speeds.argon == 0 {
		const small = 1 << 10
		speeds.argon = fastest(func() { argon2.IDKey([]byte("speed"), []byte("speed123"), 1, small, 1, 32) }) / small
	}
	return 1.5 * speeds.argon * float64(passes) * float64(kib) / float64(min(lanes, runtime.NumCPU()))
}

// cost estimates how long a derivation takes, in nanoseconds.
func (k *kdf) cost(length int) (float64, error) {
	if k.unknown {
		return 0, unsupported("key derivation %q", k.typ)
	}
	if k.typ == "pbkdf2" {
		return pbkdf2Cost(k.hash, k.iterations, length)
	}
	return argonCost(k.time, k.memory, k.cpus), nil
}

// KDFPolicy says how new keyslots derive their key.
type KDFPolicy int

const (
	// KDFArgon2, the default: Argon2id of about two seconds on this machine, with at most
	// 1 GiB and half of its memory, and never less than 64 MiB: as cryptsetup chooses. In
	// a LUKS1 header, which knows nothing else, it is KDFPBKDF2.
	KDFArgon2 KDFPolicy = iota
	// KDFPBKDF2: PBKDF2 with SHA-256 and 1,000,000 rounds, for a boot loader that reads no
	// Argon2 (GRUB). No more, because a boot loader takes many times as long for them.
	KDFPBKDF2
	// KDFInherit: as the keyslot that the passphrase opens has it.
	KDFInherit
)

// targetKDF is how long a new keyslot's Argon2 takes; tests are less patient.
var targetKDF = 2 * time.Second

// The floor of what protects a new keyslot.
const (
	leastRounds    = 1_000_000
	leastArgonKiB  = 64 << 10
	mostArgonKiB   = 1 << 20
	leastArgonTime = 4 // passes, cryptsetup's least
	mostArgonLanes = 4
)

// choosesNothing is set by tests that make thousands of keyslots: all is inherited.
var choosesNothing bool

// newKDF chooses the derivation for a new keyslot; the salt is left to the caller.
func (v *Volume) newKDF(policy KDFPolicy, tmpl kdf) (kdf, error) {
	switch policy {
	case KDFInherit:
		return tmpl, nil
	case KDFPBKDF2:
		return kdf{typ: "pbkdf2", hash: "sha256", iterations: leastRounds}, nil
	}
	k := kdf{typ: "argon2id", time: leastArgonTime, cpus: min(mostArgonLanes, runtime.NumCPU())}
	most := int64(mostArgonKiB)
	if total := memTotal(); total > 0 {
		most = min(most, total/2>>10)
	}
	if free := v.free(); free > 0 {
		most = min(most, free/4*3>>10)
	}
	if most < leastArgonKiB {
		return k, &MemoryError{Slot: -1, Need: leastArgonKiB << 10, Have: most << 10}
	}
	// Memory first, then passes, as cryptsetup does.
	perKiB := argonCost(1, 1, k.cpus)
	kib := float64(targetKDF) / perKiB / leastArgonTime
	k.memory = int(min(max(kib, leastArgonKiB), float64(most)))
	k.time = int(max(float64(targetKDF)/perKiB/float64(k.memory), leastArgonTime))
	return k, nil
}

// object is the derivation as the header has it, without salt.
func (k *kdf) object() *object {
	o := newObject().set("type", str(k.typ))
	if k.typ == "pbkdf2" {
		return o.set("hash", str(k.hash)).set("iterations", num(k.iterations))
	}
	return o.set("time", num(k.time)).set("memory", num(k.memory)).set("cpus", num(k.cpus))
}

// memAvailable reads how many bytes can be allocated without swapping, within the limit
// that the process has; 0 when the kernel does not tell.
func memAvailable() int64 {
	free := memInfo("MemAvailable:")
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &lim) == nil && lim.Cur < 1<<50 {
		// What the process has mapped already counts, too.
		b, err := os.ReadFile("/proc/self/statm")
		pages, _, _ := strings.Cut(string(b), " ")
		n, err2 := strconv.ParseInt(pages, 10, 64)
		if errors.Join(err, err2) == nil {
			free = min(free, max(int64(lim.Cur)-n*int64(os.Getpagesize()), 1))
		}
	}
	return free
}

func memTotal() int64 { return memInfo("MemTotal:") }

// memInfo reads a line of /proc/meminfo, in bytes; 0 when there is none.
func memInfo(name string) int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

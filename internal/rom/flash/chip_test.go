package flash

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"reown/internal/rom"
	"reown/internal/rom/romtest"
)

// small is a board small enough to be written hundreds of times in a test.
var small = romtest.Layout{
	Name: "1M", Size: 1 << 20, FMAP: 0x30000, Payload: 252_001,
	Areas: []romtest.Area{{Name: "SI_DESC", Size: 0x1000}, {Name: "SI_ME", Offset: 0x3000, Size: 0x1d000},
		{Name: "SI_BIOS", Offset: 0x20000, Size: 0xe0000}},
	CBFS: romtest.Area{Name: "COREBOOT", Offset: 0x30200, Size: 0xcfe00},
}

func peer(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skipf("%s is not installed", name)
	}
}

// sold returns an image with a seller's files, where Heads puts them.
func sold(t testing.TB, l romtest.Layout) []byte {
	t.Helper()
	img := l.Build()
	im, err := rom.Parse(img)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []rom.NewFile{
		{Name: rom.NamePubring, Data: bytes.Repeat([]byte("seller "), 400)},
		{Name: rom.NameTrustDB, Data: bytes.Repeat([]byte{1}, 1280)},
		{Name: rom.NameConfig, Data: []byte("export CONFIG_A=\"1\"\n")},
	} {
		if err := im.Add(f.Name, f.Data, rom.Heads); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

func owner(n int) rom.Changes {
	return rom.Changes{Pubring: bytes.Repeat([]byte("owner's "), n/8), TrustDB: bytes.Repeat([]byte{2}, 1280),
		Settings: []rom.Setting{{Name: "CONFIG_B", Value: "2"}}}
}

func plan(t testing.TB, old []byte, n int) *rom.Plan {
	t.Helper()
	p, err := rom.NewPlan(old, owner(n))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A chip is a NOR flash chip in memory that can be made to fail in every way
// that a real one does.
type chip struct {
	data  []byte
	names []string // of all writes so far

	cut   int // power goes during this write; -1: never
	how   torn
	off   bool
	rand  *rand.Rand
	reads int

	onRead  func(c *chip, p []byte, off int64) (int, error)
	onWrite func(c *chip, name string) (drop bool, err error)
	stuck   map[int64]byte // bits at an offset that always read as given
	stuckTo map[int64]byte
}

// torn says what a write that the power cut leaves behind.
type torn int

const (
	nothing torn = iota
	half
	garbage // some of the bits that were to change have changed
	lengths // all is written, but of file lengths only some bits
	all
	kinds
)

var errPower = errors.New("no power")

func newChip(img []byte) *chip {
	return &chip{data: bytes.Clone(img), cut: -1, rand: rand.New(rand.NewPCG(1, 2))}
}

func (c *chip) backend() *NOR    { return &NOR{Device: c, Name: "test chip"} }
func (c *chip) Size() int64      { return int64(len(c.data)) }
func (c *chip) EraseSize() int64 { return rom.EraseSize }
func (c *chip) Sync() error      { return nil }

func (c *chip) ReadAt(p []byte, off int64) (int, error) {
	if c.off {
		return 0, errPower
	}
	c.reads++
	n := copy(p, c.data[off:])
	for at := range c.stuck {
		if at >= off && at < off+int64(n) {
			p[at-off] = p[at-off]&^c.stuck[at] | c.stuckTo[at]
		}
	}
	if c.onRead != nil {
		return c.onRead(c, p, off)
	}
	return n, nil
}

func (c *chip) Erase(name string, off int64) error {
	return c.write(name, off, bytes.Repeat([]byte{0xff}, rom.EraseSize))
}

func (c *chip) Program(name string, off int64, p []byte) error {
	want := bytes.Clone(c.data[off : off+int64(len(p))])
	for i := range want {
		want[i] &= p[i]
	}
	return c.write(name, off, want)
}

func (c *chip) write(name string, off int64, want []byte) error {
	if c.off {
		return errPower
	}
	n := len(c.names)
	c.names = append(c.names, name)
	to := c.data[off : off+int64(len(want))]
	if n == c.cut {
		c.off = true
		switch c.how {
		case half:
			copy(to, want[:len(want)/2])
		case garbage:
			c.mix(to, want)
		case lengths:
			was := bytes.Clone(to)
			copy(to, want)
			for i := 0; i < len(to); i += 64 {
				if bytes.HasPrefix(to[i:], []byte("LARCHIVE")) {
					copy(to[i+8:i+12], was[i+8:])
					c.mix(to[i+8:i+12], want[i+8:i+12])
				}
			}
		case all:
			copy(to, want)
		}
		return errPower
	}
	if c.onWrite != nil {
		if drop, err := c.onWrite(c, name); drop || err != nil {
			return err
		}
	}
	copy(to, want)
	return nil
}

func (c *chip) mix(to, want []byte) {
	for i := range to {
		mix := byte(c.rand.Uint32())
		to[i] = to[i]&mix | want[i]&^mix
	}
}

func (t torn) String() string {
	return [...]string{"nothing", "half", "garbage", "lengths", "all"}[t]
}

var _ fmt.Stringer = torn(0)

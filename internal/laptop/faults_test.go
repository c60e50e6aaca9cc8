package laptop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reown/boot"
	"reown/gpgcard"
	"reown/gpgcard/cardtest/pcscdtest"
	"reown/internal/lab"
	"reown/internal/rom/flash"
	"reown/internal/secret"
	"reown/luks"
	"reown/tpm"
	"reown/tpm/tpmtest"
	"reown/wizard"
	"reown/wizard/ui/answers"
)

// errDevice is what a device answers at the write that a test has chosen.
var errDevice = errors.New("the device reports an error")

// injector sees every write of every device of one run, by name, and makes one fail:
// instead of being done, or although it was done.
type injector struct {
	mu     sync.Mutex // several disk writes are under way at once
	writes []string   // device, name and number of each, in order
	count  map[string]int
	fail   string // one of writes; "": none
	late   bool   // the write is done, and an error is reported all the same
	hit    bool
}

func (i *injector) do(name string, write func() error) error {
	i.mu.Lock()
	if i.count == nil {
		i.count = map[string]int{}
	}
	i.count[name]++
	id := fmt.Sprintf("%s #%d", name, i.count[name])
	i.writes = append(i.writes, id)
	chosen := id == i.fail
	i.hit = i.hit || chosen
	i.mu.Unlock()
	if !chosen {
		return write()
	}
	if i.late {
		if err := write(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", id, errDevice)
}

// between puts the injector between the adapters and the devices of a laptop.
func (i *injector) between(m *Laptop, l *lab.Laptop) (err error) {
	for k, b := range m.card.buses {
		m.card.buses[k] = faultyBus{b, i}
	}
	if m.tpm.t, err = tpm.New(func() (tpm.Device, error) { return dialTPM(l.TPM.Socket, i) }); err != nil {
		return err
	}
	d := m.disks[0]
	d.door = func() (*luks.Volume, error) {
		v, err := luks.OpenDevice(d.spec.Path, faultyDisk{d.spec, i}, nil)
		if err == nil {
			v.SetKDF(luks.KDFPBKDF2)
		}
		return v, err
	}
	nor := m.chip.backend.(*flash.NOR)
	nor.Device = faultyChip{nor.Device, i}
	path := m.boot.dir.Path()
	m.boot.dir, err = boot.OpenFS(path, faultyFS{boot.System(path), i})
	return err
}

// faultyBus is a card reader. The writes are the commands that change the card.
type faultyBus struct {
	gpgcard.Bus
	i *injector
}

func (b faultyBus) Connect(ctx context.Context, r gpgcard.Reader) (gpgcard.Link, error) {
	l, err := b.Bus.Connect(ctx, r)
	return faultyLink{l, b.i}, err
}

type faultyLink struct {
	gpgcard.Link
	i *injector
}

// cardWrites are instructions of the OpenPGP card 3.4 that change something.
var cardWrites = map[byte]string{0x24: "CHANGE REFERENCE DATA", 0x2a: "PERFORM SECURITY OPERATION",
	0x2c: "RESET RETRY COUNTER", 0x44: "ACTIVATE FILE",
	0x47: "GENERATE ASYMMETRIC KEY PAIR", 0xda: "PUT DATA", 0xdb: "PUT DATA", 0xe6: "TERMINATE DF"}

func (l faultyLink) Transmit(ctx context.Context, apdu []byte) (reply []byte, err error) {
	name, writes := cardWrites[apdu[1]]
	if !writes || apdu[1] == 0x47 && apdu[2] == 0x81 { // 81: reads a public key
		return l.Link.Transmit(ctx, apdu)
	}
	if apdu[1] != 0x2a {
		name += fmt.Sprintf(" %02X%02X", apdu[2], apdu[3])
	}
	err = l.i.do("card: "+name, func() (err error) {
		reply, err = l.Link.Transmit(ctx, apdu)
		return err
	})
	return reply, err
}

// faultyTPM is a TPM behind a socket.
type faultyTPM struct {
	net.Conn
	i *injector
}

func dialTPM(path string, i *injector) (tpm.Device, error) {
	c, err := tpmtest.Dial(path)
	return faultyTPM{c, i}, err
}

func (d faultyTPM) Transmit(cmd []byte) (reply []byte, err error) {
	send := func() error {
		if _, err := d.Write(cmd); err != nil {
			return err
		}
		var head [10]byte
		if _, err := io.ReadFull(d.Conn, head[:]); err != nil {
			return err
		}
		reply = append(head[:], make([]byte, max(0, int(binary.BigEndian.Uint32(head[2:]))-len(head)))...)
		_, err := io.ReadFull(d.Conn, reply[len(head):])
		return err
	}
	name := tpm.CommandName(cmd)
	for _, w := range []string{"Clear", "ChangeAuth", "EvictControl", "NV_DefineSpace", "NV_UndefineSpace", "NV_Write",
		"NV_Increment", "DictionaryAttack", "TPM2_Create"} {
		if strings.Contains(name, w) {
			err = d.i.do("tpm: "+name, send)
			return reply, err
		}
	}
	return reply, send()
}

// faultyDisk is a part of a disk image.
type faultyDisk struct {
	spec DiskSpec
	i    *injector
}

func (d faultyDisk) with(f func(*os.File) error) error {
	file, err := os.OpenFile(d.spec.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close())
}

func (d faultyDisk) ReadAt(p []byte, off int64) error {
	return d.with(func(f *os.File) error { _, err := f.ReadAt(p, d.spec.Offset+off); return err })
}

func (d faultyDisk) WriteAt(name string, p []byte, off int64) error {
	return d.i.do("disk: "+name, func() error {
		return d.with(func(f *os.File) error { _, err := f.WriteAt(p, d.spec.Offset+off); return err })
	})
}

func (d faultyDisk) Sync(name string) error {
	return d.i.do("disk: flush "+name, func() error { return nil })
}
func (d faultyDisk) Size() int64    { return d.spec.Size }
func (d faultyDisk) BlockSize() int { return 512 }

// faultyChip is a flash chip.
type faultyChip struct {
	flash.Device
	i *injector
}

func (d faultyChip) Erase(name string, off int64) error {
	return d.i.do("rom: "+name, func() error { return d.Device.Erase(name, off) })
}

func (d faultyChip) Program(name string, off int64, p []byte) error {
	return d.i.do("rom: "+name, func() error { return d.Device.Program(name, off, p) })
}

func (d faultyChip) Sync() error { return d.i.do("rom: flush", d.Device.Sync) }

// faultyFS is /boot.
type faultyFS struct {
	boot.FS
	i *injector
}

func (f faultyFS) Mkdir(op, name string) error {
	return f.i.do("boot: "+op, func() error { return f.FS.Mkdir(op, name) })
}

func (f faultyFS) WriteFile(op, name string, data []byte) error {
	return f.i.do("boot: "+op, func() error { return f.FS.WriteFile(op, name, data) })
}

func (f faultyFS) Append(op, name string, data []byte) error {
	return f.i.do("boot: "+op, func() error { return f.FS.Append(op, name, data) })
}

func (f faultyFS) Rename(op, old, new string) error {
	return f.i.do("boot: "+op, func() error { return f.FS.Rename(op, old, new) })
}

func (f faultyFS) Remove(op, name string) error {
	return f.i.do("boot: "+op, func() error { return f.FS.Remove(op, name) })
}

func (f faultyFS) SyncDir(op, name string) error {
	return f.i.do("boot: "+op, func() error { return f.FS.SyncDir(op, name) })
}

// notes keeps what the owner has written down.
type notes map[string]string

// Replace implements answers.Sink.
func (n notes) Replace(doc *secret.Buffer) error { return json.Unmarshal(doc.Bytes(), &n) }

// takeOver runs the wizard on the laptop, in this process, with the injector between
// it and the devices. papers are pages of secrets on which the owner says that it is on paper already.
func takeOver(ctx context.Context, l *lab.Laptop, n notes, i *injector, papers ...string) error {
	offset, size := l.Window()
	m, err := Open(ctx, Config{
		Boot: l.BootDir(), Disks: []DiskSpec{{l.Disk(), offset, size}}, TPM: l.TPM.Socket, Flash: "file:" + l.ROM(),
		Card: "pcsc:" + l.PCSC.Socket, Heads: filepath.Join(l.Dir, "config"), NoRestart: true,
	})
	if err != nil {
		return err
	}
	defer m.Close()
	if err := i.between(m, l); err != nil {
		return err
	}
	info, err := m.disks[0].Info(ctx)
	if err != nil {
		return err
	}
	known := &answers.Secrets{}
	defer known.Wipe()
	for k, v := range n {
		b := secret.From([]byte(v))
		known.Set(k, b)
		b.Wipe()
	}
	u := &answers.UI{Answers: map[string]string{"language": "en", "verify": "match", "name": "Ada Buyer",
		"email":   "ada@example.org",
		"confirm": info.Serial[len(info.Serial)-4:]}, Secrets: known, Out: n}
	for _, page := range papers {
		u.Answers[page] = "paper"
	}
	defer u.Close()
	return wizard.Run(ctx, m.Buyer(), u, wizard.Options{Language: "en"})
}

// shop is a laptop as its seller ships it, switched off, with a key derivation that
// costs nothing.
func shop(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "flt") // sockets want a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := lab.New(t.Context(), lab.Options{Dir: filepath.Join(dir, "l"), DataMiB: 16, Lean: true})
	if errors.Is(err, pcscdtest.ErrMissing) || errors.Is(err, tpmtest.ErrNoSwtpm) {
		if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	l.Stop()
	offset, size := l.Window()
	v, err := lab.CopyVolume(l.Disk(), offset, size, l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cryptsetup", "luksConvertKey", "--disable-locks", "--batch-mode", "--key-file", "-", "--pbkdf",
		"argon2id",
		"--pbkdf-force-iterations", "4", "--pbkdf-memory", "256", "--pbkdf-parallel", "1", v.Path)
	cmd.Stdin = strings.NewReader(l.Seller.Disk)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command("dd", "if="+v.Path, "of="+l.Disk(), "bs=1M", "conv=notrunc,sparse", "oflag=seek_bytes",
		fmt.Sprint("seek=", offset)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Remove(v.Path); err != nil {
		t.Fatal(err)
	}
	return l.Dir
}

// unpack is a copy of a laptop, switched on.
func unpackTar(t *testing.T, from string) *lab.Laptop {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "flt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	to := filepath.Join(dir, "l")
	if out, err := exec.Command("cp", "-a", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.RemoveAll(filepath.Join(to, "pcsc")); err != nil {
		t.Fatal(err)
	}
	l, err := lab.Load(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Stop)
	return l
}

// cleared is the first write after the TPM was cleared.
const cleared = "tpm: TPM2_CreatePrimary"

// few picks, of the writes of a run, the first, the middle and the last of each name.
func few(writes []string) (picked []string) {
	of := map[string][]string{}
	var names []string
	for _, id := range writes {
		name := id[:strings.LastIndex(id, " #")]
		if of[name] == nil {
			names = append(names, name)
		}
		of[name] = append(of[name], id)
	}
	for _, name := range names {
		ids := of[name]
		some := []string{ids[0], ids[len(ids)/2], ids[len(ids)-1]}
		picked = append(picked, slices.Compact(some)...)
	}
	return picked
}

// Each named write of each device fails once, in a run with the real packages on the
// lab's laptop: the run says which step failed, or the write was one without which a
// run goes on; the next run, after a restart, ends with a laptop that the tools that
// judge an uninterrupted run call the buyer's. A soak takes every name with both kinds
// of failure; the default takes one.
func TestEachNamedWriteFails(t *testing.T) {
	from := shop(t)
	whole := &injector{}
	l := unpackTar(t, from)
	n := notes{"secret.current": l.Seller.Disk}
	if err := takeOver(t.Context(), l, n, whole); err != nil {
		t.Fatal(err)
	}
	judged(t, l, n)
	l.Stop()
	cases := few(whole.writes)
	soak, seed := os.Getenv("REOWN_SOAK") == "1", uint64(1)
	if soak {
		seed = uint64(time.Now().UnixNano())
	}
	rnd := rand.New(rand.NewPCG(seed, 9))
	t.Logf("%d writes, %d chosen; seed %d", len(whole.writes), len(cases), seed)
	rnd.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	if !soak {
		// Between clearing and the new root the laptop has no TPM that tells who it is.
		cases = []string{cleared + " #1"}
	}
	stopped, went := 0, 0
	for k, id := range cases {
		if k%10 == 9 {
			t.Logf("%d of %d", k, len(cases))
		}
		kinds := []bool{rnd.IntN(2) == 0}
		if soak {
			kinds = []bool{false, true}
		}
		for _, late := range kinds {
			if failOnce(t, from, id, late) {
				stopped++
			} else {
				went++
			}
		}
	}
	t.Logf("%d runs were stopped by the failure and continued, %d went on without the write", stopped, went)
}

// failOnce lets one write fail and the next run go on; it says whether the first run
// was stopped.
func failOnce(t *testing.T, from, id string, late bool) (stopped bool) {
	t.Helper()
	l := unpackTar(t, from)
	defer l.Stop()
	n := notes{"secret.current": l.Seller.Disk}
	i := &injector{fail: id, late: late}
	err := takeOver(t.Context(), l, n, i)
	what := fmt.Sprintf("%s (late: %v)", id, late)
	var step *wizard.StepError
	switch {
	case !i.hit:
		t.Errorf("%s: was not reached: %v", what, err)
	case err == nil:
	case !errors.As(err, &step), !errors.Is(err, errDevice):
		t.Errorf("%s: the run does not say so: %v", what, err)
	}
	if restart := l.PowerCycle(t.Context()); restart != nil {
		t.Fatal(restart)
	}
	// Cleared, and not the owner's yet: the passphrase on paper stays true, the phone's secret cannot.
	var papers []string
	owner, phone := n["secret.owner"], n["totp"]
	if strings.HasPrefix(id, cleared) {
		papers = []string{"record.owner"}
	}
	if again := takeOver(t.Context(), l, n, &injector{}, papers...); again != nil &&
		!errors.Is(again, wizard.ErrNothingToDo) {
		t.Errorf("%s, then continued: %v", what, again)
	}
	if papers != nil && err != nil && (n["secret.owner"] != owner || n["totp"] == phone) {
		t.Errorf("%s, then continued: the passphrase on paper was %q and is %q; a new phone code: %v", what, owner,
			n["secret.owner"], n["totp"] != phone)
	}
	judged(t, l, n)
	return err != nil
}

// judged asks the foreign tools.
func judged(t *testing.T, l *lab.Laptop, n notes) {
	t.Helper()
	b := &lab.Buyer{Disk: n["secret.disk"], UserPIN: n["secret.user"], AdminPIN: n["secret.admin"],
		Owner: n["secret.owner"], TOTP: strings.ReplaceAll(n["totp"], " ", "")}
	for _, v := range l.Judge(t.Context(), b) {
		if v.Err != nil {
			t.Errorf("%s: %v", v.What, v.Err)
		}
	}
}

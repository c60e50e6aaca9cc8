package tpm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reown/tpm/tpmtest"
)

// relayed is the TPM with somebody in between who answers in its place.
func relayed(t *testing.T, s *tpmtest.Sim, answer func(d Device, cmd []byte) []byte) *TPM {
	t.Helper()
	p, err := New(func() (Device, error) {
		d, err := openPath(s.Socket)
		return &relay{d, answer}, err
	})
	check(t, err)
	return p
}

// answers gives one answer to one command.
func answers(name string, reply []byte) func(Device, []byte) []byte {
	return func(_ Device, cmd []byte) []byte {
		if CommandName(cmd) == name {
			return reply
		}
		return nil
	}
}

func kinds(ps []Problem) (stop, miss []error) {
	for _, p := range ps {
		if p.Stops {
			stop = append(stop, p.Err)
		} else {
			miss = append(miss, p.Err)
		}
	}
	return stop, miss
}

// A maker's fixed lockout rule stops nothing, and is named afterwards.
func TestGuessingRuleFixed(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V20)
	p := relayed(t, s, answers("TPM2_DictionaryAttackParameters", answer20(0x1c4)))
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	i := must(p.Info(ctx))(t)
	if !i.SetUp || !slices.Contains(i.Missing, ErrGuessingRule.Error()) {
		t.Errorf("%+v", i)
	}
	check(t, p.CheckOwner(ctx, buf(ownerPass)))
	p = mustOpen(t, s.Socket)
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	if i := must(p.Info(ctx))(t); len(i.Missing) != 0 {
		t.Errorf("missing: %v", i.Missing)
	}
	// It may also be known before.
	p = relayed(t, s, func(_ Device, cmd []byte) []byte {
		if CommandName(cmd) == "TPM2_GetCapability" && handleIn(cmd) == 2 {
			return answer(V20, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0) // no such command
		}
		return nil
	})
	stop, miss := kinds(must(p.Rehearse(ctx, RehearseOptions{PrimaryAlg: ECC}))(t))
	if len(stop) != 0 || !slices.Equal(miss, []error{ErrGuessingRule}) {
		t.Errorf("%v %v", stop, miss)
	}
}

// What the chip lacks is found before it is cleared, and without a write: the state on
// the emulator's disk is the same.
func TestRehearseFindsItBeforeClearing(t *testing.T) {
	ctx := context.Background()
	s, p, _ := setUp20(t)
	name := must(p.Info(ctx))(t).PrimaryName
	capability := func(what uint32, reply []byte) func(Device, []byte) []byte {
		return func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_GetCapability" && handleIn(cmd) == what {
				return reply
			}
			return nil
		}
	}
	one := func(what byte, value ...byte) []byte { // a list of one value
		return answer(V20, 0, append([]byte{0, 0, 0, 0, what, 0, 0, 0, 1}, value...)...)
	}
	testParms := func(alg byte) func(Device, []byte) []byte {
		return func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_TestParms" && cmd[headerLen+1] == alg {
				return answer20(0x1c4)
			}
			return nil
		}
	}
	for what, c := range map[string]struct {
		alg    PrimaryAlg
		want   error
		relay  func(Device, []byte) []byte
		detail string
	}{
		"no SHA-256 bank": {ECC, ErrNoBank, capability(5, one(5, 0, 4, 3, 0xff, 0xff, 0xff)), ""},
		"bank in part":    {ECC, ErrNoBank, capability(5, one(5, 0, 11, 3, 0x7f, 0xff, 0xff)), ""},
		"no RSA":          {RSA, ErrNoKeyType, testParms(1), "rsa; it makes ecc"},
		"no ECC":          {ECC, ErrNoKeyType, testParms(0x23), "ecc; it makes rsa"},
		"presence":        {ECC, ErrPresence, capability(3, one(3, 0, 0, 1, 0x26)), "TPM2_Clear"},
		"presence, later": {ECC, ErrPresence, answers("TPM2_Clear", answer20(0x90)), "-"},
		"no counter": {ECC, ErrNVFull, func(d Device, cmd []byte) []byte {
			return property(t, d, cmd, map[uint32]uint32{ptCounters: 0, ptCountersAvail: 0})
		}, ""},
		"two places": {ECC, ErrFewSlots, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_GetCapability" && handleIn(cmd) == 1 {
				return answer(V20, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0)
			}
			return property(t, d, cmd, map[uint32]uint32{ptPersistentAvail: 1})
		}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			p := relayed(t, s, c.relay)
			var stop []error
			ps := must(p.Rehearse(ctx, RehearseOptions{PrimaryAlg: c.alg}))(t)
			if stop, _ = kinds(ps); c.detail != "-" && !slices.Equal(stop, []error{c.want}) {
				t.Errorf("rehearsed: %+v", ps)
			}
			if c.detail != "" && c.detail != "-" && ps[0].Detail != c.detail {
				t.Errorf("detail %q", ps[0].Detail)
			}
			wantErr(t, p.Reset(ctx, buf("another"), ResetOptions{PrimaryAlg: c.alg}), c.want)
			i := must(mustOpen(t, s.Socket).Info(ctx))(t)
			if i.PrimaryName != name || !i.SetUp {
				t.Errorf("changed: %+v", i)
			}
			check(t, mustOpen(t, s.Socket).CheckOwner(ctx, buf(ownerPass)))
		})
	}
	// A real chip without the bank, and one whose platform was given away.
	h := startHeads(t, s)
	must(h.Tool("pcrallocate", "-P", "", "sha1:all+sha256:none"))(t)
	check(t, p.Shutdown(ctx))
	check(t, s.PowerCycle())
	wantErr(t, p.Reset(ctx, buf("another"), ResetOptions{PrimaryAlg: ECC}), ErrNoBank)
	check(t, p.CheckOwner(ctx, buf(ownerPass)))
	must(h.Tool("changeauth", "-c", "platform", "0badcafe"))(t)
	stop, _ := kinds(must(p.Rehearse(ctx, RehearseOptions{PrimaryAlg: RSA}))(t))
	if !slices.Equal(stop, []error{ErrPlatformLocked, ErrNoBank}) {
		t.Errorf("%v", stop)
	}
}

// A rehearsal writes nothing: the emulator's state is the same to the byte.
func TestRehearseWritesNothing(t *testing.T) {
	for _, f := range families {
		s, p := setUp(t, f.v)
		state := func() []byte {
			var all []byte
			files := must(filepath.Glob(filepath.Join(filepath.Dir(s.Socket), "state", "tpm*permall")))(t)
			for _, f := range files {
				all = append(all, must(os.ReadFile(f))(t)...)
			}
			return all
		}
		before := state()
		all := RehearseOptions{PrimaryAlg: ECC, DUK: true}
		if stop, _ := kinds(must(p.Rehearse(context.Background(), all))(t)); len(stop) != 0 {
			t.Errorf("%v", stop)
		}
		if len(before) == 0 || !bytes.Equal(state(), before) {
			t.Errorf("TPM %s: state of %d bytes changed", f.name, len(before))
		}
	}
}

// property changes values in the TPM's list of properties.
func property(t *testing.T, d Device, cmd []byte, values map[uint32]uint32) []byte {
	if CommandName(cmd) != "TPM2_GetCapability" || handleIn(cmd) != 6 {
		return nil
	}
	r, err := d.Transmit(cmd)
	check(t, err)
	for at := headerLen + 1 + 4 + 4; at+8 <= len(r); at += 8 {
		if v, ok := values[binary.BigEndian.Uint32(r[at:])]; ok {
			binary.BigEndian.PutUint32(r[at+4:], v)
		}
	}
	return r
}

// A chip with three persistent places has them for what the owner needs.
func TestThreePlaces(t *testing.T) {
	ctx := context.Background()
	s := startSim(t, tpmtest.V20)
	used := func(d Device) uint32 {
		r, err := d.Transmit(v2GetCapability(capHandles, uint32(primaryHandle), 100))
		check(t, err)
		return binary.BigEndian.Uint32(r[headerLen+1+4:])
	}
	p := relayed(t, s, func(d Device, cmd []byte) []byte {
		if CommandName(cmd) == "TPM2_EvictControl" && binary.BigEndian.Uint32(cmd[headerLen+4:])>>24 == 0x80 && used(d) >= 3 {
			return answer20(v2NVSpace)
		}
		return property(t, d, cmd, map[uint32]uint32{ptPersistentAvail: 3 - min(3, used(d))})
	})
	o := RehearseOptions{PrimaryAlg: ECC, DUK: true}
	for range 2 { // empty, and with everything there
		stop, miss := kinds(must(p.Rehearse(ctx, o))(t))
		if len(stop) != 0 || !slices.Equal(miss, []error{ErrNoEndorsementKey}) {
			t.Fatalf("%v %v", stop, miss)
		}
		check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
		pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
		check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
		check(t, p.SealDUK(ctx, buf(ownerPass), buf("key"), buf(dukPass), pcrs))
		check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
		must(p.CreateCounter(ctx, buf(ownerPass)))(t)
		check(t, p.DefineAnchor(ctx, buf(ownerPass), digestOf(1)))
		i := must(p.Info(ctx))(t)
		if !i.SetUp || !i.HasOTP || !i.HasDUK || !slices.Equal(i.Missing, []string{ErrNoEndorsementKey.Error()}) {
			t.Fatalf("%+v", i)
		}
	}
}

// An NV area of a stranger's that is shown to nobody stops nothing.
func TestUnreadableArea(t *testing.T) {
	ctx := context.Background()
	s, _, _ := setUp20(t)
	h := startHeads(t, s)
	must(h.Tool("nvdefine", "0x1800003", "-s", "8", "-C", "p", "-a", "ppread|ppwrite|platformcreate"))(t)
	p := relayed(t, s, func(_ Device, cmd []byte) []byte {
		if CommandName(cmd) == "TPM2_NV_ReadPublic" && handleIn(cmd) == 0x01800003 {
			return answer20(0x18b)
		}
		return nil
	})
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	if i := must(p.Info(ctx))(t); !slices.Equal(i.Counters, []string{n.ID}) {
		t.Errorf("counters %v", i.Counters)
	}
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
}

// A TPM that asks to wait for ever is named, and no refusal of another kind.
func TestWaitsForEver(t *testing.T) {
	ctx := context.Background()
	s, p, _ := setUp20(t)
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	p = relayed(t, s, answers("TPM2_NV_Increment", answer20(v2NVRate)))
	p.patience = 20 * time.Millisecond
	_, err := p.IncrementCounter(ctx, n.ID)
	wantErr(t, err, ErrWait)
	check(t, func() error { _, err := p.ReadCounter(ctx, n.ID); return err }())
}

// Heads' other counter label is Heads', too.
func TestOtherLabel12(t *testing.T) {
	ctx := context.Background()
	_, p := setUp(t, tpmtest.V12)
	var id uint32
	check(t, p.with(ctx, func(c *conn) error {
		s, err := c.osap(v1EntityOwner, v1Owner, passwordAuth(buf(ownerPass)))
		if err != nil {
			return err
		}
		r, err := c.authorised(v1CreateCounter, s, nil, pack(s.hide(passwordAuth(buf(""))), uint32(0x45221351)))
		if err == nil {
			id = r.u32()
		}
		return err
	}))
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	if want := must(v1CounterID(n.ID))(t); want != id {
		t.Errorf("a second counter: %s beside %d", n.ID, id)
	}
}

// A chip that is switched off is said to be that, and neither cleared nor without an owner.
func TestSwitchedOff12(t *testing.T) {
	ctx := context.Background()
	s, p := setUp(t, tpmtest.V12)
	check(t, p.with(ctx, func(c *conn) error {
		if _, err := c.call(v1PhysicalPresence, uint16(v1PresenceCMDEnable)); c.io != nil {
			return err
		}
		if _, err := c.call(v1PhysicalPresence, uint16(v1PresencePresent)); err != nil {
			return err
		}
		_, err := c.call(v1SetDeactivated, []byte{1})
		return err
	}))
	check(t, s.PowerCycle())
	i := must(p.Info(ctx))(t)
	if !i.Owned || i.SetUp || i.Anchor.State != AnchorUnreadable {
		t.Errorf("%+v", i)
	}
	_, pcrs := p.ReadPCRs(ctx, 0)
	_, read := p.Reader(i.PrimaryName).PCRs(ctx, 0)
	define := p.DefineAnchor(ctx, buf(ownerPass), digestOf(1))
	for _, err := range []error{p.CheckOwner(ctx, buf(ownerPass)), pcrs, read, define} {
		wantErr(t, err, ErrSwitchedOff)
	}
	wantKind(t, read, ReadingRefused)
	ps := must(p.Rehearse(ctx, RehearseOptions{}))(t)
	if stop, miss := kinds(ps); len(stop) != 0 || !slices.Equal(miss, []error{ErrRestartNeeded}) {
		t.Errorf("%+v", ps)
	}
	// The reset switches it on, and has cleared nothing until after the restart.
	wantErr(t, p.Reset(ctx, buf("another"), ResetOptions{}), ErrRestartNeeded)
	check(t, s.PowerCycle())
	check(t, p.CheckOwner(ctx, buf(ownerPass)))
}

// Where no owner is, no passphrase is "wrong".
func TestNoOwner(t *testing.T) {
	for _, f := range families {
		p := mustOpen(t, startSim(t, f.v).Socket)
		err := p.CheckOwner(context.Background(), buf(ownerPass))
		wantErr(t, err, ErrNotSetUp)
		if errors.Is(err, ErrWrongOwner) {
			t.Errorf("TPM %s: %v", f.name, err)
		}
	}
}

// The end of the context ends the wait for a chip that does not answer; the device is
// closed when it does.
func TestChipDoesNotAnswer(t *testing.T) {
	s, _, _ := setUp20(t)
	asked, release, closed := make(chan bool), make(chan bool), make(chan bool, 9)
	p, err := New(func() (Device, error) {
		d, err := openPath(s.Socket)
		return &closer{&relay{d, func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_ReadPublic" {
				close(asked)
				<-release
			}
			return nil
		}}, closed}, err
	})
	check(t, err)
	<-closed
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	_, err = p.Info(ctx)
	wantErr(t, err, context.Canceled)
	select {
	case <-closed:
		t.Error("the device was closed under a command")
	default:
	}
	close(release)
	<-closed
	must(mustOpen(t, s.Socket).Info(context.Background()))(t)
}

type closer struct {
	Device
	closed chan bool
}

func (c *closer) Close() error { err := c.Device.Close(); c.closed <- true; return err }

// A chip that is silent from the first command, and replies of impossible lengths.
func TestSilentAndMalformed(t *testing.T) {
	dir, err := os.MkdirTemp("", "tpm")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "sock")
	var reply []byte
	ln, err := net.Listen("unix", path)
	check(t, err)
	t.Cleanup(func() { ln.Close() })
	got := make(chan bool, 9)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 64))
			_, _ = c.Write(reply)
			got <- true
		}
	}()
	for _, r := range [][]byte{
		{0x80, 1, 0, 0, 0, 7, 0}, {0x80, 1, 0, 0, 0, 0}, {0x80, 1, 0xff, 0xff, 0xff, 0xff},
		append([]byte{0x80, 1, 0, 0, 0, 10}, make([]byte, 20)...),
	} {
		reply = r
		_, err := Open(path)
		wantErr(t, err, ErrProtocol)
		<-got
	}
	reply = nil
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-got; cancel() }()
	_, err = OpenContext(ctx, path)
	wantErr(t, err, context.Canceled)
}

// fakeFS is a securityfs that appears when it is mounted.
type fakeFS struct {
	log     []byte
	calls   []string
	there   bool
	refused error
}

func (f *fakeFS) mounted(string) bool { return f.there }

func (f *fakeFS) mount(dir string) error {
	f.calls = append(f.calls, "mount")
	if f.refused != nil || f.log == nil {
		return f.refused
	}
	file := filepath.Join(dir, "tpm0/binary_bios_measurements")
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, f.log, 0o600))
}

func (f *fakeFS) unmount(dir string) error {
	f.calls = append(f.calls, "unmount")
	return os.RemoveAll(filepath.Join(dir, "tpm0"))
}

func TestSecurityFS(t *testing.T) {
	dir := t.TempDir()
	both := []string{"mount", "unmount"}
	f := &fakeFS{log: []byte("log")}
	if b, err := kernelLog(dir, f); err != nil || string(b) != "log" || !slices.Equal(f.calls, both) {
		t.Errorf("%q %v %v", b, err, f.calls)
	}
	for _, log := range [][]byte{nil, {}} { // no TPM's log, or an empty one
		f = &fakeFS{log: log}
		if b, err := kernelLog(dir, f); err == nil || !slices.Equal(f.calls, both) {
			t.Errorf("%q %v %v", b, err, f.calls)
		}
	}
	f = &fakeFS{refused: unix.EPERM}
	if _, err := kernelLog(dir, f); !errors.Is(err, unix.EPERM) || len(f.calls) != 1 {
		t.Errorf("%v %v", err, f.calls)
	}
	f = &fakeFS{log: []byte("log")}
	check(t, f.mount(dir))
	f = &fakeFS{there: true} // the firmware's own mount stays
	if b, err := kernelLog(dir, f); err != nil || string(b) != "log" || len(f.calls) != 0 {
		t.Errorf("%q %v %v", b, err, f.calls)
	}
}

// The kernel's own securityfs, where the test may mount.
func TestSecurityFSForReal(t *testing.T) {
	dir, fs := t.TempDir(), securityFS{}
	if fs.mounted(dir) {
		t.Error("a folder is taken for securityfs")
	}
	if err := fs.mount(dir); err != nil {
		t.Skip("mounting:", err)
	}
	defer fs.unmount(dir) //nolint:errcheck // only if the test fails
	if !fs.mounted(dir) {
		t.Error("mounted, and not seen")
	}
	check(t, fs.unmount(dir))
	_, _ = kernelLog(dir, fs)
	if fs.mounted(dir) {
		t.Error("left mounted")
	}
}

// Hierarchies that were switched off are described, and a reset switches them on.
func TestHierarchiesOff(t *testing.T) {
	ctx := context.Background()
	s, _, _ := setUp20(t)
	h := startHeads(t, s)
	must(h.Tool("hierarchycontrol", "-C", "p", "ehEnable", "clear"))(t)
	must(h.Tool("hierarchycontrol", "-C", "p", "shEnable", "clear"))(t)
	p := mustOpen(t, s.Socket)
	if i := must(p.Info(ctx))(t); i.SetUp || i.HasOTP {
		t.Errorf("%+v", i)
	}
	if stop, _ := kinds(must(p.Rehearse(ctx, RehearseOptions{PrimaryAlg: ECC}))(t)); len(stop) != 0 {
		t.Errorf("%v", stop)
	}
	check(t, p.Reset(ctx, buf(ownerPass), ResetOptions{PrimaryAlg: ECC}))
	if i := must(p.Info(ctx))(t); !i.SetUp || len(i.Missing) != 0 {
		t.Errorf("%+v", i)
	}
}

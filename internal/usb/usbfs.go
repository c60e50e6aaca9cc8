package usb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"reown/internal/secret"
)

// System is the Bus of this machine: Linux usbfs.
func System() Bus { return &linux{sysfs: "/sys/bus/usb/devices", dev: "/dev/bus/usb"} }

// linux is usbfs below two directories.
type linux struct{ sysfs, dev string }

// Devices lists the device nodes. The strings come from sysfs, where the kernel
// has them already: asking the device again can disturb one that is busy.
func (l *linux) Devices() ([]Info, error) {
	nodes, err := filepath.Glob(filepath.Join(l.dev, "[0-9][0-9][0-9]", "[0-9][0-9][0-9]"))
	if err != nil {
		return nil, err
	}
	named := l.strings()
	var found []Info
	for _, node := range nodes {
		i := Info{}
		// The pattern leaves no other possibility than digits.
		i.Bus, _ = strconv.Atoi(filepath.Base(filepath.Dir(node)))
		i.Address, _ = strconv.Atoi(filepath.Base(node))
		raw, err := readDescriptors(node)
		if err != nil {
			continue // unplugged since, or not ours to read
		}
		if i.Descriptors, err = ParseDescriptors(raw); err != nil {
			continue
		}
		text := named[[2]int{i.Bus, i.Address}]
		i.Serial, i.Product = text[0], text[1]
		found = append(found, i)
	}
	sort.Slice(found, func(a, b int) bool {
		if found[a].Bus != found[b].Bus {
			return found[a].Bus < found[b].Bus
		}
		return found[a].Address < found[b].Address
	})
	return found, nil
}

// Settling says that something was plugged in, or a host controller was found, a moment
// ago: more may follow. The kernel makes a device's node when it has seen it.
func (l *linux) Settling() bool {
	nodes, _ := filepath.Glob(filepath.Join(l.dev, "[0-9][0-9][0-9]", "[0-9][0-9][0-9]")) // only a bad pattern is an error
	now := time.Now()
	for _, node := range nodes {
		var st unix.Stat_t
		if unix.Stat(node, &st) != nil {
			continue
		}
		if age := now.Sub(time.Unix(st.Ctim.Unix())); age >= 0 && age < fresh {
			return true
		}
	}
	return false
}

// fresh is how long a device counts as one that has just come.
var fresh = SettleTime

// strings reads serial number and name of all devices. sysfs may be absent.
func (l *linux) strings() map[[2]int][2]string {
	read := func(dir, name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || len(b) > 4096 {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	m := map[[2]int][2]string{}
	dirs, _ := filepath.Glob(filepath.Join(l.sysfs, "*")) // only a bad pattern is an error
	for _, dir := range dirs {
		bus, err1 := strconv.Atoi(read(dir, "busnum"))
		addr, err2 := strconv.Atoi(read(dir, "devnum"))
		if err1 == nil && err2 == nil {
			m[[2]int{bus, addr}] = [2]string{read(dir, "serial"),
				strings.TrimSpace(read(dir, "manufacturer") + " " + read(dir, "product"))}
		}
	}
	return m
}

// readDescriptors reads a device node, whose content is the descriptors.
func readDescriptors(node string) ([]byte, error) {
	f, err := os.Open(node)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	chunk := make([]byte, 4096)
	for b.Len() <= maxDescriptors {
		n, err := f.Read(chunk)
		b.Write(chunk[:n])
		if n == 0 || err != nil {
			break
		}
	}
	if b.Len() == 0 {
		return nil, ErrGone
	}
	return b.Bytes(), nil
}

// Open opens a device node and makes sure that it still is the device meant.
func (l *linux) Open(i Info) (Device, error) {
	node := filepath.Join(l.dev, fmt.Sprintf("%03d", i.Bus), fmt.Sprintf("%03d", i.Address))
	raw, err := readDescriptors(node)
	if err != nil {
		return nil, fmt.Errorf("reading the descriptors of %s: %w", i, openError(err))
	}
	d, err := ParseDescriptors(raw)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", i, err)
	}
	if d.Vendor != i.Descriptors.Vendor || d.Product != i.Descriptors.Product {
		return nil, fmt.Errorf("opening %s: %w", i, ErrGone)
	}
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", i, openError(err))
	}
	return newFS(os.NewFile(uintptr(fd), node), d)
}

func openError(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return ErrGone
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w (%v)", ErrAccess, err)
	}
	return err
}

// ioctls of linux/usbdevice_fs.h.
func ioc(dir, nr, size uintptr) uintptr { return dir<<iocDirShift | size<<iocSizeShift | 'U'<<8 | nr }

var (
	iocGetDriver = ioc(iocWrite, 8, unsafe.Sizeof(getDriver{}))
	iocSubmit    = ioc(iocRead, 10, unsafe.Sizeof(urb{}))
	iocDiscard   = ioc(iocNone, 11, 0)
	iocReap      = ioc(iocWrite, 13, unsafe.Sizeof(uintptr(0)))
	iocRelease   = ioc(iocRead, 16, 4)
	iocIoctl     = ioc(iocRead|iocWrite, 18, unsafe.Sizeof(driverIoctl{}))
	iocReset     = ioc(iocNone, 20, 0)
	iocConnect   = ioc(iocNone, 23, 0)
	iocClaim     = ioc(iocRead, 27, unsafe.Sizeof(disconnectClaim{}))
)

// urb is struct usbdevfs_urb without isochronous packets.
type urb struct {
	typ, endpoint byte
	status        int32
	flags         uint32
	buffer        uintptr
	bufferLength  int32
	actualLength  int32
	startFrame    int32
	packets       int32
	errorCount    int32
	signr         uint32
	context       uintptr
}

const (
	urbInterrupt = 1
	urbControl   = 2
	urbBulk      = 3
)

// disconnectClaim is struct usbdevfs_disconnect_claim.
type disconnectClaim struct {
	iface, flags uint32
	driver       [256]byte
}

// claimExceptDriver spares an interface bound to the named driver.
const claimExceptDriver = 2

// getDriver is struct usbdevfs_getdriver.
type getDriver struct {
	iface uint32
	name  [256]byte
}

// driverIoctl is struct usbdevfs_ioctl.
type driverIoctl struct {
	iface, code int32
	data        uintptr
}

// urbSpace is what a URB takes in front of its data, rounded up for alignment.
const urbSpace = 64

// reapTime is how long a discarded URB may take to come back. The kernel returns
// it at once; when it does not, the memory is left to it.
const reapTime = 5 * time.Second

// lostTime is how long a failed transfer waits for the hub to notice that the
// device was pulled out, so that the right error is given.
const lostTime = 300 * time.Millisecond

// fsDevice is an open device node.
type fsDevice struct {
	f    *os.File
	desc *Descriptors

	mu      sync.Mutex
	pending map[uintptr]flight // by address of the URB
	claimed map[byte]bool      // value: a kernel driver was detached
	closed  bool
	gone    chan struct{} // closed when the reaper ends: unplugged or closed
}

// A flight is a URB that the kernel has. The memory must not be unmapped before
// it is back.
type flight struct {
	done chan struct{} // closed when it is back
	mem  *secret.Buffer
}

func newFS(f *os.File, desc *Descriptors) (*fsDevice, error) {
	d := &fsDevice{f: f, desc: desc, pending: map[uintptr]flight{}, claimed: map[byte]bool{}, gone: make(chan struct{})}
	rc, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening %s: %w", f.Name(), err)
	}
	go d.reap(rc)
	return d, nil
}

func (d *fsDevice) Descriptors() *Descriptors { return d.desc }

// ioctl performs one ioctl; p points to its argument.
func (d *fsDevice) ioctl(req uintptr, p unsafe.Pointer) error {
	rc, err := d.f.SyscallConn()
	if err != nil {
		return err
	}
	var errno unix.Errno
	if err := rc.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, fd, req, uintptr(p))
	}); err != nil {
		return ErrGone // the file is closed
	}
	switch errno {
	case 0:
		return nil
	case unix.ENODEV, unix.ESHUTDOWN:
		return ErrGone
	}
	return errno
}

// reap hands finished URBs back until the device is gone or closed. The device
// node is writable when there are any.
func (d *fsDevice) reap(rc syscall.RawConn) {
	_ = rc.Write(func(fd uintptr) bool { // an error means: closed
		for {
			var back uintptr
			_, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, iocReap, uintptr(unsafe.Pointer(&back)))
			switch errno {
			case 0:
				d.mu.Lock()
				if f, ok := d.pending[back]; ok {
					close(f.done)
					delete(d.pending, back)
				}
				d.mu.Unlock()
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default:
				return true
			}
		}
	})
	close(d.gone)
}

// transfer runs one URB to its end. A control transfer's setup stage is the start
// of data. It returns the number of bytes moved.
func (d *fsDevice) transfer(ctx context.Context, typ, endpoint byte, setup, p []byte, in bool) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// The memory is outside the Go heap: the kernel keeps its address.
	mem := secret.New(urbSpace + len(setup) + len(p))
	data := mem.Bytes()[urbSpace:]
	copy(data, setup)
	if !in {
		copy(data[len(setup):], p)
	}
	u := (*urb)(unsafe.Pointer(&mem.Bytes()[0]))
	*u = urb{typ: typ, endpoint: endpoint, bufferLength: int32(len(data))}
	if len(data) > 0 {
		u.buffer = uintptr(unsafe.Pointer(&data[0]))
	}
	addr := uintptr(unsafe.Pointer(u))
	done := make(chan struct{})
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		mem.Wipe()
		return 0, ErrGone
	}
	d.pending[addr] = flight{done, mem}
	d.mu.Unlock()
	if err := d.ioctl(iocSubmit, unsafe.Pointer(u)); err != nil {
		d.forget(addr)
		mem.Wipe()
		return 0, d.failed(err)
	}
	cancelled := false
	select {
	case <-done:
	case <-d.gone:
	case <-ctx.Done():
		cancelled = true
		// It may have finished meanwhile (EINVAL); either way the reaper gets it.
		_ = d.ioctl(iocDiscard, unsafe.Pointer(u))
		select {
		case <-done:
		case <-d.gone:
		case <-time.After(reapTime):
			return 0, ctx.Err() // d.pending keeps the memory for the kernel
		}
	}
	select {
	case <-done:
	default: // gone with the URB in flight: data is only ever copied by a reap
		d.forget(addr)
		mem.Wipe()
		return 0, ErrGone
	}
	n, status := int(u.actualLength), unix.Errno(-u.status)
	if in && n > 0 {
		copy(p, data[len(setup):len(setup)+n])
	}
	mem.Wipe()
	if status == 0 || cancelled && in && n > 0 { // what has come is not lost
		return n, nil
	}
	if cancelled {
		return 0, ctx.Err()
	}
	return n, d.failed(status)
}

func (d *fsDevice) forget(addr uintptr) {
	d.mu.Lock()
	delete(d.pending, addr)
	d.mu.Unlock()
}

// failed turns the status of a transfer into an error.
func (d *fsDevice) failed(err error) error {
	switch {
	case errors.Is(err, ErrGone), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ESHUTDOWN):
		return ErrGone
	case errors.Is(err, unix.EPIPE):
		return ErrStall
	case errors.Is(err, unix.EPROTO), errors.Is(err, unix.EILSEQ), errors.Is(err, unix.ETIME), errors.Is(err, unix.ENOENT),
		errors.Is(err, unix.ECONNRESET):
		// What a device that is being pulled out looks like until the hub tells.
		select {
		case <-d.gone:
			return ErrGone
		case <-time.After(lostTime):
		}
	}
	return fmt.Errorf("%w: %v", ErrTransfer, err)
}

func (d *fsDevice) Control(ctx context.Context, s Setup, data []byte) (int, error) {
	if len(data) > 4096 {
		return 0, fmt.Errorf("%w: control data of %d bytes", ErrTransfer, len(data))
	}
	setup := make([]byte, 8)
	setup[0], setup[1] = s.RequestType, s.Request
	binary.LittleEndian.PutUint16(setup[2:], s.Value)
	binary.LittleEndian.PutUint16(setup[4:], s.Index)
	binary.LittleEndian.PutUint16(setup[6:], uint16(len(data)))
	return d.transfer(ctx, urbControl, 0, setup, data, s.In())
}

func (d *fsDevice) BulkOut(ctx context.Context, endpoint byte, p []byte) error {
	n, err := d.transfer(ctx, urbBulk, endpoint&0x0f, nil, p, false)
	if err == nil && n != len(p) {
		err = fmt.Errorf("%w: %d of %d bytes sent", ErrTransfer, n, len(p))
	}
	return err
}

func (d *fsDevice) BulkIn(ctx context.Context, endpoint byte, p []byte) (int, error) {
	return d.transfer(ctx, urbBulk, endpoint|0x80, nil, p, true)
}

func (d *fsDevice) Interrupt(ctx context.Context, endpoint byte, p []byte) (int, error) {
	return d.transfer(ctx, urbInterrupt, endpoint|0x80, nil, p, true)
}

func (d *fsDevice) Claim(iface byte) error {
	d.mu.Lock()
	_, have := d.claimed[iface]
	d.mu.Unlock()
	if have {
		return nil
	}
	g := getDriver{iface: uint32(iface)}
	hadDriver := d.ioctl(iocGetDriver, unsafe.Pointer(&g)) == nil // ENODATA: none
	c := disconnectClaim{iface: uint32(iface), flags: claimExceptDriver}
	copy(c.driver[:], "usbfs") // never take it from another program
	if err := d.ioctl(iocClaim, unsafe.Pointer(&c)); err != nil {
		if errors.Is(err, unix.EBUSY) {
			err = ErrBusy
		}
		return fmt.Errorf("claiming interface %d: %w", iface, err)
	}
	d.mu.Lock()
	d.claimed[iface] = hadDriver
	d.mu.Unlock()
	return nil
}

func (d *fsDevice) Release(iface byte) error {
	d.mu.Lock()
	hadDriver, have := d.claimed[iface]
	delete(d.claimed, iface)
	d.mu.Unlock()
	if !have {
		return nil
	}
	n := uint32(iface)
	if err := d.ioctl(iocRelease, unsafe.Pointer(&n)); err != nil {
		return fmt.Errorf("releasing interface %d: %w", iface, err)
	}
	if hadDriver {
		// Best effort: a keyboard function should work again.
		_ = d.ioctl(iocIoctl, unsafe.Pointer(&driverIoctl{iface: int32(iface), code: int32(iocConnect)}))
	}
	return nil
}

func (d *fsDevice) Reset() error {
	if err := d.ioctl(iocReset, nil); err != nil {
		return fmt.Errorf("resetting the device: %w", err)
	}
	return nil
}

func (d *fsDevice) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	var claimed []byte
	for i := range d.claimed {
		claimed = append(claimed, i)
	}
	d.mu.Unlock()
	for _, i := range claimed {
		_ = d.Release(i) // closing the file releases it anyway
	}
	err := d.f.Close()
	<-d.gone
	return err
}

package laptop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"reown/internal/power"
	"reown/internal/version"
	"reown/wizard"
)

// platform is the laptop around the devices: power, clock, memory, restart.
type platform struct {
	board     string
	sysfs     string // "/sys"
	secretDir string // where the firmware keeps secrets; "" for none
	noRestart bool
	shutdown  func(context.Context) error // tells the TPM that power goes away; nil: none
	leave     func()                      // ends the front end before a restart; nil: none
}

func (p *platform) Board() string { return p.board }

func (p *platform) Power(context.Context) (wizard.Power, error) {
	s, err := power.Read(os.DirFS(p.sysfs))
	return wizard.Power{Known: s.Supplies > 0, Mains: s.Mains, Percent: s.Battery}, err
}

// readLine returns the first line of a small file, "" when it cannot be read.
func readLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var buf [256]byte
	n, _ := f.Read(buf[:])
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	return strings.TrimSpace(line)
}

func (p *platform) Now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// Built is the commit's time.
func (p *platform) Built() time.Time { return version.Time() }

// SetClock sets the kernel's clock and, where there is one, the hardware clock.
func (p *platform) SetClock(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("setting the clock: %w", err)
	}
	rtc, err := os.OpenFile("/dev/rtc0", os.O_WRONLY, 0)
	if err != nil {
		return nil // no hardware clock: the time holds until the restart
	}
	defer rtc.Close()
	t = t.UTC()
	v := unix.RTCTime{Sec: int32(t.Second()), Min: int32(t.Minute()), Hour: int32(t.Hour()), Mday: int32(t.Day()),
		Mon: int32(t.Month()) - 1, Year: int32(t.Year()) - 1900}
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, rtc.Fd(), unix.RTC_SET_TIME,
		uintptr(unsafe.Pointer(&v))); errno != 0 {
		return fmt.Errorf("setting the hardware clock: %w", errno)
	}
	return nil
}

// Memory is what the kernel says is available, in bytes; 0 when it does not say.
func (p *platform) Memory() int64 {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// WipeSecrets overwrites and removes the files in which Heads' scripts keep the
// seller's secrets during a session (a RAM disk, so overwriting reaches the pages).
func (p *platform) WipeSecrets() error {
	if p.secretDir == "" {
		return nil
	}
	files, err := os.ReadDir(p.secretDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wiping the firmware's secrets: %w", err)
	}
	var errs []error
	for _, f := range files {
		if f.Type().IsRegular() {
			errs = append(errs, wipeFile(filepath.Join(p.secretDir, f.Name())))
		}
	}
	return errors.Join(errs...)
}

func wipeFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, min(st.Size(), 1<<20)))
	}
	return errors.Join(err, f.Close(), os.Remove(path))
}

// Restart restarts the computer. The TPM is told first: it would count an unannounced
// loss of power as a wrong passphrase.
func (p *platform) Restart(ctx context.Context) error {
	if p.shutdown != nil {
		_ = p.shutdown(ctx) // costs one try of ten, an hour long, if it fails
	}
	if p.noRestart {
		return nil
	}
	if p.leave != nil {
		p.leave()
	}
	// Libraries keep copies of what they were given where nothing can wipe them. A
	// new program in the place of this one makes the kernel take all its memory back.
	_ = unix.Exec("/proc/self/exe", []string{"reown", RestartVerb}, os.Environ())
	return RestartNow()
}

// PowerOff switches the computer off, the TPM told as before a restart.
func (p *platform) PowerOff(ctx context.Context) error {
	if p.shutdown != nil {
		_ = p.shutdown(ctx)
	}
	if p.noRestart {
		return nil
	}
	if p.leave != nil {
		p.leave()
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		return fmt.Errorf("switching off: %w", err)
	}
	return nil
}

// RestartVerb is the command line of the program that only restarts the computer.
const RestartVerb = "restart-now"

// RestartNow restarts the computer. It returns only on failure.
func RestartNow() error {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		return fmt.Errorf("restarting: %w", err)
	}
	return nil
}

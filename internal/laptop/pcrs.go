package laptop

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"reown/internal/stick"
	"reown/tpm"
	"reown/wizard"
)

// otpPCRs are the registers as they will be when Heads unseals at the next start:
// 0 to 3 as they are, 4 as the firmware alone leaves it, 7 as the new image makes
// it. What the firmware leaves in 4 is read from its event log, which is returned;
// without one it is known only while nothing, or Heads' own mark, stands there.
//
// A log that does not lead to the present values is a reason not to predict. Once the
// chip holds the image and this start has measured it there is nothing to predict:
// then such a log is passed over.
func (a *tpmAdapter) otpPCRs(ctx context.Context, pcr7 wizard.Measurement) (tpm.PCRValues, *tpm.EventLog, error) {
	bank, size := "sha256", sha256.Size
	if a.t.Family() == tpm.V12 {
		bank, size = "sha1", sha1.Size
	}
	if len(pcr7[bank]) != size {
		return nil, nil, fmt.Errorf("%w: PCR 7 is not known in the %s bank", wizard.ErrSealImpossible, bank)
	}
	now, err := a.t.ReadPCRs(ctx, tpm.OTPPCRs()...)
	if err != nil {
		return nil, nil, err
	}
	measured := bytes.Equal(now[7], pcr7[bank])
	if !measured && a.whole != nil {
		all, err := a.whole(ctx)
		if err != nil {
			return nil, nil, err
		}
		if len(all) > 0 && !slices.ContainsFunc(all,
			func(m wizard.Measurement) bool { return bytes.Equal(now[7], m[bank]) }) {
			return nil, nil, fmt.Errorf("%w: this start measured a chip that was half written (PCR 7)", wizard.ErrSealImpossible)
		}
	}
	log := &tpm.EventLog{}
	next := now.With(4, make([]byte, size)).With(7, pcr7[bank])
	if a.log != nil {
		raw, err := a.log(ctx)
		switch {
		case errors.Is(err, tpm.ErrNoEventLog):
		case err != nil:
			return nil, nil, err
		default:
			l, err := tpm.ParseEventLog(raw)
			var v tpm.PCRValues
			if err == nil {
				v, err = tpm.PredictOTP(now, l, pcr7[bank])
			}
			switch {
			case err == nil:
				next, log = v, l
			case !measured:
				return nil, nil, fmt.Errorf("%w: %w", wizard.ErrSealImpossible, err)
			}
		}
	}
	if spoilt(next[4], now[4]) {
		return nil, nil, fmt.Errorf("%w: this start went through the recovery shell (PCR 4)", wizard.ErrSealImpossible)
	}
	return next, log, nil
}

// spoilt says whether PCR 4 holds more than the firmware's own measurements and the
// mark that Heads leaves once the USB drivers are loaded. The recovery shell adds
// its own mark.
func spoilt(firmware, now []byte) bool {
	return !bytes.Equal(now, firmware) && !bytes.Equal(now, tpm.Extend(firmware, tpm.Hash(len(now), []byte("usb"))))
}

// values are the registers as Heads will have them when it unseals the key.
func (k *diskUnlock) values(ctx context.Context, pcr7 wizard.Measurement, devs []tpm.DUKDevice) (tpm.PCRValues, error) {
	otp, log, err := k.tpm.otpPCRs(ctx, pcr7)
	if err != nil {
		return nil, err
	}
	five, err := k.pcr5(ctx, log, len(otp[7]))
	if err != nil {
		return nil, err
	}
	v, err := tpm.PredictDUK(otp, log, nil, devs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wizard.ErrLeftToFirmware, err)
	}
	return v.With(5, five), nil
}

// usbModules is what Heads' enable_usb loads, in that order, and companionModules what it
// loads after the first of them on boards that say so.
var (
	usbModules       = []string{"ehci-hcd", "ehci-pci", "xhci-hcd", "xhci-pci"}
	companionModules = []string{"uhci-hcd", "ohci-hcd", "ohci-pci"}
)

// pcr5 is what Heads will find in PCR 5 when it opens the disk: what the firmware leaves
// there, and the kernel modules that its init and its menu load on every start. Where
// there are such modules it is known only if this start has come to the same value:
// whatever else was loaded (drivers of a stick, say) will not be there next time.
func (k *diskUnlock) pcr5(ctx context.Context, log *tpm.EventLog, size int) ([]byte, error) {
	v, err := log.Replay(size, 5)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", wizard.ErrLeftToFirmware, err)
	}
	keyboard := k.heads["CONFIG_USB_KEYBOARD_REQUIRED"] == "y" || k.heads["CONFIG_USER_USB_KEYBOARD"] == "y"
	hotp := k.isFile("bin/hotp_verification")
	if !keyboard && !hotp && !k.isFile("lib/modules/libata.ko") {
		return v, nil
	}
	var names []string
	if keyboard || hotp {
		names = slices.Clone(usbModules)
		if k.heads["CONFIG_LINUX_USB_COMPANION_CONTROLLER"] == "y" {
			names = slices.Insert(names, 1, companionModules...)
		}
	}
	if keyboard {
		names = append(names, "usbhid")
	}
	for _, n := range names {
		module, err := readSmall(filepath.Join(k.root, "lib/modules", n+".ko"), maxModule)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", wizard.ErrLeftToFirmware, err)
		}
		v = tpm.Extend(v, tpm.Hash(size, module))
	}
	now, err := k.tpm.t.ReadPCRs(ctx, 5)
	if err != nil {
		return nil, err
	}
	// For sticks one module more was measured, in this start only.
	with := v
	if driver, err := readSmall(filepath.Join(k.root, "lib/modules", stick.Driver), maxModule); err == nil {
		with = tpm.Extend(v, tpm.Hash(size, driver))
	}
	if !bytes.Equal(now[5], v) && !bytes.Equal(now[5], with) {
		return nil, fmt.Errorf("%w: other kernel modules were loaded in this start than in each (PCR 5)",
			wizard.ErrLeftToFirmware)
	}
	return v, nil
}

// maxModule bounds a kernel module, in bytes.
const maxModule = 16 << 20

// readSmall reads a file of at most max bytes.
func readSmall(name string, max int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s: more than %d bytes", name, max)
	}
	return b, err
}

func (k *diskUnlock) isFile(name string) bool {
	st, err := os.Stat(filepath.Join(k.root, name))
	return err == nil && st.Mode().IsRegular()
}

// anyPCR7 stands for a PCR 7 that does not matter to the question.
var anyPCR7 = wizard.Measurement{"sha1": make([]byte, 20), "sha256": make([]byte, 32)}

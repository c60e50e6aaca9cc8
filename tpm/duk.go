package tpm

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// DUKSize is the length of Heads' disk unlock key, in bytes.
const DUKSize = 128

// A DUKDevice is a LUKS container that the disk unlock key opens.
type DUKDevice struct {
	Path string // e.g. "/dev/sda3", as Heads will see it
	UUID string // of its LUKS header
	// HeaderSHA256 is the hash of what `cryptsetup luksHeaderBackup` writes for it,
	// taken after the last change to its key slots.
	HeaderSHA256 [32]byte
}

// KeyDevicesFile is the content of /boot/kexec_key_devices.txt.
func KeyDevicesFile(devs []DUKDevice) []byte {
	var b strings.Builder
	for _, d := range devs {
		fmt.Fprintf(&b, "%s %s\n", d.Path, d.UUID)
	}
	return []byte(b.String())
}

// KeyLVMFile is the content of /boot/kexec_key_lvm.txt; with no volume group there
// is no such file.
func KeyLVMFile(volumeGroup string) []byte { return []byte(volumeGroup + "\n") }

// LUKSHeaderHashFile is the content of /boot/kexec_lukshdr_hash.txt, which Heads
// also extends into PCR 6: sha256sum's lines in the order of the shell's glob.
func LUKSHeaderHashFile(devs []DUKDevice) []byte {
	var lines []string
	for _, d := range devs {
		name := "/tmp/lukshdr-" + strings.ReplaceAll(d.Path, "/", "_")
		lines = append(lines, name+"\x00"+hex.EncodeToString(d.HeaderSHA256[:])+"  "+name+"\n")
	}
	slices.Sort(lines)
	var b strings.Builder
	for _, l := range lines {
		_, l, _ = strings.Cut(l, "\x00")
		b.WriteString(l)
	}
	return []byte(b.String())
}

// A Module is a kernel module that Heads loads, and measures into PCR 5.
type Module struct {
	Params string // joined by spaces; "" is not measured
	Data   []byte // the file
}

// PredictDUK completes PredictOTP's values for the disk unlock key: PCR 5 after the
// modules that will be loaded before the disk is opened, in their order, and PCR 6
// after the LUKS headers. On any doubt about the modules leave the key to Heads,
// which seals it at the next start.
func PredictDUK(otp PCRValues, l *EventLog, modules []Module, devs []DUKDevice) (PCRValues, error) {
	size := len(otp[7])
	five, err := l.Replay(size, 5)
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		if m.Params != "" {
			five = Extend(five, Hash(size, []byte(m.Params)))
		}
		five = Extend(five, Hash(size, m.Data))
	}
	six, err := l.Replay(size, 6)
	if err != nil {
		return nil, err
	}
	return otp.With(5, five).With(6, Extend(six, Hash(size, LUKSHeaderHashFile(devs)))), nil
}

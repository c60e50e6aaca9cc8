package main

// Where the machine's devices are. Everything has a default that is right inside
// the firmware's initrd; a technician, or the lab, names other paths by flags.
// Paths only: nothing here can choose an emulator.

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// headsConfig is where Heads leaves its combined configuration at run time.
const headsConfig = "/tmp/config"

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 64 << 10

// devices says where the machine's parts are.
type devices struct {
	boot   string    // the mounted /boot
	disks  diskList  // LUKS containers; empty: all that are found
	card   string    // "usb", "pcsc" or "pcsc:SOCKET"
	serial string    // card serial number, when several are plugged in
	tpm    string    // character device or socket; "none"
	flash  string    // "file:PATH", "mtd:PATH", "none" or a flash program with its options
	config string    // Heads' configuration
	sticks stickList // mounted directories that stand for USB sticks; empty: those that are plugged in
	// noRestart leaves the computer on at the end of a run.
	noRestart bool

	heads map[string]string // parsed config
}

// A diskSpec names a LUKS container: a block device or file, or a part of one.
type diskSpec struct {
	path         string
	offset, size int64 // bytes; size 0: to the end
}

type diskList []diskSpec

func (l *diskList) String() string { return "" }

// Set parses PATH or PATH@OFFSET+SIZE, in bytes.
func (l *diskList) Set(s string) error {
	d := diskSpec{path: s}
	if i := strings.LastIndexByte(s, '@'); i > 0 {
		off, size, ok := strings.Cut(s[i+1:], "+")
		var err1, err2 error
		d.path = s[:i]
		d.offset, err1 = strconv.ParseInt(off, 10, 64)
		if ok {
			d.size, err2 = strconv.ParseInt(size, 10, 64)
		}
		if err1 != nil || err2 != nil || d.offset < 0 || d.size < 0 {
			return fmt.Errorf("%q is not PATH@OFFSET+SIZE in bytes", s)
		}
	}
	if d.path == "" {
		return fmt.Errorf("empty path")
	}
	*l = append(*l, d)
	return nil
}

// bind declares the flags that say where the devices are.
func (d *devices) bind(fs *flag.FlagSet) {
	fs.StringVar(&d.boot, "boot", "/boot", "the mounted boot directory")
	fs.Var(&d.disks, "disk", "a LUKS container, PATH or PATH@OFFSET+SIZE in bytes; may be repeated")
	fs.StringVar(&d.card, "card", "auto", "how to reach the security key: usb, pcsc or pcsc:SOCKET")
	fs.StringVar(&d.serial, "card-serial", "", "the security key's serial number")
	fs.StringVar(&d.tpm, "tpm", "auto", "the TPM's device or socket, or none")
	fs.StringVar(&d.flash, "flash", "auto", "file:PATH, mtd:PATH, none, or a flash program with its options")
	fs.BoolVar(&d.noRestart, "no-restart", false, "do not restart the computer at the end")
	fs.Var(&d.sticks, "stick", "a mounted directory to use as the USB stick; may be repeated")
	fs.StringVar(&d.config, "config", headsConfig, "Heads' configuration file")
}

// resolve reads the configuration and fills in what "auto" means.
func (d *devices) resolve() error {
	d.heads = map[string]string{}
	f, err := os.Open(d.config)
	switch {
	case err == nil:
		defer f.Close()
		if d.heads, err = parseHeadsConfig(f); err != nil {
			return fmt.Errorf("reading %s: %w", d.config, err)
		}
	case !os.IsNotExist(err) || d.config != headsConfig:
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if d.tpm == "auto" {
		d.tpm = "none"
		for _, p := range []string{"/dev/tpmrm0", "/dev/tpm0"} {
			if _, err := os.Stat(p); err == nil {
				d.tpm = p
				break
			}
		}
	}
	if d.flash == "auto" {
		d.flash = "none"
		if o := d.heads["CONFIG_FLASH_OPTIONS"]; o != "" {
			d.flash = o
		}
	}
	return nil
}

// board is the board's name as Heads knows it.
func (d *devices) board() string {
	if b := d.heads["CONFIG_BOARD_NAME"]; b != "" {
		return b
	}
	return "laptop"
}

// parseHeadsConfig reads lines of the form `export CONFIG_X="y"` or CONFIG_X=y.
// Anything else is ignored, as a shell would not fail on it either; nothing is
// executed or expanded.
func parseHeadsConfig(r io.Reader) (map[string]string, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("larger than %d bytes", maxConfig)
	}
	m := map[string]string{}
	sc := bufio.NewScanner(bytes.NewReader(data))
	sc.Buffer(nil, maxConfig+1)
	for sc.Scan() {
		line := strings.TrimPrefix(strings.TrimSpace(sc.Text()), "export ")
		name, value, ok := strings.Cut(line, "=")
		if !ok || !strings.HasPrefix(name, "CONFIG_") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		m[name] = value
	}
	return m, sc.Err()
}

// findLUKS lists the block devices below sysfs that carry a LUKS header and are
// not on USB: whole disks, partitions, LVM and MD volumes.
func findLUKS(sysfs, dev string) ([]diskSpec, error) {
	links, err := filepath.Glob(filepath.Join(sysfs, "class/block/*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(links)
	var found []diskSpec
	for _, l := range links {
		target, err := filepath.EvalSymlinks(l)
		if err != nil || strings.Contains(target, "/usb") {
			continue
		}
		path := filepath.Join(dev, strings.ReplaceAll(filepath.Base(l), "!", "/"))
		if isLUKS(path) {
			found = append(found, diskSpec{path: path})
		}
	}
	return found, nil
}

// isLUKS looks for the LUKS magic at the start of a device. An unreadable device
// is none.
func isLUKS(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [6]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		return false
	}
	return string(magic[:]) == "LUKS\xba\xbe"
}

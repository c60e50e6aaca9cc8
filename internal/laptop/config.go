package laptop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"reown/boot"
	"reown/luks"
)

// HeadsConfig is where Heads leaves its combined configuration at run time.
const HeadsConfig = "/tmp/config"

// maxConfig bounds the configuration file, in bytes.
const maxConfig = 64 << 10

// Config says where the machine's devices are. Paths only: nothing here can choose an
// emulator.
type Config struct {
	Boot   string         // the mounted /boot
	Disks  []DiskSpec     // LUKS containers; empty: all that are found
	Card   string         // see CardBuses
	Serial string         // the card's serial number, when several are plugged in
	TPM    string         // character device or socket; "none"; "auto": the kernel's, if it has one
	Flash  string         // see flash.Open; "none"; "auto": as Heads' configuration says
	Heads  string         // Heads' configuration; it must be there unless it is HeadsConfig
	Sticks []string       // mounted directories that stand for USB sticks; empty: those that are plugged in
	KDF    luks.KDFPolicy // of new keyslots
	Form   boot.Form      // of the signature that Heads verifies; "": as its scripts say, or the seller's has it
	// NoRestart leaves the computer on at the end of a run.
	NoRestart bool

	heads map[string]string // what Heads holds; nil: not read yet
	lazy  bool              // a chip that cannot be opened says so when something is asked of it
}

// A DiskSpec names a LUKS container: a block device or file, or a part of one.
type DiskSpec struct {
	Path         string
	Offset, Size int64 // bytes; size 0: to the end
}

// Resolve reads Heads' configuration and puts what is found in the place of "auto". Open does
// so, too.
func (c *Config) Resolve() error {
	var err error
	if c.heads, err = readHeads(c.Heads); os.IsNotExist(err) && c.Heads == HeadsConfig {
		c.heads, err = earlyHeads("/etc", os.Environ())
	}
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if c.TPM == "auto" {
		c.TPM = "none"
		for _, p := range []string{"/dev/tpmrm0", "/dev/tpm0"} {
			if _, err := os.Stat(p); err == nil {
				c.TPM = p
				break
			}
		}
	}
	if c.Flash == "auto" {
		c.lazy, c.Flash = true, "none"
		if o := c.heads["CONFIG_FLASH_OPTIONS"]; o != "" {
			c.Flash = o
		}
	}
	return nil
}

// readHeads reads one file of the configuration.
func readHeads(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := parseHeadsConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// earlyHeads is the configuration in a shell that comes before init has combined it, or that has
// lost the file: what init combines it of, and else what the shell was given by its environment.
func earlyHeads(etc string, env []string) (map[string]string, error) {
	all, err := parseHeadsConfig(strings.NewReader(strings.Join(env, "\n")))
	if err != nil { // no firmware's environment is so large
		all = map[string]string{}
	}
	for _, name := range []string{"config", "config.user"} {
		m, err := readHeads(filepath.Join(etc, name))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		maps.Copy(all, m)
	}
	return all, nil
}

// NotMounted is how to mount what should be at Boot and has nothing in it; "": it has.
func (c *Config) NotMounted() string {
	if names, err := os.ReadDir(c.Boot); err != nil || len(names) > 0 {
		return ""
	}
	device := c.heads["CONFIG_BOOT_DEV"]
	if device == "" {
		device = "DEVICE"
	}
	return fmt.Sprintf("mount -o ro %s %s", device, c.Boot)
}

// board is the board's name as Heads knows it.
func (c *Config) board() string {
	if b := c.heads["CONFIG_BOARD_NAME"]; b != "" {
		return b
	}
	return "laptop"
}

// secretDir is where Heads keeps secrets at run time: beside its configuration.
func (c *Config) secretDir() string {
	if c.Heads != HeadsConfig {
		return ""
	}
	return filepath.Join(filepath.Dir(HeadsConfig), "secret")
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

// findLUKS lists the block devices below sysfs that hold a LUKS container and are not on
// USB: whole disks, partitions, LVM and MD volumes. They are found as they are opened
// (luks.Find). What is ambiguous or cannot be read is no disk, since nothing may act on it, and is
// returned beside them.
func findLUKS(sysfs, dev string) (found []DiskSpec, doubtful []luks.Finding, err error) {
	links, err := filepath.Glob(filepath.Join(sysfs, "class/block/*"))
	if err != nil {
		return nil, nil, err
	}
	sort.Strings(links)
	var paths []string
	for _, l := range links {
		target, err := filepath.EvalSymlinks(l)
		if err != nil || strings.Contains(target, "/usb") {
			continue
		}
		paths = append(paths, filepath.Join(dev, strings.ReplaceAll(filepath.Base(l), "!", "/")))
	}
	for _, f := range luks.FindAll(context.Background(), paths, luks.Options{}) {
		if f.Kind == luks.Container || f.Kind == luks.Torn {
			found = append(found, DiskSpec{Path: f.Path})
		} else if f.Kind != luks.None {
			doubtful = append(doubtful, f)
		}
	}
	return found, doubtful, nil
}

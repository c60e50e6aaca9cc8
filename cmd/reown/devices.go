package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"reown/boot"
	"reown/cmd/reown/internal/cli"
	"reown/cmd/reown/internal/plumbing"
	"reown/internal/escape"
	"reown/internal/laptop"
	"reown/luks"
)

// onDevices are the flags of the commands that work on the whole machine.
var onDevices = &cli.Shared{
	Title: "Where the devices are (right by default inside the firmware)",
	Bind:  func(fs *flag.FlagSet) { new(devices).bind(fs) },
}

// devices are the flags that say where the machine's devices are. Everything has a default
// that is right inside the firmware's initrd; a technician, or the lab, names other paths.
type devices struct{ laptop.Config }

// bind declares the flags.
func (d *devices) bind(fs *flag.FlagSet) {
	fs.StringVar(&d.Boot, "boot", "/boot", "DIR the mounted boot directory")
	fs.Func("disk", "PATH[@OFF+LEN] a LUKS container, or a window of PATH in bytes; repeatable; without it all "+
		"that are found", func(s string) error {
		disk, err := parseDisk(s)
		d.Disks = append(d.Disks, disk)
		return err
	})
	fs.StringVar(&d.Card, "card", "auto", "BUS how to reach security keys: auto, usb, pcsc or pcsc:SOCKET")
	fs.StringVar(&d.Serial, "card-serial", "", "S which security key, by its serial number")
	fs.StringVar(&d.TPM, "tpm", "auto", "PATH auto, /dev/tpmrm0, /dev/tpm0, a socket, or none")
	fs.StringVar(&d.Flash, "flash", "auto", "SPEC auto, file:PATH, mtd:PATH, none, or a flash program with its "+
		"options")
	fs.BoolFunc("pbkdf2", "new LUKS keyslots use PBKDF2, for a boot loader that reads no Argon2",
		func(string) error { d.KDF = luks.KDFPBKDF2; return nil })
	fs.BoolVar(&d.NoRestart, "no-restart", false, "never restart the laptop: that is left to you")
	fs.Func("stick", "DIR a mounted directory to use instead of a USB stick; repeatable", func(s string) error {
		if s == "" {
			return errors.New("empty path")
		}
		d.Sticks = append(d.Sticks, s)
		return nil
	})
	fs.StringVar(&d.Heads, "config", laptop.HeadsConfig, "FILE Heads' configuration")
	fs.Func("heads-form", "FORM how the firmware names the signed files: auto, names (Heads since April 2026) or "+
		"paths (before)", func(s string) (err error) {
		d.Form, err = boot.ParseForm(s)
		return err
	})
}

// open puts the machine together.
func (d *devices) open(ctx context.Context) (*laptop.Laptop, error) {
	if _, err := plumbing.CardBuses(d.Card); err != nil {
		return nil, err
	}
	if err := d.Resolve(); err != nil {
		return nil, err
	}
	return laptop.Open(ctx, d.Config)
}

// hintMount says what to do where nothing is at /boot: a recovery shell may come before it is mounted.
func (d *devices) hintMount(e *cli.Env) {
	if how := d.NotMounted(); how != "" {
		fmt.Fprintf(e.Stderr, "reown: nothing is in %s. If it is not mounted, do so first: %s\n", d.Boot, escape.Text(how))
	}
}

// parseDisk parses PATH or PATH@OFFSET+SIZE, in bytes.
func parseDisk(s string) (laptop.DiskSpec, error) {
	d := laptop.DiskSpec{Path: s}
	if i := strings.LastIndexByte(s, '@'); i > 0 {
		off, size, ok := strings.Cut(s[i+1:], "+")
		var err1, err2 error
		d.Path = s[:i]
		d.Offset, err1 = strconv.ParseInt(off, 10, 64)
		if ok {
			d.Size, err2 = strconv.ParseInt(size, 10, 64)
		}
		if err1 != nil || err2 != nil || d.Offset < 0 || d.Size < 0 {
			return d, fmt.Errorf("%q is not PATH@OFFSET+SIZE in bytes", s)
		}
	}
	if d.Path == "" {
		return d, errors.New("empty path")
	}
	return d, nil
}

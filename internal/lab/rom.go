package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// fmd is the flash layout of Heads' 16 MiB boards (descriptor, GbE, ME, then the
// BIOS region with its CBFS).
const fmd = `FLASH@0xff000000 0x1000000 {
	SI_ALL@0x0 0x421000 {
		SI_DESC@0x0 0x1000
		SI_GBE@0x1000 0x2000
		SI_ME@0x3000 0x41e000
	}
	SI_BIOS@0x421000 0xbdf000 {
		RW_MRC_CACHE@0x0 0x10000
		SMMSTORE@0x10000 0x40000
		FMAP@0x50000 0x200
		COREBOOT(CBFS)@0x50200 0xb8ee00
	}
}
`

// makeROM builds a coreboot image of 16 MiB with the given Heads files, with
// coreboot's own tools. The stages and the payload are random bytes of realistic
// sizes: nothing here runs them.
func makeROM(ctx context.Context, rom, work string, files []ROMFile) error {
	dir, err := os.MkdirTemp(work, "rom")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rnd := rand.New(rand.NewPCG(7, 7))
	blob := func(name string, size int) (string, error) {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		path := filepath.Join(dir, name)
		return path, os.WriteFile(path, p, 0o644)
	}
	layout, fmap := filepath.Join(dir, "x.fmd"), filepath.Join(dir, "fmap.bin")
	if err := os.WriteFile(layout, []byte(fmd), 0o644); err != nil {
		return err
	}
	if _, err := tool(ctx, nil, "fmaptool", layout, fmap); err != nil {
		return err
	}
	if err := os.RemoveAll(rom); err != nil {
		return err
	}
	if _, err := tool(ctx, nil, "cbfstool", rom, "create", "-M", fmap, "-r", "COREBOOT"); err != nil {
		return err
	}
	add := func(args ...string) error {
		_, err := tool(ctx, nil, "cbfstool", append([]string{rom, "add", "-r", "COREBOOT"}, args...)...)
		return err
	}
	bootblock, err := blob("bootblock", 0x10000)
	if err != nil {
		return err
	}
	if err := add("-f", bootblock, "-n", "bootblock", "-t", "bootblock", "-b", "-0x10000"); err != nil {
		return err
	}
	if _, err := tool(ctx, nil, "cbfstool", rom, "add-master-header", "-r", "COREBOOT"); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		size int
	}{{"fallback/romstage", 90_000}, {"fallback/ramstage", 140_000}, {"vbt.bin", 4000}, {"fallback/payload", 6_800_000}} {
		path, err := blob(filepath.Base(f.name), f.size)
		if err != nil {
			return err
		}
		if err := add("-f", path, "-n", f.name, "-t", "raw"); err != nil {
			return err
		}
	}
	serial := filepath.Join(dir, "serial")
	if err := os.WriteFile(serial, []byte("LAB0001"), 0o644); err != nil {
		return err
	}
	if err := add("-f", serial, "-n", "serial_number", "-t", "raw"); err != nil {
		return err
	}
	for i, f := range files {
		path := filepath.Join(dir, fmt.Sprint("user", i))
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			return err
		}
		if err := add("-f", path, "-n", f.Name, "-t", "raw"); err != nil {
			return err
		}
	}
	return nil
}

// A ROMFile is a file in the CBFS of a coreboot image.
type ROMFile struct {
	Name string
	Data []byte
}

// ROMFiles returns the raw files of an image in flash order, read by cbfstool.
func ROMFiles(ctx context.Context, rom string) ([]ROMFile, error) {
	out, err := tool(ctx, nil, "cbfstool", rom, "print", "-r", "COREBOOT", "-k")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lab-cbfs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	var files []ROMFile
	for _, line := range strings.Split(string(out), "\n") {
		col := strings.Split(line, "\t")
		if len(col) < 3 || col[2] != "raw" {
			continue
		}
		path := filepath.Join(dir, "f")
		if _, err := tool(ctx, nil, "cbfstool", rom, "extract", "-r", "COREBOOT", "-n", col[0], "-f", path); err != nil {
			return nil, err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, ROMFile{col[0], data})
	}
	return files, nil
}

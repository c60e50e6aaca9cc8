package plumbing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/cmd/reown/internal/cli"
	"reown/internal/escape"
	"reown/internal/rom"
)

// ErrImagesDiffer is the answer of rom diff; it is no fault.
var ErrImagesDiffer = errors.New("the images differ")

type romDifference struct {
	Equal  bool     `json:"equal"`
	Blocks []string `json:"blocks"`
	Files  []string `json:"files"` // "+name", "-name" and "~name": added, removed, changed
}

func romDiff(ctx context.Context, e *cli.Env, args []string) error {
	f := newRomFlags("diff")
	names, err := cli.Parse(f.FlagSet, args, 2, 2)
	if err != nil {
		return err
	}
	var img [2][]byte
	for i, name := range names {
		if name == "flash" {
			img[i], err = f.readChip(ctx, e)
		} else {
			img[i], err = readImage(name)
		}
		if err != nil {
			return err
		}
	}
	d, err := difference(img[0], img[1])
	if err != nil {
		return err
	}
	if f.json {
		err = e.JSON(d)
	} else {
		for _, s := range d.Files {
			fmt.Fprintln(e.Stdout, s)
		}
		fmt.Fprintf(e.Stdout, "%d erase blocks of %d bytes differ\n", len(d.Blocks), rom.EraseSize)
	}
	if err == nil && !d.Equal {
		err = cli.WithExit(cli.ExitFailed, ErrImagesDiffer)
	}
	return err
}

func difference(old, new []byte) (*romDifference, error) {
	d := &romDifference{Equal: bytes.Equal(old, new), Blocks: []string{}, Files: []string{}}
	for off := 0; off < max(len(old), len(new)); off += rom.EraseSize {
		cut := func(b []byte) []byte { return b[min(off, len(b)):min(off+rom.EraseSize, len(b))] }
		if !bytes.Equal(cut(old), cut(new)) {
			d.Blocks = append(d.Blocks, fmt.Sprintf("0x%08x", off))
		}
	}
	var files [2]map[string][]byte
	var names []string
	for i, img := range [][]byte{old, new} {
		im, err := rom.ParseTorn(img)
		if err != nil {
			return nil, err
		}
		files[i] = map[string][]byte{}
		for _, f := range im.Files() {
			if f.Empty() {
				continue
			}
			if _, ok := files[i][f.Name]; !ok {
				files[i][f.Name], _ = im.Extract(f.Name)
				names = append(names, f.Name)
			}
		}
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		a, was := files[0][n]
		b, is := files[1][n]
		switch {
		case !was:
			d.Files = append(d.Files, "+"+n)
		case !is:
			d.Files = append(d.Files, "-"+n)
		case !bytes.Equal(a, b):
			d.Files = append(d.Files, "~"+n)
		}
	}
	return d, nil
}

type verifyReport struct {
	OK       bool     `json:"ok"`
	Aligned  bool     `json:"aligned"`
	Owner    []string `json:"owner_files"`
	Rejected []string `json:"rejected_settings"`
}

func romVerify(ctx context.Context, e *cli.Env, args []string) error {
	f := newRomFlags("verify")
	against := f.String("against", "", "FILE the image must also be equal to FILE, to the byte")
	img, _, err := f.source(ctx, e, args, 0)
	if err != nil {
		return err
	}
	im, err := rom.Parse(img)
	if err != nil {
		return err
	}
	if err := im.Check(); err != nil {
		return err
	}
	files, err := im.PCR7Files()
	if err != nil {
		return err
	}
	r := verifyReport{OK: true, Aligned: im.Aligned(rom.EraseSize), Owner: []string{}, Rejected: []string{}}
	for _, m := range files {
		r.Owner = append(r.Owner, m.Name)
		if m.Name == strings.TrimPrefix(rom.NameConfig, strings.TrimSuffix(rom.InitrdPrefix, "/")) {
			_, rejected := rom.ParseConfig(m.Data)
			r.Rejected = orEmpty(rejected)
		}
	}
	if *against != "" {
		other, err := readImage(*against)
		if err != nil {
			return err
		}
		r.OK = bytes.Equal(img, other)
	}
	if f.json {
		err = e.JSON(r)
	} else {
		for _, n := range r.Owner {
			fmt.Fprintf(e.Stdout, "measured into PCR 7: %s\n", escape.Text(n))
		}
		for _, line := range r.Rejected {
			fmt.Fprintf(e.Stdout, "config.user could run a command: %q\n", line)
		}
		fmt.Fprintf(e.Stdout, "the owner's files have erase blocks of their own: %v\n",
			map[bool]string{true: "yes", false: "no"}[r.Aligned])
	}
	if err == nil && !r.OK {
		err = cli.WithExit(cli.ExitFailed, ErrImagesDiffer)
	}
	return err
}

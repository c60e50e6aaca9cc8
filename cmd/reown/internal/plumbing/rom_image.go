package plumbing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"reown/cmd/reown/internal/cli"
	"reown/internal/atomicfile"
	"reown/internal/escape"
	"reown/internal/rom"
)

type romEntry struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Offset uint32 `json:"offset"`
	Size   uint32 `json:"size"`
	Torn   bool   `json:"torn,omitempty"`
}

type romListing struct {
	Bytes      int        `json:"bytes"`
	SHA256     string     `json:"sha256"`
	Files      []romEntry `json:"files"`
	Aligned    bool       `json:"aligned"`
	PCR7SHA1   string     `json:"pcr7_sha1,omitempty"`
	PCR7SHA256 string     `json:"pcr7_sha256,omitempty"`
	Note       string     `json:"note,omitempty"` // why there is no PCR 7
}

func typeName(f rom.File) string {
	switch {
	case f.Torn:
		return "torn"
	case f.Empty():
		return "empty"
	case f.Type == rom.TypeBootblock:
		return "bootblock"
	case f.Type == rom.TypeHeader:
		return "cbfs header"
	case f.Type == rom.TypeRaw:
		return "raw"
	}
	return fmt.Sprintf("0x%x", f.Type)
}

func listing(img []byte) (*romListing, error) {
	im, err := rom.ParseTorn(img)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(img)
	l := &romListing{Bytes: len(img), SHA256: hex.EncodeToString(sum[:]), Aligned: im.Aligned(rom.EraseSize)}
	for _, f := range im.Files() {
		l.Files = append(l.Files, romEntry{f.Name, typeName(f), f.Offset, f.Size, f.Torn})
	}
	if sum1, sum256, err := rom.PCR7(img); err != nil {
		l.Note = err.Error()
	} else {
		l.PCR7SHA1, l.PCR7SHA256 = hex.EncodeToString(sum1[:]), hex.EncodeToString(sum256[:])
	}
	return l, nil
}

func romList(ctx context.Context, e *cli.Env, args []string) error {
	f := newRomFlags("list")
	img, _, err := f.source(ctx, e, args, 0)
	if err != nil {
		return err
	}
	l, err := listing(img)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(l)
	}
	fmt.Fprintf(e.Stdout, "%-10s %10s  %-11s %s\n", "offset", "bytes", "type", "name")
	for _, x := range l.Files {
		fmt.Fprintf(e.Stdout, "0x%08x %10d  %-11s %s\n", x.Offset, x.Size, x.Type, escape.Text(x.Name))
	}
	if l.Note != "" {
		fmt.Fprintf(e.Stdout, "\nPCR 7: %s\n", l.Note)
		return nil
	}
	fmt.Fprintf(e.Stdout, "\nPCR 7 sha1   %s\nPCR 7 sha256 %s\n", l.PCR7SHA1, l.PCR7SHA256)
	return nil
}

func romExtract(ctx context.Context, e *cli.Env, args []string) error {
	f := newRomFlags("extract").withOut()
	img, rest, err := f.source(ctx, e, args, 1)
	if err != nil {
		return err
	}
	if f.out == "" {
		return cli.Usagef("%s needs --out FILE (- for standard output)", f.Name())
	}
	im, err := rom.Parse(img)
	if err != nil {
		return err
	}
	data, err := im.Extract(rest[0])
	if err != nil {
		return err
	}
	if f.out == "-" {
		_, err = e.Stdout.Write(data)
		return err
	}
	return atomicfile.WriteFile(f.out, data, 0o644)
}

// romEdit edits an image file in memory and writes it whole.
func romEdit(name string, args []string, operands int,
	edit func(im *rom.Image, s rom.Style, rest []string) error) error {
	f := newRomFlags(name).withOut()
	style := f.String("style", "heads", "WHOSE way of placing and padding is followed to the byte: heads or "+
		"cbfstool")
	rest, err := cli.Parse(f.FlagSet, args, operands, operands)
	if err != nil {
		return err
	}
	s, ok := map[string]rom.Style{"heads": rom.Heads, "cbfstool": rom.CBFSTool}[*style]
	if !ok {
		return cli.Usagef("%s: --style is heads or cbfstool", f.Name())
	}
	if f.chip.set {
		return cli.Usagef("%s changes an image file; `reown rom write` brings it to the chip", f.Name())
	}
	img, err := readImage(rest[0])
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
	if err := edit(im, s, rest[1:]); err != nil {
		return err
	}
	if f.out == "" {
		f.out = rest[0]
	}
	return atomicfile.WriteFile(f.out, im.Bytes(), 0o644)
}

func romAdd(_ context.Context, _ *cli.Env, args []string) error {
	return romEdit("add", args, 3, func(im *rom.Image, s rom.Style, rest []string) error {
		data, err := readImage(rest[1])
		if err != nil {
			return err
		}
		return im.Add(rest[0], data, s)
	})
}

func romRemove(_ context.Context, _ *cli.Env, args []string) error {
	return romEdit("remove", args, 2, func(im *rom.Image, s rom.Style, rest []string) error {
		return im.Remove(rest[0], s)
	})
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"reown/internal/atomicfile"
	"reown/internal/laptop"
	"reown/internal/rom"
	"reown/internal/rom/flash"
)

const romSourceHelp = `
IMAGE is an image file. Instead of it, --flash reads the chip of this machine with the board's own flash
program (CONFIG_FLASH_OPTIONS), and --flash=SPEC with another: mtd:/dev/mtd0, file:PATH, or a program with
its options.
  --json                  report as one JSON document`

func romCommand() *command {
	help := func(s string) string { return strings.TrimSpace(s) + "\n" + romSourceHelp }
	const style = `
  --style heads|cbfstool  whose way of placing and padding is followed to the byte (default heads)
  --out FILE              write the result there and leave IMAGE alone`
	return &command{name: "rom", short: "the firmware image: CBFS files and the flash chip", sub: []*command{
		{name: "list", args: "IMAGE|--flash [--json]", short: "what is in the image", run: romList,
			long: help(`Prints the files, and what PCR 7 will be once Heads has started from this image.`)},
		{name: "extract", args: "IMAGE|--flash NAME --out FILE", short: "save one file of the image", run: romExtract,
			long: help(`The data is saved as stored: what is compressed stays so.`)},
		{name: "add", args: "IMAGE NAME FILE", short: "put a file into an image file", run: romAdd,
			long: strings.TrimSpace(`Stores FILE uncompressed under NAME.` + style)},
		{name: "remove", args: "IMAGE NAME", short: "take a file out of an image file", run: romRemove,
			long: strings.TrimSpace(`The file's bytes are erased and its place becomes free.` + style)},
		{name: "own", args: "IMAGE|--flash --pubring FILE --trustdb FILE --out FILE", short: "make the image that trusts one key only", run: romOwn,
			long: help(`Removes every file below heads/, whoever put it there, and adds the keyring and the trust database on
erase blocks of their own. Of config.user only what says what the machine is stays.
  --set CONFIG_X=VALUE    set a value in config.user; may be repeated
  --keep NAME             let a further file below heads/ stay; may be repeated
Nothing is written but --out; see "rom write".`)},
		{name: "align", args: "IMAGE --out FILE", short: "move the owner's files to erase blocks of their own", run: romAlign,
			long: help(`For makers of machines: on an image that is laid out so, a power cut during a later change cannot damage
the firmware.
  --erase-size BYTES      the chip's erase block (default 4096)`)},
		{name: "diff", args: "OLD NEW", short: "what differs between two images", run: romDiff,
			long: strings.TrimSpace(`Each of OLD and NEW is an image file, or "flash" for the chip of this machine. Exit code 0 if they are equal,
1 if not.
  --flash=SPEC            how to read the chip
  --json                  report as one JSON document`)},
		{name: "write", args: "IMAGE --flash", short: "write the changed blocks of an image to the chip", run: romWrite,
			long: strings.TrimSpace(`Reads the chip twice, refuses an image that differs in more than the files below heads/, writes the erase
blocks that differ, reads the chip back and compares. If that fails three times, the old image is put back.
Signals are ignored while it writes. Needs mains power, or a battery at ` + fmt.Sprint(flash.MinBattery) + ` %.
  --flash=SPEC            how to reach the chip; see "rom list"
  --backup FILE           save what the chip held before (must not exist)
  --json                  report as one JSON document`)},
		{name: "verify", args: "IMAGE|--flash [--against FILE]", short: "check an image", run: romVerify,
			long: help(`Checks that the image can be understood and may be changed. Says if the owner's files have erase blocks of
their own, and which settings in config.user could run a command.
  --against FILE          the image must also be equal to FILE, to the byte`)},
	}}
}

// chipFlag is --flash, alone or with a specification.
type chipFlag struct {
	spec string
	set  bool
}

func (c *chipFlag) IsBoolFlag() bool { return true }
func (c *chipFlag) String() string   { return c.spec }
func (c *chipFlag) Set(s string) error {
	c.set, c.spec = s != "false", s
	if s == "true" {
		c.spec = "auto"
	}
	return nil
}

// open returns the chip's backend.
func (c *chipFlag) open() (flash.Backend, error) {
	d := laptop.Config{Flash: c.spec, Heads: laptop.HeadsConfig, TPM: "none"}
	if d.Flash == "" {
		d.Flash = "auto"
	}
	if err := d.Resolve(); err != nil {
		return nil, err
	}
	return flash.Open(d.Flash)
}

// romFlags are the flags of all rom commands.
type romFlags struct {
	*flag.FlagSet
	chip chipFlag
	json bool
	out  string
}

func newRomFlags(name string) *romFlags {
	f := &romFlags{FlagSet: newFlags("reown rom " + name)}
	f.Var(&f.chip, "flash", "")
	f.BoolVar(&f.json, "json", false, "")
	f.StringVar(&f.out, "out", "", "")
	return f
}

// source parses the arguments and reads the image: the chip's, or the first
// operand's. It returns n further operands.
func (f *romFlags) source(ctx context.Context, e *env, args []string, n int) ([]byte, []string, error) {
	rest, err := parse(f.FlagSet, args, n, n+1)
	if err != nil {
		return nil, nil, err
	}
	if (len(rest) == n) != f.chip.set {
		return nil, nil, usagef("%s needs either an image file or --flash", f.Name())
	}
	if f.chip.set {
		img, err := f.readChip(ctx, e)
		return img, rest, err
	}
	img, err := readImage(rest[0])
	return img, rest[1:], err
}

func (f *romFlags) readChip(ctx context.Context, e *env) ([]byte, error) {
	b, err := f.chip.open()
	if err != nil {
		return nil, err
	}
	return flash.ReadTwice(ctx, b, showPhases(e))
}

func readImage(name string) ([]byte, error) {
	r, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the image: %w", err)
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, rom.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", name, err)
	}
	return b, nil
}

// showPhases prints a line when a phase begins.
func showPhases(e *env) flash.Progress {
	var last flash.Phase
	return func(p flash.Phase, _, _ int64) {
		if p != last {
			fmt.Fprintf(e.stderr, "%s\n", p)
			last = p
		}
	}
}

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

func romList(ctx context.Context, e *env, args []string) error {
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
		return printJSON(e, l)
	}
	fmt.Fprintf(e.stdout, "%-10s %10s  %-11s %s\n", "offset", "bytes", "type", "name")
	for _, x := range l.Files {
		fmt.Fprintf(e.stdout, "0x%08x %10d  %-11s %s\n", x.Offset, x.Size, x.Type, x.Name)
	}
	if l.Note != "" {
		fmt.Fprintf(e.stdout, "\nPCR 7: %s\n", l.Note)
		return nil
	}
	fmt.Fprintf(e.stdout, "\nPCR 7 sha1   %s\nPCR 7 sha256 %s\n", l.PCR7SHA1, l.PCR7SHA256)
	return nil
}

func romExtract(ctx context.Context, e *env, args []string) error {
	f := newRomFlags("extract")
	img, rest, err := f.source(ctx, e, args, 1)
	if err != nil {
		return err
	}
	if f.out == "" {
		return usagef("%s needs --out FILE (- for standard output)", f.Name())
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
		_, err = e.stdout.Write(data)
		return err
	}
	return atomicfile.WriteFile(f.out, data, 0o644)
}

// romEdit edits an image file in memory and writes it whole.
func romEdit(name string, args []string, operands int, edit func(im *rom.Image, s rom.Style, rest []string) error) error {
	f := newRomFlags(name)
	style := f.String("style", "heads", "")
	rest, err := parse(f.FlagSet, args, operands, operands)
	if err != nil {
		return err
	}
	s, ok := map[string]rom.Style{"heads": rom.Heads, "cbfstool": rom.CBFSTool}[*style]
	if !ok {
		return usagef("%s: --style is heads or cbfstool", f.Name())
	}
	if f.chip.set {
		return usagef("%s changes an image file; `reown rom write` brings it to the chip", f.Name())
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

func romAdd(_ context.Context, _ *env, args []string) error {
	return romEdit("add", args, 3, func(im *rom.Image, s rom.Style, rest []string) error {
		data, err := readImage(rest[1])
		if err != nil {
			return err
		}
		return im.Add(rest[0], data, s)
	})
}

func romRemove(_ context.Context, _ *env, args []string) error {
	return romEdit("remove", args, 2, func(im *rom.Image, s rom.Style, rest []string) error {
		return im.Remove(rest[0], s)
	})
}

// stringList collects a flag that may be repeated.
type stringList []string

func (l *stringList) String() string     { return strings.Join(*l, ",") }
func (l *stringList) Set(s string) error { *l = append(*l, s); return nil }

func romOwn(ctx context.Context, e *env, args []string) error {
	f := newRomFlags("own")
	pubring, trustdb := f.String("pubring", "", ""), f.String("trustdb", "", "")
	var set, keep stringList
	f.Var(&set, "set", "")
	f.Var(&keep, "keep", "")
	img, _, err := f.source(ctx, e, args, 0)
	if err != nil {
		return err
	}
	if *pubring == "" || *trustdb == "" || f.out == "" {
		return usagef("%s needs --pubring, --trustdb and --out", f.Name())
	}
	c := rom.Changes{Keep: keep}
	if c.Pubring, err = readImage(*pubring); err != nil {
		return err
	}
	if c.TrustDB, err = readImage(*trustdb); err != nil {
		return err
	}
	for _, s := range set {
		name, value, _ := strings.Cut(s, "=")
		c.Settings = append(c.Settings, rom.Setting{Name: name, Value: value})
	}
	p, err := rom.NewPlan(img, c)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(f.out, p.New, 0o644); err != nil {
		return err
	}
	return reportPlan(e, p, f.json)
}

func romAlign(ctx context.Context, e *env, args []string) error {
	f := newRomFlags("align")
	size := f.Uint("erase-size", rom.EraseSize, "")
	img, _, err := f.source(ctx, e, args, 0)
	if err != nil {
		return err
	}
	if f.out == "" {
		return usagef("%s needs --out", f.Name())
	}
	p, err := rom.Align(img, uint32(min(*size, rom.MaxSize)))
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(f.out, p.New, 0o644); err != nil {
		return err
	}
	return reportPlan(e, p, f.json)
}

// orEmpty makes JSON show a list without elements as a list.
func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

type planReport struct {
	Blocks     []string `json:"blocks"`
	Shared     int      `json:"shared_blocks"`
	Aligned    bool     `json:"aligned"`
	Removed    []string `json:"removed"`
	Added      []string `json:"added"`
	Kept       []string `json:"kept"`
	Rejected   []string `json:"rejected_settings"`
	Taken      []string `json:"taken_settings"`
	PCR7SHA1   string   `json:"pcr7_sha1"`
	PCR7SHA256 string   `json:"pcr7_sha256"`
}

func reportPlan(e *env, p *rom.Plan, asJSON bool) error {
	r := planReport{
		Blocks: []string{}, Shared: p.Shared, Aligned: p.Aligned,
		Removed: orEmpty(p.Removed), Added: orEmpty(p.Added), Kept: orEmpty(p.Kept), Rejected: []string{}, Taken: []string{},
		PCR7SHA1: hex.EncodeToString(p.PCR7SHA1[:]), PCR7SHA256: hex.EncodeToString(p.PCR7SHA256[:]),
	}
	for _, d := range p.Dropped {
		r.Rejected = append(r.Rejected, d.Line)
	}
	for _, s := range p.Taken {
		r.Taken = append(r.Taken, s.Name+"="+s.Value)
	}
	for _, b := range p.Blocks {
		r.Blocks = append(r.Blocks, fmt.Sprintf("0x%08x", b.Start))
	}
	if asJSON {
		return printJSON(e, r)
	}
	for _, l := range []struct {
		what  string
		names []string
	}{{"removed", r.Removed}, {"added", r.Added}, {"kept", r.Kept}, {"kept in config.user", r.Taken}, {"dropped from config.user", r.Rejected}} {
		for _, n := range l.names {
			fmt.Fprintf(e.stdout, "%s: %q\n", l.what, n)
		}
	}
	fmt.Fprintf(e.stdout, "%d erase blocks of %d bytes change; %d of them also hold parts of the firmware\n", len(p.Blocks), p.EraseSize, p.Shared)
	if !p.Aligned {
		fmt.Fprintln(e.stdout, "the image is too full to give the owner's files erase blocks of their own")
	}
	fmt.Fprintf(e.stdout, "PCR 7 sha1   %s\nPCR 7 sha256 %s\n", r.PCR7SHA1, r.PCR7SHA256)
	return nil
}

// errImagesDiffer is the answer of rom diff; it is no fault.
var errImagesDiffer = errors.New("the images differ")

type romDifference struct {
	Equal  bool     `json:"equal"`
	Blocks []string `json:"blocks"`
	Files  []string `json:"files"` // "+name", "-name" and "~name": added, removed, changed
}

func romDiff(ctx context.Context, e *env, args []string) error {
	f := newRomFlags("diff")
	names, err := parse(f.FlagSet, args, 2, 2)
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
		err = printJSON(e, d)
	} else {
		for _, s := range d.Files {
			fmt.Fprintln(e.stdout, s)
		}
		fmt.Fprintf(e.stdout, "%d erase blocks of %d bytes differ\n", len(d.Blocks), rom.EraseSize)
	}
	if err == nil && !d.Equal {
		err = withExit(exitFailed, errImagesDiffer)
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

type writeReport struct {
	Written    int    `json:"blocks_written"`
	Attempts   int    `json:"attempts"`
	SHA256     string `json:"sha256"`
	PCR7SHA1   string `json:"pcr7_sha1"`
	PCR7SHA256 string `json:"pcr7_sha256"`
}

func romWrite(ctx context.Context, e *env, args []string) error {
	f := newRomFlags("write")
	backup := f.String("backup", "", "")
	names, err := parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if !f.chip.set {
		return usagef("%s needs --flash: the chip is written", f.Name())
	}
	img, err := readImage(names[0])
	if err != nil {
		return err
	}
	b, err := f.chip.open()
	if err != nil {
		return err
	}
	if err := enoughPower(f.chip.spec); err != nil {
		return err
	}
	old, err := flash.ReadTwice(ctx, b, showPhases(e))
	if err != nil {
		return err
	}
	p, err := rom.Between(old, img)
	if err != nil {
		return err
	}
	if *backup != "" {
		if err := writeNew(*backup, old); err != nil {
			return err
		}
	}
	r, err := flash.Write(ctx, b, p, showPhases(e))
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(e, writeReport{r.Written, r.Attempts, hex.EncodeToString(r.SHA256[:]), hex.EncodeToString(r.PCR7SHA1[:]), hex.EncodeToString(r.PCR7SHA256[:])})
	}
	fmt.Fprintf(e.stdout, "the chip holds the image: %d erase blocks written, read back and compared\n", r.Written)
	return nil
}

// enoughPower checks the machine's power supplies, unless the chip is a file.
func enoughPower(spec string) error {
	if strings.HasPrefix(spec, "file:") {
		return nil
	}
	s, err := flash.Power(os.DirFS("/sys"))
	if err != nil {
		return err
	}
	return s.Check()
}

// writeNew writes a file that must not exist, for its owner's eyes only.
func writeNew(name string, data []byte) error {
	w, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("making a new file: %w", err)
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

type verifyReport struct {
	OK       bool     `json:"ok"`
	Aligned  bool     `json:"aligned"`
	Owner    []string `json:"owner_files"`
	Rejected []string `json:"rejected_settings"`
}

func romVerify(ctx context.Context, e *env, args []string) error {
	f := newRomFlags("verify")
	against := f.String("against", "", "")
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
		err = printJSON(e, r)
	} else {
		for _, n := range r.Owner {
			fmt.Fprintf(e.stdout, "measured into PCR 7: %s\n", n)
		}
		for _, line := range r.Rejected {
			fmt.Fprintf(e.stdout, "config.user could run a command: %q\n", line)
		}
		fmt.Fprintf(e.stdout, "the owner's files have erase blocks of their own: %v\n", map[bool]string{true: "yes", false: "no"}[r.Aligned])
	}
	if err == nil && !r.OK {
		err = withExit(exitFailed, errImagesDiffer)
	}
	return err
}

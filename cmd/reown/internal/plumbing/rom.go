package plumbing

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"reown/cmd/reown/internal/cli"
	"reown/internal/atomicfile"
	"reown/internal/laptop"
	"reown/internal/power"
	"reown/internal/rom"
	"reown/internal/rom/flash"
)

func romCommand() *cli.Command {
	return &cli.Command{Name: "rom", Short: "the firmware image: CBFS files and the flash chip", Sub: []*cli.Command{
		{Name: "list", Args: "IMAGE|--flash [--json]", Short: "what is in the image", Run: romList,
			Long: `Prints the files, and what PCR 7 will be once Heads has started from this image.`},
		{Name: "extract", Args: "IMAGE|--flash NAME --out FILE", Short: "save one file of the image", Run: romExtract,
			Long: `The data is saved as stored: what is compressed stays so.`},
		{Name: "add", Args: "IMAGE NAME FILE", Short: "put a file into an image file", Run: romAdd,
			Long: `Stores FILE uncompressed under NAME.`},
		{Name: "remove", Args: "IMAGE NAME", Short: "take a file out of an image file", Run: romRemove,
			Long: `The file's bytes are erased and its place becomes free.`},
		{Name: "own", Args: "IMAGE|--flash --pubring FILE --trustdb FILE --out FILE",
			Short: "make the image that trusts one key only", Run: romOwn,
			Long: `Removes every file below heads/, no matter who put it there, and adds the keyring and the trust database on
erase blocks of their own. Of config.user only what says what the machine is stays.`},
		{Name: "align", Args: "IMAGE --out FILE", Short: "move the owner's files to erase blocks of their own", Run: romAlign,
			Long: `For makers of machines: on an image that is laid out so, a power cut during a later change cannot damage
the firmware.`},
		{Name: "diff", Args: "OLD NEW", Short: "what differs between two images", Run: romDiff,
			Long: `Each of OLD and NEW is an image file, or "flash" for the chip of this machine. Exit code 0 if they are equal,
1 if not.`},
		{Name: "write", Args: "IMAGE --flash", Short: "write the changed blocks of an image to the chip", Run: romWrite,
			Long: strings.TrimSpace(`Reads the chip twice, refuses an image that differs in more than the files below heads/, writes the erase
blocks that differ, reads the chip back and compares. If that fails three times, the old image is put back.
Signals are ignored while it writes. Needs mains power, or a battery at ` + fmt.Sprint(int(power.ForFlash)) + ` %.`)},
		{Name: "verify", Args: "IMAGE|--flash [--against FILE]", Short: "check an image", Run: romVerify,
			Long: `Checks that the image can be understood and may be changed. Says if the owner's files have erase blocks of
their own, and which settings in config.user could run a command.`},
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
	chip    chipFlag
	backend flash.Backend // of the chip, once it was read
	json    bool
	out     string
}

func newRomFlags(name string) *romFlags {
	f := &romFlags{FlagSet: cli.NewFlags("reown rom " + name)}
	f.Var(&f.chip, "flash", "[=SPEC] the chip of this machine, by the board's own flash program "+
		"(CONFIG_FLASH_OPTIONS); or SPEC: mtd:/dev/mtd0, file:PATH, or a program with its options")
	f.BoolVar(&f.json, "json", false, "report as one JSON document")
	return f
}

func (f *romFlags) withOut() *romFlags {
	f.StringVar(&f.out, "out", "", "FILE write the result there")
	return f
}

// source parses the arguments and reads the image: the chip's, or the first
// operand's. It returns n further operands.
func (f *romFlags) source(ctx context.Context, e *cli.Env, args []string, n int) ([]byte, []string, error) {
	rest, err := cli.Parse(f.FlagSet, args, n, n+1)
	if err != nil {
		return nil, nil, err
	}
	if (len(rest) == n) != f.chip.set {
		return nil, nil, cli.Usagef("%s needs either an image file or --flash", f.Name())
	}
	if f.chip.set {
		img, err := f.readChip(ctx, e)
		return img, rest, err
	}
	img, err := readImage(rest[0])
	return img, rest[1:], err
}

func (f *romFlags) readChip(ctx context.Context, e *cli.Env) ([]byte, error) {
	b, err := f.chip.open()
	if err != nil {
		return nil, err
	}
	f.backend = b
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
func showPhases(e *cli.Env) flash.Progress {
	var last flash.Phase
	return func(p flash.Phase, _, _ int64) {
		if p != last {
			fmt.Fprintf(e.Stderr, "%s\n", p)
			last = p
		}
	}
}

// stringList collects a flag that may be repeated.
type stringList []string

func (l *stringList) String() string     { return strings.Join(*l, ",") }
func (l *stringList) Set(s string) error { *l = append(*l, s); return nil }

func romOwn(ctx context.Context, e *cli.Env, args []string) error {
	f := newRomFlags("own").withOut()
	pubring, trustdb := f.String("pubring", "", "FILE the keyring to put in"), f.String("trustdb", "", "FILE the "+
		"trust database to put in")
	var set, keep stringList
	f.Var(&set, "set", "CONFIG_X=VALUE set a value in config.user; repeatable")
	f.Var(&keep, "keep", "NAME let a further file below heads/ stay; repeatable")
	img, _, err := f.source(ctx, e, args, 0)
	if err != nil {
		return err
	}
	if *pubring == "" || *trustdb == "" || f.out == "" {
		return cli.Usagef("%s needs --pubring, --trustdb and --out", f.Name())
	}
	c := rom.Changes{Keep: keep}
	if f.backend != nil {
		c.EraseSize = flash.EraseSize(f.backend)
	}
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
	out := p.New
	if f.chip.set { // the rest of the chip, as it is
		whole, err := wholeChip(ctx, e, f.backend, img, f.out)
		if err != nil {
			return err
		}
		out = bytes.Clone(whole)
		for _, r := range p.Blocks {
			copy(out[r.Start:r.End], p.New[r.Start:r.End])
		}
	}
	if err := atomicfile.WriteFile(f.out, out, 0o644); err != nil {
		return err
	}
	return reportPlan(e, p, f.json)
}

func romAlign(ctx context.Context, e *cli.Env, args []string) error {
	f := newRomFlags("align").withOut()
	size := f.Uint("erase-size", rom.EraseSize, "BYTES the chip's erase block")
	img, _, err := f.source(ctx, e, args, 0)
	if err != nil {
		return err
	}
	if f.out == "" {
		return cli.Usagef("%s needs --out", f.Name())
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

func reportPlan(e *cli.Env, p *rom.Plan, asJSON bool) error {
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
		return e.JSON(r)
	}
	for _, l := range []struct {
		what  string
		names []string
	}{{"removed", r.Removed}, {"added", r.Added}, {"kept", r.Kept}, {"kept in config.user", r.Taken},
		{"dropped from config.user", r.Rejected}} {
		for _, n := range l.names {
			fmt.Fprintf(e.Stdout, "%s: %q\n", l.what, n)
		}
	}
	fmt.Fprintf(e.Stdout, "%d erase blocks of %d bytes change; %d of them also hold parts of the firmware\n",
		len(p.Blocks), p.EraseSize, p.Shared)
	if !p.Aligned {
		fmt.Fprintln(e.Stdout, "the image is too full to give the owner's files erase blocks of their own")
	}
	fmt.Fprintf(e.Stdout, "PCR 7 sha1   %s\nPCR 7 sha256 %s\n", r.PCR7SHA1, r.PCR7SHA256)
	return nil
}

type writeReport struct {
	Written    int    `json:"blocks_written"`
	Attempts   int    `json:"attempts"`
	SHA256     string `json:"sha256"`
	PCR7SHA1   string `json:"pcr7_sha1"`
	PCR7SHA256 string `json:"pcr7_sha256"`
}

func romWrite(ctx context.Context, e *cli.Env, args []string) error {
	f := newRomFlags("write")
	backup := f.String("backup", "", "FILE save what the chip held before; it must not exist")
	names, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if !f.chip.set {
		return cli.Usagef("%s needs --flash: the chip is written", f.Name())
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
		whole, err := wholeChip(ctx, e, b, old, "the backup")
		if err != nil {
			return err
		}
		if err := writeNew(*backup, whole); err != nil {
			return err
		}
	}
	r, err := flash.Write(ctx, b, p, showPhases(e))
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(writeReport{r.Written, r.Attempts, hex.EncodeToString(r.SHA256[:]), hex.EncodeToString(r.PCR7SHA1[:]),
			hex.EncodeToString(r.PCR7SHA256[:])})
	}
	fmt.Fprintf(e.Stdout, "the chip holds the image: %d erase blocks written, read back and compared\n", r.Written)
	return nil
}

// wholeChip completes an image of a board that reads only some regions. What it lacks in
// the end is told.
func wholeChip(ctx context.Context, e *cli.Env, b flash.Backend, img []byte, what string) ([]byte, error) {
	whole, err := flash.Whole(ctx, b, img)
	if errors.Is(err, flash.ErrPartial) {
		fmt.Fprintf(e.Stderr, "reown: %s lacks what the board's flash options leave out: %v\n", what, err)
		err = nil
	}
	return whole, err
}

// enoughPower checks the machine's power supplies, unless the chip is a file.
func enoughPower(spec string) error {
	if strings.HasPrefix(spec, "file:") {
		return nil
	}
	s, err := power.Read(os.DirFS("/sys"))
	if err != nil {
		return err
	}
	return power.ForFlash.Check(s)
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

package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"reown/internal/rom"
)

// A Program is a Backend that runs the board's flash program, flashprog or
// flashrom, with the board's options. It runs in its own process group, so that
// a key at the terminal does not reach it.
type Program struct {
	// Options is the program and its options, as in Heads' CONFIG_FLASH_OPTIONS:
	// "flashprog --progress --programmer internal".
	Options []string
	// Dir is where image files are put for the program; "" means the system's
	// directory for temporary files.
	Dir string

	protected []rom.Range // as told while the chip was last read
	chips     []string    // that it may be, where the program cannot tell
	chip      string      // the one of them by which it is read
	chosen    bool        // and written: somebody has said so
}

// Chips are the kinds of chips that this one may be, by the program's names, where it cannot tell and nobody has
// said. Any of them reads it; which one writes it must be said (Choose).
func (p *Program) Chips() []string {
	if p.chosen {
		return nil
	}
	return p.chips
}

// Choose says which of Chips it is. It holds as long as the Program.
func (p *Program) Choose(chip string) error {
	if !slices.Contains(p.chips, chip) {
		return fmt.Errorf("%w: no chip %q", ErrNoChip, chip)
	}
	p.chip, p.chosen = chip, true
	return nil
}

// options are the board's, and the chip where the program cannot tell it.
func (p *Program) options() []string {
	if p.chip == "" {
		return slices.Clone(p.Options)
	}
	return append(slices.Clone(p.Options), "-c", p.chip)
}

// NewProgram splits a board's CONFIG_FLASH_OPTIONS. It returns ErrNoProgram for an
// empty one: guessing how to flash a board is unsafe.
func NewProgram(options string) (*Program, error) {
	words := strings.Fields(options)
	if len(words) == 0 {
		return nil, ErrNoProgram
	}
	return &Program{Options: words}, nil
}

// String implements Backend.
func (p *Program) String() string { return "flash program " + filepath.Base(p.Options[0]) }

// Read implements Backend. The program tells no progress that could be trusted;
// the callback is called at the end.
func (p *Program) Read(ctx context.Context, progress func(done, total int64)) ([]byte, error) {
	img, err := p.read(ctx, p.options())
	if several := (*SeveralChipsError)(nil); errors.As(err, &several) && several.alike && len(several.Names) > 0 {
		p.chips, p.chip = several.Names, several.Names[0]
		if img, err = p.read(ctx, p.options()); err != nil {
			p.chips, p.chip = nil, ""
		}
	}
	if err == nil {
		report(progress, int64(len(img)), int64(len(img)))
	}
	return img, err
}

// readWhole reads what the board's choice of regions leaves out, too.
func (p *Program) readWhole(ctx context.Context) ([]byte, error) {
	return p.read(ctx, withoutRegions(p.options()))
}

func (p *Program) read(ctx context.Context, options []string) ([]byte, error) {
	dir, err := os.MkdirTemp(p.Dir, "reown-rom-")
	if err != nil {
		return nil, fmt.Errorf("making room for the image: %w", room(err))
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "chip.rom")
	said, err := p.run(ctx, append(slices.Clone(options), "-r", file))
	p.protected = protectedRanges(said)
	if err != nil {
		return nil, err
	}
	if protectionStays(said) {
		p.protected = append(p.protected, p.chipProtection(ctx))
	}
	st, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("the flash program left no image: %w", err)
	}
	if st.Size() < rom.MinSize || st.Size() > rom.MaxSize {
		return nil, fmt.Errorf("the flash program left an image of %d bytes", st.Size())
	}
	img, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the flash program's image: %w", err)
	}
	return img, nil
}

// Write implements Backend. The program gets a layout file that names nothing
// but the given stretches, and is told to verify no more than those: the
// comparison of the whole chip is Write's, with an image that this program reads.
func (p *Program) Write(ctx context.Context, image []byte, runs []rom.Range, progress func(done, total int64)) error {
	if names := p.Chips(); len(names) > 0 {
		return &SeveralChipsError{Names: names}
	}
	dir, err := os.MkdirTemp(p.Dir, "reown-rom-")
	if err != nil {
		return fmt.Errorf("making room for the image: %w", room(err))
	}
	defer os.RemoveAll(dir)
	file, layout := filepath.Join(dir, "new.rom"), filepath.Join(dir, "layout")
	if err := os.WriteFile(file, image, 0o600); err != nil {
		return fmt.Errorf("handing the image to the flash program: %w", room(err))
	}
	args := append(withoutRegions(p.options()), "-l", layout)
	var text bytes.Buffer
	var total int64
	for i, r := range runs {
		total += int64(r.Len())
		fmt.Fprintf(&text, "%08x:%08x reown%d\n", r.Start, r.End-1, i)
		args = append(args, "-i", fmt.Sprintf("reown%d", i))
	}
	if err := os.WriteFile(layout, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("handing the layout to the flash program: %w", room(err))
	}
	if _, err := p.run(ctx, append(args, "-N", "-w", file)); err != nil {
		return err
	}
	report(progress, total, total)
	return nil
}

// Protected returns what the program called unwritable while it last read the
// chip: regions of the descriptor and protected ranges (PR0 to PR4) of Intel's
// controller, and the range of the chip's own protection where that cannot be lifted.
// A chip that Heads has locked shows up here.
func (p *Program) Protected() []rom.Range { return p.protected }

// protectedRanges finds lines such as
//
//	PR0: Warning: 0x00000000-0x00ffffff is read-only.
func protectedRanges(said []byte) []rom.Range {
	var out []rom.Range
	for _, line := range strings.Split(string(said), "\n") {
		line = strings.TrimSpace(line)
		head, ok := strings.CutSuffix(line, " is read-only.")
		if !ok {
			head, ok = strings.CutSuffix(line, " is locked.")
		}
		i := strings.LastIndex(head, "0x")
		j := strings.LastIndex(head[:max(i, 0)], "0x")
		if !ok || j < 0 {
			continue
		}
		var r rom.Range
		if n, err := fmt.Sscanf(strings.TrimRight(head[j:], ")"), "0x%x-0x%x", &r.Start, &r.End); err == nil && n == 2 &&
			r.Start <= r.End && r.End < rom.MaxSize {
			r.End++
			out = append(out, r)
		}
	}
	return out
}

// protectionStays says that the program has tried to lift the chip's own write
// protection (the block protection bits of its status register), as it does before it
// reads, too, and that the chip would not have it: the bits are locked by its WP# pin,
// until it loses power, or for good.
func protectionStays(said []byte) bool {
	for _, line := range []string{
		"Block protection could not be disabled!",
		"Hardware protection is active, disabling write protection is impossible.",
		"Unsetting lock bit(s) failed.",
	} {
		if bytes.Contains(said, []byte(line)) {
			return true
		}
	}
	return false
}

// chipProtection asks what part of the chip its protection covers, in the program's own
// way. The whole chip counts where the program or the chip cannot tell.
func (p *Program) chipProtection(ctx context.Context) rom.Range {
	for _, args := range p.protectionArgs() {
		said, err := p.run(ctx, args)
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(said), "Protection range: ")
		var start, length uint64
		if n, err := fmt.Sscanf(rest, "start=0x%x length=0x%x", &start, &length); ok && err == nil && n == 2 &&
			length != 0 && start < rom.MaxSize && length <= rom.MaxSize-start {
			return rom.Range{Start: uint32(start), End: uint32(start + length)}
		}
		break
	}
	return rom.Range{End: rom.MaxSize}
}

// protectionArgs are the ways to ask for the protection, the one of this program's name
// first: flashprog has a command of its own for it, which takes few options.
func (p *Program) protectionArgs() [][]string {
	only := options(p.options(), func(name string) bool { return chipOptions[name] })
	prog := slices.Insert(only, 1, "wp", "status")
	rom := append(withoutRegions(p.options()), "--wp-status")
	if strings.HasPrefix(filepath.Base(p.Options[0]), "flashrom") {
		return [][]string{rom, prog}
	}
	return [][]string{prog, rom}
}

// run runs the program and returns what it says; an error carries the end of it.
func (p *Program) run(ctx context.Context, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return out.Bytes(), ctx.Err()
		}
		return out.Bytes(), failure(args[0], out.Bytes(), err)
	}
	return out.Bytes(), nil
}

// lastLines returns the last words of a program, printable and on one line.
func lastLines(b []byte) string {
	b = b[max(0, len(b)-400):]
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, string(b))), " ")
}

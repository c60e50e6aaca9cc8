package flash

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reown/internal/rom/romtest"
)

func board(t testing.TB, name string) romtest.Layout {
	t.Helper()
	for _, l := range romtest.Layouts {
		if l.Name == name {
			return l
		}
	}
	t.Fatal(name)
	return romtest.Layout{}
}

// dummy returns flashrom on an emulated 16 MiB chip that holds img.
func dummy(t testing.TB, img []byte) (p *Program, file string) {
	t.Helper()
	peer(t, "flashrom")
	file = filepath.Join(t.TempDir(), "chip")
	if err := os.WriteFile(file, img, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := NewProgram("flashrom -p dummy:emulate=W25Q128FV,image=" + file + " -c W25Q128.V")
	if err != nil {
		t.Fatal(err)
	}
	p.Dir = t.TempDir()
	return p, file
}

func TestFlashromWritesAPlan(t *testing.T) {
	p := plan(t, sold(t, board(t, "16M")), 3000)
	b, file := dummy(t, p.Old)
	r, err := Write(context.Background(), b, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, p.New) {
		t.Fatalf("the chip holds something else (%v)", err)
	}
	if r.Attempts != 1 || r.Written != len(p.Blocks) {
		t.Errorf("%+v", r)
	}
	left, err := os.ReadDir(b.Dir)
	if err != nil || len(left) != 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

// Blocks that are not named must stay, whatever the image says of them.
func TestFlashromWritesNothingElse(t *testing.T) {
	p := plan(t, sold(t, board(t, "purism")), 3000)
	b, file := dummy(t, p.Old)
	if err := b.Write(context.Background(), make([]byte, len(p.New)), p.Runs(), nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(p.Old)
	for _, r := range p.Blocks {
		clear(want[r.Start:r.End])
	}
	if !bytes.Equal(got, want) {
		t.Error("flashrom wrote something else than the blocks of the plan")
	}
}

// An interrupted write is recognised and finished.
func TestFlashromGoesOn(t *testing.T) {
	p := plan(t, plan(t, sold(t, board(t, "16M")), 3000).New, 2000)
	torn := bytes.Clone(p.Old)
	r := p.Blocks[0]
	for i := r.Start; i < r.End; i++ {
		torn[i] = 0xff
	}
	copy(torn[r.Start:r.Start+256], p.New[r.Start:])
	b, file := dummy(t, torn)
	if _, err := Write(context.Background(), b, plan(t, torn, 2000), nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); !bytes.Equal(got, p.New) {
		t.Error("another image at the end")
	}
}

// script makes a flash program of our own, on a chip that is a file.
func script(t testing.TB, img []byte, body string) (b *Program, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "chip"), img, 0o600); err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\nset -e\ndir=" + dir +
		"\nprintf '%s\\n' \"$*\" >>$dir/calls\nfor last; do :; done\ncase \"$*\" in\n*' -r '*) mode=read;;\n*' -w '*) mode=write; cp \"$(echo \"$*\" | sed 's/.* -l \\([^ ]*\\).*/\\1/')\" $dir/layout;;\nesac\n" + body
	prog := filepath.Join(dir, "flashprog")
	if err := os.WriteFile(prog, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := NewProgram(prog + " --progress --programmer internal --ifd -i bios -i me --include=fd")
	if err != nil {
		t.Fatal(err)
	}
	return b, dir
}

const works = "if [ $mode = read ]; then cp $dir/chip $last; else cp $last $dir/chip; fi\n"

func TestProgramArguments(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	b, dir := script(t, p.Old, works)
	if _, err := Write(context.Background(), b, p, nil); err != nil {
		t.Fatal(err)
	}
	calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
	lines := strings.Split(strings.TrimSpace(string(calls)), "\n")
	if len(lines) != 3 { // read, write, read back
		t.Fatalf("calls:\n%s", calls)
	}
	if want := "--progress --programmer internal --ifd -i bios -i me --include=fd -r "; !strings.HasPrefix(lines[0],
		want) {
		t.Errorf("read: %s", lines[0])
	}
	w := strings.Fields(lines[1])
	w[4], w[len(w)-1] = "LAYOUT", "FILE"
	want := []string{"--progress", "--programmer", "internal", "-l", "LAYOUT"}
	for i := range p.Runs() {
		want = append(want, "-i", "reown"+string(rune('0'+i)))
	}
	if want = append(want, "-N", "-w", "FILE"); !slices.Equal(w, want) {
		t.Errorf("write: %q, want %q", w, want)
	}
	layout, _ := os.ReadFile(filepath.Join(dir, "layout"))
	r := p.Runs()[0]
	if want := hex32(r.Start) + ":" + hex32(r.End-1) + " reown0\n"; !strings.HasPrefix(string(layout), want) {
		t.Errorf("layout %q, want %q", layout, want)
	}
}

func TestProgramFails(t *testing.T) {
	ctx := context.Background()
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	for name, c := range map[string]struct {
		body string
		want []error
	}{
		"cannot read":     {"echo 'no chip found' >&2; exit 1\n", nil},
		"reads nothing":   {": >$last\n", nil},
		"leaves no image": {"exit 0\n", nil},
		"never writes": {"[ $mode = read ] && cp $dir/chip $last || { echo 'Transaction error' >&2; exit 3; }\n",
			[]error{ErrRestored}},
		"says it is locked":  {"[ $mode = read ] && cp $dir/chip $last || { echo 'PR0: Warning: 0x0-0xfff is read-only.' >&2; exit 1; }\n", []error{ErrRestored, ErrLocked}},
		"lies about writing": {"[ $mode = read ] && cp $dir/chip $last || exit 0\n", []error{ErrRestored}},
		"writes rubbish": {"[ $mode = read ] && cp $dir/chip $last || head -c 1048576 /dev/zero >$dir/chip\n",
			[]error{ErrDamaged}},
	} {
		t.Run(name, func(t *testing.T) {
			b, dir := script(t, p.Old, c.body)
			_, err := Write(ctx, b, p, nil)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "chip")); !errors.Is(err, ErrDamaged) && !bytes.Equal(got, p.Old) {
				t.Error("the chip has changed")
			}
		})
	}
	if _, err := NewProgram("  "); !errors.Is(err, ErrNoProgram) {
		t.Errorf("no options: %v", err)
	}
	if _, err := (&Program{Options: []string{"/nonexistent/flashprog"}}).Read(ctx, nil); err == nil {
		t.Error("no such program")
	}
}

// A key at the terminal reaches the foreground group only: the program has its own.
func TestProgramHasItsOwnGroup(t *testing.T) {
	b, dir := script(t, small.Build(), "cut -d' ' -f5 /proc/$$/stat >$dir/group; echo $$ >$dir/pid; cp $dir/chip $last\n")
	if _, err := b.Read(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	group, _ := os.ReadFile(filepath.Join(dir, "group"))
	pid, _ := os.ReadFile(filepath.Join(dir, "pid"))
	if len(pid) == 0 || string(group) != string(pid) {
		t.Errorf("process %s is in group %s", pid, group)
	}
}

// A chip that Heads has locked is known from reading it; no write is tried.
func TestProgramKnowsALockedChip(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	for line, want := range map[string]error{
		"PR0: Warning: 0x00000000-0x00ffffff is read-only.":           ErrLocked,
		"GPR0: Warning: 0x00000000-0x000fffff is locked.":             ErrLocked,
		"FREG1: BIOS region (0x00020000-0x000fffff) is read-only.":    ErrLocked,
		"FREG2: Management Engine region (0x3000-0x1ffff) is locked.": nil,
		"FREG1: BIOS region (0x00020000-0x000fffff) is read-write.":   nil,
		"0x is read-only.": nil,
		"PR0: Warning: 0xffffffffff-0x1 is read-only.": nil,
	} {
		b, dir := script(t, p.Old, "echo '"+line+"'\n"+works)
		_, err := Write(context.Background(), b, p, nil)
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "chip")); want != nil && !bytes.Equal(got, p.Old) {
			t.Errorf("%s: the chip was written", line)
		}
	}
}

// A chip that protects itself, and does not let the flash program change that, is known
// before the first block is erased; one whose protection the program can lift, and one
// that protects another part of itself, are written.
func TestProtectionOfTheChipItself(t *testing.T) {
	p := plan(t, sold(t, board(t, "16M")), 3000)
	for _, c := range []struct {
		name, chip    string
		locked, write bool
	}{
		{"whole chip locked by the pin", "spi_status=0x9c,hwwp=yes", true, false},
		{"whole chip but the pin is inactive", "spi_status=0x9c,hwwp=no", false, false},
		{"whole chip but the bits are not locked", "spi_status=0x1c,hwwp=yes", false, false},
		{"last 256 KiB locked by the pin", "spi_status=0x84,hwwp=yes", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, file := dummy(t, p.Old)
			b.Options[2] += "," + c.chip
			if _, err := b.Read(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			if err := CheckWritable(b, p); errors.Is(err, ErrLocked) != c.locked {
				t.Fatalf("before the write: %v, want locked: %v", err, c.locked)
			}
			if !c.write {
				return
			}
			if _, err := Write(t.Context(), b, p, nil); err != nil {
				t.Error(err)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, p.New) {
				t.Errorf("the chip holds something else (%v)", err)
			}
		})
	}
}

// Where the program cannot tell how far the protection goes, the whole chip counts.
func TestProtectionOfUnknownExtent(t *testing.T) {
	p := plan(t, sold(t, board(t, "16M")), 3000)
	b, dir := script(t, p.Old, "case \"$*\" in *--wp-status*) echo 'Failed to get WP status'; exit 1;; esac\n"+
		"echo 'Hardware protection is active, disabling write protection is impossible.'\n"+works)
	if _, err := Write(t.Context(), b, p, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("%v", err)
	}
	if calls, err := os.ReadFile(filepath.Join(dir, "calls")); err != nil || strings.Contains(string(calls), " -w ") {
		t.Errorf("the chip was written: %s %v", calls, err)
	}
}

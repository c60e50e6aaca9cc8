package flash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reown/internal/rom"
)

// recorded is what flashprog said: testdata/flashprog-eb2c0418, the version that Heads
// pins, with its dummy programmer. A stand-in says it again.
func recorded(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", "flashprog-eb2c0418", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	code := strings.TrimSpace(string(b[bytes.LastIndex(b, []byte("# exit "))+7:]))
	return fmt.Sprintf("{ grep -v '^#' %s; exit %s; }\n", path, code)
}

// TestWhyAProgramFails: each refusal of a program is an error of its own.
func TestWhyAProgramFails(t *testing.T) {
	img := sold(t, small)
	for name, want := range map[string]error{"no-chip": ErrNoChip, "option": ErrOption, "full": ErrRoom} {
		b, _ := script(t, img, recorded(t, name))
		if _, err := b.Read(t.Context(), nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, _ := script(t, img, recorded(t, "several"))
	_, err := b.Read(t.Context(), nil)
	var several *SeveralChipsError
	if !errors.As(err, &several) || !slices.Equal(several.Names, macronix) {
		t.Errorf("several: %v", err)
	}
	b, _ = script(t, img, "kill -9 $$\n")
	if _, err := b.Read(t.Context(), nil); !errors.Is(err, ErrKilled) {
		t.Errorf("killed: %v", err)
	}
	for _, p := range []string{"/nonexistent/flashprog", "no-such-flashprog"} {
		if _, err := (&Program{Options: []string{p, "-p", "internal"}}).Read(t.Context(), nil); !errors.Is(err,
			ErrNotInstalled) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// macronix are the chips that answer as the dummy programmer's MX25L6436.
var macronix = []string{"MX25L6405", "MX25L6405D", "MX25L6406E/MX25L6408E",
	"MX25L6436E/MX25L6445E/MX25L6465E/MX25L6473E/MX25L6473F"}

// TestRealPrograms: the programs that are installed say the same.
func TestRealPrograms(t *testing.T) {
	chip := filepath.Join(t.TempDir(), "chip")
	if err := os.WriteFile(chip, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, prog := range []string{"flashrom", "flashprog"} {
		if _, err := exec.LookPath(prog); err != nil {
			continue
		}
		n++
		read := func(options string) error {
			p, err := NewProgram(prog + " " + options)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Read(t.Context(), nil)
			return err
		}
		var several *SeveralChipsError
		// It is read all the same, and written by the one that somebody names.
		p, err := NewProgram(prog + " -p dummy:emulate=MX25L6436,image=" + chip)
		if err != nil {
			t.Fatal(err)
		}
		img, err := p.Read(t.Context(), nil)
		if err != nil || len(img) != 8<<20 || !slices.Equal(p.Chips(), macronix) {
			t.Errorf("%s: several: %q, %v", prog, p.Chips(), err)
		}
		img[5] = 1
		block := []rom.Range{{End: 4096}}
		if err := p.Write(t.Context(), img, block, nil); !errors.As(err, &several) || !slices.Equal(several.Names, macronix) {
			t.Errorf("%s: written without a word: %v", prog, err)
		}
		if err := p.Choose("AT25"); !errors.Is(err, ErrNoChip) {
			t.Errorf("%s: a chip that it cannot be: %v", prog, err)
		}
		if err := errors.Join(p.Choose(macronix[2]), p.Write(t.Context(), img, block, nil)); err != nil ||
			len(p.Chips()) > 0 {
			t.Errorf("%s: chosen: %v", prog, err)
		}
		if now, err := os.ReadFile(chip); err != nil || now[5] != 1 {
			t.Errorf("%s: not written: %v", prog, err)
		}
		if err := read("-p dummy:emulate=MX25L6436,image=" + chip + " --chip=" + macronix[1]); err != nil {
			t.Errorf("%s: chosen by name: %v", prog, err)
		}
		if err := read("-p dummy"); !errors.Is(err, ErrNoChip) {
			t.Errorf("%s: no chip: %v", prog, err)
		}
		if err := read("-p dummy --frobnicate"); !errors.Is(err, ErrOption) {
			t.Errorf("%s: an option: %v", prog, err)
		}
	}
	if n == 0 {
		peer(t, "flashrom")
	}
}

// TestProtectionInEachProgramsWay: flashprog is asked with its own command, which takes the
// programmer and the chip and nothing else; only a range that meets our blocks refuses.
func TestProtectionInEachProgramsWay(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	for name, locked := range map[string]bool{"wp-all": true, "wp-upper": false, "wp-several": true, "wp-none": true} {
		b, dir := script(t, p.Old, "case \"$*\" in 'wp status'*) "+strings.TrimSpace(recorded(t, name))+";; *--wp-status*) "+
			strings.TrimSpace(recorded(t, "wp-status-flag"))+";; esac\n"+
			"echo 'Block protection could not be disabled!'\n"+works)
		b.Options = append(b.Options[:len(b.Options):len(b.Options)], "-c", "W25Q128.V")
		if _, err := b.Read(t.Context(), nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := CheckWritable(b, p); errors.Is(err, ErrLocked) != locked {
			t.Errorf("%s: %v", name, err)
		}
		calls, err := os.ReadFile(filepath.Join(dir, "calls"))
		if err != nil || !strings.Contains(string(calls), "\nwp status --programmer internal -c W25Q128.V\n") {
			t.Errorf("%s: called\n%s", name, calls)
		}
	}
	rom := (&Program{Options: strings.Fields("/sbin/flashrom -p internal --ifd -i bios")}).protectionArgs()
	if want := strings.Fields("/sbin/flashrom -p internal --wp-status"); !slices.Equal(rom[0], want) {
		t.Errorf("flashrom: %q", rom)
	}
}

// TestKilledInMidWrite: a program that is killed while it writes is run again; one that
// always is, ends in the old firmware, or in damage that is told as such.
func TestKilledInMidWrite(t *testing.T) {
	p := plan(t, plan(t, sold(t, small), 3000).New, 2000)
	b, dir := script(t, p.Old, "if [ $mode = write ] && ! [ -e $dir/once ]; then : >$dir/once; head -c 400000 $last >$dir/half; tail -c +400001 $dir/chip >>$dir/half; mv $dir/half $dir/chip; kill -9 $$; fi\n"+works)
	r, err := Write(t.Context(), b, p, nil)
	if got, _ := os.ReadFile(filepath.Join(dir, "chip")); err != nil || r.Attempts != 2 || !bytes.Equal(got, p.New) {
		t.Errorf("once: %+v, %v", r, err)
	}
	b, dir = script(t, p.Old, "[ $mode = write ] && kill -9 $$\n"+works)
	_, err = Write(t.Context(), b, p, nil)
	if got, _ := os.ReadFile(filepath.Join(dir, "chip")); !errors.Is(err, ErrKilled) || !errors.Is(err, ErrRestored) ||
		!bytes.Equal(got, p.Old) {
		t.Errorf("always: %v", err)
	}
}

// TestRegionOptions: the board's choice of regions is known in each spelling.
func TestRegionOptions(t *testing.T) {
	for in, want := range map[string]string{
		"--ifd -i bios -i me":                          "",
		"--ifd --include bios --include=me --image fd": "",
		"-ibios -Ni me -N":                             "-N -N",
		"--fmap-file=/tmp/f --inc gbe":                 "",
		"--fmap-file /tmp/f --imag=gbe":                "",
		"-l layout -llayout --layout=x --lay x":        "",
		"-p internal:ich_spi_mode=hwseq --progress":    "-p internal:ich_spi_mode=hwseq --progress",
		"-pinternal --chip -i -c --ifd":                "-pinternal --chip -i -c --ifd",
		"--programmer=internal -V --fmap":              "--programmer=internal -V",
		"--unknown value -VVV":                         "--unknown value -V -V -V",
		"-i":                                           "",
	} {
		words := append([]string{"flashprog"}, strings.Fields(in)...)
		got := withoutRegions(words)
		if g := strings.Join(got[1:], " "); g != want {
			t.Errorf("%q: %q, want %q", in, g, want)
		}
		if w := strings.Join(words[1:], " "); w != in {
			t.Errorf("%q became %q", in, w)
		}
	}
}

// TestWhole: where the board reads regions, the rest of the chip is read for a backup; what
// cannot be read is said.
func TestWhole(t *testing.T) {
	img := sold(t, small)
	head := "n=4096; case \"$*\" in *' -i '*) { head -c $n /dev/zero | tr '\\0' '\\377'; tail -c +$((n+1)) $dir/chip; } >$last; exit 0;; esac\n"
	b, _ := script(t, img, head+works)
	part, err := b.Read(t.Context(), nil)
	if err != nil || bytes.Equal(part, img) {
		t.Fatalf("the stand-in reads everything: %v", err)
	}
	if whole, err := Whole(t.Context(), b, part); err != nil || !bytes.Equal(whole, img) {
		t.Errorf("whole: %v", err)
	}
	for name, body := range map[string]string{"refused": "echo 'Transaction error'; exit 1\n",
		"another": "head -c 1048576 /dev/urandom >$last\n", "smaller": "head -c 524288 $dir/chip >$last\n"} {
		b, _ := script(t, img, head+body)
		if got, err := Whole(t.Context(), b, part); !errors.Is(err, ErrPartial) || !bytes.Equal(got, part) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plain, err := NewProgram("/nonexistent/flashprog -p internal")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Whole(t.Context(), plain, img); err != nil || !bytes.Equal(got, img) {
		t.Errorf("a board that reads all: %v", err)
	}
}

// TestLargeSectors: a plan for a chip with larger sectors counts what shares those.
func TestLargeSectors(t *testing.T) {
	img := sold(t, small)
	d, err := newMTD(newMTDChip(img, 64<<10))
	if err != nil {
		t.Fatal(err)
	}
	b := &NOR{Device: d}
	if EraseSize(b) != 64<<10 || EraseSize(newChip(img).backend()) != rom.EraseSize ||
		EraseSize(&Program{}) != rom.EraseSize {
		t.Error("erase sizes")
	}
	c := owner(2000)
	c.EraseSize = EraseSize(b)
	p, err := rom.NewPlan(img, c)
	if err != nil || p.EraseSize != 64<<10 || p.Shared < 1 {
		t.Fatalf("%d shared of %d, %v", p.Shared, len(p.Blocks), err)
	}
	if _, err := Write(t.Context(), b, p, nil); err != nil {
		t.Error(err)
	}
}

package unpack

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// needPeers skips without the tools, or fails where they must be there.
func needPeers(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			if os.Getenv("REOWN_REQUIRE_PEERS") == "1" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

func run(t testing.TB, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out, why bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &why
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, &why)
	}
	return out.Bytes()
}

// corpus is data of several kinds: none, little, text, a program, noise, one byte again
// and again, and repetitions from afar.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	rng := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 200<<10)
	rng.Read(noise)
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program = program[:min(len(program), 500<<10)]
	var text strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&text, "/usr/lib/modules/%d/kernel %x\n", i*i%977, sha256.Sum256([]byte{byte(i % 251)}))
	}
	far := bytes.Repeat(append(bytes.Clone(noise), program[:300<<10]...), 3)
	return map[string][]byte{"empty": nil, "short": []byte("a"), "text": []byte(text.String()), "program": program,
		"noise": noise, "zeros": make([]byte, 400<<10), "far": far}
}

// open is the reader of a compressed form.
func open(t testing.TB, how string, r *bufio.Reader) io.Reader {
	switch how {
	case "gzip":
		z, err := Gzip(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case "xz":
		return XZ(r)
	}
	return Zstd(r)
}

// What the tools have compressed, in every way that initrds are made with, is what it was;
// and what follows is left where it is.
func TestToolsMakeWhatIsRead(t *testing.T) {
	needPeers(t, "gzip", "xz", "zstd")
	data := corpus(t)
	for _, args := range []string{
		"gzip -1", "gzip -9",
		"xz -0", "xz -1 --check=sha256", "xz -1 --check=none", "xz -8 --check=crc32",
		"xz --block-size=100KiB -T2 --check=crc32 --lzma2=dict=1MiB",
		"xz --lzma2=preset=1,lc=0,lp=4,pb=0", "xz --lzma2=preset=1,lc=4,lp=0,pb=4,nice=273",
		"zstd -1", "zstd -9 -T0", "zstd -19 -T0", "zstd --fast=5 --no-check", "zstd --long=27",
		"zstd --no-compress-literals --no-content-size",
	} {
		f := strings.Fields(args)
		for name, plain := range data {
			packed := run(t, plain, f[0], append(f[1:], "-c")...)
			r := bufio.NewReader(io.MultiReader(bytes.NewReader(packed), strings.NewReader("next")))
			got, err := io.ReadAll(open(t, f[0], r))
			if err != nil || !bytes.Equal(got, plain) {
				t.Fatalf("%s of %s: %v, %d bytes of %d", args, name, err, len(got), len(plain))
			}
			if rest, _ := io.ReadAll(r); string(rest) != "next" {
				t.Errorf("%s of %s: %d bytes were left instead of four", args, name, len(rest))
			}
		}
	}
	// Frames that follow each other, and one to be skipped, are one to zstd's own tool.
	two := slicesConcat(run(t, data["text"], "zstd", "-c"), []byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc"),
		run(t, data["noise"], "zstd", "-c"))
	if got, err := io.ReadAll(Zstd(bufio.NewReader(bytes.NewReader(two)))); err != nil ||
		!bytes.Equal(got, run(t, two, "zstd", "-dc")) {
		t.Errorf("two frames: %v, %d bytes", err, len(got))
	}
}

func slicesConcat(all ...[]byte) []byte { return bytes.Join(all, nil) }

// Damage is seen wherever it is, and an end that comes too early.
func TestDamageIsSeen(t *testing.T) {
	needPeers(t, "gzip", "xz", "zstd")
	plain := corpus(t)["text"][:40<<10]
	for _, how := range []string{"gzip", "xz", "zstd"} {
		packed := run(t, plain, how, "-c")
		rng := rand.New(rand.NewPCG(1, 2))
		for range 100 {
			b := bytes.Clone(packed)
			at := 10 + rng.IntN(len(b)-10) // gzip's name and time are nobody's
			b[at] ^= 1 << rng.IntN(8)
			if got, err := io.ReadAll(open(t, how, bufio.NewReader(bytes.NewReader(b)))); err == nil &&
				!bytes.Equal(got, plain) {
				t.Fatalf("%s: byte %d of %d was changed, and nobody noticed", how, at, len(b))
			}
			n := 18 + rng.IntN(len(packed)-18)
			if _, err := io.ReadAll(open(t, how, bufio.NewReader(bytes.NewReader(packed[:n])))); !errors.Is(err,
				io.ErrUnexpectedEOF) {
				t.Fatalf("%s: cut at %d of %d: %v", how, n, len(packed), err)
			}
		}
	}
}

// What would take too much memory is refused before any is taken.
func TestWindowIsBounded(t *testing.T) {
	needPeers(t, "xz", "zstd")
	plain := corpus(t)["text"]
	big := run(t, bytes.Repeat(plain, 4), "zstd", "--ultra", "--long=31", "-c")
	if _, err := io.ReadAll(Zstd(bufio.NewReader(bytes.NewReader(big)))); !errors.Is(err, ErrUnsupported) {
		t.Errorf("zstd: %v", err)
	}
	big = run(t, plain, "xz", "--lzma2=dict=512MiB", "-c")
	if _, err := io.ReadAll(XZ(bufio.NewReader(bytes.NewReader(big)))); !errors.Is(err, ErrUnsupported) {
		t.Errorf("xz: %v", err)
	}
	if _, err := io.ReadAll(XZ(bufio.NewReader(bytes.NewReader(run(t, plain, "xz", "--x86", "--lzma2",
		"-c"))))); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a filter: %v", err)
	}
}

// fuzz reads whatever it is given, as long as it does not become too long, and compares
// what is accepted with the tool's opinion.
func fuzz(f *testing.F, how string, args ...string) {
	needPeers(f, how)
	for _, plain := range [][]byte{nil, []byte("crypttab"), bytes.Repeat([]byte("sda3_crypt UUID=none\n"), 90)} {
		f.Add(run(f, plain, how, "-c"))
		f.Add(run(f, plain, how, append(args, "-c")...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := io.ReadAll(io.LimitReader(open(t, how, bufio.NewReader(bytes.NewReader(b))), 4<<20))
		if err != nil || len(got) == 4<<20 {
			return
		}
		cmd := exec.Command(how, "-dc")
		cmd.Stdin = bytes.NewReader(b)
		want, _ := cmd.Output() // what follows may be an error to it
		if !bytes.HasPrefix(want, got) {
			t.Errorf("%d bytes, %s has %d", len(got), how, len(want))
		}
	})
}

func FuzzXZ(f *testing.F)   { fuzz(f, "xz", "--check=crc32", "--lzma2=preset=0,lc=0,lp=2,pb=0") }
func FuzzZstd(f *testing.F) { fuzz(f, "zstd", "-19", "--no-check") }

func BenchmarkUnpack(b *testing.B) {
	needPeers(b, "gzip", "xz", "zstd")
	plain := corpus(b)["program"]
	for _, how := range []string{"gzip", "xz", "zstd"} {
		packed := run(b, plain, how, "-c")
		b.Run(how, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				if _, err := io.Copy(io.Discard, open(b, how, bufio.NewReader(bytes.NewReader(packed)))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package rom

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "make the golden files anew; needs cbfstool")

// An image and its list made by cbfstool 4.15 stand in testdata, for machines
// without coreboot's tools: we read the same from it.
func TestGoldenImage(t *testing.T) {
	const image, list = "testdata/cbfstool-4.15.rom.gz", "testdata/cbfstool-4.15.txt"
	if *update {
		makeGolden(t, image, list)
	}
	img := gunzip(t, image)
	want := string(read(t, list))
	if got := goldenList(mustParse(t, img)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	p, err := NewPlan(img, owner(3000))
	if err != nil || !p.Aligned || p.Shared > 1 {
		t.Errorf("planning: %v", err)
	}
}

func goldenList(im *Image) string {
	var b strings.Builder
	for _, f := range im.Files() {
		name := f.Name
		if f.Empty() {
			name = "(empty)"
		}
		fmt.Fprintf(&b, "%s\t0x%x\t0x%x\t0x%x\n", name, f.Offset-im.Region().Start, f.DataOffset-f.Offset, f.Size)
	}
	return b.String()
}

func makeGolden(t *testing.T, image, list string) {
	peer(t, "cbfstool", "fmaptool")
	file := cbfstoolImage(t, t.TempDir(), "0x6ee00", true)
	var z bytes.Buffer
	w, _ := gzip.NewWriterLevel(&z, gzip.BestCompression)
	_, _ = w.Write(read(t, file))
	w.Close()
	write(t, image, z.Bytes())
	var b strings.Builder
	for _, line := range strings.Split(must(t, "cbfstool", file, "print", "-k"), "\n") {
		// name, offset, type, metadata size, data size, total size
		if col := strings.Split(line, "\t"); len(col) >= 6 && col[0] != "Name" && !strings.HasPrefix(col[0], "[") {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", col[0], col[1], col[3], col[4])
		}
	}
	write(t, list, []byte(b.String()))
}

func gunzip(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

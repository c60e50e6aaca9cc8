package lab

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const mib = 1 << 20

// Geometry of the virtual disk, in MiB: a GPT, an ext4 /boot, a LUKS2 partition
// to the end.
const (
	bootStartMiB = 1
	bootSizeMiB  = 96
	luksStartMiB = bootStartMiB + bootSizeMiB
	luksMetaMiB  = 16 // what cryptsetup moves the data up by (half of --reduce-device-size)
)

// luksWindow says where the LUKS partition lies in the disk image, in bytes.
func luksWindow(dataMiB int) (offset, size int64) {
	return luksStartMiB * mib, int64(dataMiB+2*luksMetaMiB) * mib
}

// makeDisk writes the disk image: the boot directory as ext4, and the given
// file tree as ext4 inside LUKS2. No mount, loop device or device-mapper is
// needed, so it works for an ordinary user.
func makeDisk(ctx context.Context, img, bootDir, rootDir string, dataMiB int, passFile, work string) error {
	bootImg, rootImg := filepath.Join(work, "boot.img"), filepath.Join(work, "root.img")
	defer os.Remove(bootImg)
	defer os.Remove(rootImg)
	if err := makeExt4(ctx, bootImg, bootDir, "boot", bootSizeMiB, bootSizeMiB); err != nil {
		return err
	}
	total := dataMiB + 2*luksMetaMiB
	if err := makeExt4(ctx, rootImg, rootDir, "root", total, dataMiB); err != nil {
		return err
	}
	_, err := tool(ctx, nil, "cryptsetup", "reencrypt", "--encrypt", "--type", "luks2", "--reduce-device-size",
		fmt.Sprintf("%dM", 2*luksMetaMiB),
		"--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-memory", "32768", "--pbkdf-parallel", "1",
		"--disable-locks", "--key-file", passFile, "--batch-mode", rootImg)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(img); err != nil {
		return err
	}
	end := luksStartMiB + total + 1
	if err := sparse(img, int64(end)*mib); err != nil {
		return err
	}
	table := fmt.Sprintf("label: gpt\nstart=%d, size=%d, type=BC13C2FF-59E6-4262-A352-B275FD6F7172, name=boot\nstart=%d, size=%d, type=CA7D7CCB-63ED-4C53-861C-1742536059CC, name=luks\n",
		bootStartMiB*2048, bootSizeMiB*2048, luksStartMiB*2048, total*2048)
	if _, err := tool(ctx, strings.NewReader(table), "sfdisk", "--quiet", img); err != nil {
		return err
	}
	if err := copyInto(img, bootImg, bootStartMiB*mib); err != nil {
		return err
	}
	return copyInto(img, rootImg, luksStartMiB*mib)
}

func makeExt4(ctx context.Context, img, tree, label string, fileMiB, fsMiB int) error {
	if err := sparse(img, int64(fileMiB)*mib); err != nil {
		return err
	}
	_, err := tool(ctx, nil, "mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-d", tree, "-E", "root_owner=0:0", img,
		fmt.Sprintf("%dM", fsMiB))
	return err
}

func sparse(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// copyInto writes src into dst at an offset and skips blocks of zeros.
func copyInto(dst, src string, offset int64) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer out.Close()
	buf := make([]byte, mib)
	for {
		n, err := io.ReadFull(in, buf)
		if n > 0 && !allZero(buf[:n]) {
			if _, err := out.WriteAt(buf[:n], offset); err != nil {
				return err
			}
		}
		offset += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
	}
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// makeOwnerFiles fills a directory with what a pre-installed system might hold,
// about half of dataMiB, and returns the SHA-256 of each file by its path.
func makeOwnerFiles(dir string, dataMiB int, seed uint64) (map[string]string, error) {
	rnd := rand.New(rand.NewPCG(seed, 0))
	sums := map[string]string{}
	write := func(name string, data []byte) error {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		sums["/"+name] = fmt.Sprintf("%x", sha256.Sum256(data))
		return os.WriteFile(path, data, 0o644)
	}
	if err := write("etc/hostname", []byte("lab-laptop\n")); err != nil {
		return nil, err
	}
	if err := write("etc/motd", []byte("These files must survive re-ownership.\n")); err != nil {
		return nil, err
	}
	for i := range 40 {
		if err := write(fmt.Sprintf("home/user/letters/%02d.txt", i),
			[]byte(strings.Repeat(fmt.Sprintf("letter %d\n", i), 1+rnd.IntN(4000)))); err != nil {
			return nil, err
		}
	}
	for i := range dataMiB / 16 {
		data := make([]byte, 8*mib)
		for j := 0; j+8 <= len(data); j += 8 {
			v := rnd.Uint64()
			for k := range 8 {
				data[j+k] = byte(v >> (8 * k))
			}
		}
		if err := write(fmt.Sprintf("home/user/photos/%02d.raw", i), data); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// sumTree returns the SHA-256 of every regular file below dir by its path.
func sumTree(dir string) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		sums[strings.TrimPrefix(path, dir)] = fmt.Sprintf("%x", h.Sum(nil))
		return nil
	})
	return sums, err
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

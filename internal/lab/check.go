package lab

import (
	"context"
	"crypto/aes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/xts"
)

// A Volume is a copy of a LUKS partition, examined with cryptsetup, an XTS
// implementation that reown does not use, and debugfs.
type Volume struct {
	Path string
	work string
}

// CopyVolume copies a LUKS partition out of a disk image into dir.
func CopyVolume(img string, offset, size int64, dir string) (*Volume, error) {
	in, err := os.Open(img)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	v := &Volume{Path: filepath.Join(dir, "luks.img"), work: dir}
	if err := sparse(v.Path, size); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(v.Path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	buf := make([]byte, mib)
	src := io.NewSectionReader(in, offset, size)
	for at := int64(0); at < size; {
		n, err := io.ReadFull(src, buf)
		if err != nil && err != io.ErrUnexpectedEOF {
			return nil, err
		}
		if !allZero(buf[:n]) {
			if _, err := out.WriteAt(buf[:n], at); err != nil {
				return nil, err
			}
		}
		at += int64(n)
	}
	return v, out.Close()
}

func (v *Volume) cryptsetup(ctx context.Context, pass string, args ...string) ([]byte, error) {
	return tool(ctx, strings.NewReader(pass), "cryptsetup", append(args, "--disable-locks", "--key-file", "-", v.Path)...)
}

// Opens says whether cryptsetup opens the volume with a passphrase. Another
// failure than a wrong passphrase is an error.
func (v *Volume) Opens(ctx context.Context, pass string) (bool, error) {
	_, err := v.cryptsetup(ctx, pass, "open", "--test-passphrase")
	if err == nil {
		return true, nil
	}
	if strings.Contains(err.Error(), "exit status 2") {
		return false, nil
	}
	return false, err
}

var hexKey = regexp.MustCompile(`(?s)MK dump:\s*(.*)$|Volume key:\s*(.*)$`)

// Key returns the volume key that a passphrase opens, as cryptsetup tells it.
func (v *Volume) Key(ctx context.Context, pass string) ([]byte, error) {
	out, err := v.cryptsetup(ctx, pass, "luksDump", "--dump-volume-key", "--batch-mode")
	if err != nil {
		return nil, err
	}
	m := hexKey.FindStringSubmatch(string(out))
	if m == nil {
		return nil, fmt.Errorf("cryptsetup printed no key: %s", out)
	}
	return hex.DecodeString(strings.Join(strings.Fields(m[1]+m[2]), ""))
}

// Dump is what `cryptsetup luksDump` prints.
func (v *Volume) Dump(ctx context.Context) (string, error) {
	out, err := tool(ctx, nil, "cryptsetup", "luksDump", v.Path)
	return string(out), err
}

// Decrypt writes the plaintext of the volume's only segment to a file.
func (v *Volume) Decrypt(ctx context.Context, key []byte) (string, error) {
	out, err := tool(ctx, nil, "cryptsetup", "luksDump", "--dump-json-metadata", v.Path)
	if err != nil {
		return "", err
	}
	var meta struct {
		Segments map[string]struct {
			Type, Offset, Size, Encryption string
			IVTweak                        string `json:"iv_tweak"`
			SectorSize                     int    `json:"sector_size"`
		}
		Config struct{ Requirements json.RawMessage }
	}
	if err := json.Unmarshal(out, &meta); err != nil {
		return "", err
	}
	if len(meta.Config.Requirements) != 0 {
		return "", fmt.Errorf("the header still has requirements: %s", meta.Config.Requirements)
	}
	s, ok := meta.Segments["0"]
	if !ok || len(meta.Segments) != 1 || s.Encryption != "aes-xts-plain64" || s.IVTweak != "0" {
		return "", fmt.Errorf("unexpected segments: %+v", meta.Segments)
	}
	offset, err := strconv.ParseInt(s.Offset, 10, 64)
	if err != nil {
		return "", err
	}
	cipher, err := xts.NewCipher(aes.NewCipher, key)
	if err != nil {
		return "", err
	}
	in, err := os.Open(v.Path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	if _, err := in.Seek(offset, io.SeekStart); err != nil {
		return "", err
	}
	plain := filepath.Join(v.work, "plain.img")
	w, err := os.Create(plain)
	if err != nil {
		return "", err
	}
	defer w.Close()
	buf := make([]byte, 256*4096)
	for sector := uint64(0); ; {
		n, err := io.ReadFull(in, buf)
		for i := 0; i+s.SectorSize <= n; i += s.SectorSize {
			cipher.Decrypt(buf[i:i+s.SectorSize], buf[i:i+s.SectorSize], sector)
			sector += uint64(s.SectorSize / 512)
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return "", err
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return plain, w.Close()
		}
		if err != nil {
			return "", err
		}
	}
}

// Files decrypts the volume, checks its ext4 file system with e2fsck and returns
// the SHA-256 of every file in it.
func (v *Volume) Files(ctx context.Context, key []byte) (map[string]string, error) {
	plain, err := v.Decrypt(ctx, key)
	if err != nil {
		return nil, err
	}
	defer os.Remove(plain)
	if _, err := tool(ctx, nil, "e2fsck", "-f", "-n", plain); err != nil {
		return nil, err
	}
	tree := filepath.Join(v.work, "tree")
	if err := os.RemoveAll(tree); err != nil {
		return nil, err
	}
	if err := os.Mkdir(tree, 0o755); err != nil {
		return nil, err
	}
	if _, err := tool(ctx, nil, "debugfs", "-R", "rdump / "+tree, plain); err != nil {
		return nil, err
	}
	return sumTree(tree)
}

// SameFiles compares two sets of file sums and names the first difference.
func SameFiles(got, want map[string]string) error {
	for _, name := range sortedKeys(want) {
		if got[name] != want[name] {
			return fmt.Errorf("%s: sha256 %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d files, want %d", len(got), len(want))
	}
	return nil
}

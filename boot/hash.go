package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Progress is told how many of how many bytes have been hashed. Calls do not overlap.
type Progress func(done, total int64)

// A digest is a SHA-256 and the name it belongs to, as sha256sum prints them.
type digest struct {
	path string
	sum  [sha256.Size]byte
}

// line is one line of sha256sum's output. Names that sha256sum would escape are
// refused by walk.
func (d digest) line() string { return hex.EncodeToString(d.sum[:]) + "  " + d.path + "\n" }

// Hash returns kexec_hashes.txt and kexec_tree.txt for a /boot directory: the
// SHA-256 of every regular file, and every name, NUL-terminated in byte order.
// Names beginning with "kexec" at the top are left out, as Heads does; so is
// ./oem, because the set is made for the moment after its removal. It returns a
// *NameError if Heads would refuse a name.
func Hash(ctx context.Context, dir string, progress Progress) (hashes, tree []byte, err error) {
	return hashTree(ctx, dir, false, progress)
}

// TreeDigest names the state of /boot by one value, in lower-case hexadecimal: the
// SHA-256 of what Hash returns, the hashes sorted by name and then the tree. A
// hand-over statement carries it.
func TreeDigest(ctx context.Context, dir string, progress Progress) (string, error) {
	hashes, tree, err := Hash(ctx, dir, progress)
	if err != nil {
		return "", err
	}
	return treeDigest(hashes, tree), nil
}

func treeDigest(hashes, tree []byte) string {
	sum := sha256.Sum256(append(hashes, tree...))
	return hex.EncodeToString(sum[:])
}

func hashTree(ctx context.Context, dir string, withOEM bool, progress Progress) (hashes, tree []byte, err error) {
	nodes, err := walk(dir)
	if err != nil {
		return nil, nil, err
	}
	var files []string
	for _, n := range nodes {
		if excluded(n.path) || n.path == oemPath && !withOEM {
			continue
		}
		tree = append(append(tree, n.path...), 0)
		if n.typ.IsRegular() {
			files = append(files, n.path)
		}
	}
	tree = sortZ(tree)
	sums, err := hashFiles(ctx, dir, files, false, progress)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(sums, func(a, b digest) int { return strings.Compare(a.path, b.path) })
	return hashLines(sums), tree, nil
}

func hashLines(sums []digest) []byte {
	var b bytes.Buffer
	for _, d := range sums {
		b.WriteString(d.line())
	}
	return b.Bytes()
}

// sortZ is `sort -z` in the C locale.
func sortZ(tree []byte) []byte {
	names := splitZ(tree)
	slices.Sort(names)
	var b bytes.Buffer
	for _, n := range names {
		b.WriteString(n)
		b.WriteByte(0)
	}
	return b.Bytes()
}

func splitZ(tree []byte) []string {
	if len(tree) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(tree), "\x00"), "\x00")
}

// hashFiles hashes files in parallel and returns the digests in the order given.
// Links are followed only if follow, and only to regular files.
func hashFiles(ctx context.Context, dir string, files []string, follow bool, progress Progress) ([]digest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var total, done int64
	for _, f := range files {
		// A first pass for the total; the names are in the cache from walk.
		if fi, err := lstatOrStat(filepath.Join(dir, f), follow); err == nil {
			total += fi.Size()
		}
	}
	var mu sync.Mutex
	report := func(n int64) {
		if progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		done += n
		progress(min(done, total), total)
	}
	out := make([]digest, len(files))
	jobs := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 8, len(files)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			buf := make([]byte, 512<<10)
			for i := range jobs {
				sum, err := hashFile(ctx, filepath.Join(dir, files[i]), follow, buf, report)
				if err != nil {
					cancel(fmt.Errorf("hashing %s: %w", files[i], err))
					return
				}
				out[i] = digest{files[i], sum}
			}
		}()
	}
	for i := range files {
		select {
		case jobs <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(jobs)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

func hashFile(ctx context.Context, path string, follow bool, buf []byte, report func(int64)) (sum [sha256.Size]byte, err error) {
	f, _, err := openRegular(path, follow)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	for {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		report(int64(n))
		if errors.Is(err, io.EOF) {
			h.Sum(sum[:0])
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
	}
}

// A hashLine is one line of a file that `sha256sum -c` reads.
type hashLine struct {
	path string
	sum  string // 64 lower-case hex digits
}

// parseHashes reads sha256sum's output as both sha256sum -c and busybox's accept
// it, without the escaped form, which cannot occur in a signable /boot.
func parseHashes(b []byte) ([]hashLine, error) {
	if len(b) == 0 {
		return nil, nil
	}
	var out []hashLine
	for i, l := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		sum, rest, ok := strings.Cut(l, " ")
		if !ok || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" ||
			len(rest) < 2 || rest[0] != ' ' && rest[0] != '*' || !signable(rest) {
			return nil, fmt.Errorf("line %d is not one of sha256sum's", i+1)
		}
		out = append(out, hashLine{rest[1:], sum})
	}
	return out, nil
}

package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
// ./oem, because the set is made for the moment after its removal. It returns an
// *OddError if there is anything that cannot be hashed, or must not be.
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
	t, err := walk(dir)
	if err != nil {
		return nil, nil, err
	}
	defer t.close()
	return t.hash(ctx, withOEM, progress)
}

// hash is Hash on a walk. What is odd in /boot is an *OddError.
func (t *tree) hash(ctx context.Context, withOEM bool, progress Progress) (hashes, names []byte, err error) {
	if odd := t.odd(); odd != nil {
		return nil, nil, &OddError{odd}
	}
	var files []named
	for i := range t.nodes {
		n := &t.nodes[i]
		if excluded(n.path) || n.path == oemPath && !withOEM {
			continue
		}
		names = append(append(names, n.path...), 0)
		if n.typ.IsRegular() {
			files = append(files, named{n.path, n})
		}
	}
	sums, err := t.sums(ctx, files, progress)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(sums, func(a, b digest) int { return strings.Compare(a.path, b.path) })
	return hashLines(sums), sortZ(names), nil
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

// A named node is a file and the path that its hash is listed under.
type named struct {
	path string
	node *node
}

// sums returns the SHA-256 of regular files, in the same order.
func (t *tree) sums(ctx context.Context, files []named, progress Progress) ([]digest, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done, total int64
	for _, f := range files {
		total += f.node.size
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
				sum, err := t.sum(ctx, files[i].node, buf, report)
				if err != nil {
					cancel(fmt.Errorf("hashing %s: %w", files[i].path, err))
					return
				}
				out[i] = digest{files[i].path, sum}
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

func (t *tree) sum(ctx context.Context, n *node, buf []byte, report func(int64)) (sum [sha256.Size]byte, err error) {
	if t.known != nil {
		if have, ok := t.known.Load(n.path); ok {
			return have.([sha256.Size]byte), nil
		}
		defer func() {
			if err == nil {
				t.known.Store(n.path, sum)
			}
		}()
	}
	f, err := t.open(n)
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

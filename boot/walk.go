package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"reown/internal/atomicfile"
)

// Limits on what is read from /boot; all far above any real system.
const (
	maxNodes  = 1 << 20  // names in /boot
	maxConfig = 4 << 20  // bytes of a grub.cfg, grubenv or BLS file
	maxListed = 64 << 20 // bytes of a kexec* file
	maxDepth  = 256      // directories below each other
	maxLinks  = 40       // links in one path, as in Linux
)

// errOutside: a path leads out of the walk, or through more links than Linux follows.
var errOutside = errors.New("it leads out of /boot")

// A node is one name in /boot. path is as `find ./` prints it: "./" for the top,
// then "./grub/grub.cfg".
type node struct {
	path   string
	typ    fs.FileMode // type bits only; links are not followed
	size   int64       // bytes
	target string      // of a link
	file   fileID
	links  uint64 // names of the file, here or elsewhere
}

// A fileID tells files of one walk apart.
type fileID struct{ dev, ino uint64 }

// excluded reports what `! -path './kexec*'` leaves out: that pattern's * matches
// slashes, so everything below ./kexec_reown.stage/ goes too.
func excluded(path string) bool { return strings.HasPrefix(path, "./kexec") }

// A tree is one walk of /boot, in the order in which the directories give it, which is
// the order of Heads's find and decides the numbers of boot entries. Everything that is
// decided about /boot is decided on one: hashes, names, entries and what they load.
// Files are opened through handles of its directories, and no link is followed by the
// kernel: resolve does that on the walk.
type tree struct {
	root  *atomicfile.Dir
	nodes []node
	index map[string]int // by path; the top is "."
	known *sync.Map      // path to sum: what a rehearsal has hashed; nil: each file is read again
}

// walk reads every name below a directory. The tree must be closed.
func walk(root string) (t *tree, err error) {
	d, err := atomicfile.Open(root)
	if err != nil {
		return nil, fmt.Errorf("listing /boot: %w", err)
	}
	t = &tree{root: d, nodes: []node{{path: "./", typ: fs.ModeDir}}, index: map[string]int{".": 0}}
	if err := t.visit(d, "./", 0); err != nil {
		d.Close()
		return nil, fmt.Errorf("listing /boot: %w", err)
	}
	return t, nil
}

func (t *tree) visit(d *atomicfile.Dir, dir string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: %w: directories too deep", dir, ErrTooLarge)
	}
	return d.Names(func(name string) error {
		i, err := d.Stat(name)
		if err != nil {
			return fmt.Errorf("%s%s: %w", dir, name, err)
		}
		n := node{path: dir + name, typ: i.Type, size: i.Size, file: fileID{i.Dev, i.Ino}, links: i.Links}
		if n.typ == fs.ModeSymlink {
			if n.target, err = d.Readlink(name); err != nil {
				return fmt.Errorf("%s: %w", n.path, err)
			}
		}
		if len(t.nodes) >= maxNodes {
			return fmt.Errorf("%w: more than %d names", ErrTooLarge, maxNodes)
		}
		t.index[n.path] = len(t.nodes)
		t.nodes = append(t.nodes, n)
		if !n.typ.IsDir() {
			return nil
		}
		sub, err := d.OpenDir(name)
		if err != nil {
			return err
		}
		defer sub.Close()
		return t.visit(sub, n.path+"/", depth+1)
	})
}

func (t *tree) close() { t.root.Close() }

// resolve finds the node that a path from the top leads to, as the kernel would in
// /boot, links followed. fs.ErrNotExist if there is none, errOutside if it leads out.
func (t *tree) resolve(p string) (*node, error) {
	cur, links := ".", 0
	for todo := strings.Split(p, "/"); len(todo) > 0; {
		e := todo[0]
		todo = todo[1:]
		if !t.nodes[t.index[cur]].typ.IsDir() {
			return nil, fs.ErrNotExist // below a file, or a file with a slash after it
		}
		switch e {
		case "", ".":
			continue
		case "..":
			if cur == "." {
				return nil, errOutside
			}
			cur = "./" + path.Dir(cur[2:])
			if cur == "./." {
				cur = "."
			}
			continue
		}
		i, ok := t.index[cur+"/"+e]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n := &t.nodes[i]
		if n.typ != fs.ModeSymlink {
			cur = n.path
			continue
		}
		if links++; links > maxLinks {
			return nil, errOutside
		}
		target := n.target
		if strings.HasPrefix(target, "/") {
			// Heads has this directory at /boot.
			rest, ok := strings.CutPrefix(target, "/boot/")
			if !ok && target != "/boot" {
				return nil, errOutside
			}
			cur, target = ".", rest
		}
		todo = slices.Concat(strings.Split(target, "/"), todo)
	}
	return &t.nodes[t.index[cur]], nil
}

// covered finds the regular file that a path leads to, and that the signature covers.
func (t *tree) covered(p string) (*node, error) {
	n, err := t.resolve(p)
	if err == nil && !n.typ.IsRegular() {
		err = atomicfile.ErrNotRegular
	}
	if err == nil && excluded(n.path) {
		err = errOutside
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return n, nil
}

// open opens the file of a node.
func (t *tree) open(n *node) (*os.File, error) {
	f, _, err := t.root.OpenFile(strings.TrimPrefix(n.path, "./"))
	return f, err
}

// read reads the regular file of a node, at most max bytes.
func (t *tree) read(n *node, max int64) ([]byte, error) {
	return readAt(t.root, strings.TrimPrefix(n.path, "./"), max)
}

// below calls each with the nodes under a directory, in the order of the walk.
func (t *tree) below(dir string) func(yield func(*node) bool) {
	return func(yield func(*node) bool) {
		for i := range t.nodes {
			if n := &t.nodes[i]; strings.HasPrefix(n.path, dir+"/") && n.path != "./" && !yield(n) {
				return
			}
		}
	}
}

// readAt reads a regular file of at most max bytes.
func readAt(d *atomicfile.Dir, name string, max int64) ([]byte, error) {
	f, _, err := d.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max+1))
	if err == nil && int64(len(b)) > max {
		err = fmt.Errorf("%s: %w: more than %d bytes", path.Base(name), ErrTooLarge, max)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// signable is Heads's assert_signable for one name.
func signable(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

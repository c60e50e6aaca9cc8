package initrd

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
)

// File types and the permission bits of a cpio header, as in stat(2).
const (
	typeDir  = 0o040000
	typeChar = 0o020000
	typeFile = 0o100000
	typeLink = 0o120000
)

// An Archive is the content of an initrd.
type Archive struct{ files map[string]archived }

type archived struct {
	mode         uint32
	data         []byte
	major, minor uint32
}

// NewArchive returns an archive with the directories and devices that a shell
// needs before anything is mounted.
func NewArchive() *Archive {
	a := &Archive{files: map[string]archived{}}
	for _, d := range []string{"dev", "proc", "sys", "run", "tmp", "bin", "etc", "mnt", "boot", "flash", "root"} {
		a.files[d] = archived{mode: typeDir | 0o755}
	}
	a.files["dev/console"] = archived{mode: typeChar | 0o600, major: 5, minor: 1}
	a.files["dev/null"] = archived{mode: typeChar | 0o666, major: 1, minor: 3}
	return a
}

func (a *Archive) put(name string, f archived) {
	name = strings.TrimPrefix(name, "/")
	for d := path.Dir(name); d != "."; d = path.Dir(d) {
		if _, ok := a.files[d]; !ok {
			a.files[d] = archived{mode: typeDir | 0o755}
		}
	}
	a.files[name] = f
}

// Add adds a file with permissions such as 0o755.
func (a *Archive) Add(name string, perm uint32, data []byte) {
	a.put(name, archived{mode: typeFile | perm, data: data})
}

// Link adds a symbolic link.
func (a *Archive) Link(name, target string) {
	a.put(name, archived{mode: typeLink | 0o777, data: []byte(target)})
}

// Copy adds a file of this machine as an executable.
func (a *Archive) Copy(name, from string) error {
	data, err := os.ReadFile(from)
	if err == nil {
		a.Add(name, 0o755, data)
	}
	return err
}

// WriteTo writes the archive in the newc format (the kernel's Documentation/
// driver-api/early-userspace/buffer-format.rst), in the order of the names.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	names := make([]string, 0, len(a.files))
	for n := range a.files {
		names = append(names, n)
	}
	sort.Strings(names)
	c := &counter{w: bufio.NewWriterSize(w, 1<<20)}
	for i, n := range names {
		c.entry(i+1, n, a.files[n])
	}
	c.entry(0, "TRAILER!!!", archived{})
	if err := c.w.Flush(); c.err == nil {
		c.err = err
	}
	return c.n, c.err
}

// Save writes the archive to a file.
func (a *Archive) Save(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := a.WriteTo(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

type counter struct {
	w   *bufio.Writer
	n   int64
	err error
}

func (c *counter) write(p []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(p)
		c.n += int64(len(p))
	}
}

func (c *counter) pad() { c.write(make([]byte, -c.n&3)) }

func (c *counter) entry(inode int, name string, f archived) {
	links := 1
	if f.mode&0o170000 == typeDir {
		links = 2
	}
	c.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		inode, f.mode, 0, 0, links, 0, len(f.data), 0, 0, f.major, f.minor, len(name)+1, 0))
	c.write([]byte(name + "\x00"))
	c.pad()
	c.write(f.data)
	c.pad()
}

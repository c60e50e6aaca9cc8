package boot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits on what is read from /boot; all far above any real system.
const (
	maxNodes  = 1 << 20  // names in /boot
	maxConfig = 4 << 20  // bytes of a grub.cfg, grubenv or BLS file
	maxListed = 64 << 20 // bytes of a kexec* file
	maxDepth  = 256      // directories below each other
)

// A node is one name in /boot. path is as `find ./` prints it: "./" for the top,
// then "./grub/grub.cfg".
type node struct {
	path string
	typ  fs.FileMode // type bits only; links are not followed
}

// excluded reports what `! -path './kexec*'` leaves out: that pattern's * matches
// slashes, so everything below ./kexec_reown.stage/ goes too.
func excluded(path string) bool { return strings.HasPrefix(path, "./kexec") }

// walk lists everything below root in the order in which the directories give it,
// which is the order of Heads's find and decides the numbers of boot entries. It
// follows no link.
func walk(root string) ([]node, error) {
	nodes := []node{{"./", fs.ModeDir}}
	var bad []string
	var visit func(dir string, depth int) error
	visit = func(dir string, depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("%s: %w: directories too deep", dir, ErrTooLarge)
		}
		f, err := os.Open(filepath.Join(root, dir))
		if err != nil {
			return err
		}
		defer f.Close()
		for {
			list, err := f.ReadDir(1024) // unsorted
			for _, e := range list {
				p := dir + e.Name()
				if !signable(p) {
					bad = append(bad, strconv.QuoteToASCII(p))
				}
				nodes = append(nodes, node{p, e.Type()})
				if len(nodes) > maxNodes {
					return fmt.Errorf("%w: more than %d names", ErrTooLarge, maxNodes)
				}
				if e.IsDir() {
					if err := visit(p+"/", depth+1); err != nil {
						return err
					}
				}
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
	if err := visit("./", 0); err != nil {
		return nil, fmt.Errorf("listing /boot: %w", err)
	}
	if bad != nil {
		return nodes, &NameError{bad}
	}
	return nodes, nil
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

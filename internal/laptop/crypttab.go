package laptop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"reown/boot"
	"reown/wizard"
)

// crypttabs says how the systems in /boot open their disk when Heads gives them a key. It
// reads an initrd once, as long as that stays the same file.
type crypttabs struct {
	dir *boot.Dir

	mu   sync.Mutex
	seen map[string]readCrypttab
}

type readCrypttab struct {
	file any // which file was read
	tab  *boot.Crypttab
	err  error
}

// read is what the initrd of an entry says.
func (c *crypttabs) read(ctx context.Context, e boot.Entry) (*boot.Crypttab, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var file any
	if st, err := os.Stat(filepath.Join(c.dir.Path(), e.Initrd())); err == nil {
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			file = [...]int64{int64(s.Dev), int64(s.Ino), s.Size, int64(s.Mtim.Sec), int64(s.Mtim.Nsec), int64(s.Ctim.Sec),
				int64(s.Ctim.Nsec)}
		}
	}
	if r, ok := c.seen[e.Line]; ok && file != nil && r.file == file {
		return r.tab, r.err
	}
	tab, err := c.dir.Crypttab(ctx, e)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if c.seen == nil {
		c.seen = make(map[string]readCrypttab)
	}
	c.seen[e.Line] = readCrypttab{file, tab, err}
	return tab, err
}

// overrides returns what takes the place of the systems' crypttab when Heads opens the
// volumes for them: what the initrd of the chosen entry says (an index, from 0; -1: none
// is chosen yet), or that of the entry that is suggested. nil: nothing, and Heads brings a
// crypttab of its own, with names luks-UUID. It takes what fits each entry, because Heads
// lays it beside the initrd of whichever is started; if nothing does, ErrLeftToFirmware.
func (c *crypttabs) overrides(ctx context.Context, chosen int, uuids []string) ([]byte, error) {
	entries, err := c.dir.Entries()
	if err != nil {
		return nil, err
	}
	var why error
	for n, i := range []int{chosen, boot.Suggest(entries) - 1} {
		if i < 0 || i >= len(entries) || n > 0 && i == chosen {
			continue
		}
		tab, err := c.read(ctx, entries[i])
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && tab.Overrides == nil {
			continue // Heads' own
		}
		if err == nil {
			if err = fits(tab, entries, uuids); err == nil {
				return tab.Overrides, nil
			}
		}
		why = errors.Join(why, err)
	}
	names := make([]string, len(uuids))
	for i, u := range uuids {
		names[i] = "luks-" + u
	}
	if err := rootIsFound(entries, names); err != nil {
		return nil, fmt.Errorf("%w: %w", wizard.ErrLeftToFirmware, errors.Join(err, why))
	}
	return nil, nil
}

// fits says whether a system's own crypttab, with the key in it, opens these volumes and no
// others. One that names other volumes would let the system try a key that is not theirs.
func fits(tab *boot.Crypttab, entries []boot.Entry, uuids []string) error {
	var names []string
	for _, table := range tab.Tables {
		var opened []string
		for _, l := range table {
			if !slices.ContainsFunc(uuids, func(u string) bool { return strings.EqualFold(u, l.UUID()) }) {
				return fmt.Errorf("%w: its initrd opens %s, which is none of the disks here", wizard.ErrOwnName, l.Device)
			}
			opened, names = append(opened, l.UUID()), append(names, l.Name)
		}
		for _, u := range uuids {
			if !slices.Contains(opened, strings.ToLower(u)) {
				return fmt.Errorf("%w: its initrd does not ask for the passphrase of %s", wizard.ErrOwnName, u)
			}
		}
	}
	return rootIsFound(entries, names)
}

// rootIsFound says whether each system in /boot finds its root when its disk is opened
// under one of these names. Names of LVM volumes do not depend on that. A word
// cryptdevice= is for initrds that read no crypttab.
func rootIsFound(entries []boot.Entry, names []string) error {
	for _, e := range entries {
		for _, word := range strings.Fields(e.Line) {
			name, mapper := strings.CutPrefix(word, "root=/dev/mapper/")
			_, _, lvm := splitLVM(name)
			if mapper && !slices.Contains(names, name) && !lvm || strings.HasPrefix(word, "cryptdevice=") {
				return fmt.Errorf("%w: %q (%s)", wizard.ErrOwnName, e.Name, word)
			}
		}
	}
	return nil
}

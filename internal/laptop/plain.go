package laptop

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reown/wizard"
)

// plain lists the partitions and whole drives below sysfs that hold neither a container of ours nor
// /boot, and nothing that is listed for itself: what lies there nobody encrypts or verifies.
func plain(sysfs, dev, boot string, disks []*disk) func(context.Context) ([]wizard.Part, error) {
	return func(context.Context) (all []wizard.Part, err error) {
		links, err := filepath.Glob(filepath.Join(sysfs, "class/block/*"))
		if err != nil {
			return nil, err
		}
		slices.Sort(links)
		for _, l := range links {
			dir, err := filepath.EvalSymlinks(l)
			if err != nil || strings.Contains(dir, "/usb") || strings.Contains(dir, "/devices/virtual/") {
				continue
			}
			path := filepath.Join(dev, strings.ReplaceAll(filepath.Base(l), "!", "/"))
			sectors, _ := strconv.ParseInt(readLine(filepath.Join(dir, "size")), 10, 64)
			parts, _ := filepath.Glob(filepath.Join(dir, "*/partition"))
			mine := slices.ContainsFunc(disks, func(d *disk) bool { return d.spec.Path == path })
			if sectors == 0 || len(parts) > 0 || mine || isDevice(boot, readLine(filepath.Join(dir, "dev"))) {
				continue
			}
			all = append(all, wizard.Part{Path: path, Size: sectors * 512, What: content(path)})
		}
		return all, nil
	}
}

// isDevice says whether a directory lies on the device with this number, "8:1".
func isDevice(dir, number string) bool {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return false
	}
	return strconv.Itoa(int(unix.Major(uint64(st.Dev))))+":"+strconv.Itoa(int(unix.Minor(uint64(st.Dev)))) == number
}

// content guesses from a signature what is on a partition. It is shown and decides nothing.
func content(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	b := make([]byte, 4096)
	if _, err := io.ReadFull(f, b); err != nil {
		return "unknown"
	}
	for _, s := range []struct {
		at          int
		magic, what string
	}{{4086, "SWAPSPACE2", "swap"}, {1080, "\x53\xef", "ext"}, {82, "FAT32", "FAT"}, {54, "FAT", "FAT"},
		{0, "XFSB", "XFS"}, {3, "NTFS", "NTFS"}, {0, "LUKS\xba\xbe", "LUKS"}} {
		if bytes.HasPrefix(b[s.at:], []byte(s.magic)) {
			return s.what
		}
	}
	if !bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
		return "empty at its start"
	}
	return "unknown"
}

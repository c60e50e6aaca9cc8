package laptop

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"reown/internal/escape"
	"reown/internal/stick"
	"reown/wizard"
)

// sticks shows USB sticks to the wizard; with folders, those mounted directories
// instead of any stick.
type sticks struct {
	kernel  *stick.System
	folders []string
}

// newSticks leaves out the disks of the machine, and the one that /boot is on.
func newSticks(folders []string, disks []DiskSpec) *sticks {
	var mine []string
	for _, x := range disks {
		mine = append(mine, x.Path)
	}
	return &sticks{stick.Kernel(mine...), folders}
}

func (s *sticks) List(ctx context.Context) (all []wizard.Stick, err error) {
	for _, f := range s.folders {
		free, err := stick.Folder(f).Free()
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", f, err)
		}
		all = append(all, wizard.Stick{ID: f, Model: escape.Text(f), Size: free, FS: "--stick"})
	}
	if len(s.folders) > 0 {
		return all, nil
	}
	found, err := s.kernel.List(ctx)
	for _, v := range found {
		name := strings.TrimSpace(v.Vendor + " " + v.Model + " " + v.Serial)
		all = append(all, wizard.Stick{ID: v.Name, Model: escape.Text(name), Size: v.Size, FS: v.FS})
	}
	return all, err
}

func (s *sticks) Write(ctx context.Context, id string, files []wizard.File) error {
	var out []stick.File
	for _, f := range files {
		out = append(out, stick.File{Name: f.Name, Data: f.Data})
	}
	for _, f := range s.folders {
		if f == id {
			d := stick.Folder(f)
			if err := stick.Put(d, out); err != nil {
				return err
			}
			return stick.Compare(d, out)
		}
	}
	err := s.kernel.Write(ctx, id, out)
	if errors.Is(err, stick.ErrGone) {
		return fmt.Errorf("%w: %w", wizard.ErrNoStick, err)
	}
	return err
}

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// world makes a directory beside a victim, with every kind of name in it.
func world(t *testing.T) (d *Dir, dir, victim string) {
	t.Helper()
	top := t.TempDir()
	dir, victim = filepath.Join(top, "d"), filepath.Join(top, "victim")
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "sub/deep"), 0o755), os.Mkdir(victim, 0o755),
		os.WriteFile(filepath.Join(victim, "f"), []byte("precious"), 0o600),
		os.WriteFile(filepath.Join(dir, "sub/deep/x"), nil, 0o600),
		os.Symlink("../victim", filepath.Join(dir, "dirlink")), os.Symlink("../victim/f", filepath.Join(dir, "link")),
		os.Symlink(".", filepath.Join(dir, "self")),
		os.Link(filepath.Join(victim, "f"), filepath.Join(dir, "hard")), unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if d, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Close()
		if b, err := os.ReadFile(filepath.Join(victim, "f")); err != nil || string(b) != "precious" {
			t.Errorf("the file outside is %q, %v", b, err)
		}
	})
	return d, dir, victim
}

// No operation goes through a link, or out of the directory.
func TestNoLinkIsFollowed(t *testing.T) {
	d, _, _ := world(t)
	for _, name := range []string{"dirlink/f", "self/sub/deep/x", "../victim/f", "sub/../../victim/f", "dirlink/new"} {
		if _, _, err := d.OpenFile(name); err == nil {
			t.Errorf("%s was opened", name)
		}
		if _, err := d.Append(name); err == nil {
			t.Errorf("%s was opened for writing", name)
		}
		if _, err := d.Stat(name); err == nil {
			t.Errorf("%s was looked at", name)
		}
		if err := d.Remove(name); err == nil {
			t.Errorf("%s was removed", name)
		}
		if err := d.Rename("hard", name); err == nil {
			t.Errorf("%s was replaced", name)
		}
		if err := d.Mkdir(name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
	for _, name := range []string{"link", "hard", "pipe", "dirlink", "sub"} {
		if _, err := d.Create(name); err == nil {
			t.Errorf("%s was created over", name)
		}
		if f, err := d.Append(name); err == nil {
			f.Close()
			t.Errorf("%s was appended to", name)
		}
	}
	for _, name := range []string{"link", "pipe", "dirlink", "sub"} {
		if _, _, err := d.OpenFile(name); !errors.Is(err, ErrNotRegular) {
			t.Errorf("reading %s: %v", name, err)
		}
	}
	if _, err := d.OpenDir("self"); err == nil {
		t.Error("a link was opened as a directory")
	}
}

func TestRemove(t *testing.T) {
	d, dir, _ := world(t)
	for _, name := range []string{"dirlink", "link", "self", "hard", "pipe", "sub", "none", "none/x"} {
		if err := d.Remove(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}

func TestInfo(t *testing.T) {
	d, _, _ := world(t)
	want := map[string]fs.FileMode{"hard": 0, "sub": fs.ModeDir, "link": fs.ModeSymlink, "pipe": fs.ModeNamedPipe,
		"sub/deep/x": 0}
	for name, typ := range want {
		i, err := d.Stat(name)
		if err != nil || i.Type != typ || (name == "hard") != (i.Links == 2) && !i.Type.IsDir() {
			t.Errorf("%s: %+v, %v", name, i, err)
		}
	}
	if l, err := d.Readlink("link"); err != nil || l != "../victim/f" {
		t.Error(l, err)
	}
	for range 2 {
		var names []string
		if err := d.Names(func(n string) error { names = append(names, n); return nil }); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(names); !slices.Equal(names, []string{"dirlink", "hard", "link", "pipe", "self", "sub"}) {
			t.Error(names)
		}
	}
}

// What lies at the name, or at any name that a former version used for its temporary
// file, has no influence on the mode or on where the bytes go.
func TestWriteFileWhateverLiesThere(t *testing.T) {
	for _, stale := range []string{"f.new", ".f.tmp", "f"} {
		for kind, make := range map[string]func(p, victim string) error{
			"file": func(p, _ string) error {
				return errors.Join(os.WriteFile(p, []byte("stale"), 0o666), os.Chmod(p, 0o666))
			},
			"link":      func(p, victim string) error { return os.Symlink(filepath.Join(victim, "f"), p) },
			"hard link": func(p, victim string) error { return os.Link(filepath.Join(victim, "f"), p) },
			"pipe":      func(p, _ string) error { return unix.Mkfifo(p, 0o666) },
		} {
			_, dir, victim := world(t)
			if err := make(filepath.Join(dir, stale), victim); err != nil {
				t.Fatal(err)
			}
			p := filepath.Join(dir, "f")
			if err := WriteFile(p, []byte("secret"), 0o600); err != nil {
				t.Errorf("%s %s: %v", kind, stale, err)
				continue
			}
			fi, err := os.Lstat(p)
			if err != nil || fi.Mode() != 0o600 {
				t.Errorf("%s %s: %v, %v", kind, stale, fi.Mode(), err)
			}
			if b, err := os.ReadFile(p); err != nil || string(b) != "secret" {
				t.Errorf("%s %s: %q, %v", kind, stale, b, err)
			}
		}
	}
}

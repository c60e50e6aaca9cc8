// Overlay prepares the source that the shipped binary, and each test that make runs, is built
// from. patches/MODULE/*.patch change other people's modules, patches/std Go itself; each says
// at its top why. They are unified diffs, and apply exactly or not at all: a new release
// that changes such a place stops the build instead of shipping something untested.
//
// The changed files of Go itself are used by -overlay. The changed modules are copies that
// -modfile points to, because Go lets no overlay reach into the module cache.
//
// usage: go run ./scripts/overlay DIR
// then:  go build -overlay DIR/overlay.json -modfile DIR/go.mod ...
//
// In the source of a release, where vendor/ has the changed modules, it is -mod=vendor.
// DIR is left alone when it was made from the same patches, modules and Go.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	patchDir = "scripts/overlay/patches"
	std      = "std" // the module that stands for Go itself
	stamp    = "stamp"
)

// goSays runs the go tool and returns what it prints.
func goSays(args ...string) (string, error) {
	goTool := os.Getenv("GO")
	if goTool == "" {
		goTool = "go"
	}
	out, err := exec.Command(goTool, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", goTool, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// patchesIn returns the patches below a folder by module, and a sum of their texts.
func patchesIn(root fs.FS) (map[string]map[string]string, string, error) {
	byModule, sum := map[string]map[string]string{}, sha256.New()
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".patch" {
			return err
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		module := path.Dir(name)
		if byModule[module] == nil {
			byModule[module] = map[string]string{}
		}
		byModule[module][path.Base(name)] = string(text)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		return nil
	})
	return byModule, fmt.Sprintf("%x", sum.Sum(nil)), err
}

// patchTree applies patches to the files below dir, in the order of the patches' names, and
// returns the names of the files that are new or changed. Where it reads is the caller's
// choice: a file that was not yet changed is read below from.
func patchTree(from, dir string, patches map[string]string) ([]string, error) {
	changed := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(patches)) {
		changes, err := parsePatch(patches[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, c := range changes {
			if err := patchFile(from, dir, c, changed); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, c.from+c.to, err)
			}
		}
	}
	return slices.Sorted(maps.Keys(changed)), nil
}

func patchFile(from, dir string, c fileChange, changed map[string]bool) error {
	file := c.to
	if file == "" {
		file = c.from
	}
	if !filepath.IsLocal(file) {
		return errors.New("the name leads elsewhere")
	}
	where := from
	if changed[file] {
		where = dir
	}
	old, err := os.ReadFile(filepath.Join(where, file))
	switch {
	case c.from == "" && err == nil:
		return errors.New("the new file is there already")
	case c.from == "" && !errors.Is(err, fs.ErrNotExist), c.from != "" && err != nil:
		return err
	}
	text, err := c.apply(string(old))
	if err != nil {
		return err
	}
	out := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	// A copy from the module cache is not writable.
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if c.to == "" {
		return nil
	}
	changed[file] = true
	return os.WriteFile(out, []byte(text), 0o644)
}

func run(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	said, err := goSays("env", "GOMOD", "GOROOT", "GOVERSION")
	if err != nil {
		return err
	}
	env := strings.Split(said, "\n")
	if len(env) != 3 {
		return fmt.Errorf("go env prints %q", said)
	}
	root := filepath.Dir(env[0])
	patches, sum, err := patchesIn(os.DirFS(filepath.Join(root, patchDir)))
	if err != nil {
		return err
	}
	mods := map[string][]byte{}
	for _, name := range []string{"go.mod", "go.sum"} {
		if mods[name], err = os.ReadFile(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	made := fmt.Sprintf("%s\n%s\n%s\n%x\n", runtime.Version(), said, sum,
		sha256.Sum256(append(mods["go.mod"], mods["go.sum"]...)))
	if old, err := os.ReadFile(filepath.Join(dir, stamp)); err == nil && string(old) == made {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	// A release's source has the changed modules in vendor/.
	_, err = os.Stat(filepath.Join(root, "vendor/modules.txt"))
	vendored := err == nil
	for _, module := range slices.Sorted(maps.Keys(patches)) { // go.mod becomes part of a release
		texts := patches[module]
		if err = nil; module == std {
			err = patchStd(env[1], filepath.Join(dir, std), texts)
		} else if !vendored {
			err = patchModule(root, filepath.Join(dir, filepath.FromSlash(module)), module, texts, mods)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", module, err)
		}
	}
	for name, text := range mods {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, stamp), []byte(made), 0o644)
}

// patchStd writes the changed files of Go, and beside their folder the list that -overlay takes.
func patchStd(goroot, dir string, texts map[string]string) error {
	files, err := patchTree(goroot, dir, texts)
	if err != nil {
		return err
	}
	replace := map[string]string{}
	for _, f := range files {
		replace[filepath.Join(goroot, f)] = filepath.Join(dir, f)
	}
	js, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(dir), "overlay.json"), js, 0o644)
}

// patchModule makes a changed copy of a module, and go.mod use it.
func patchModule(root, dir, module string, texts map[string]string, mods map[string][]byte) error {
	said, err := goSays("mod", "download", "-json", module)
	if err != nil {
		return err
	}
	var info struct{ Dir string }
	if err := json.Unmarshal([]byte(said), &info); err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(info.Dir)); err != nil {
		return err
	}
	if _, err := patchTree(dir, dir, texts); err != nil {
		return err
	}
	// Relative, because the path becomes part of the binary.
	rel, err := filepath.Rel(root, dir)
	if err != nil {
		return err
	}
	mods["go.mod"] = fmt.Appendf(mods["go.mod"], "\nreplace %s => ./%s\n", module, filepath.ToSlash(rel))
	return nil
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: overlay DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "overlay:", err)
		os.Exit(1)
	}
}

package initrd

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// moduleTree is what depmod left of one kernel's modules.
type moduleTree struct {
	dir     string
	path    map[string]string   // by name with underscores
	deps    map[string][]string // modules.dep
	soft    map[string][]string // modules.softdep, only "pre:"; may be aliases
	aliases map[string][]string // modules.alias without wildcards
	builtin map[string]bool
}

func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

func openModules(version string) (*moduleTree, error) {
	t := &moduleTree{dir: filepath.Join("/lib/modules", version), path: map[string]string{}, deps: map[string][]string{},
		soft: map[string][]string{}, aliases: map[string][]string{}, builtin: map[string]bool{}}
	for file, line := range map[string]func(string){
		"modules.dep": func(s string) {
			file, deps, _ := strings.Cut(s, ":")
			t.path[moduleName(file)] = file
			for _, d := range strings.Fields(deps) {
				t.deps[moduleName(file)] = append(t.deps[moduleName(file)], moduleName(d))
			}
		},
		"modules.softdep": func(s string) {
			f := strings.Fields(s)
			if len(f) < 3 || f[0] != "softdep" {
				return
			}
			for i := 3; i < len(f) && f[2] == "pre:" && f[i] != "post:"; i++ {
				t.soft[moduleName(f[1])] = append(t.soft[moduleName(f[1])], f[i])
			}
		},
		"modules.alias": func(s string) {
			if f := strings.Fields(s); len(f) == 3 && f[0] == "alias" && !strings.ContainsAny(f[1], "*?[") {
				t.aliases[f[1]] = append(t.aliases[f[1]], moduleName(f[2]))
			}
		},
		"modules.builtin": func(s string) { t.builtin[moduleName(s)] = true },
	} {
		f, err := os.Open(filepath.Join(t.dir, file))
		if err != nil {
			return nil, err
		}
		sc := bufio.NewScanner(f)
		for sc.Scan() {
			line(sc.Text())
		}
		f.Close()
		if err := sc.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return t, nil
}

// resolve returns the modules in the order in which to load them, each after what
// it needs. Soft dependencies that the kernel does not have are left out.
func (t *moduleTree) resolve(names ...string) ([]string, error) {
	var order []string
	seen := map[string]bool{}
	var add func(string) error
	add = func(n string) error {
		if seen[n] || t.builtin[n] {
			return nil
		}
		seen[n] = true
		if t.path[n] == "" {
			return fmt.Errorf("the kernel in %s has no module %s", t.dir, n)
		}
		for _, s := range t.soft[n] {
			list := t.aliases[s]
			if m := moduleName(s); t.path[m] != "" {
				list = []string{m}
			}
			for _, m := range list {
				if err := add(m); err != nil {
					return err
				}
			}
		}
		// depmod lists them in the order in which to unload.
		for i := len(t.deps[n]) - 1; i >= 0; i-- {
			if err := add(t.deps[n][i]); err != nil {
				return err
			}
		}
		order = append(order, n)
		return nil
	}
	for _, n := range names {
		if err := add(moduleName(n)); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// AddModules adds kernel modules, everything they need, and /etc/modules, the list
// of paths in the order of loading.
func (a *Archive) AddModules(version string, names ...string) error {
	t, err := openModules(version)
	if err != nil {
		return err
	}
	order, err := t.resolve(names...)
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, n := range order {
		data, err := os.ReadFile(filepath.Join(t.dir, t.path[n]))
		if err != nil {
			return err
		}
		name := "/lib/modules/" + n + ".ko"
		a.Add(name, 0o644, data)
		fmt.Fprintln(&list, name)
	}
	a.Add("etc/modules", 0o644, []byte(list.String()))
	return nil
}

package boot

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// bls lists the Boot Loader Specification entries as kexec-parse-bls.sh does, once
// for every grub.cfg, EFI ones too, because Heads does so.
func (t *tree) bls(configs []config, names []string) ([]Entry, error) {
	dir, files := t.blsFiles()
	var out []Entry
	var keys []blsKey
	for _, c := range configs {
		data, why, err := t.config(c)
		if err != nil {
			return nil, err
		}
		if data == nil {
			continue
		}
		env := t.grubenv(c)
		opts, bad := kernelOpts(data, env)
		m := readMenu(data, env, c.dir(), t.isThere)
		for _, f := range files {
			conf, err := t.read(f, maxConfig)
			if err != nil {
				continue
			}
			e, ok := parseBLS(conf, c.dir(), opts, names...)
			if !ok {
				continue
			}
			for _, w := range []string{bad, why} {
				if w != "" {
					e.Uncertain = w
				}
			}
			e.Source = dir + "/*.conf"
			out = append(out, e)
			keys = append(keys, newBLSKey(conf, f.path, len(e.Line), m.def))
		}
		if len(out) > maxEntries {
			return nil, fmt.Errorf("%w: more than %d boot entries", ErrTooLarge, maxEntries)
		}
	}
	rankBLS(out, keys)
	return out, nil
}

// blsFiles is `find $blsdir -type f -name '*.conf'`: find follows links that lead to the
// directory, and not the directory itself if it is one.
func (t *tree) blsFiles() (dir string, files []*node) {
	for _, dir = range []string{"/loader/entries", "/boot/loader/entries"} {
		to, err := t.resolve(dir)
		if err != nil || !to.typ.IsDir() {
			continue
		}
		parent, err := t.resolve(path.Dir(dir))
		if err != nil || to.path != strings.TrimSuffix(parent.path, "/")+"/entries" {
			return dir, nil
		}
		for n := range t.below(to.path) {
			if n.typ.IsRegular() && strings.HasSuffix(n.path, ".conf") {
				files = append(files, n)
			}
		}
		return dir, files
	}
	return "", nil
}

// A blsKey is what GRUB orders an entry by.
type blsKey struct {
	id, title, version string
	ostree             int // N of "(ostree:N)", the deployments in their order; -1 if it has none
	length             int // of the entry's line
	def                string
}

func newBLSKey(conf []byte, file string, length int, def string) blsKey {
	k := blsKey{id: strings.TrimSuffix(path.Base(file), ".conf"), ostree: -1, length: length, def: def}
	for l := range strings.Lines(string(conf)) {
		key, value, _ := strings.Cut(strings.TrimSpace(l), " ")
		switch value = strings.TrimSpace(value); key {
		case "title":
			k.title = value
		case "version":
			k.version = value
		}
	}
	if _, after, ok := strings.Cut(k.title, "(ostree:"); ok {
		n, _, _ := strings.Cut(after, ")")
		if i, err := strconv.Atoi(n); err == nil {
			k.ostree = i
		}
	}
	return k
}

// compare orders the entries as GRUB shows them: deployments by their number, others the
// newest first.
func (k blsKey) compare(o blsKey) int {
	if k.ostree >= 0 && o.ostree >= 0 && k.ostree != o.ostree {
		return k.ostree - o.ostree
	}
	if k.version != "" && o.version != "" {
		if c := compareVersions(o.version, k.version); c != 0 {
			return c
		}
	}
	return compareVersions(o.id, k.id)
}

// rankBLS ranks entries for Suggest. $default is a number, an id or a title; of two
// entries for one file, which a second grub.cfg makes, the one with kernel options is
// first.
func rankBLS(entries []Entry, keys []blsKey) {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if c := keys[a].compare(keys[b]); c != 0 {
			return c
		}
		return keys[b].length - keys[a].length
	})
	position, last := -1, ""
	for rank, i := range order {
		k := keys[i]
		if k.id != last {
			position, last = position+1, k.id
		}
		entries[i].rank = rank + 1
		n, err := strconv.Atoi(k.def)
		if err == nil && n == position || err != nil && k.def != "" && (k.def == k.id || k.def == k.title) {
			entries[i].rank -= len(entries) + 1
		}
	}
}

// grubenv reads the environment block beside a grub.cfg; nil if there is none.
func (t *tree) grubenv(c config) []byte {
	n, err := t.covered(path.Join(c.dir(), "grubenv"))
	if err != nil {
		return nil
	}
	b, _ := t.read(n, maxConfig)
	return b
}

// kernelOpts finds the value of $kernelopts: grubenv's, or else the one that
// grub.cfg sets as the default.
func kernelOpts(config, env []byte) (opts, why string) {
	set := func(values []string) {
		if len(values) == 0 {
			return
		}
		opts = values[0]
		if len(values) > 1 || strings.ContainsAny(opts, `&@\`) {
			why = "its kernel options come from a setting that cannot be predicted"
		}
	}
	var values []string
	for _, l := range grepLines(config) {
		if strings.Contains(l, "set default_kernelopts") {
			l = strings.ReplaceAll(l, "'", `"`)
			if f := strings.Split(l, `"`); len(f) > 1 {
				l = f[1]
			}
			values = append(values, l)
		}
	}
	set(values)
	values = nil
	for _, l := range grepLines(env) {
		if strings.HasPrefix(l, "kernelopts") {
			l = strings.ReplaceAll(l, "@", "_")
			if _, v, ok := strings.Cut(l, "="); ok {
				l = v
			}
			values = append(values, l)
		}
	}
	set(values)
	return opts, why
}

func grepLines(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(b, []byte("\n"))), "\n")
}

// parseBLS reads one entry. Nothing here checks that the files exist; Heads does not.
func parseBLS(data []byte, dir, opts string, names ...string) (Entry, bool) {
	p := grubParser{dir: dir, names: names}
	if dir == "/" {
		p.dir = ""
	}
	if bytes.ContainsAny(data, bashQuirks) {
		p.spoiled = "its file holds control characters"
	}
	name, kernel, initrd, cmdln := "", "", "", opts
	for _, line := range readLines(data) {
		why := p.why
		trimmed := p.split(line)
		cmd, val := cutField(trimmed, 1), cutFrom(trimmed, 2)
		switch {
		case cmd == "title":
			name = val
		case strings.HasPrefix(cmd, "linux"):
			kernel = strings.TrimPrefix(val, "/boot")
		case strings.HasPrefix(cmd, "initrd"):
			initrd = strings.TrimPrefix(val, "/boot")
		case cmd == "options":
			cmdln = strings.Replace(val, "$kernelopts", opts, 1)
		default:
			p.why = why
		}
	}
	if kernel == "" {
		return Entry{}, false
	}
	line := name + "|elf|kernel " + p.fixPath(kernel)
	if initrd != "" {
		line += "|initrd " + p.fixPath(initrd)
	}
	if cmdln != "" {
		line += "|append " + cmdln
	}
	e := Entry{Uncertain: p.why}
	why := ""
	if e.Line, why = evalEcho(line, names...); why != "" {
		e.Uncertain = why
	}
	if p.spoiled != "" {
		e.Uncertain = p.spoiled
	}
	return e, true
}

package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
)

// bls lists the Boot Loader Specification entries as kexec-parse-bls.sh does, once
// for every grub.cfg, EFI ones too, because Heads does so.
func (d *Dir) bls(nodes []node, configs []string) ([]Entry, error) {
	isDir := make(map[string]bool)
	for _, n := range nodes {
		if n.typ.IsDir() {
			isDir[n.path] = true
		}
	}
	dir := ""
	for _, c := range []string{"./loader/entries", "./boot/loader/entries"} {
		if isDir[c] {
			dir = c + "/"
			break
		}
	}
	if dir == "" {
		return nil, nil
	}
	var files []string
	for _, n := range nodes {
		if n.typ.IsRegular() && strings.HasPrefix(n.path, dir) && strings.HasSuffix(n.path, ".conf") {
			files = append(files, n.path)
		}
	}
	var out []Entry
	for _, c := range configs {
		e, _, err := d.config(c, func(data []byte) ([]Entry, string) {
			opts, why := kernelOpts(data, d.grubenv(c))
			var out []Entry
			for _, f := range files {
				conf, err := readRegular(filepath.Join(d.path, f), maxConfig, false)
				if err != nil {
					continue
				}
				e, ok := parseBLS(conf, path.Dir(c), opts)
				if !ok {
					continue
				}
				if why != "" {
					e.Uncertain = why
				}
				out = append(out, e)
			}
			return out, ""
		})
		if err != nil {
			return nil, err
		}
		for i := range e {
			e[i].Source = strings.TrimPrefix(dir, ".") + "*.conf"
		}
		if out = append(out, e...); len(out) > maxEntries {
			return nil, fmt.Errorf("%w: more than %d boot entries", ErrTooLarge, maxEntries)
		}
	}
	return out, nil
}

// grubenv reads the environment block beside a grub.cfg; nil if there is none.
func (d *Dir) grubenv(config string) []byte {
	b, err := readRegular(filepath.Join(d.path, path.Dir(config), "grubenv"), maxConfig, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
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
func parseBLS(data []byte, dir, opts string) (Entry, bool) {
	p := grubParser{dir: dir}
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
	if e.Line, why = evalEcho(line); why != "" {
		e.Uncertain = why
	}
	if p.spoiled != "" {
		e.Uncertain = p.spoiled
	}
	return e, true
}

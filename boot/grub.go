package boot

import (
	"bytes"
	"strings"
)

// parseGrub is kexec-parse-boot.sh for a grub.cfg: the menuentries, those inside
// submenus too, whose files exist. dir is the configuration's directory as seen
// from the top of /boot ("/grub"; "/" for the top itself). readable tells whether
// a path from the top exists, and names are those that a pattern could match. spoiled,
// if not empty, is why numbers cannot be predicted from here on.
func parseGrub(data []byte, dir string, readable func(string) bool, names ...string) (entries []Entry, spoiled string) {
	p := grubParser{dir: dir, readable: readable, names: names}
	if dir == "/" {
		p.dir = ""
	}
	if bytes.ContainsAny(data, bashQuirks) {
		p.spoiled = "the configuration holds control characters"
	}
	for i, line := range readLines(data) {
		if strings.HasPrefix(line, "menuentry") {
			p.begin = i // also where Heads is in an entry still, as it sees it
		}
		if p.inEntry {
			p.entryLine(line)
		} else {
			p.searchLine(line)
		}
		if p.stopped || len(p.out) > maxEntries {
			break
		}
	}
	return p.out, p.spoiled
}

type grubParser struct {
	dir      string
	readable func(string) bool
	names    []string
	begin    int // the line of the last menuentry, whatever Heads takes it for
	out      []Entry
	spoiled  string // why nothing after this line can be predicted
	stopped  bool   // Heads's script ends here

	inEntry                                    bool
	name, kind, kernel, initrd, modules, cmdln string
	why                                        string // why this entry is uncertain
}

func (p *grubParser) searchLine(line string) {
	switch {
	case strings.HasPrefix(line, "menuentry"), strings.HasPrefix(line, "MENUENTRY"):
		p.inEntry = true
		p.kind, p.kernel, p.initrd, p.modules, p.cmdln, p.why = "elf", "", "", "", "", ""
		title := strings.ReplaceAll(p.split(line), "'", `"`)
		p.name = title
		if f := strings.Split(title, `"`); len(f) > 1 {
			p.name = f[1]
		}
	case strings.HasPrefix(line, "label"), strings.HasPrefix(line, "LABEL"):
		// Heads goes on as in a syslinux file.
		p.spoiled = "the configuration holds a syslinux label"
	}
}

// split is `echo $line`.
func (p *grubParser) split(line string) string {
	w, glob := words(line, p.names...)
	if glob {
		p.why = "one of its lines holds a pattern (* ? [ ]) that the firmware may replace by file names"
	}
	if len(w) > 0 && isEchoOption(w[0]) {
		p.why = "one of its lines begins with an option of echo"
	}
	return strings.Join(w, " ")
}

func (p *grubParser) entryLine(line string) {
	if line == "}" {
		p.end()
		p.inEntry = false
		return
	}
	why := p.why
	trimmed := p.split(line)
	cmd, val := cutField(trimmed, 1), cutFrom(trimmed, 2)
	switch {
	case strings.HasPrefix(cmd, "multiboot"):
		p.kind, p.kernel = "xen", val
	case strings.HasPrefix(cmd, "module"):
		if strings.HasPrefix(val, "--nounzip") {
			val = cutFrom(val, 2)
		}
		if path := p.fixPath(val); p.fits(p.modules, path) {
			p.modules += "|module " + path
		}
	case strings.HasPrefix(cmd, "linux"):
		p.kernel = cutField(dropParens(trimmed), 2)
		p.cmdln = dropDashes(cutFrom(trimmed, 3))
	case strings.HasPrefix(cmd, "initrd"):
		p.initrd = dropParens(val)
	default:
		p.why = why // a line that is not used spoils nothing
	}
}

// fixPath is fix_path: the words joined, below the configuration's directory
// unless they begin at the top.
func (p *grubParser) fixPath(s string) string {
	path := p.split(s)
	if !strings.HasPrefix(path, "/") {
		path = p.dir + "/" + path
	}
	return path
}

// fits keeps an entry from growing without bound.
func (p *grubParser) fits(line, more string) bool {
	if len(line)+len(more) <= maxLine {
		return true
	}
	p.why = "it is too long"
	return false
}

// uncounted notes an entry that not every version of Heads counts.
func (p *grubParser) uncounted(why string) {
	if p.spoiled == "" {
		p.spoiled = "an entry before it " + why + ", and not every version of the firmware counts that one"
	}
}

// end is echo_entry.
func (p *grubParser) end() {
	if p.kernel == "" {
		return
	}
	path := p.fixPath(p.kernel)
	if !p.readable(cutField(path, 1)) {
		if !hasVariable(path) {
			return // since November 2022 Heads does not list it
		}
		defer p.uncounted("names its kernel by a variable")
	}
	line := strings.ReplaceAll(p.name, "|", "") + "|" + p.kind + "|kernel " + path
	if p.kind == "xen" {
		line += p.modules
	} else {
		for _, init := range strings.Fields(strings.ReplaceAll(p.initrd, ",", " ")) {
			path := p.fixPath(init)
			if !p.readable(cutField(path, 1)) && hasVariable(path) {
				defer p.uncounted("names its initrd by a variable")
			} else if !p.readable(cutField(path, 1)) {
				// Here echo_entry returns the failure, and set -e ends the script.
				p.uncounted("names a missing initrd")
				p.stopped = true
				return
			}
			if !p.fits(line, path) {
				break
			}
			line += "|initrd " + path
		}
		if p.cmdln != "" {
			line += "|append " + p.cmdln
		}
	}
	e := Entry{Uncertain: p.why, line: p.begin}
	if isEchoOption(p.name) || isEchoOption(p.cmdln) || isEchoOption(cutField(p.initrd, 1)) {
		e.Uncertain = "one of its parts is an option of echo"
	}
	why := ""
	if e.Line, why = evalEcho(line, p.names...); why != "" {
		e.Uncertain = why
	}
	if p.spoiled != "" {
		e.Uncertain = p.spoiled
	}
	p.out = append(p.out, e)
}

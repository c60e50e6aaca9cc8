package boot

import (
	"slices"
	"strconv"
	"strings"
)

// Heads lists what it finds in grub.cfg, whatever GRUB would make of it. Which of those
// entries the system itself would start, and which it would not show, is in the rest of
// the file: conditions, submenus, the default and the environment block. This file reads
// that as GRUB's script language (GRUB manual, 6 and 15), as far as it can be told
// without running GRUB; what cannot be told is "maybe". It is used for suggestions only.

// A tri is an answer that may be unknown.
type tri int8

const (
	no tri = iota
	maybe
	yes
)

func (t tri) not() tri { return yes - t }

// A menuItem is a menuentry or a submenu.
type menuItem struct {
	title, id string
	line      int // logical line, from 0, where it begins
	shown     tri
	submenu   bool
	items     []*menuItem
}

// A grubMenu is what GRUB makes of a grub.cfg.
type grubMenu struct {
	items  []*menuItem
	def    string // value of $default; "" if it is not set, or not known
	blscfg bool   // it takes entries from loader/entries
	other  string // a file that it goes on with, or takes more from; "" if none
}

// Limits: a value that grows beyond this is not known any more.
const (
	maxValue  = 4 << 10 // bytes of a variable's value
	maxFrames = 256     // blocks within each other
)

// A word is one of a command, with variables put in.
type word struct {
	text  string
	known bool
}

// A frame is a block that has not ended.
type frame struct {
	kind  byte // 'i'f, 'l'oop, 'f'unction, 'm'enuentry, 's'ubmenu, or another '{'
	cond  tri  // whether it is executed
	taken tri  // for 'i': whether a branch before this one was
	items *[]*menuItem
}

type menuReader struct {
	src       []byte
	pos, line int
	joined    map[int]bool // line feeds that a backslash takes away
	opened    bool         // the command has taken its '{'
	vars      map[string]string
	unknown   map[string]bool
	env       map[string]string // the environment block
	exists    func(path string, test byte) tri
	frames    []frame
	menu      grubMenu
}

// readMenu reads a grub.cfg. dir is its folder from the top of /boot; env is grubenv's
// content; exists answers GRUB's -d, -e, -f and -s for paths on this partition.
func readMenu(src, env []byte, dir string, exists func(path string, test byte) tri) *grubMenu {
	prefix := "(root)" + strings.TrimSuffix(dir, "/")
	r := &menuReader{
		src: src, exists: exists, env: readEnv(env),
		vars:    map[string]string{"root": "root", "prefix": prefix, "config_directory": prefix},
		unknown: map[string]bool{"grub_platform": true, "grub_cpu": true, "cmdpath": true},
	}
	for _, f := range []string{"menuentry_id", "menuentry_options", "default_font_path", "timeout_style"} {
		r.vars["feature_"+f] = "y"
	}
	r.joined = joinedLines(src)
	for {
		words, line, end := r.next()
		r.opened = false
		for len(words) > 0 && r.command(&words, line, end) {
		}
		if end == '{' && !r.opened {
			r.push(frame{kind: '{', cond: yes})
		}
		if end == '}' {
			r.pop("fms{")
		}
		if end == 0 || len(r.frames) > maxFrames {
			break
		}
	}
	if !r.unknown["default"] {
		r.menu.def = r.vars["default"]
	}
	return &r.menu
}

// readEnv reads an environment block: lines NAME=VALUE, filled up with '#'. What is to be
// started once only (next_entry) is no default.
func readEnv(b []byte) map[string]string {
	env := make(map[string]string)
	for l := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(l, "\n"), "=")
		if ok && !strings.HasPrefix(l, "#") && name != "next_entry" && len(value) <= maxValue {
			env[name] = value
		}
	}
	return env
}

func (r *menuReader) push(f frame) {
	r.frames = append(r.frames, f)
	r.opened = r.opened || f.kind == 'f' || f.kind == 'm' || f.kind == 's'
}

// pop ends the innermost block of one of these kinds, with all in it.
func (r *menuReader) pop(kinds string) {
	for i := len(r.frames) - 1; i >= 0; i-- {
		if strings.IndexByte(kinds, r.frames[i].kind) >= 0 {
			r.frames = r.frames[:i]
			return
		}
	}
}

// state says whether what comes next is executed.
func (r *menuReader) state() tri {
	s := yes
	for _, f := range r.frames {
		s = min(s, f.cond)
	}
	return s
}

// inside reports a block whose commands are not those of the menu.
func (r *menuReader) inside(kinds string) bool {
	for _, f := range r.frames {
		if strings.IndexByte(kinds, f.kind) >= 0 {
			return true
		}
	}
	return false
}

// command executes a command. It returns true if words, shortened, hold another one.
func (r *menuReader) command(words *[]word, line int, end byte) (again bool) {
	w := *words
	rest := w[1:]
	switch name := w[0].text; name {
	case "if":
		c := r.test(rest)
		r.push(frame{kind: 'i', cond: c, taken: c})
	case "elif", "else":
		if n := len(r.frames) - 1; n >= 0 && r.frames[n].kind == 'i' {
			f := &r.frames[n]
			c := yes
			if name == "elif" {
				c = r.test(rest)
			}
			f.cond = min(f.taken.not(), c)
			f.taken = max(f.taken, c)
		}
		*words = rest
		return name == "else"
	case "then", "do":
		*words = rest
		return true
	case "fi":
		r.pop("i")
	case "while", "until", "for":
		r.push(frame{kind: 'l', cond: maybe})
	case "done":
		r.pop("l")
	case "function":
		if end == '{' {
			r.push(frame{kind: 'f', cond: maybe})
		}
	case "menuentry", "submenu":
		if end == '{' {
			r.item(name == "submenu", rest, line)
		}
	default:
		if !r.inside("fms") {
			r.assign(w)
		}
	}
	return false
}

// assign executes a command that changes a variable, or refers to entries elsewhere.
func (r *menuReader) assign(w []word) {
	state := r.state()
	first := w[0]
	switch {
	case state == no:
	case first.text == "set" && len(w) > 1:
		r.set(w[1], state)
	case first.text == "unset" && len(w) > 1:
		r.set(word{w[1].text + "=", true}, state)
	case first.text == "load_env":
		for n, v := range r.env {
			r.set(word{n + "=" + v, true}, yes)
		}
	case first.text == "blscfg":
		r.menu.blscfg = true
	case slices.Contains([]string{"source", ".", "configfile", "normal", "extract_entries_source"}, first.text):
		if len(w) > 1 && r.menu.other == "" {
			r.menu.other = w[1].text
		}
	case first.text == "search":
		for i, x := range w {
			if n, ok := strings.CutPrefix(x.text, "--set="); ok {
				r.unknown[n] = n != "root"
			} else if x.text == "--set" && i+1 < len(w) {
				r.unknown[w[i+1].text] = true
			}
		}
	case strings.Contains(first.text, "=") && isVarStart(first.text[0]):
		r.set(first, state)
	}
}

func (r *menuReader) set(assignment word, state tri) {
	name, value, ok := strings.Cut(assignment.text, "=")
	if !ok {
		return
	}
	same := r.vars[name] == value && !r.unknown[name]
	if state == maybe && !same || !assignment.known || len(value) > maxValue {
		r.unknown[name] = true
		return
	}
	r.vars[name] = value
	delete(r.unknown, name)
}

// item notes an entry; what is in it is not executed, what is in a submenu is read.
func (r *menuReader) item(submenu bool, args []word, line int) {
	it := &menuItem{line: line, submenu: submenu, shown: r.state()}
	for i := 0; i < len(args); i++ {
		switch a := args[i].text; {
		case a == "--id" && i+1 < len(args):
			i++
			it.id = args[i].text
		case strings.HasPrefix(a, "--id="):
			it.id = a[len("--id="):]
		case (a == "--class" || a == "--users" || a == "--hotkey" || a == "--source") && i+1 < len(args):
			i++
		case strings.HasPrefix(a, "--"):
		case it.title == "":
			it.title = a
		}
	}
	list := &r.menu.items
	for _, f := range r.frames {
		if f.items != nil {
			list = f.items
		}
	}
	f := frame{kind: 'm', cond: yes}
	if submenu {
		f.kind, f.items = 's', &it.items
	}
	if !r.inside("m") {
		*list = append(*list, it)
	}
	r.push(f)
}

// test evaluates a condition: [ ... ], or a command, whose result is not known.
func (r *menuReader) test(w []word) tri {
	if len(w) == 0 {
		return maybe
	}
	switch w[0].text {
	case "true":
		return yes
	case "false":
		return no
	case "!":
		return r.test(w[1:]).not()
	case "[":
		w = w[1:]
		if n := len(w); n > 0 && w[n-1].text == "]" {
			w = w[:n-1]
		}
	case "test":
		w = w[1:]
	default:
		return maybe
	}
	invert := false
	for len(w) > 1 && w[0].text == "!" {
		w, invert = w[1:], !invert
	}
	t := r.compare(w)
	if invert {
		t = t.not()
	}
	return t
}

func (r *menuReader) compare(w []word) tri {
	is := func(b bool) tri {
		if b {
			return yes
		}
		return no
	}
	for _, x := range w {
		if !x.known {
			return maybe
		}
	}
	switch len(w) {
	case 0:
		return no
	case 1:
		return is(w[0].text != "")
	case 2:
		switch op, arg := w[0].text, w[1].text; op {
		case "-n":
			return is(arg != "")
		case "-z":
			return is(arg == "")
		case "-d", "-e", "-f", "-s":
			return r.path(arg, op[1])
		}
	case 3:
		switch w[1].text {
		case "=", "==":
			return is(w[0].text == w[2].text)
		case "!=":
			return is(w[0].text != w[2].text)
		}
	}
	return maybe
}

// path asks for a file, if it is one of this partition.
func (r *menuReader) path(p string, test byte) tri {
	if dev, rest, ok := strings.Cut(p, ")"); ok && strings.HasPrefix(dev, "(") {
		if dev = dev[1:]; dev != "root" && (dev != r.vars["root"] || r.unknown["root"]) {
			return maybe
		}
		p = rest
	}
	if !strings.HasPrefix(p, "/") {
		return maybe
	}
	return r.exists(p, test)
}

// choose returns the item that GRUB starts by itself: $default is a number from 0, a
// title or an id, of a submenu's item after ">". nil if there is none.
func (m *grubMenu) choose() *menuItem {
	items := m.items
	var best *menuItem
	path := strings.Split(strings.ReplaceAll(m.def, ">>", "\x00"), ">")
	for depth := 0; depth <= maxFrames; depth++ {
		want := ""
		if depth < len(path) {
			want = strings.ReplaceAll(path[depth], "\x00", ">")
		}
		var shown []*menuItem
		for _, it := range items {
			if it.shown != no {
				shown = append(shown, it)
			}
		}
		if len(shown) == 0 {
			return best
		}
		best = pick(shown, want)
		if !best.submenu {
			return best
		}
		items = best.items
	}
	return best
}

func pick(items []*menuItem, want string) *menuItem {
	if n, err := strconv.Atoi(want); err == nil {
		if n >= 0 && n < len(items) {
			return items[n]
		}
		return items[0]
	}
	for _, it := range items {
		if want != "" && (it.title == want || it.id == want) {
			return it
		}
	}
	return items[0]
}

// each calls f with every entry, those of submenus too, and whether it is shown.
func each(items []*menuItem, shown tri, f func(it *menuItem, shown tri)) {
	for _, it := range items {
		s := min(shown, it.shown)
		f(it, s)
		each(it.items, s, f)
	}
}

package boot

// next reads one command: its words, the line where it begins, and what ends it: a line's
// end or ';' (both '\n'), '{', '}', or 0 at the end of the file.
func (r *menuReader) next() (words []word, line int, end byte) {
	w, inWord, quoted := word{known: true}, false, false
	flush := func() {
		if inWord && (w.text != "" || quoted || !w.known) {
			if len(words) == 0 {
				line = r.line
			}
			words = append(words, w)
		}
		w, inWord, quoted = word{known: true}, false, false
	}
	add := func(s string) {
		inWord = true
		if len(w.text)+len(s) > maxValue {
			w.known = false
			return
		}
		w.text += s
	}
	line = r.line
	for r.pos < len(r.src) {
		c := r.src[r.pos]
		r.pos++
		switch c {
		case '\n':
			flush()
			r.newline()
			return words, line, '\n'
		case ';', '|', '&':
			flush()
			return words, line, '\n'
		case '{', '}':
			flush()
			return words, line, c
		case ' ', '\t', '\r':
			flush()
		case '#':
			if inWord {
				add("#")
			} else {
				r.comment()
			}
		case '\\':
			if r.pos < len(r.src) {
				if r.src[r.pos] != '\n' { // a joined line is one
					add(string(r.src[r.pos]))
				}
				r.pos++
			}
		case '\'':
			quoted, inWord = true, true
			add(r.quoted())
		case '"':
			quoted, inWord = true, true
			r.doubleQuoted(add, &w)
		case '$':
			r.variable(add, &w)
		default:
			add(string(c))
		}
	}
	flush()
	return words, line, 0
}

// comment passes over the rest of a line.
func (r *menuReader) comment() {
	for r.pos < len(r.src) && r.src[r.pos] != '\n' {
		r.pos++
	}
}

// newline counts the line feed just read as readLines does, by which entries are found
// again.
func (r *menuReader) newline() {
	if !r.joined[r.pos-1] {
		r.line++
	}
}

// joinedLines finds the line feeds that readLines passes over.
func joinedLines(src []byte) map[int]bool {
	out := make(map[int]bool)
	for i := 0; i < len(src); i++ {
		if src[i] != '\\' {
			continue
		}
		for i++; i < len(src) && src[i] == 0; i++ {
		}
		if i < len(src) && src[i] == '\n' {
			out[i] = true
		}
	}
	return out
}

// quoted reads up to the closing single quote.
func (r *menuReader) quoted() string {
	start := r.pos
	for r.pos < len(r.src) && r.src[r.pos] != '\'' {
		r.pos++
		if r.src[r.pos-1] == '\n' {
			r.newline()
		}
	}
	s := string(r.src[start:r.pos])
	r.pos = min(r.pos+1, len(r.src))
	return s
}

// doubleQuoted reads up to the closing double quote.
func (r *menuReader) doubleQuoted(add func(string), w *word) {
	for r.pos < len(r.src) {
		c := r.src[r.pos]
		r.pos++
		switch c {
		case '"':
			return
		case '$':
			r.variable(add, w)
		case '\\':
			if r.pos < len(r.src) {
				c = r.src[r.pos]
				r.pos++
				if c != '"' && c != '\\' && c != '$' && c != '\n' {
					add("\\")
				}
				if c != '\n' {
					add(string(c))
				}
			}
		case '\n':
			r.newline()
			fallthrough
		default:
			add(string(c))
		}
	}
}

// variable reads what follows a dollar and puts the value in.
func (r *menuReader) variable(add func(string), w *word) {
	start, braces := r.pos, r.pos < len(r.src) && r.src[r.pos] == '{'
	if braces {
		start++
	}
	n := start
	for n < len(r.src) && isVarByte(r.src[n]) {
		n++
	}
	if n == start {
		if n < len(r.src) && (r.src[n] == '?' || r.src[n] == '*' || r.src[n] == '@' || r.src[n] == '#') {
			r.pos, w.known = n+1, false
			add("")
			return
		}
		add("$")
		return
	}
	name := string(r.src[start:n])
	if braces && n < len(r.src) && r.src[n] == '}' {
		n++
	}
	r.pos = n
	if r.unknown[name] || name[0] >= '0' && name[0] <= '9' {
		w.known = false
		add("")
		return
	}
	add(r.vars[name])
}

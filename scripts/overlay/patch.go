package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A hunk replaces lines of a file. Each line begins with ' ', '-' or '+'.
type hunk struct {
	old   int // number of its first line in the old file, from 1
	lines []string
}

// A fileChange is what a patch does to one file. One of the names is "" for a new or a deleted file.
type fileChange struct {
	from, to string
	hunks    []hunk
}

// parsePatch reads a unified diff. What stands before the first file says why.
func parsePatch(text string) ([]fileChange, error) {
	var changes []fileChange
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		switch {
		case strings.HasPrefix(lines[i], "--- "):
			if i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "+++ ") {
				return nil, fmt.Errorf("line %d: --- without +++", i+1)
			}
			from, err := patchName(lines[i][4:], "a/")
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			to, err := patchName(lines[i+1][4:], "b/")
			if err != nil || from != "" && to != "" && from != to || from+to == "" {
				return nil, fmt.Errorf("line %d: the names differ or are not a/FILE and b/FILE", i+2)
			}
			changes = append(changes, fileChange{from: from, to: to})
			i += 2
		case len(changes) == 0:
			i++
		case strings.HasPrefix(lines[i], "@@ "):
			h, n, err := parseHunk(lines[i:])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			last := &changes[len(changes)-1]
			last.hunks = append(last.hunks, h)
			i += n
		default:
			return nil, fmt.Errorf("line %d: neither a hunk nor a file", i+1)
		}
	}
	if len(changes) == 0 {
		return nil, errors.New("changes nothing")
	}
	return changes, nil
}

func patchName(s, side string) (string, error) {
	if s == "/dev/null" {
		return "", nil
	}
	name, ok := strings.CutPrefix(s, side)
	if !ok || strings.ContainsAny(name, "\t ") {
		return "", fmt.Errorf("%q is not %sFILE", s, side)
	}
	return name, nil
}

// parseHunk returns the hunk that lines begin with, and how many of them it takes.
func parseHunk(lines []string) (hunk, int, error) {
	var h hunk
	f := strings.Fields(lines[0])
	if len(f) < 4 || f[3] != "@@" {
		return h, 0, errors.New("not a hunk's head")
	}
	oldStart, oldLen, err1 := parseRange(f[1], "-")
	_, newLen, err2 := parseRange(f[2], "+")
	if err := errors.Join(err1, err2); err != nil {
		return h, 0, err
	}
	h.old = oldStart
	if oldLen == 0 {
		h.old++ // "after line n"
	}
	n := 1
	for ; oldLen > 0 || newLen > 0; n++ {
		if n == len(lines) || lines[n] == "" {
			return h, 0, errors.New("a hunk that ends early")
		}
		switch lines[n][0] {
		case ' ':
			oldLen, newLen = oldLen-1, newLen-1
		case '-':
			oldLen--
		case '+':
			newLen--
		default:
			return h, 0, fmt.Errorf("a hunk's line begins with %q", lines[n][0])
		}
		h.lines = append(h.lines, lines[n])
	}
	if oldLen < 0 || newLen < 0 {
		return h, 0, errors.New("a hunk that is longer than it says")
	}
	return h, n, nil
}

func parseRange(s, sign string) (start, length int, err error) {
	rest, ok := strings.CutPrefix(s, sign)
	if !ok {
		return 0, 0, fmt.Errorf("%q is no range", s)
	}
	a, b, both := strings.Cut(rest, ",")
	if length = 1; both {
		if length, err = strconv.Atoi(b); err != nil {
			return 0, 0, err
		}
	}
	start, err = strconv.Atoi(a)
	return start, length, err
}

// apply returns the changed text. Every line of every hunk must stand exactly where the patch
// says: a release with another text is refused, and not guessed at.
func (c fileChange) apply(text string) (string, error) {
	if text != "" && !strings.HasSuffix(text, "\n") {
		return "", errors.New("the file's last line has no end")
	}
	old := strings.SplitAfter(text, "\n")
	old = old[:len(old)-1]
	var out strings.Builder
	at := 0
	for _, h := range c.hunks {
		if h.old-1 < at || h.old-1 > len(old) {
			return "", fmt.Errorf("line %d is not after the change before it, or behind the end", h.old)
		}
		for ; at < h.old-1; at++ {
			out.WriteString(old[at])
		}
		for _, l := range h.lines {
			if l[0] == '+' {
				out.WriteString(l[1:] + "\n")
				continue
			}
			if at == len(old) || old[at] != l[1:]+"\n" {
				return "", fmt.Errorf("line %d is not %q: this release has another text", at+1, l[1:])
			}
			if l[0] == ' ' {
				out.WriteString(old[at])
			}
			at++
		}
	}
	if c.to == "" && at < len(old) {
		return "", errors.New("the file to delete is longer")
	}
	for ; at < len(old); at++ {
		out.WriteString(old[at])
	}
	return out.String(), nil
}

package main

import (
	"bufio"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// frame is what a slim program's traceback has in place of a file and line.
var frame = regexp.MustCompile(`^\t\?:0 \+0x([0-9a-f]+)`)

// lines copies a traceback and puts in the names and lines that the program's full build knows.
func lines(full string, in io.Reader, out io.Writer) error {
	e, err := elf.Open(full)
	if err != nil {
		return err
	}
	defer e.Close()
	pcln, text := e.Section(".gopclntab"), e.Section(".text")
	if pcln == nil || text == nil {
		return errLayout
	}
	data, err := pcln.Data()
	if err != nil {
		return err
	}
	tab, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil {
		return err
	}
	name := "" // the line before, which names a function
	for s := bufio.NewScanner(in); s.Scan(); {
		line := s.Text()
		if m := frame.FindStringSubmatch(line); m != nil {
			off, err := strconv.ParseUint(m[1], 16, 64)
			// The call is before the address that it returns to.
			if file, no, f := tab.PCToLine(text.Addr + off - 1); err == nil && f != nil && off > 0 {
				line = fmt.Sprintf("\t%s:%d +0x%x", file, no, off)
				name = strings.Replace(name, nameless, f.Name, 1)
			}
		}
		if name != "" {
			fmt.Fprintln(out, name)
		}
		if name = ""; strings.Contains(line, nameless) {
			name = line
			continue
		}
		fmt.Fprintln(out, line)
	}
	if name != "" {
		fmt.Fprintln(out, name)
	}
	return nil
}

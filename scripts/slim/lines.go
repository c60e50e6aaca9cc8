package main

import (
	"bufio"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"io"
	"regexp"
	"strconv"
)

// frame is what a slim program's traceback has in place of a file and line.
var frame = regexp.MustCompile(`^\t\?:0 \+0x([0-9a-f]+)`)

// called is the line before it: a function, with its arguments.
var called = regexp.MustCompile(`^(?:created by )?(.+?)(?:\([^()]*\))?(?: in goroutine \d+)?$`)

// lines copies a traceback and puts in the lines that the program's full build knows.
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
	name := ""
	for s := bufio.NewScanner(in); s.Scan(); {
		line := s.Text()
		if m := frame.FindStringSubmatch(line); m != nil {
			off, err := strconv.ParseUint(m[1], 16, 64)
			if f := tab.LookupFunc(name); err == nil && f != nil && off > 0 {
				// The call is before the address that it returns to.
				file, no, _ := tab.PCToLine(f.Entry + off - 1)
				line = fmt.Sprintf("\t%s:%d +0x%x", file, no, off)
			}
		}
		name = ""
		if m := called.FindStringSubmatch(line); m != nil {
			name = m[1]
		}
		fmt.Fprintln(out, line)
	}
	return nil
}

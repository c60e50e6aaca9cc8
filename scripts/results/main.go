// Command results reads what `go test -json` says and prints it for people: a test that fails at once,
// with all it said, and each package as soon as it has ended. Without -json, go test keeps what a package
// says until all that were named before it have ended.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	if !report(os.Stdin, os.Stdout) {
		os.Exit(1)
	}
}

// An event is one line of `go test -json`, which `go doc test2json` describes.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64 // seconds
}

// report says whether all that began has ended well.
func report(in io.Reader, out io.Writer) bool {
	said, open, tests, good := map[string]*strings.Builder{}, map[string]bool{}, map[string]int{}, true
	keep := func(key, s string) {
		if said[key] == nil {
			said[key] = &strings.Builder{}
		}
		said[key].WriteString(s)
	}
	for sc := bufio.NewReader(in); ; {
		line, err := sc.ReadBytes('\n')
		if err != nil {
			break
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			fmt.Fprintf(out, "%s", line)
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "start":
			open[e.Package] = true
		case "output":
			keep(key, e.Output)
		case "build-fail":
			good = false
		case "fail":
			good = false
			fallthrough
		case "pass", "skip":
			if e.Test == "" {
				delete(open, e.Package)
				fmt.Fprintf(out, "%-5s %s  %.1f s\n", e.Action, e.Package, e.Elapsed)
				rest(out, said, e.Package, e.Action == "fail")
				continue
			}
			tests[e.Action]++
			if e.Action == "fail" && said[key] != nil {
				fmt.Fprintf(out, "FAIL  %s\n%s", key, said[key])
			}
			delete(said, key)
		}
	}
	for p := range open {
		fmt.Fprintf(out, "%s did not end; it said\n", p)
		rest(out, said, p, true)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", tests["pass"], tests["fail"], tests["skip"])
	return good && len(open) == 0 && len(tests) > 0
}

// rest forgets, and prints, what is kept of a package: tests that never ended, and what belongs to none.
func rest(out io.Writer, said map[string]*strings.Builder, pkg string, show bool) {
	for _, key := range slices.Sorted(maps.Keys(said)) {
		if strings.HasPrefix(key, pkg+" ") {
			if show {
				fmt.Fprint(out, said[key])
			}
			delete(said, key)
		}
	}
}

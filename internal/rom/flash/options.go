package flash

import "strings"

// An option is one of a flash program's options, with its value, as it was written.
type option struct {
	name string // the long one's, without dashes
	raw  []string
}

// The options of flashprog and flashrom that matter here or take a value: getopt's short
// ones, and the long ones, of which a beginning is enough if it can only mean one.
var (
	shortOptions = map[byte]string{'r': "read", 'w': "write", 'v': "verify", 'x': "extract", 'c': "chip",
		'p': "programmer", 'l': "layout", 'i': "include", 'o': "output",
		'n': "noverify", 'N': "noverify-all", 'V': "verbose", 'E': "erase", 'f': "force"}
	longOptions = map[string]bool{ // whether it takes a value
		"read": true, "write": true, "verify": true, "extract": false, "chip": true, "programmer": true, "layout": true,
		"include": true, "image": true, "output": true,
		"ifd": false, "fmap": false, "fmap-file": true, "flash-contents": true, "wp-range": true, "wp-region": true,
		"progress": false,
		"noverify": false, "noverify-all": false, "verbose": false, "erase": false, "force": false,
	}
	// regionOptions choose parts of the chip, or say where they are.
	regionOptions = map[string]bool{"layout": true, "include": true, "image": true, "ifd": true, "fmap": true,
		"fmap-file": true, "extract": true}
	// chipOptions say which chip it is, and how it is reached.
	chipOptions = map[string]bool{"programmer": true, "chip": true}
)

// long is the name of a long option of which at least the beginning is given; "" for none,
// or several.
func long(name string) (whole string) {
	if _, ok := longOptions[name]; ok {
		return name
	}
	for o := range longOptions {
		if strings.HasPrefix(o, name) {
			if whole != "" {
				return ""
			}
			whole = o
		}
	}
	return whole
}

// parseOptions takes the options apart as getopt_long does. A word that is none, and an
// option that is not known, stands by itself under no name.
func parseOptions(words []string) (all []option) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		o := option{raw: []string{w}}
		takes, has := false, false
		switch {
		case strings.HasPrefix(w, "--") && len(w) > 2:
			name, _, value := strings.Cut(w[2:], "=")
			o.name = long(name)
			takes, has = longOptions[o.name], value
		case strings.HasPrefix(w, "-") && len(w) > 1 && w != "--":
			// Several short ones may share a word; the first that takes a value takes the rest.
			o.name = shortOptions[w[1]]
			takes, has = longOptions[o.name], len(w) > 2
			if !takes && len(w) > 2 && o.name != "" {
				o.raw = []string{w[:2]}
				words[i] = "-" + w[2:]
				i--
			}
		}
		if takes && !has && i+1 < len(words) {
			i++
			o.raw = append(o.raw, words[i])
		}
		all = append(all, o)
	}
	return all
}

// options are the program's, those that keep says; its first word, the program, stays.
func options(words []string, keep func(name string) bool) []string {
	if len(words) == 0 {
		return nil
	}
	out := []string{words[0]}
	for _, o := range parseOptions(append([]string(nil), words[1:]...)) {
		if keep(o.name) {
			out = append(out, o.raw...)
		}
	}
	return out
}

// withoutRegions drops the board's own choice of regions (--ifd -i bios): the program takes
// only one layout, and ours lies inside any of them.
func withoutRegions(words []string) []string {
	return options(words, func(name string) bool { return !regionOptions[name] })
}

// readsRegions says whether the board reads only parts of its chip.
func readsRegions(words []string) bool { return len(withoutRegions(words)) != len(words) }

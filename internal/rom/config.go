package rom

import (
	"bytes"
	"fmt"
	"strings"
)

// A Reason says why a line of the former config.user does not go into the new one.
type Reason string

// The reasons.
const (
	WhyCommand Reason = "command" // anything but a comment or a plain assignment: it could run a command
	WhySetting Reason = "setting" // a choice of the former owner's, which ends with him
	WhyValue   Reason = "value"   // a known setting with a value that this program does not take over
)

// A DroppedLine is a line of config.user that goes, verbatim: foreign text.
type DroppedLine struct {
	Line string
	Why  Reason
}

// taken are the settings that a new owner takes over, each with what its value may be.
// They are those that Heads' init writes by itself (TPM, blob jail), and those that say
// what the machine is rather than what it shall do (boot device, keyboard). Whatever is
// missing Heads finds out anew at each start, so that dropping is never worse than keeping.
var taken = map[string]func(value string) bool{
	"CONFIG_TPM":               oneOf("y"),
	"CONFIG_TPM2_TOOLS":        oneOf("y", "n", ""),
	"CONFIG_USE_BLOB_JAIL":     oneOf("y", "n"),
	"CONFIG_USER_USB_KEYBOARD": oneOf("y", "n"),
	"CONFIG_BOOT_DEV":          below("/dev/"),
	"CONFIG_KEYBOARD_KEYMAP":   below("/usr/lib/kbd/keymaps/"),
}

func oneOf(values ...string) func(string) bool {
	return func(v string) bool {
		for _, w := range values {
			if v == w {
				return true
			}
		}
		return false
	}
}

// below allows a path below a directory, without a way out of it, in plain characters:
// the shell scripts of the firmware do not quote everywhere.
func below(dir string) func(string) bool {
	return func(v string) bool {
		rest, ok := strings.CutPrefix(v, dir)
		return ok && rest != "" && plainWord(rest) && !strings.Contains("/"+rest+"/", "/../")
	}
}

// OwnConfig is the config.user of a new owner: what he sets himself (set), and of the
// old file the settings that are taken over (see taken), each once, its last value.
// Everything else is dropped and returned with the reason; empty lines are nothing.
// Comments go as well, because init looks for names in them, too.
// Errors: ErrUnknownLayout for an old file above MaxConfig, ErrBadSetting, ErrNoSpace.
func OwnConfig(old []byte, set []Setting) (config []byte, kept []Setting, dropped []DroppedLine, err error) {
	if len(old) > MaxConfig {
		return nil, nil, nil, fmt.Errorf("%w: config.user has %d bytes, more than %d", ErrUnknownLayout, len(old), MaxConfig)
	}
	mine := settingList{}
	for _, s := range set {
		if err := s.check(); err != nil {
			return nil, nil, nil, err
		}
		mine.put(s)
	}
	theirs := settingList{}
	for _, line := range configLines(old) {
		s, ok := parseSetting(line)
		allowed, known := taken[s.Name]
		switch {
		case strings.TrimSpace(line) == "":
		case ok && mine.has(s.Name):
		case ok && known && allowed(s.Value):
			theirs.put(s)
		case ok && known:
			dropped = append(dropped, DroppedLine{line, WhyValue})
		case ok || isComment(line):
			dropped = append(dropped, DroppedLine{line, WhySetting})
		default:
			dropped = append(dropped, DroppedLine{line, WhyCommand})
		}
	}
	var out bytes.Buffer
	for _, s := range append(theirs, mine...) {
		fmt.Fprintf(&out, "export %s=\"%s\"\n", s.Name, s.Value)
	}
	if out.Len() > MaxConfig {
		return nil, nil, nil, fmt.Errorf("%w: config.user would grow beyond %d bytes", ErrNoSpace, MaxConfig)
	}
	return out.Bytes(), theirs, dropped, nil
}

// settingList has each name once, where it came first, with its last value.
type settingList []Setting

func (l *settingList) put(s Setting) {
	for i := range *l {
		if (*l)[i].Name == s.Name {
			(*l)[i].Value = s.Value
			return
		}
	}
	*l = append(*l, s)
}

func (l settingList) has(name string) bool {
	for _, s := range l {
		if s.Name == name {
			return true
		}
	}
	return false
}

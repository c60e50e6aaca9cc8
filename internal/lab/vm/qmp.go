package vm

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
)

// QMP is a connection to QEMU's monitor (docs/interop/qmp-spec.txt).
type QMP struct {
	conn net.Conn
	mu   sync.Mutex // one command at a time
	rep  chan qmpReply

	restart atomic.Bool // the guest has restarted, which ends QEMU
}

type qmpReply struct {
	Greeting json.RawMessage `json:"QMP"`
	Event    string          `json:"event"`
	Data     struct {
		Reason string `json:"reason"` // of SHUTDOWN
	} `json:"data"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
}

func newQMP(conn net.Conn) (*QMP, error) {
	q := &QMP{conn: conn, rep: make(chan qmpReply)}
	go func() {
		defer close(q.rep)
		for d := json.NewDecoder(conn); ; {
			var r qmpReply
			if d.Decode(&r) != nil {
				return
			}
			if r.Event == "SHUTDOWN" && r.Data.Reason == "guest-reset" {
				q.restart.Store(true)
			}
			if r.Greeting == nil && r.Event == "" {
				q.rep <- r
			}
		}
	}()
	return q, q.Do("qmp_capabilities", nil, nil)
}

// Do runs one command; result may be nil.
func (q *QMP) Do(command string, args any, result any) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	m := map[string]any{"execute": command}
	if args != nil {
		m["arguments"] = args
	}
	js, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := q.conn.Write(append(js, '\n')); err != nil {
		return fmt.Errorf("%s: %w", command, errGone)
	}
	r, ok := <-q.rep
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", command, errGone)
	case r.Error != nil:
		return fmt.Errorf("%s: %s", command, r.Error.Desc)
	case result != nil:
		return json.Unmarshal(r.Return, result)
	}
	return nil
}

// Screenshot writes what the monitor shows to a PNG file.
func (q *QMP) Screenshot(file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	return q.Do("screendump", map[string]any{"filename": file, "format": "png"}, nil)
}

// Memory writes the guest's whole RAM to a file, size bytes from physical address 0.
func (q *QMP) Memory(file string, size int64) error {
	return q.Do("pmemsave", map[string]any{"val": 0, "size": size, "filename": file}, nil)
}

// Written returns how often the guest has written to the disk, and flushed it.
func (q *QMP) Written() (writes, flushes int64, err error) {
	var list []struct {
		Device string `json:"device"`
		QDev   string `json:"qdev"`
		Stats  struct {
			Writes  int64 `json:"wr_operations"`
			Flushes int64 `json:"flush_operations"`
		} `json:"stats"`
	}
	err = q.Do("query-blockstats", nil, &list)
	for _, d := range list {
		writes += d.Stats.Writes
		flushes += d.Stats.Flushes
	}
	return writes, flushes, err
}

// keyGap is the time between keys: a USB keyboard loses keys below 30 ms.
const keyGap = 30 * time.Millisecond

// Keys presses keys one after the other, by QEMU's names (qcodes: "ret", "tab",
// "down"); "ctrl-c" presses two together.
func (q *QMP) Keys(names ...string) error {
	for _, n := range names {
		chord := []string{n}
		for _, mod := range []string{"ctrl-", "shift-", "alt-"} {
			if len(n) > len(mod) && n[:len(mod)] == mod {
				chord = []string{mod[:len(mod)-1], n[len(mod):]}
			}
		}
		if err := q.chord(chord); err != nil {
			return err
		}
		time.Sleep(keyGap)
	}
	return nil
}

func (q *QMP) chord(keys []string) error {
	var events []any
	event := func(key string, down bool) {
		events = append(events, map[string]any{"type": "key",
			"data": map[string]any{"down": down, "key": map[string]any{"type": "qcode", "data": key}}})
	}
	for _, k := range keys {
		event(k, true)
	}
	for i := len(keys) - 1; i >= 0; i-- {
		event(keys[i], false)
	}
	return q.Do("input-send-event", map[string]any{"events": events}, nil)
}

// Type types text as on a US keyboard.
func (q *QMP) Type(text string) error {
	for _, r := range text {
		chord, err := keysOf(r)
		if err == nil {
			err = q.chord(chord)
		}
		if err != nil {
			return err
		}
		time.Sleep(keyGap)
	}
	return nil
}

// plain and shifted are the US keys that are neither letters nor digits.
var plain = map[rune]string{' ': "spc", '-': "minus", '=': "equal", '[': "bracket_left", ']': "bracket_right",
	';':  "semicolon",
	'\'': "apostrophe", '`': "grave_accent", '\\': "backslash", ',': "comma", '.': "dot", '/': "slash", '\n': "ret",
	'\r': "ret", '\t': "tab"}
var shifted = map[rune]string{'!': "1", '@': "2", '#': "3", '$': "4", '%': "5", '^': "6", '&': "7", '*': "8", '(': "9",
	')': "0", '_': "minus",
	'+': "equal", '{': "bracket_left", '}': "bracket_right", ':': "semicolon", '"': "apostrophe", '~': "grave_accent",
	'|': "backslash",
	'<': "comma", '>': "dot", '?': "slash"}

func keysOf(r rune) ([]string, error) {
	switch {
	case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
		return []string{string(r)}, nil
	case r >= 'A' && r <= 'Z':
		return []string{"shift", string(unicode.ToLower(r))}, nil
	case plain[r] != "":
		return []string{plain[r]}, nil
	case shifted[r] != "":
		return []string{"shift", shifted[r]}, nil
	}
	return nil, fmt.Errorf("a US keyboard has no key for %q", r)
}

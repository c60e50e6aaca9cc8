// Package journal keeps an append-only log of what was attempted, for people: one
// JSON object a line, numbered, each carrying the SHA-256 of the line before it.
//
// A line that does not fit (a write that was cut short, a line that was changed) is
// skipped and counted, with all that follows it up to the start of a new chain;
// a Writer starts one when the file does not end in a good line. Nothing may be
// decided from a journal: somebody who can write the file can write anything. It holds
// no secret and no hash of one, because a short passphrase is found from its hash
// in seconds.
package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Limits of a journal, in bytes. A longer one is read up to the limit.
const (
	MaxLine = 4 << 10
	MaxSize = 1 << 20
)

// Entry is one line.
type Entry struct {
	Seq   int               `json:"seq"`
	Time  string            `json:"time"` // RFC 3339, UTC
	Prev  string            `json:"prev"` // hex SHA-256 of the previous line without its newline; "" for the first
	Event string            `json:"event"`
	Step  string            `json:"step,omitempty"`
	Text  string            `json:"text,omitempty"`
	Data  map[string]string `json:"data,omitempty"` // public values only
}

// Read returns the entries that stand in unbroken chains, and how many lines do not.
func Read(data []byte) (entries []Entry, skipped int) {
	entries, skipped, _, _ = read(data)
	return entries, skipped
}

// read also returns where a writer goes on: the next number and the digest of the
// last line, both zero when the file does not end in a good line.
func read(data []byte) (entries []Entry, skipped, seq int, prev string) {
	if len(data) > MaxSize {
		data, skipped = data[:MaxSize], 1
	}
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte{'\n'})
		data = rest
		if len(line) == 0 && whole {
			continue // ends a torn line
		}
		var e Entry
		first := func() bool { return e.Seq == 0 && e.Prev == "" }
		next := func() bool { return prev != "" && e.Seq == seq && e.Prev == prev }
		if !whole || len(line) > MaxLine || json.Unmarshal(line, &e) != nil || !first() && !next() {
			skipped, seq, prev = skipped+1, 0, ""
			continue
		}
		entries, seq, prev = append(entries, e), e.Seq+1, digest(line)
	}
	return entries, skipped, seq, prev
}

// Writer appends to a journal.
type Writer struct {
	seq    int
	prev   string
	torn   bool
	append func(line []byte) error
}

// Continue returns a Writer that goes on after data, the present content of the
// file; append adds bytes to the file and makes them durable.
func Continue(data []byte, append func(line []byte) error) *Writer {
	w := &Writer{append: append, torn: len(data) > 0 && data[len(data)-1] != '\n'}
	_, _, w.seq, w.prev = read(data)
	return w
}

// Add appends one entry; Seq and Prev are filled in. It is on the disk when Add
// returns, if the append function sees to that.
func (w *Writer) Add(now time.Time, e Entry) error {
	e.Seq, e.Prev, e.Time = w.seq, w.prev, now.UTC().Format(time.RFC3339)
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	if len(line) > MaxLine {
		return fmt.Errorf("writing the journal: a line of %d bytes is too long", len(line))
	}
	out := append(line, '\n')
	if w.torn {
		out = append([]byte{'\n'}, out...)
	}
	if err := w.append(out); err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	w.seq, w.prev, w.torn = w.seq+1, digest(line), false
	return nil
}

func digest(line []byte) string {
	h := sha256.Sum256(line)
	return hex.EncodeToString(h[:])
}

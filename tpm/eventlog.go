package tpm

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Errors of the event log.
var (
	ErrNoEventLog       = errors.New("the firmware gives no log of its measurements")
	ErrBadEventLog      = errors.New("malformed log of the firmware's measurements")
	ErrEventLogMismatch = errors.New("the firmware's log does not lead to the TPM's present values")
)

const (
	// MaxEventLog bounds a log, in bytes; coreboot's are below 8 KiB.
	MaxEventLog = 1 << 20
	maxEvents   = 4096
	maxDigests  = 16

	eventNoAction = 3 // informs and is not extended

	algSHA1, algSHA256 = 0x0004, 0x000b
)

// Digest is a hash that JSON shows in hex.
type Digest []byte

// MarshalText writes the digest in hex.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d), nil }

// Event is one measurement that the firmware says it has made.
type Event struct {
	PCR    int    `json:"pcr"`
	Type   uint32 `json:"type"`           // TCG event type; 0 where the format has none
	SHA1   Digest `json:"sha1,omitempty"` // extended into the SHA-1 bank, or nil
	SHA256 Digest `json:"sha256,omitempty"`
	Name   string `json:"name"` // printable part of the event's data

	locality *byte // of a StartupLocality event
}

// digest returns what was extended into registers of the given size.
func (e *Event) digest(size int) []byte {
	if size == sha1.Size {
		return e.SHA1
	}
	return e.SHA256
}

// EventLog is what the firmware measured before it started the payload.
type EventLog struct {
	Format string // "TPM 1.2", "TPM 2.0", "coreboot", or one of these and " text"
	Events []Event

	locality byte // PCR 0 starts from it (StartupLocality event), 0, 3 or 4
}

// ParseEventLog reads a log in any of the forms coreboot makes: the table of TPM
// 1.2 ("Spec ID Event00"), that of TPM 2.0 ("Spec ID Event03"), coreboot's own, and
// the text that `cbmem -L` prints for each; a log of TPM 1.2 may lack the event that
// describes it. Empty slots (zero or 0xff) behind the used ones are accepted. Error: ErrBadEventLog.
func ParseEventLog(b []byte) (*EventLog, error) {
	if len(b) > MaxEventLog {
		return nil, badLog("%d bytes", len(b))
	}
	const signature = 32 // offset of the first event's data
	var l EventLog
	var err error
	switch {
	case len(b) > signature && bytes.HasPrefix(b[signature:], []byte("Spec ID Event00\x00")):
		l.Format = "TPM 1.2"
		l.Events, err = parseTCG(b, false)
	case len(b) > signature && bytes.HasPrefix(b[signature:], []byte("Spec ID Event03\x00")):
		l.Format = "TPM 2.0"
		l.Events, err = parseTCG(b, true)
	case bytes.HasPrefix(b, []byte("TPM2 log:\n")):
		l.Format = "TPM 2.0 text"
		l.Events, err = parseTCGText(string(b))
	case bytes.HasPrefix(b, []byte("TCPA log:\n")):
		l.Format = "TPM 1.2 text"
		l.Events, err = parseTCGText(string(b))
	case bytes.HasPrefix(b, []byte("coreboot TPM log:\n")), bytes.HasPrefix(b, []byte("coreboot TCPA log:\n")):
		l.Format = "coreboot text"
		l.Events, err = parseCorebootText(string(b))
	case plainTCG(b):
		l.Format = "TPM 1.2"
		l.Events, err = parseEvents(&logParser{parser{b: b}}, nil, maxEvents)
	default:
		l.Format = "coreboot"
		l.Events, err = parseCoreboot(b)
	}
	if err != nil {
		return nil, err
	}
	for i, e := range l.Events {
		if e.locality == nil {
			continue
		}
		// TCG PC Client firmware profile, 10.4.5.3: once, before anything in PCR 0.
		early := !slices.ContainsFunc(l.Events[:i],
			func(e Event) bool { return e.PCR == 0 && e.Type != eventNoAction || e.locality != nil })
		if v := *e.locality; !early || v != 0 && v != 3 && v != 4 {
			return nil, badLog("event %d: StartupLocality %d", i+1, v)
		}
		l.locality = *e.locality
	}
	return &l, nil
}

// plainTCG says whether a log is of TPM 1.2's form without the event that describes it:
// it begins with a measurement. Coreboot's own table begins with two counts, and its
// entries have no type.
func plainTCG(b []byte) bool {
	p := &logParser{parser{b: b}}
	pcr, kind := p.u32le(), p.u32le()
	p.take(sha1.Size)
	size := p.u32le()
	return !p.bad && pcr < 24 && (kind >= 1 && kind <= 0x12 || kind>>31 == 1) && int64(size) <= int64(len(p.b))
}

func badLog(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrBadEventLog, fmt.Sprintf(format, a...))
}

// logParser reads little-endian fields; after the first read beyond the end, bad is
// set and everything reads as zero.
type logParser struct{ parser }

func (p *logParser) u16le() uint16 {
	if v := p.take(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

func (p *logParser) u32le() uint32 {
	if v := p.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (p *logParser) sizedLE() []byte { return p.take(int(min(p.u32le(), MaxEventLog+1))) }

// parseTCG reads the TCG's binary logs: a first event of TPM 1.2's form that
// describes the log, then events of TPM 1.2's form or of the "agile" one.
func parseTCG(b []byte, agile bool) ([]Event, error) {
	p := &logParser{parser{b: b}}
	p.take(4 + 4 + sha1.Size)
	head := &logParser{parser{b: p.sizedLE()}}
	head.take(16 + 4 + 4) // signature, platform class, version
	sizes := map[uint16]int{}
	if agile {
		n := head.u32le()
		if n > maxDigests {
			return nil, badLog("%d hash algorithms", n)
		}
		for range n {
			alg := head.u16le()
			sizes[alg] = int(head.u16le())
		}
	}
	vendor := &logParser{parser{b: head.take(int(head.u8()))}}
	if p.bad || head.bad {
		return nil, badLog("cut off in its header")
	}
	if d, ok := sizes[algSHA1]; ok && d != sha1.Size {
		return nil, badLog("SHA-1 of %d bytes", d)
	}
	if d, ok := sizes[algSHA256]; ok && d != sha256.Size {
		return nil, badLog("SHA-256 of %d bytes", d)
	}
	left := maxEvents
	if n, ok := corebootCount(vendor); ok {
		left = n
	}
	if !agile {
		sizes = nil
	}
	return parseEvents(p, sizes, left)
}

// parseEvents reads up to left events, of the agile form if the digests' sizes are given.
func parseEvents(p *logParser, sizes map[uint16]int, left int) ([]Event, error) {
	var events []Event
	for ; left > 0 && len(p.b) > 0; left-- {
		if padding(p.b) {
			break // nothing but empty slots, or flash that was never written
		}
		e := Event{PCR: int(p.u32le()), Type: p.u32le()}
		if sizes != nil {
			n := p.u32le()
			if n > maxDigests {
				return nil, badLog("event %d has %d digests", len(events)+1, n)
			}
			for range n {
				alg := p.u16le()
				size, ok := sizes[alg]
				if !ok && !p.bad {
					return nil, badLog("event %d has a hash 0x%04x that the header does not name", len(events)+1, alg)
				}
				switch d := p.take(size); alg {
				case algSHA1:
					e.SHA1 = d
				case algSHA256:
					e.SHA256 = d
				}
			}
		} else {
			e.SHA1 = p.take(sha1.Size)
		}
		data := p.sizedLE()
		e.Name = printable(data)
		if v, ok := bytes.CutPrefix(data, []byte("StartupLocality\x00")); ok && e.Type == eventNoAction && e.PCR == 0 {
			if len(v) != 1 {
				return nil, badLog("event %d: StartupLocality of %d bytes", len(events)+1, len(v))
			}
			e.locality = &v[0]
		}
		if p.bad {
			return nil, badLog("cut off in event %d", len(events)+1)
		}
		events = append(events, e)
	}
	if left == 0 && len(events) == maxEvents {
		return nil, badLog("more than %d events", maxEvents)
	}
	return events, checkEvents(events)
}

// padding says whether all bytes are zero, or all are 0xff.
func padding(b []byte) bool {
	for _, x := range b {
		if x != b[0] {
			return false
		}
	}
	return b[0] == 0 || b[0] == 0xff
}

// corebootCount reads the number of used slots from coreboot's vendor block, which
// is marked "CBT1" or "CBT2".
func corebootCount(p *logParser) (int, bool) {
	p.take(3)
	magic := p.take(4)
	p.u16le() // slots there are
	n := int(p.u16le())
	return n, !p.bad && (string(magic) == "CBT1" || string(magic) == "CBT2")
}

// parseCoreboot reads coreboot's own table: two counts, then entries of 132 bytes.
func parseCoreboot(b []byte) ([]Event, error) {
	p := &logParser{parser{b: b}}
	slots, n := p.u16le(), p.u16le()
	if p.bad || n > slots || slots == 0 {
		return nil, badLog("no known format")
	}
	var events []Event
	for i := range int(n) {
		e := Event{PCR: int(p.u32le())}
		kind := printable(p.take(10))
		digest := p.take(64)
		size := p.u32le()
		e.Name = printable(p.take(50))
		if p.bad || size > 64 {
			return nil, badLog("cut off in event %d, or no known format", i+1)
		}
		if err := e.set(kind, digest[:size]); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, checkEvents(events)
}

// set stores a digest under its hash's name; digests that no register of ours
// takes are dropped.
func (e *Event) set(kind string, digest []byte) error {
	switch strings.ToUpper(kind) {
	case "SHA1":
		if len(digest) != sha1.Size {
			return badLog("SHA-1 of %d bytes", len(digest))
		}
		e.SHA1 = digest
	case "SHA256":
		if len(digest) != sha256.Size {
			return badLog("SHA-256 of %d bytes", len(digest))
		}
		e.SHA256 = digest
	case "SHA384", "SHA512", "SM3":
	default:
		return badLog("unknown hash %q", printable([]byte(kind)))
	}
	return nil
}

// parseTCGText reads what `cbmem -L` prints for the TCG's logs.
func parseTCGText(s string) ([]Event, error) {
	var events []Event
	for n, line := range strings.Split(s, "\n") {
		if n >= MaxEventLog/16 {
			return nil, badLog("too many lines")
		}
		if strings.Contains(line, " log entry ") && !strings.HasPrefix(line, "\t") {
			if len(events) == maxEvents {
				return nil, badLog("more than %d events", maxEvents)
			}
			events = append(events, Event{PCR: -1})
			continue
		}
		if len(events) == 0 {
			continue
		}
		e := &events[len(events)-1]
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "PCR":
			pcr, err := strconv.Atoi(value)
			if err != nil || e.PCR != -1 {
				return nil, badLog("line %d: PCR", n+1)
			}
			e.PCR = pcr
		case "Event type":
			e.Type = eventType(value)
		case "Event data":
			e.Name = printable([]byte(value))
		case "Digest", "SHA1", "SHA256", "SHA384", "SHA512", "SM3":
			d, err := hex.DecodeString(value)
			if err != nil {
				return nil, badLog("line %d: digest", n+1)
			}
			if key == "Digest" {
				key = "SHA1"
			}
			if err := e.set(key, d); err != nil {
				return nil, err
			}
		}
	}
	return events, checkEvents(events)
}

// eventType turns a type's name back into its number as far as it matters here:
// "No action" is not extended.
func eventType(name string) uint32 {
	if strings.EqualFold(name, "No action") {
		return eventNoAction
	}
	return 0
}

// parseCorebootText reads lines of the form " PCR-2 <hex> SHA1 [FMAP: FMAP]".
func parseCorebootText(s string) ([]Event, error) {
	var events []Event
	_, s, _ = strings.Cut(s, "\n")
	for n, line := range strings.Split(s, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		f := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(f) != 4 || len(events) == maxEvents {
			return nil, badLog("line %d", n+2)
		}
		num, ok := strings.CutPrefix(f[0], "PCR-")
		pcr, err := strconv.Atoi(num)
		digest, derr := hex.DecodeString(f[1])
		if !ok || err != nil || derr != nil {
			return nil, badLog("line %d", n+2)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(f[3], "["), "]")
		e := Event{PCR: pcr, Name: printable([]byte(name))}
		if err := e.set(f[2], digest); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, checkEvents(events)
}

func checkEvents(events []Event) error {
	for i, e := range events {
		if e.PCR < 0 || e.PCR > 23 {
			return badLog("event %d is for register %d", i+1, e.PCR)
		}
	}
	return nil
}

// printable keeps what may be shown of an event's data: up to the first zero byte,
// printable ASCII, 64 bytes at most.
func printable(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	b = b[:min(len(b), 64)]
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '.'
		}
		return r
	}, string(b))
}

// Replay returns the value a register of the given size (20 or 32 bytes) has after
// the firmware's measurements alone; when it made none, all zero but for the locality
// of the start in PCR 0. It fails when an
// event has no digest of that size.
func (l *EventLog) Replay(size, pcr int) ([]byte, error) {
	v := make([]byte, size)
	if pcr == 0 {
		v[size-1] = l.locality
	}
	for i, e := range l.Events {
		if e.PCR != pcr || e.Type == eventNoAction {
			continue
		}
		d := e.digest(size)
		if d == nil {
			return nil, badLog("event %d has no digest of %d bytes", i+1, size)
		}
		v = Extend(v, d)
	}
	return v, nil
}

// PredictOTP returns the values that OTPPCRs will have at the next start with
// another ROM image: registers 0 to 3 as they are now, 4 as the firmware alone
// leaves it (Heads extends it later, with what is started), and 7 as given, computed
// from the image's files.
//
// The log is believed only when it leads to the present values of registers 0 to
// 3. On any error seal after the restart instead. Errors: ErrBadEventLog,
// ErrEventLogMismatch.
func PredictOTP(now PCRValues, l *EventLog, pcr7 []byte) (PCRValues, error) {
	size := len(pcr7)
	out := PCRValues{}
	for _, pcr := range []int{0, 1, 2, 3} {
		if len(now[pcr]) != size {
			return nil, fmt.Errorf("PCR %d: value of %d bytes where %d are needed", pcr, len(now[pcr]), size)
		}
		v, err := l.Replay(size, pcr)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(v, now[pcr]) {
			return nil, fmt.Errorf("%w: PCR %d", ErrEventLogMismatch, pcr)
		}
		out[pcr] = v
	}
	v, err := l.Replay(size, 4)
	if err != nil {
		return nil, err
	}
	out[4] = v
	return out.With(7, pcr7), nil
}

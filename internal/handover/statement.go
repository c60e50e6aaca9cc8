package handover

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrMalformed: not a hand-over statement, or not strict JSON.
	ErrMalformed = errors.New("not a valid hand-over statement")
	// ErrTooLarge: a limit on size, depth or the number of links is exceeded.
	ErrTooLarge = errors.New("hand-over statement too large")
	// ErrSigner: a statement is not signed by the key that must have signed it.
	ErrSigner = errors.New("not signed by the expected key")
	// ErrChain: the statements do not form one chain.
	ErrChain = errors.New("broken chain of hand-overs")
	// ErrNotForYou: the last statement hands the laptop to another key.
	ErrNotForYou = errors.New("handed over to somebody else")
	// ErrOtherMachine: the statement is about another machine.
	ErrOtherMachine = errors.New("the hand-over file belongs to another machine")
	// ErrNothingCompared: nothing that identifies the machine could be compared.
	ErrNothingCompared = errors.New("nothing ties the hand-over file to this machine")
)

// Types of statements (in-toto's _type and predicateType).
const (
	StatementType = "https://in-toto.io/Statement/v1"
	HandoverType  = "urn:reown:handover:v1"
)

// Names of subjects. Each digest is a SHA-256 in lower-case hexadecimal.
const (
	SubjectEK   = "tpm-ek"    // of the public area of the TPM's endorsement key
	SubjectROM  = "rom"       // of the flash image as read
	SubjectBoot = "boot-tree" // boot.TreeDigest
	SubjectCard = "card"      // of the OpenPGP card's 16-byte application identifier
)

// A Statement is one hand-over: from says to to what the machine was.
type Statement struct {
	Subjects  map[string]string // subject name to SHA-256
	Order     string            // the seller's order number
	Seq       int               // 0 for the first statement of a chain
	Previous  string            // SHA-256 of the statement before; "" if Seq is 0
	From, To  string            // OpenPGP fingerprints, upper-case hexadecimal; To "" hands over to nobody
	Created   time.Time         // to the second, UTC; zero if not stated
	Reference Reference
	Changed   []string // what from changed: "rom", "boot", "disk", "card", "tpm"
	Materials []Material
}

// Reference holds the values a verifier compares with its own measurement. Digests
// are lower-case hexadecimal; a value that is empty is not provided.
type Reference struct {
	PCRs       map[int]string // PCR index to value, SHA-1 (40 digits) or SHA-256 (64)
	SRKName    string         // TPM 2.0 Name of the storage root key, with its algorithm
	TOTP       string         // which TOTP secret is sealed in the TPM, see NoTOTP
	LUKS       []LUKS
	CardSerial string   // as the card prints it
	ROMKeys    []string // fingerprints of the keys in the ROM's keyring
}

// NoTOTP as Reference.TOTP says that no TOTP secret is sealed. Otherwise it is the sealed
// object's Name (TPM 2.0), or the SHA-1 of the sealed blob (TPM 1.2).
const NoTOTP = "none"

// A LUKS volume: its UUID and a digest of its volume key (not of a passphrase).
type LUKS struct{ UUID, KeyDigest string }

// A Material is a document linked by digest, such as a bill of materials.
type Material struct{ URI, SHA256 string }

// Digest is the SHA-256 that the next statement's previous must hold.
func Digest(statement []byte) string {
	sum := sha256.Sum256(statement)
	return hex.EncodeToString(sum[:])
}

// Words turns a statement into words for people to compare by voice; pick is given
// the SHA-256 of its bytes.
func Words(statement []byte, pick func(digest []byte) []string) []string {
	sum := sha256.Sum256(statement)
	return pick(sum[:])
}

// Parse reads a statement strictly. It does not verify it: see Open and OpenChain.
func Parse(data []byte) (*Statement, error) {
	top, err := decode(data)
	if err != nil {
		return nil, err
	}
	var r reader
	if r.text(top, "_type") != StatementType {
		r.fail("_type", "not "+StatementType)
	}
	if r.text(top, "predicateType") != HandoverType {
		r.fail("predicateType", "not "+HandoverType)
	}
	s := &Statement{Subjects: r.subjects(top)}
	p := r.object(top, "predicate")
	s.Order, s.Seq, s.Previous = r.text(p, "order"), r.number(p, "seq"), r.hex(p, "previous", 64)
	s.From, s.To = r.fingerprint(p, "from"), r.fingerprint(p, "to")
	if c := r.text(p, "created"); c != "" {
		if s.Created, err = time.Parse(time.RFC3339, c); err != nil {
			r.fail("created", "not a time (RFC 3339)")
		}
		s.Created = s.Created.UTC()
	}
	s.Reference = r.reference(r.object(p, "reference"))
	s.Changed = r.texts(p, "changed")
	for _, m := range r.objects(p, "materials") {
		s.Materials = append(s.Materials, Material{r.text(m, "uri"), r.hex(r.object(m, "digest"), "sha256", 64)})
	}
	switch {
	case s.From == "":
		r.fail("from", "missing")
	case s.Seq >= MaxLinks:
		return nil, fmt.Errorf("%w: link %d, the limit is %d", ErrTooLarge, s.Seq, MaxLinks)
	case (s.Seq == 0) != (s.Previous == ""):
		r.fail("previous", "not in keeping with seq")
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

func (r *reader) subjects(top object) map[string]string {
	out := make(map[string]string)
	for _, o := range r.objects(top, "subject") {
		name := r.text(o, "name")
		if _, ok := out[name]; ok || name == "" {
			r.fail("subject", "named twice or not at all")
		}
		if out[name] = r.hex(r.object(o, "digest"), "sha256", 64); out[name] == "" {
			r.fail("subject", "without a SHA-256")
		}
	}
	if len(out) == 0 {
		r.fail("subject", "empty")
	}
	return out
}

func (r *reader) reference(o object) Reference {
	ref := Reference{SRKName: r.hex(o, "srkName", 68), CardSerial: r.text(o, "cardSerial")}
	if ref.TOTP = r.text(o, "totp"); ref.TOTP != NoTOTP {
		r.checkHex("totp", ref.TOTP, 40, 68)
	}
	for k, v := range r.object(o, "pcrs") {
		i, err := strconv.Atoi(k)
		s, ok := v.(string)
		if err != nil || i < 0 || i > 23 || strconv.Itoa(i) != k || !ok || s == "" {
			r.fail("pcrs", "not a list of PCRs")
		}
		r.checkHex("pcrs", s, 40, 64)
		if ref.PCRs == nil {
			ref.PCRs = make(map[int]string)
		}
		ref.PCRs[i] = s
	}
	for _, l := range r.objects(o, "luks") {
		v := LUKS{r.text(l, "uuid"), r.hex(l, "keyDigest", 40, 64, 128)}
		if v.UUID == "" {
			r.fail("luks", "without a UUID")
		}
		ref.LUKS = append(ref.LUKS, v)
	}
	for _, k := range r.texts(o, "romKeys") {
		if !isFingerprint(k) {
			r.fail("romKeys", "not a list of fingerprints")
		}
		ref.ROMKeys = append(ref.ROMKeys, k)
	}
	return ref
}

func (r *reader) fingerprint(o object, name string) string {
	s := r.text(o, name)
	if s != "" && !isFingerprint(s) {
		r.fail(name, "not an OpenPGP fingerprint")
	}
	return s
}

// isFingerprint: version 4 has 40 digits, version 6 has 64.
func isFingerprint(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789ABCDEF") == ""
}

// The wire form, for writing only.
type (
	wireDigest  map[string]string
	wireSubject struct {
		Name   string     `json:"name"`
		Digest wireDigest `json:"digest"`
	}
	wireStatement struct {
		Type          string        `json:"_type"`
		Subject       []wireSubject `json:"subject"`
		PredicateType string        `json:"predicateType"`
		Predicate     any           `json:"predicate"`
	}
	wireLUKS struct {
		UUID      string `json:"uuid"`
		KeyDigest string `json:"keyDigest,omitempty"`
	}
	wireReference struct {
		PCRs       map[string]string `json:"pcrs,omitempty"`
		SRKName    string            `json:"srkName,omitempty"`
		TOTP       string            `json:"totp,omitempty"`
		LUKS       []wireLUKS        `json:"luks,omitempty"`
		CardSerial string            `json:"cardSerial,omitempty"`
		ROMKeys    []string          `json:"romKeys,omitempty"`
	}
	wireMaterial struct {
		URI    string     `json:"uri"`
		Digest wireDigest `json:"digest"`
	}
	wireHandover struct {
		Order     string         `json:"order,omitempty"`
		Seq       int            `json:"seq"`
		Previous  string         `json:"previous"`
		From      string         `json:"from"`
		To        string         `json:"to"`
		Created   string         `json:"created,omitempty"`
		Reference wireReference  `json:"reference"`
		Changed   []string       `json:"changed,omitempty"`
		Materials []wireMaterial `json:"materials,omitempty"`
	}
)

// Marshal writes a statement, indented, with a final newline, the same bytes for the
// same statement; and reads it back, so that nothing is signed that is not accepted.
func (s *Statement) Marshal() ([]byte, error) {
	w := wireHandover{Order: s.Order, Seq: s.Seq, Previous: s.Previous, From: s.From, To: s.To,
		Reference: s.Reference.wire(), Changed: s.Changed}
	if !s.Created.IsZero() {
		w.Created = s.Created.UTC().Format(time.RFC3339)
	}
	for _, m := range s.Materials {
		w.Materials = append(w.Materials, wireMaterial{m.URI, wireDigest{"sha256": m.SHA256}})
	}
	data, err := marshal(s.Subjects, HandoverType, w)
	if err == nil {
		_, err = Parse(data)
	}
	if err != nil {
		return nil, fmt.Errorf("writing a hand-over statement: %w", err)
	}
	return data, nil
}

func (r Reference) wire() wireReference {
	w := wireReference{SRKName: r.SRKName, TOTP: r.TOTP, CardSerial: r.CardSerial, ROMKeys: r.ROMKeys}
	for i, v := range r.PCRs {
		if w.PCRs == nil {
			w.PCRs = make(map[string]string)
		}
		w.PCRs[strconv.Itoa(i)] = v
	}
	for _, l := range r.LUKS {
		w.LUKS = append(w.LUKS, wireLUKS(l))
	}
	return w
}

func marshal(subjects map[string]string, predicateType string, predicate any) ([]byte, error) {
	w := wireStatement{Type: StatementType, PredicateType: predicateType, Predicate: predicate}
	for _, n := range sortedKeys(subjects) {
		w.Subject = append(w.Subject, wireSubject{n, wireDigest{"sha256": subjects[n]}})
	}
	data, err := json.MarshalIndent(w, "", "  ")
	return append(data, '\n'), err
}

// Next begins the statement that follows the last one of a chain: from its receiver
// to the next, about the same machine. The caller updates subjects, reference and
// changed with what is true now. to "" gives the machine up to nobody in particular.
func (s *Statement) Next(statement []byte, to string) *Statement {
	n := &Statement{Subjects: make(map[string]string), Seq: s.Seq + 1, Previous: Digest(statement), From: s.To, To: to,
		Order: s.Order}
	for k, v := range s.Subjects {
		n.Subjects[k] = v
	}
	return n
}

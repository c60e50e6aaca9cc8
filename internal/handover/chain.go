package handover

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// A Verifier checks one detached OpenPGP signature, a binary packet, over data and
// returns nil only if it is good and made by the key with this fingerprint. Its
// owner decides what good means (hash, expiry, revocation).
type Verifier func(sig, data []byte, fingerprint string) error

// A Link is a statement's bytes and its file of detached signatures, armoured or not.
type Link struct{ Statement, Signatures []byte }

// FileName is a statement's name in /boot: kexec_handover.json, then
// kexec_handover.1.json and so on. Its signatures add ".asc", and the OpenPGP
// certificates that verify them ".key": they are found there and nobody's word for
// it; which of them counts is a question of the fingerprint.
func FileName(seq int) string {
	if seq == 0 {
		return "kexec_handover.json"
	}
	return "kexec_handover." + strconv.Itoa(seq) + ".json"
}

// Open verifies one statement and then parses the same bytes. The statement must say
// that it is from the key that signed it.
func Open(l Link, signer string, verify Verifier) (*Statement, error) {
	if len(l.Statement) > MaxStatement || len(l.Signatures) > MaxStatement {
		return nil, fmt.Errorf("%w: the limit is %d bytes", ErrTooLarge, MaxStatement)
	}
	if !isFingerprint(signer) {
		return nil, fmt.Errorf("%w: no fingerprint of the seller is known", ErrSigner)
	}
	if err := verifyAny(l.Signatures, l.Statement, signer, verify); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrSigner, signer, err)
	}
	s, err := Parse(l.Statement)
	if err != nil {
		return nil, err
	}
	if s.From != signer {
		return nil, fmt.Errorf("%w: signed by %s, but it says that it is from %s", ErrSigner, signer, s.From)
	}
	return s, nil
}

// A LinkError says which link of a chain was refused; Seq counts from 0.
type LinkError struct {
	Seq int
	Err error
}

func (e *LinkError) Error() string { return fmt.Sprintf("hand-over %d: %v", e.Seq+1, e.Err) }
func (e *LinkError) Unwrap() error { return e.Err }

// A Chain is a verified chain of statements, the first by the seller.
type Chain struct {
	Links    []*Statement
	Digest   string // SHA-256 of the last statement
	Accepted bool   // the last receiver has signed it, too
}

// Last is the statement to compare the machine with.
func (c *Chain) Last() *Statement { return c.Links[len(c.Links)-1] }

// OpenChain walks from the seller's pinned fingerprint: each statement is signed by
// the receiver of the one before, follows it by number and digest, and is about the
// same machine. It returns a *LinkError at the first that is not.
func OpenChain(links []Link, seller string, verify Verifier) (*Chain, error) {
	if len(links) == 0 {
		return nil, fmt.Errorf("%w: there is no statement", ErrChain)
	}
	if len(links) > MaxLinks {
		return nil, fmt.Errorf("%w: %d links, the limit is %d", ErrTooLarge, len(links), MaxLinks)
	}
	c := &Chain{}
	signer, previous := seller, ""
	for i, l := range links {
		s, err := c.follow(l, i, signer, previous, verify)
		if err != nil {
			return nil, &LinkError{i, err}
		}
		c.Links = append(c.Links, s)
		signer, previous = s.To, Digest(l.Statement)
	}
	last := links[len(links)-1]
	c.Digest = previous
	c.Accepted = signer != "" && verifyAny(last.Signatures, last.Statement, signer, verify) == nil
	return c, nil
}

func (c *Chain) follow(l Link, seq int, signer, previous string, verify Verifier) (*Statement, error) {
	if signer == "" && seq > 0 {
		return nil, fmt.Errorf("%w: the hand-over before was to nobody", ErrChain)
	}
	s, err := Open(l, signer, verify)
	if err != nil {
		return nil, err
	}
	if seq == 0 && s.Seq != 0 {
		return nil, fmt.Errorf("%w: it says that it is number %d", ErrChain, s.Seq+1)
	}
	if seq > 0 {
		if err := s.follows(c.Links[seq-1], previous); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Follows returns nil if a reader accepts this statement after the last one of a chain,
// whose bytes are given; its signatures are another matter.
func (s *Statement) Follows(last *Statement, statement []byte) error {
	return s.follows(last, Digest(statement))
}

func (s *Statement) follows(last *Statement, previous string) error {
	// The endorsement key is the machine; a board swap begins a new chain. A link
	// may name it for the first time, never leave it out again.
	was, now := last.Subjects[SubjectEK], s.Subjects[SubjectEK]
	switch {
	case s.Seq != last.Seq+1:
		return fmt.Errorf("%w: it says that it is number %d", ErrChain, s.Seq+1)
	case s.Previous != previous:
		return fmt.Errorf("%w: it does not follow the statement before", ErrChain)
	case s.From != last.To || last.To == "":
		return fmt.Errorf("%w: it is not from whom the one before hands to", ErrChain)
	case was != "" && was != now:
		return fmt.Errorf("%w: the TPM is another one than before", ErrOtherMachine)
	}
	return nil
}

// CheckReceiver returns nil if a laptop that was handed to one key, or to nobody in
// particular (""), is for this one; ErrNotForYou otherwise.
func CheckReceiver(to, fingerprint string) error {
	if to != "" && to != fingerprint {
		return fmt.Errorf("%w: to the key %s", ErrNotForYou, to)
	}
	return nil
}

// SignedBy returns nil if one of a link's signatures is good and by this key.
func (l Link) SignedBy(fingerprint string, verify Verifier) error {
	return verifyAny(l.Signatures, l.Statement, fingerprint, verify)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

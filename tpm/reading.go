package tpm

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
)

// Reading is a value that a TPM has told. Protected says that the TPM that holds the
// expected storage root has told it, and that nobody on the bus has changed it. A
// TPM 1.2 protects no reading.
type Reading[T any] struct {
	Value     T    `json:"value"`
	Protected bool `json:"protected"`
}

// ReadingKind is why a reading failed. None of them says that something is absent:
// absence is a value, and protected like every other.
type ReadingKind string

// The kinds of failed readings.
const (
	ReadingNoName    ReadingKind = "no-name"    // the caller knows no name of the storage root
	ReadingNoRoot    ReadingKind = "no-root"    // the TPM says that it has no storage root
	ReadingOtherRoot ReadingKind = "other-root" // it shows another one than expected
	ReadingNoSession ReadingKind = "no-session" // it opens no session to that root
	ReadingBadReply  ReadingKind = "bad-reply"  // a reply is malformed, or its HMAC is wrong
	ReadingRefused   ReadingKind = "refused"    // a refusal that nothing authenticates, e.g. "no such handle"
	ReadingNoAnswer  ReadingKind = "no-answer"  // the device failed, or the wait was ended
)

// ReadingError is a reading that failed.
type ReadingError struct {
	What string // what was to be read
	Kind ReadingKind
	Err  error // the cause; may be nil
}

func (e *ReadingError) Error() string {
	s := map[ReadingKind]string{
		ReadingNoName:    "no name of the TPM's storage root is known",
		ReadingNoRoot:    "the TPM says that it has no storage root",
		ReadingOtherRoot: "the TPM shows another storage root than expected",
		ReadingNoSession: "the TPM opens no session",
		ReadingBadReply:  "the reply does not verify",
		ReadingRefused:   "the TPM refuses",
		ReadingNoAnswer:  "the TPM gives no answer",
	}[e.Kind]
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return "reading " + e.What + ": " + s
}

// Unwrap returns the cause.
func (e *ReadingError) Unwrap() error { return e.Err }

// readingError finds the kind of an error. What is neither the TPM's refusal nor a
// reply that does not verify is the device's failure.
func readingError(what string, err error) error {
	var re *ReadingError
	if errors.As(err, &re) {
		re.What = what
		return re
	}
	var ce *CommandError
	kind := ReadingNoAnswer
	switch {
	case errors.Is(err, ErrTampered), errors.Is(err, ErrProtocol):
		kind = ReadingBadReply
	case errors.Is(err, ErrSwitchedOff):
		kind = ReadingRefused
	case errors.Is(err, ErrNotSetUp):
		kind = ReadingNoRoot
	case errors.As(err, &ce) && ce.Command == "TPM2_StartAuthSession":
		kind = ReadingNoSession
	case errors.As(err, &ce), errors.Is(err, ErrNoBank):
		kind = ReadingRefused
	}
	return &ReadingError{what, kind, err}
}

// Reader reads from the TPM that holds one particular storage root. Every error of
// its methods, but for registers that do not exist, is a *ReadingError.
type Reader struct {
	t    *TPM
	root string
}

// Reader makes a Reader for the storage root with this name, as Info.PrimaryName
// gives it. The caller has the name from a signed statement, from a receipt, or by
// RootName from kexec_primhdl_hash.txt; with a name that the TPM itself has just
// given, the readings prove nothing. A TPM 1.2 protects nothing, but where it shows
// its root, that is compared; "" compares nothing there.
func (t *TPM) Reader(rootName string) *Reader { return &Reader{t, rootName} }

// RootName returns the name of the storage root that a kexec_primhdl_hash.txt was
// made for. Error: a *ReadingError, of kind ReadingOtherRoot when it was another.
func (t *TPM) RootName(ctx context.Context, primaryHashFile []byte) (name string, err error) {
	const what = "the storage root"
	if t.family == V12 {
		return "", &ReadingError{what, ReadingNoName, nil}
	}
	err = t.with(ctx, func(c *conn) error {
		v := &v2{}
		b, err := v.handleFile(c)
		if err != nil {
			return err
		}
		if !bytes.Equal(sumLine(b, primaryHandleName), primaryHashFile) {
			return &ReadingError{what, ReadingOtherRoot, nil}
		}
		name = hex.EncodeToString(v.pinned)
		return nil
	})
	if err != nil {
		return "", readingError(what, err)
	}
	return name, nil
}

// root checks that the TPM has the expected storage root. That it also holds the
// root's private half shows in every session that is salted to it.
func (v *v2) root(c *conn, name string) (*key, error) {
	want, err := hex.DecodeString(name)
	if err != nil || len(want) == 0 {
		return nil, &ReadingError{Kind: ReadingNoName, Err: err}
	}
	k, err := v.salted(c)
	if err == nil && !bytes.Equal(k.name.Buffer, want) {
		return nil, &ReadingError{Kind: ReadingOtherRoot}
	}
	return k, err
}

// root compares what a TPM 1.2 shows of its root, where it shows any.
func (v *v1) root(c *conn, name string) error {
	if name == "" {
		return nil
	}
	shown, err := v.rootName(c)
	if err == nil && shown != "" && shown != name {
		return &ReadingError{Kind: ReadingOtherRoot}
	}
	return err
}

func read[T any](
	ctx context.Context, r *Reader, what string,
	of20 func(*v2, *conn, *key) (T, error), of12 func(*v1, *conn) (T, error),
) (Reading[T], error) {
	var out Reading[T]
	err := r.t.with(ctx, func(c *conn) (err error) {
		if r.t.family == V12 {
			v := &v1{}
			if err = v.root(c, r.root); err == nil {
				out.Value, err = of12(v, c)
			}
			return err
		}
		v := &v2{}
		k, err := v.root(c, r.root)
		if err != nil {
			return err
		}
		out.Value, err = of20(v, c, k)
		out.Protected = err == nil
		return err
	})
	if err != nil {
		return Reading[T]{}, readingError(what, err)
	}
	return out, nil
}

// PCRs returns the present values of registers 0 to 23.
func (r *Reader) PCRs(ctx context.Context, pcrs ...int) (Reading[PCRValues], error) {
	if err := checkPCRs(pcrs); err != nil {
		return Reading[PCRValues]{}, err
	}
	return read(ctx, r, "the measurements",
		func(v *v2, c *conn, k *key) (PCRValues, error) { return v.pcrsIn(c, k, pcrs) },
		func(v *v1, c *conn) (PCRValues, error) { return v.readPCRs(c, pcrs) })
}

// Sealed is what is known of a sealed secret without opening it.
type Sealed struct {
	// Name tells it from every other: the hex Name of the object, for a TPM 1.2 the
	// SHA-1 of the blob; "" when there is none.
	Name string `json:"name,omitempty"`
	// Fits says that it opens with the registers' values that were asked about. For a
	// TPM 1.2 it does not say whose it is.
	Fits bool `json:"fits"`
}

// OTP tells which TOTP/HOTP secret is sealed, and whether to these values of OTPPCRs.
func (r *Reader) OTP(ctx context.Context, to PCRValues) (Reading[Sealed], error) {
	return r.sealed(ctx, otpSlot, false, to)
}

// DUK is OTP for the disk unlock key, and DUKPCRs.
func (r *Reader) DUK(ctx context.Context, to PCRValues) (Reading[Sealed], error) {
	return r.sealed(ctx, dukSlot, true, to)
}

func (r *Reader) sealed(ctx context.Context, s slot, pass bool, to PCRValues) (Reading[Sealed], error) {
	return read(ctx, r, "the "+s.what,
		func(v *v2, c *conn, k *key) (out Sealed, err error) {
			obj, err := v.object(c, k, tpm2.TPMHandle(s.v2))
			if err != nil || obj == nil {
				return out, err
			}
			out.Name = hex.EncodeToString(obj.name.Buffer)
			policy, err := policyDigest(s.pcrs, to, pass)
			out.Fits = err == nil && sealedWith(obj, policy)
			return out, nil
		},
		func(v *v1, c *conn) (out Sealed, err error) {
			b, err := v.readBlob(c, s)
			if isNotSealed(err) {
				return out, nil
			}
			if err != nil {
				return out, err
			}
			h := sha1.Sum(b.raw)
			out.Name = hex.EncodeToString(h[:])
			sel, release, err := composite(s.pcrs, to)
			out.Fits = err == nil && bytes.Equal(b.sel, sel) && b.release == release
			return out, nil
		})
}

// EndorsementKey is TPM.EndorsementKey; "" when the TPM holds none.
func (r *Reader) EndorsementKey(ctx context.Context) (Reading[string], error) {
	return read(ctx, r, "the endorsement key",
		func(v *v2, c *conn, k *key) (string, error) {
			ek, err := v.object(c, k, endorsementHandle)
			if err != nil || ek == nil {
				return "", err
			}
			return ek.digest(), nil
		},
		func(*v1, *conn) (string, error) { return "", nil })
}

// Counter returns a rollback counter's value; the zero Counter when the TPM has none
// of this name, or one that was never moved.
func (r *Reader) Counter(ctx context.Context, id string) (Reading[Counter], error) {
	return read(ctx, r, fmt.Sprintf("the rollback counter %q", id),
		func(v *v2, c *conn, k *key) (Counter, error) {
			h, err := counterHandle(id)
			if err != nil {
				return Counter{}, nil
			}
			i, err := v.area(c, k, h)
			if err != nil || i == nil || !i.pub.Attributes.Written {
				return Counter{}, err
			}
			return v.read(c, k, h)
		},
		func(v *v1, c *conn) (Counter, error) {
			n, err := v.readCounter(c, id)
			if errors.Is(err, ErrNoCounter) {
				err = nil
			}
			return n, err
		})
}

// Anchor returns the anchor. When the reading failed, the value's state is
// AnchorUnreadable.
func (r *Reader) Anchor(ctx context.Context) (Reading[Anchor], error) {
	a, err := read(ctx, r, "the anchor",
		func(v *v2, c *conn, k *key) (Anchor, error) { return v.anchorFrom(c, k) },
		func(v *v1, c *conn) (Anchor, error) { return v.anchor(c) })
	if err != nil {
		a.Value.State = AnchorUnreadable
	}
	return a, err
}

package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"reown/tpm/tpmtest"
)

func wantKind(t *testing.T, err error, want ReadingKind) {
	t.Helper()
	var re *ReadingError
	if !errors.As(err, &re) || re.Kind != want {
		t.Errorf("error %v, want a ReadingError of kind %q", err, want)
	}
}

// answer20 is a reply of a TPM 2.0 that nothing authenticates.
func answer20(code uint32) []byte { return answer(V20, code) }

func handleIn(cmd []byte) uint32 { return binary.BigEndian.Uint32(cmd[headerLen:]) }

// Readings are protected, and absence is, too.
func TestReader20(t *testing.T) {
	ctx := context.Background()
	s, p, pcrs := setUp20(t)
	h := startHeads(t, s)
	name := must(p.Info(ctx))(t).PrimaryName
	r := mustOpen(t, s.Socket).Reader(name)
	otp := must(r.OTP(ctx, pcrs))(t)
	n := must(r.Counter(ctx, "1a2b3c4"))(t)
	if !otp.Protected || otp.Value != (Sealed{}) || !n.Protected || n.Value != (Counter{}) {
		t.Errorf("absent: %+v %+v", otp, n)
	}
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	check(t, h.CounterCreate("1a2b3c4", ownerPass))
	if n = must(r.Counter(ctx, "1a2b3c4"))(t); n.Value != (Counter{}) {
		t.Errorf("never moved: %+v", n)
	}
	line := must(h.CounterIncrement("1a2b3c4"))(t)
	if n = must(r.Counter(ctx, "1a2b3c4"))(t); n.Value.Line+"\n" != line || !n.Protected {
		t.Errorf("counter %+v, Heads reads %q", n, line)
	}
	otp = must(r.OTP(ctx, pcrs))(t)
	want := must(os.ReadFile(must(nameFile(t, h, "0x81004d47"))(t)))(t)
	if otp.Value.Name != hexName(want) || !otp.Value.Fits || !otp.Protected {
		t.Errorf("sealed %+v, tpm2-tools say %x", otp, want)
	}
	if other := must(r.OTP(ctx, pcrs.With(7, make([]byte, 32)).With(4, Hash(32, nil))))(t); other.Value.Fits {
		t.Error("fits other values")
	}
	v := must(r.PCRs(ctx, DUKPCRs()...))(t)
	if !v.Value.Equal(pcrs) || !v.Protected {
		t.Errorf("registers %+v", v)
	}
	ek := must(r.EndorsementKey(ctx))(t)
	if ek.Value == "" || ek.Value != must(p.EndorsementKey(ctx))(t) || !ek.Protected {
		t.Errorf("endorsement key %+v", ek)
	}
	// The name comes from a file of Heads' as well.
	file := must(p.PrimaryHashFile(ctx))(t)
	if got := must(p.RootName(ctx, file))(t); got != name {
		t.Errorf("root %s, want %s", got, name)
	}
	_, err := p.RootName(ctx, append(file, ' '))
	wantKind(t, err, ReadingOtherRoot)
}

func nameFile(t *testing.T, h *tpmtest.Heads, handle string) (string, error) {
	f := t.TempDir() + "/name"
	_, err := h.Tool("readpublic", "-Q", "-c", handle, "-n", f)
	return f, err
}

func hexName(b []byte) string {
	const digits = "0123456789abcdef"
	var s []byte
	for _, x := range b {
		s = append(s, digits[x>>4], digits[x&15])
	}
	return string(s)
}

// Somebody on the bus changes, forges or withholds replies: each reading fails, with its
// kind, and never as "absent" or as a value.
func TestReaderAndTheBus(t *testing.T) {
	ctx := context.Background()
	s, p, pcrs := setUp20(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	check(t, p.DefineAnchor(ctx, buf(ownerPass), digestOf(1)))
	n := must(p.CreateCounter(ctx, buf(ownerPass)))(t)
	name := must(p.Info(ctx))(t).PrimaryName
	readings := map[string]func(*Reader) error{
		"registers": func(r *Reader) error { _, err := r.PCRs(ctx, 7); return err },
		"sealed":    func(r *Reader) error { _, err := r.OTP(ctx, pcrs); return err },
		"ek":        func(r *Reader) error { _, err := r.EndorsementKey(ctx); return err },
		"counter":   func(r *Reader) error { _, err := r.Counter(ctx, n.ID); return err },
		"anchor": func(r *Reader) error {
			a, err := r.Anchor(ctx)
			if err != nil && a.Value.State != AnchorUnreadable {
				t.Errorf("a failed reading says %q", a.Value.State)
			}
			return err
		},
	}
	all := []string{"registers", "sealed", "ek", "counter", "anchor"}
	objects := []string{"sealed", "ek"}
	areas := []string{"counter", "anchor"}
	reply := func(d Device, cmd []byte) []byte { r, err := d.Transmit(cmd); check(t, err); return r }
	for _, c := range []struct {
		what   string
		of     []string
		kind   ReadingKind
		change func(d Device, cmd []byte) []byte // nil: pass on
	}{
		{"wrong HMAC of the registers", []string{"registers"}, ReadingBadReply, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) != "TPM2_PCR_Read" {
				return nil
			}
			r := reply(d, cmd)
			r[len(r)-1] ^= 1
			return r
		}},
		{"other registers", []string{"registers"}, ReadingBadReply, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) != "TPM2_PCR_Read" {
				return nil
			}
			r := reply(d, cmd)
			r[headerLen+4+20+6] ^= 1
			return r
		}},
		{"registers without a session", []string{"registers"}, ReadingBadReply, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) != "TPM2_PCR_Read" {
				return nil
			}
			size := int(binary.BigEndian.Uint32(cmd[headerLen:]))
			bare := append([]byte{0x80, 0x01, 0, 0, 0, 0}, cmd[6:headerLen]...)
			bare = append(bare, cmd[headerLen+4+size:]...)
			binary.BigEndian.PutUint32(bare[2:], uint32(len(bare)))
			return reply(d, bare)
		}},
		{"no such object", objects, ReadingRefused, func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_ReadPublic" && handleIn(cmd) != uint32(primaryHandle) {
				return answer20(0x18b)
			}
			return nil
		}},
		{"no such index", areas, ReadingRefused, func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_NV_ReadPublic" {
				return answer20(0x18b)
			}
			return nil
		}},
		{"an empty list", append(objects, areas...), ReadingBadReply, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) != "TPM2_GetCapability" || cmd[1] != 2 {
				return nil
			}
			r := reply(d, cmd) // more data, capability, count, handle
			return append(append(append([]byte(nil), r[:headerLen+4+1+4]...), 0, 0, 0, 0), r[headerLen+4+1+4+8:]...)
		}},
		{"the list of another handle", append(objects, areas...), ReadingBadReply, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) != "TPM2_GetCapability" || cmd[1] != 2 {
				return nil
			}
			r := reply(d, cmd)
			r[headerLen+4+1+4+4+3] ^= 1
			return r
		}},
		{"list refused", append(objects, areas...), ReadingRefused, func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_GetCapability" && cmd[1] == 2 {
				return answer20(0x184)
			}
			return nil
		}},
		{"another anchor", []string{"anchor"}, ReadingBadReply, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) != "TPM2_NV_Read" {
				return nil
			}
			r := reply(d, cmd)
			r[headerLen+4+2+1] ^= 3 // open becomes closing
			return r
		}},
		{"no session", all, ReadingNoSession, func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_StartAuthSession" {
				return answer20(0x903)
			}
			return nil
		}},
		{"no root", all, ReadingNoRoot, func(_ Device, cmd []byte) []byte {
			if CommandName(cmd) == "TPM2_ReadPublic" && handleIn(cmd) == uint32(primaryHandle) {
				return answer20(0x18b)
			}
			return nil
		}},
		{"a root of the stranger's", all, ReadingOtherRoot, func(d Device, cmd []byte) []byte {
			if CommandName(cmd) != "TPM2_ReadPublic" || handleIn(cmd) != uint32(primaryHandle) {
				return nil
			}
			c := &conn{ctx: ctx, dev: d}
			pub := primaryTemplate(ECC)
			made, err := tpm2.CreatePrimary{
				PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHNull, Auth: tpm2.PasswordAuth(nil)},
				InPublic:      tpm2.New2B(pub),
			}.Execute(c)
			check(t, err)
			defer func() { _, _ = tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(c) }()
			other := append([]byte(nil), cmd...)
			binary.BigEndian.PutUint32(other[headerLen:], uint32(made.ObjectHandle))
			return reply(d, other)
		}},
		{"a device that fails", all, ReadingNoAnswer, func(_ Device, cmd []byte) []byte { return []byte{} }},
	} {
		for _, what := range c.of {
			t.Run(c.what+"/"+what, func(t *testing.T) {
				hit, armed := false, false
				p, err := New(func() (Device, error) {
					d, err := openPath(s.Socket)
					return &relay{d, func(d Device, cmd []byte) []byte {
						if !armed {
							return nil
						}
						r := c.change(d, cmd)
						hit = hit || r != nil
						return r
					}}, err
				})
				check(t, err)
				armed = true
				wantKind(t, readings[what](p.Reader(name)), c.kind)
				if !hit {
					t.Error("the relay changed nothing")
				}
			})
		}
	}
	for _, what := range all {
		wantKind(t, readings[what](p.Reader("")), ReadingNoName)
		wantKind(t, readings[what](p.Reader("not hex")), ReadingNoName)
		wantKind(t, readings[what](p.Reader(name+"00")), ReadingOtherRoot)
		check(t, readings[what](p.Reader(name)))
	}
}

// relay answers in the TPM's place; no bytes at all are a device that fails.
type relay struct {
	Device
	answer func(d Device, cmd []byte) []byte
}

func (r *relay) Transmit(cmd []byte) ([]byte, error) {
	switch a := r.answer(r.Device, cmd); {
	case a == nil:
		return r.Device.Transmit(cmd)
	case len(a) == 0:
		return nil, errors.New("the bus is dead")
	default:
		return a, nil
	}
}

// A TPM 1.2 protects nothing, and says so; what it shows of its root is compared.
func TestReader12(t *testing.T) {
	ctx := context.Background()
	_, p := setUp(t, tpmtest.V12)
	name := must(p.Info(ctx))(t).PrimaryName
	pcrs := must(p.ReadPCRs(ctx, DUKPCRs()...))(t)
	check(t, p.SealOTP(ctx, buf(ownerPass), buf(otpText), pcrs))
	for _, root := range []string{"", name} {
		r := p.Reader(root)
		v, otp, duk := must(r.PCRs(ctx, 0, 7))(t), must(r.OTP(ctx, pcrs))(t), must(r.DUK(ctx, pcrs))(t)
		n, ek := must(r.Counter(ctx, "77"))(t), must(r.EndorsementKey(ctx))(t)
		if v.Protected || otp.Protected || duk.Protected || n.Protected || ek.Protected {
			t.Error("a TPM 1.2 protects a reading")
		}
		if otp.Value.Name == "" || !otp.Value.Fits || duk.Value != (Sealed{}) || n.Value != (Counter{}) || ek.Value != "" {
			t.Errorf("%+v %+v %+v", otp, duk, n)
		}
	}
	_, err := p.Reader("00"+name[2:]).PCRs(ctx, 0)
	wantKind(t, err, ReadingOtherRoot)
	_, err = p.RootName(ctx, []byte("x"))
	wantKind(t, err, ReadingNoName)
}

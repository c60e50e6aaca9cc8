package tpm

import (
	"bytes"
	"testing"
)

// event12 is an event of TPM 1.2's form.
func event12(pcr, kind uint32, digest, data []byte) []byte {
	return append(append(le(pcr, kind), digest...), append(le(uint32(len(data))), data...)...)
}

// A log of TPM 1.2 without the event that describes it, with and without empty slots.
func TestPlainLog12(t *testing.T) {
	fmap, stage := bytes.Repeat([]byte{1}, 20), bytes.Repeat([]byte{2}, 20)
	log := append(event12(2, 1, fmap, []byte("FMAP")), event12(2, 1, stage, []byte("romstage\x00"))...)
	want := Extend(Extend(make([]byte, 20), fmap), stage)
	for _, padding := range [][]byte{nil, make([]byte, 100), bytes.Repeat([]byte{0xff}, 100)} {
		l, err := ParseEventLog(append(bytes.Clone(log), padding...))
		check(t, err)
		if got := must(l.Replay(20, 2))(t); l.Format != "TPM 1.2" || len(l.Events) != 2 || !bytes.Equal(got, want) {
			t.Errorf("%+v", l)
		}
	}
	for _, bad := range [][]byte{log[:len(log)-1], append(bytes.Clone(log), 1, 2, 3)} {
		_, err := ParseEventLog(bad)
		wantErr(t, err, ErrBadEventLog)
	}
	// Coreboot's table with nothing in it is still one, whatever its number of slots.
	l, err := ParseEventLog(append([]byte{7, 0, 0, 0}, make([]byte, 7*132)...))
	check(t, err)
	if l.Format != "coreboot" || len(l.Events) != 0 {
		t.Errorf("%+v", l)
	}
}

// startupLog is a TPM 2.0's log with a StartupLocality event behind its header.
func startupLog(events ...[]byte) []byte {
	spec := append(append([]byte("Spec ID Event03\x00"), le(uint32(0))...), 0, 2, 0, 2)
	spec = append(append(spec, le(uint32(1), uint16(algSHA256), uint16(32))...), 0)
	b := append(append(le(uint32(0), uint32(eventNoAction)), make([]byte, 20)...),
		append(le(uint32(len(spec))), spec...)...)
	return append(b, bytes.Join(events, nil)...)
}

func event20(pcr, kind uint32, digest, data []byte) []byte {
	b := append(le(pcr, kind, uint32(1), uint16(algSHA256)), digest...)
	return append(b, append(le(uint32(len(data))), data...)...)
}

func TestStartupLocality(t *testing.T) {
	zero, d := make([]byte, 32), bytes.Repeat([]byte{7}, 32)
	locality := func(n ...byte) []byte {
		return event20(0, eventNoAction, zero, append([]byte("StartupLocality\x00"), n...))
	}
	measured := event20(0, 1, d, []byte("CRTM"))
	for _, n := range []byte{0, 3, 4} {
		l, err := ParseEventLog(startupLog(locality(n), measured, event20(1, 1, d, nil)))
		check(t, err)
		first := append(make([]byte, 31), n)
		if got := must(l.Replay(32, 0))(t); !bytes.Equal(got, Extend(first, d)) {
			t.Errorf("locality %d: PCR 0 is %x", n, got)
		}
		if got := must(l.Replay(32, 1))(t); !bytes.Equal(got, Extend(zero, d)) {
			t.Errorf("locality %d: PCR 1 is %x", n, got)
		}
	}
	l, err := ParseEventLog(startupLog(locality(3), bytes.Repeat([]byte{0xff}, 64)))
	check(t, err)
	if got := must(l.Replay(32, 0))(t); got[31] != 3 {
		t.Errorf("nothing measured: %x", got)
	}
	for what, bad := range map[string][]byte{
		"impossible": startupLog(locality(1), measured), "twice": startupLog(locality(3), locality(3)),
		"late": startupLog(measured, locality(3)), "long": startupLog(locality(3, 3)), "short": startupLog(locality()),
	} {
		if _, err := ParseEventLog(bad); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

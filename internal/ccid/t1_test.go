package ccid

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"reown/internal/usb"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestT1Blocks checks the blocks that are sent, byte for byte, against the scenarios of
// ISO/IEC 7816-3:2006, annex A. A line is a block sent and the block or failure that
// answers it; check bytes are added.
func TestT1Blocks(t *testing.T) {
	const mute, parity = "mute", "parity"
	for _, c := range []struct {
		name   string
		script []string // sent, received...
		apdu   string
		want   string
		err    error
		ifsc   int
		bwi    []byte // of each block sent
	}{
		{name: "I and I", apdu: "00a40000", want: "9000", script: []string{"00 00 04 00a40000", "00 00 02 9000"}},
		{name: "chained command", apdu: "000102030405060708", want: "9000", ifsc: 4, script: []string{
			"00 20 04 00010203", "00 90 00", "00 60 04 04050607", "00 80 00", "00 00 01 08", "00 00 02 9000",
		}},
		{name: "chained answer", apdu: "00b00000", want: "0102039000", script: []string{
			"00 00 04 00b00000", "00 20 02 0102", "00 90 00", "00 60 01 03", "00 80 00", "00 00 02 9000",
		}},
		{name: "waiting time", apdu: "00b00000", want: "9000", bwi: []byte{0, 5, 0xff}, script: []string{
			"00 00 04 00b00000", "00 c3 01 05", "00 e3 01 05", "00 c3 01 ff", "00 e3 01 ff", "00 00 02 9000",
		}},
		{name: "the card changes IFSC in a chain", apdu: "000102030405", want: "9000", ifsc: 4, script: []string{
			"00 20 04 00010203", "00 c1 01 01", "00 e1 01 01", "00 90 00", "00 60 01 04", "00 80 00", "00 00 01 05",
			"00 00 02 9000",
		}},
		{name: "answer damaged", apdu: "00b00000", want: "9000", script: []string{
			"00 00 04 00b00000", "bad 00 00 02 9000", "00 81 00", "00 00 02 9000",
		}},
		{name: "parity, then mute", apdu: "00b00000", want: "9000", script: []string{
			"00 00 04 00b00000", parity, "00 81 00", mute, "00 82 00", "00 00 02 9000",
		}},
		{name: "command damaged", apdu: "00b00000", want: "9000", script: []string{
			"00 00 04 00b00000", "00 81 00", "00 00 04 00b00000", "00 00 02 9000",
		}},
		{name: "command lost", apdu: "00b00000", want: "9000", script: []string{
			"00 00 04 00b00000", mute, "00 82 00", "00 82 00", "00 00 04 00b00000", "00 00 02 9000",
		}},
		{name: "acknowledgement damaged", apdu: "00b00000", want: "0102 9000", script: []string{
			"00 00 04 00b00000", "00 20 01 01", "00 90 00", "00 91 00", "00 90 00", "00 40 03 029000",
		}},
		{name: "an old block again", apdu: "00b00000", want: "01 9000", script: []string{
			"00 00 04 00b00000", "00 20 01 01", "00 90 00", "00 20 01 01", "00 92 00", "00 40 02 9000",
		}},
		{name: "waiting time damaged", apdu: "00b00000", want: "9000", script: []string{
			"00 00 04 00b00000", "bad 00 c3 01 05", "00 81 00", "00 c3 01 05", "00 e3 01 05", "00 00 02 9000",
		}},
		{name: "resynchronisation after a whole command", apdu: "00b00000", err: ErrLost, script: []string{
			"00 00 04 00b00000", mute, "00 82 00", mute, "00 82 00", mute, "00 82 00", mute, "00 c0 00", mute, "00 c0 00",
			"00 e0 00",
		}},
		{name: "resynchronisation in a chain", apdu: "000102030405", want: "9000", ifsc: 4, script: []string{
			"00 20 04 00010203", mute, "00 82 00", mute, "00 82 00", mute, "00 82 00", mute, "00 c0 00", "00 e0 00",
			"00 20 04 00010203", "00 90 00", "00 40 02 0405", "00 00 02 9000",
		}},
		{name: "not even that", apdu: "00b00000", err: ErrLost, script: []string{
			"00 00 04 00b00000", mute, "00 82 00", mute, "00 82 00", mute, "00 82 00", mute, "00 c0 00", mute, "00 c0 00", mute,
			"00 c0 00", mute,
		}},
		{name: "abort", apdu: "00b00000", err: ErrProtocol, script: []string{"00 00 04 00b00000", "00 c2 00"}},
		{name: "garbage", apdu: "00b00000", err: ErrLost, script: []string{
			"00 00 04 00b00000", "00 1f 00", "00 82 00", "00 cf 00", "00 82 00", "01 00 02 9000", "00 82 00", "00 c3 00",
			"00 c0 00", "00 e0 00",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			step := 0
			e := newT1(func(_ context.Context, block []byte, bwi byte) ([]byte, error) {
				if step+1 >= len(c.script) {
					t.Fatalf("block %x after the end of the script", block)
				}
				want := unhex(t, c.script[step])
				if want = append(want, lrc(want)); !bytes.Equal(block, want) {
					t.Fatalf("step %d: sent %x, want %x", step/2, block, want)
				}
				if c.bwi != nil && bwi != c.bwi[step/2] {
					t.Fatalf("step %d: waiting time %d, want %d", step/2, bwi, c.bwi[step/2])
				}
				answer := c.script[step+1]
				step += 2
				switch answer {
				case mute:
					return nil, &CommandError{Command: msgXfrBlock, Code: codeMute}
				case parity:
					return nil, &CommandError{Command: msgXfrBlock, Code: codeParity}
				}
				rest, bad := strings.CutPrefix(answer, "bad ")
				b := unhex(t, rest)
				b = append(b, lrc(b))
				if bad {
					b[len(b)-1] ^= 1
				}
				return b, nil
			})
			if c.ifsc > 0 {
				e.ifsc = c.ifsc
			}
			got, err := e.transmit(context.Background(), unhex(t, c.apdu))
			if c.err != nil {
				if !errors.Is(err, c.err) {
					t.Fatalf("got %x, %v", got, err)
				}
			} else if err != nil || !bytes.Equal(got, unhex(t, c.want)) {
				t.Fatalf("got %x, %v", got, err)
			}
			if step != len(c.script) {
				t.Fatalf("stopped after %d of %d steps", step/2, len(c.script)/2)
			}
		})
	}
}

// TestT1CRC: the other error detection code, in both directions.
func TestT1CRC(t *testing.T) {
	if got := crc16([]byte("123456789")); got != 0x906e { // CRC-16/X-25's check value
		t.Fatalf("got %04x", got)
	}
	e := newT1(func(_ context.Context, block []byte, _ byte) ([]byte, error) {
		if n := len(block) - 2; crc16(block[:n]) != uint16(block[n])<<8|uint16(block[n+1]) {
			t.Fatalf("block %x", block)
		}
		b := []byte{0, 0, 2, 0x90, 0}
		c := crc16(b)
		return append(b, byte(c>>8), byte(c)), nil
	})
	e.crc = true
	if got, err := e.transmit(context.Background(), []byte{0, 1, 2, 3}); err != nil || !bytes.Equal(got, []byte{0x90, 0}) {
		t.Fatalf("got %x, %v", got, err)
	}
}

func TestParseATR(t *testing.T) {
	for _, c := range []struct {
		name, atr string
		want      atr
		bad       bool
	}{
		{"ZeitControl 3.x", "3BDA18FF81B1FE751F030031F573C00160009000 1C",
			atr{t1: true, ta1: 0x18, tc1: 0xff, ifsc: 0xfe, bwiCWI: 0x75, first: 1}, false},
		{"ZeitControl 2.1", "3BDA18FF81B1FE751F030031C573C00140009000 0C",
			atr{t1: true, ta1: 0x18, tc1: 0xff, ifsc: 0xfe, bwiCWI: 0x75, first: 1}, false},
		{"Nitrokey 3", "3B8F01805D4E6974726F6B657900000000006A", atr{t1: true, ta1: 0x11, ifsc: 32, bwiCWI: 0x4d, first: 1},
			false},
		{"T=0 only", "3B021450", atr{ta1: 0x11, ifsc: 32, bwiCWI: 0x4d}, false},
		{"CRC", "3B80 81 41 01 41", atr{t1: true, ta1: 0x11, ifsc: 32, bwiCWI: 0x4d, crc: true, first: 1}, false},
		{"TA2", "3B90 95 91 81 31 FE 55 8F", atr{t1: true, ta1: 0x95, ifsc: 0xfe, bwiCWI: 0x55, first: 1, specific: true},
			false},
		{"nothing", "", atr{}, true},
		{"TS", "3A00", atr{}, true},
		{"cut in TB1", "3B21", atr{}, true},
		{"IFSC 255", "3B80 81 11 FF EF", atr{t1: true, ta1: 0x11, ifsc: 254, bwiCWI: 0x4d, first: 1}, false},
		{"check byte", "3BDA18FF81B1FE751F030031F573C00160009000 1D", atr{}, true},
		{"too long", "3B" + strings.Repeat("00", 33), atr{}, true},
	} {
		got, err := parseATR(unhex(t, c.atr))
		if (err != nil) != c.bad || err != nil && !errors.Is(err, ErrProtocol) || err == nil && got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// TestDescribe: what a reader may say of itself.
func TestDescribe(t *testing.T) {
	class := append([]byte{54, 0x21}, make([]byte, 52)...)
	class[44], class[45] = 0x0f, 0x01
	ep := []usb.Endpoint{{Address: 0x81, Type: usb.TypeBulk, MaxPacket: 64},
		{Address: 1, Type: usb.TypeBulk, MaxPacket: 64}}
	good := usb.Interface{Number: 3, Class: usb.ClassCCID, Extra: [][]byte{class}, Endpoints: ep}
	if d, err := Describe(&usb.Descriptors{Interfaces: []usb.Interface{good}}); err != nil || d.Interface != 3 ||
		d.MaxMessage != 271 {
		t.Fatalf("%+v %v", d, err)
	}
	own := good
	own.Class = 0xff
	if d, err := Describe(&usb.Descriptors{Interfaces: []usb.Interface{own}}); err != nil || d.Interface != 3 {
		t.Fatalf("a maker's own class: %+v %v", d, err)
	}
	short := bytes.Clone(class)
	short[44], short[42] = 7, 1 // 263 bytes, TPDU
	own.Extra = [][]byte{short}
	if d, err := Describe(&usb.Descriptors{Interfaces: []usb.Interface{own}}); err != nil || d.MaxMessage != 263 {
		t.Fatalf("263 bytes: %+v %v", d, err)
	}
	own.Extra = nil
	if _, err := Describe(&usb.Descriptors{Interfaces: []usb.Interface{own}}); !errors.Is(err, ErrNoReader) {
		t.Fatalf("no reader: %v", err)
	}
	if _, err := Describe(&usb.Descriptors{}); !errors.Is(err, ErrNoReader) {
		t.Fatalf("no reader: %v", err)
	}
	for name, bend := range map[string]func(*usb.Interface){
		"no class descriptor":    func(i *usb.Interface) { i.Extra = nil },
		"short class descriptor": func(i *usb.Interface) { i.Extra = [][]byte{class[:53]} },
		"no endpoints":           func(i *usb.Interface) { i.Endpoints = ep[:1] },
		"messages too short": func(i *usb.Interface) {
			short := bytes.Clone(class)
			short[44], short[45] = 20, 0
			i.Extra = [][]byte{short}
		},
	} {
		i := good
		bend(&i)
		if _, err := Describe(&usb.Descriptors{Interfaces: []usb.Interface{i}}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzATR(f *testing.F) {
	f.Add(unhex(f, "3BDA18FF81B1FE751F030031F573C001600090001C"))
	f.Add([]byte{0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseATR(b)
		if err == nil && (a.ifsc == 0 || a.ifsc == 255) {
			t.Fatalf("%+v", a)
		}
	})
}

// FuzzT1 is a card that sends what it likes: the exchange ends, and in time.
func FuzzT1(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x02\x90\x00"), 4)
	f.Add([]byte("\x04\x00\xc3\x01\x05\x05\x00\x00\x02\x90\x00"), 300)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		end := errors.New("end")
		blocks := 0
		e := newT1(func(_ context.Context, out []byte, _ byte) ([]byte, error) {
			blocks++
			if len(out) < 4 || len(out) > maxBlock || int(out[2])+4 != len(out) || lrc(out) != 0 {
				t.Fatalf("sent %x", out)
			}
			if len(b) == 0 {
				return nil, end
			}
			size := min(int(b[0]), len(b)-1)
			block := append(bytes.Clone(b[1:1+size]), lrc(b[1:1+size]))
			b = b[1+size:]
			return block, nil
		})
		apdu := make([]byte, 4+(n&0xfff))
		out, err := e.transmit(context.Background(), apdu)
		if err == nil && len(out) > maxAnswer {
			t.Fatal("too long an answer")
		}
	})
}

// fuzzDevice is a reader that sends what it likes.
type fuzzDevice struct{ b []byte }

var errEnd = errors.New("end")

func (d *fuzzDevice) Descriptors() *usb.Descriptors                           { return nil }
func (d *fuzzDevice) Claim(byte) error                                        { return nil }
func (d *fuzzDevice) Release(byte) error                                      { return nil }
func (d *fuzzDevice) Control(context.Context, usb.Setup, []byte) (int, error) { return 0, usb.ErrStall }
func (d *fuzzDevice) BulkOut(context.Context, byte, []byte) error             { return nil }
func (d *fuzzDevice) Interrupt(context.Context, byte, []byte) (int, error)    { return 0, errEnd }
func (d *fuzzDevice) Reset() error                                            { return nil }
func (d *fuzzDevice) Close() error                                            { return nil }
func (d *fuzzDevice) BulkIn(_ context.Context, _ byte, p []byte) (n int, err error) {
	if len(d.b) == 0 {
		return 0, errEnd
	}
	n = copy(p, d.b[1:min(len(d.b), 1+int(d.b[0]))])
	d.b = d.b[min(len(d.b), 1+int(d.b[0])):]
	return n, nil
}

func FuzzReader(f *testing.F) {
	ok := []byte{12, 0x80, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0x90, 0}
	f.Add(ok, uint32(ExtendedAPDU))
	f.Add(append([]byte{10, 0x80, 0, 0, 0, 0, 0, 1, 0x80, 1, 0}, ok...), uint32(ShortAPDU))
	f.Add([]byte{10, 0x80, 0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0}, uint32(TPDU))
	f.Fuzz(func(t *testing.T, b []byte, features uint32) {
		desc := Descriptor{Protocols: 3, Features: features, MaxMessage: 271, In: usb.Endpoint{Address: 0x81, MaxPacket: 64},
			Out: usb.Endpoint{Address: 1, MaxPacket: 64}}
		r := newReader(&fuzzDevice{b}, desc)
		defer r.frame.Wipe()
		ctx := context.Background()
		if c, err := r.Connect(ctx); err == nil {
			_, _ = c.Transmit(ctx, []byte{0, 0xa4, 0, 0})
		}
		c := &Conn{r: r}
		if out, err := c.Transmit(ctx, []byte{0, 0xa4, 0, 0}); err == nil && (len(out) < 2 || len(out) > maxAnswer) {
			t.Fatalf("answer of %d bytes", len(out))
		}
		if len(r.in) > 1<<18 {
			t.Fatalf("buffer of %d bytes", len(r.in))
		}
	})
}

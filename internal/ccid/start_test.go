package ccid

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// answer is the answer to reset that testdata/libccid.c gave libccid. -1: none.
func answer(ta1, ta2, first int) []byte {
	b := []byte{0x3b, 0x80}
	if ta1 >= 0 {
		b[1] |= 0x10
		b = append(b, byte(ta1))
	}
	b = append(b, 0x80|byte(first))
	if ta2 >= 0 {
		b[len(b)-1] |= 0x10
		b = append(b, byte(ta2))
	}
	b = append(b, 0x31, 0xfe, 0x45)
	return append(b, lrc(b[1:]))
}

// told is plan in the words of testdata/libccid.txt.
func told(d Descriptor, b []byte, rates []uint32) string {
	a, err := parseATR(b)
	if err != nil {
		return err.Error()
	}
	s, err := plan(d, a, rates)
	if err != nil {
		return "refused"
	}
	out := ""
	switch {
	case s.ask && s.speed == defaultSpeed:
		out = "P0111,"
	case s.ask:
		out = fmt.Sprintf("P11%02x,", s.speed)
	}
	if s.tell {
		out += fmt.Sprintf("S%02x,", s.speed)
	}
	if d.Level() == TPDU && d.proves() {
		out += "Ife,"
	}
	return out
}

// differs is what we do in another way than libccid, and why.
func differs(d Descriptor, a atr, libccid string) string {
	slow := fmt.Sprintf("S%02x,", defaultSpeed)
	auto := d.Features & (featNegotiates | featPPS)
	// libccid tells the reader a speed that a card of one speed has not.
	mute := false
	if _, s, told := strings.Cut(libccid, "S"); told && a.specific {
		var speed byte
		_, err := fmt.Sscanf(s, "%02x,", &speed)
		mute = err != nil || d.rate(speed) != d.rate(a.ta1)
	}
	if d.Level() != TPDU {
		switch {
		case a.first != 1, libccid == "refused", mute:
			return "" // the reader may know better
		case auto == 0 && !a.specific:
			return slow // a PPS is no APDU
		}
		return libccid
	}
	if mute {
		return "refused"
	}
	if auto == 0 && d.Features&featAutoIFSD != 0 && libccid != "refused" {
		return libccid + "Ife," // libccid does not ask whether anybody is there
	}
	return libccid
}

// TestAsLibccid: for every answer to reset and every kind of reader, card and reader are
// told what libccid tells them.
func TestAsLibccid(t *testing.T) {
	text, err := os.ReadFile("testdata/libccid.txt")
	if err != nil {
		t.Fatal(err)
	}
	table := []uint32{10752, 21505, 43011, 86022, 172043, 344086, 125000, 250000, 62500}
	kinds := []struct {
		clock, max uint32
		rates      []uint32
	}{{4000, 344086, nil}, {4000, 344086, table}, {3580, 9624, nil}, {4800, 154839, nil}}
	var ranges, whole []string
	cases := 0
	for word := range strings.FieldsSeq(uncommented(string(text))) {
		switch {
		case word == "=":
			ranges, whole = nil, nil
			continue
		case strings.Contains(word, ":"):
			ranges = append(ranges, word)
			continue
		case whole == nil:
			whole = byTA1(t, ranges)
		}
		var features uint32
		var ta2, first, rate int
		if _, err := fmt.Sscanf(word, "%x/%d/%d/%d", &features, &ta2, &first, &rate); err != nil {
			t.Fatalf("%q: %v", word, err)
		}
		k := kinds[rate]
		d := Descriptor{Features: features, Protocols: 3, Clock: k.clock, MaxRate: k.max, MaxMessage: 271, MaxIFSD: 254}
		for ta1 := -1; ta1 < 256; ta1++ {
			b := answer(ta1, ta2, first)
			a, _ := parseATR(b)
			want := differs(d, a, strings.ReplaceAll(whole[ta1+1], "==", fmt.Sprintf("%02x", ta1&0xff)))
			got := told(d, b, k.rates)
			if got != want {
				t.Fatalf("features %05x, TA1 %02x, TA2 %02x, T=%d, rates %d: %q, libccid %q, want %q", features, ta1, ta2, first,
					rate, got, whole[ta1+1], want)
			}
			// No other bit of dwFeatures changes anything.
			for _, more := range []uint32{0x02, 0x04, 0x08, 0x10, 0x20, 0x100, 0x200, 0x800, 0x33a} {
				d := d
				if d.Features |= more; ta1 == 0x18 && told(d, b, k.rates) != want {
					t.Errorf("features %05x: %q, without %03x %q", d.Features, told(d, b, k.rates), more, want)
				}
			}
			cases++
		}
	}
	if cases != 768*257 {
		t.Errorf("%d cases", cases)
	}
}

// uncommented is a file without its comments.
func uncommented(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if line[0] != '#' {
			out.WriteString(line)
		}
	}
	return out.String()
}

// byTA1 expands ranges such as "08:P11==,S==,": by TA1+1.
func byTA1(t *testing.T, ranges []string) []string {
	t.Helper()
	out := make([]string, 257)
	for _, r := range ranges {
		from, what, _ := strings.Cut(r, ":")
		at := 0
		if from != "none" {
			n, err := strconv.ParseUint(from, 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			at = int(n) + 1
		}
		if what == "-" {
			what = ""
		}
		for i := at; i < len(out); i++ {
			out[i] = what
		}
	}
	return out
}

package uniseg

import (
	"slices"
	"strings"
	"testing"
)

func TestClusters(t *testing.T) {
	for text, want := range map[string][]string{
		"":                      nil,
		"abc":                   {"a", "b", "c"},
		"Schlu\u0308ssel":       {"S", "c", "h", "l", "u\u0308", "s", "s", "e", "l"},
		"a\r\nb\n":              {"a", "\r\n", "b", "\n"},
		"\u0301x":               {"\u0301", "x"},
		"\xff\xfea":             {"\xff", "\xfe", "a"},
		"\n\u0301":              {"\n", "\u0301"},
		"日本":                    {"日", "本"},
		"a\u0301\u0323\ufe0f b": {"a\u0301\u0323\ufe0f", " ", "b"},
	} {
		var got []string
		for rest, state := text, -1; rest != ""; {
			var c string
			c, rest, _, state = FirstGraphemeClusterInString(rest, state)
			got = append(got, c)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

func TestWidths(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "ok": 2, "größe": 5, "u\u0308": 1, "日本": 4, "│─┐█": 4, "a\x00b\x7f": 2, "한글": 4, "ｆ": 2, "»€ß": 3, "\xff": 1,
		"🙂": 2,
	} {
		if got := StringWidth(text); got != want {
			t.Errorf("%q takes %d cells, not %d", text, got, want)
		}
	}
}

func TestBreaks(t *testing.T) {
	for text, want := range map[string]string{
		"one two":  "one |two!",
		"one  two": "one  |two!",
		"a-b\nc":   "a-|b\n!c!",
		"end":      "end!",
	} {
		var got strings.Builder
		for rest, state := text, -1; rest != ""; {
			var c string
			var b int
			c, rest, b, state = StepString(rest, state)
			got.WriteString(c + map[int]string{LineDontBreak: "", LineCanBreak: "|", LineMustBreak: "!"}[b&MaskLine])
		}
		if got.String() != want {
			t.Errorf("%q: %q, not %q", text, &got, want)
		}
	}
}

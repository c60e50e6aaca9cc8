package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsASecret(t *testing.T) {
	b := From([]byte("marker-4711"))
	defer b.Wipe()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", b)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", b)
	js, err := json.Marshal(map[string]any{"s": b})
	if err != nil {
		t.Fatal(err)
	}
	out := log.String() + string(js) + fmt.Sprintf("%v %s %q %x %d %+v %#v", b, b, b, b, b, b, b) +
		fmt.Sprint(struct{ S *Buffer }{b})
	if strings.Contains(out, "4711") || strings.Contains(out, "34373131") {
		t.Fatalf("the secret was printed: %s", out)
	}
	if !strings.Contains(out, redacted) {
		t.Fatalf("nothing was redacted: %s", out)
	}
}

func TestFromWipesItsSource(t *testing.T) {
	p := []byte("abc")
	b := From(p)
	if !bytes.Equal(p, make([]byte, 3)) || string(b.Bytes()) != "abc" {
		t.Fatalf("source %q, secret %q", p, b.Bytes())
	}
	b.Wipe()
	b.Wipe()
	if b.Len() != 0 || b.Bytes() != nil && len(b.Bytes()) != 0 {
		t.Fatal("a wiped secret still has bytes")
	}
}

func TestReadLimits(t *testing.T) {
	b, err := Read(strings.NewReader("12345"), 5)
	if err != nil || string(b.Bytes()) != "12345" {
		t.Fatalf("%v %v", b.Len(), err)
	}
	if _, err := Read(strings.NewReader("123456"), 5); !errors.Is(err, ErrTooLong) {
		t.Fatalf("got %v", err)
	}
	b.SetLen(2)
	if string(b.Bytes()) != "12" || string(b.mem[:5]) != "12\x00\x00\x00" {
		t.Fatal("SetLen left bytes behind")
	}
}

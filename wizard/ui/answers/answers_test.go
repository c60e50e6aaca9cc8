package answers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"reown/internal/secret"
	"reown/wizard/ui"
)

func TestParse(t *testing.T) {
	m, err := Parse([]byte(`{"language": "de", "name": "Ada \"L\""}`))
	if err != nil || m["language"] != "de" || m["name"] != `Ada "L"` {
		t.Fatal(m, err)
	}
	for _, bad := range []string{"", "[]", `{"a":1}`, `{"a":"1","a":"2"}`, `{"a":"1"} x`, `{"a":"1"}{}`, `{"a":{"b":"c"}}`, `{"a":"1"`, strings.Repeat(" ", MaxFile+1) + "{}"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
}

func TestSecretsComeBackAsTheyWere(t *testing.T) {
	s := &Secrets{}
	for k, v := range map[string]string{"secret.disk": "couch relic", "secret.user": `a"b\c` + "\t\x01ü", "totp": ""} {
		b := secret.From([]byte(v))
		s.Set(k, b)
		b.Wipe()
	}
	doc := s.Document()
	std := map[string]string{}
	if err := json.Unmarshal(doc.Bytes(), &std); err != nil {
		t.Fatal(err)
	}
	back, err := ParseSecrets(doc)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range std {
		if got := string(back.Get(k).Bytes()); got != v || got != string(s.Get(k).Bytes()) {
			t.Errorf("%s: %q, encoding/json has %q", k, got, v)
		}
	}
	s.Wipe()
	if s.Get("totp") != nil {
		t.Error("a wiped set has secrets")
	}
}

// What we accept, the standard library accepts, and reads the same.
func FuzzParseSecrets(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":"b"}`, `{"a":"\u0041\n","b":""}`, `{"a":"b",}`, `{"a" "b"}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > MaxFile {
			return
		}
		in := secret.From(bytes.Clone(data))
		defer in.Wipe()
		s, err := ParseSecrets(in)
		if err != nil {
			return
		}
		defer s.Wipe()
		m := map[string]string{}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatalf("%q was taken: %v", data, err)
		}
		for i, n := range s.names {
			// encoding/json replaces what is no UTF-8; a passphrase is bytes.
			if want, ok := m[n]; ok && !strings.ContainsRune(want, '\ufffd') && want != string(s.bufs[i].Bytes()) {
				t.Fatalf("%q: %q, want %q", n, s.bufs[i].Bytes(), want)
			}
		}
	})
}

type refusing struct{}

var errFull = errors.New("disk full")

func (refusing) Replace(*secret.Buffer) error { return errFull }

func TestSecretsAreHandedOverBeforeTheyAreUsed(t *testing.T) {
	s := secret.From([]byte("couch relic"))
	used := false
	p := &ui.Page{Key: "record.disk", Preset: ui.Continue, Choices: []ui.Choice{{ID: ui.Continue, Checks: true}},
		Made: []ui.Named{{Key: "secret.disk", Secret: s}}, Auto: func() error { used = true; return nil }}
	for _, u := range []*UI{{}, {Out: refusing{}}} {
		if _, err := u.Ask(context.Background(), p); !errors.Is(err, ErrNoSink) && !errors.Is(err, errFull) || used {
			t.Errorf("%v, used: %v", err, used)
		}
	}
}

func TestACircleEnds(t *testing.T) {
	u := &UI{Answers: map[string]string{"x": "again"}}
	p := &ui.Page{Key: "x", Choices: []ui.Choice{{ID: "again"}}}
	for range 100 {
		if _, err := u.Ask(context.Background(), p); errors.Is(err, ErrCircle) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Error("no end")
}

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
	for _, bad := range []string{"", "[]", `{"a":1}`, `{"a":"1","a":"2"}`, `{"a":"1"} x`, `{"a":"1"}{}`, `{"a":{"b":"c"}}`,
		`{"a":"1"`, strings.Repeat(" ", MaxFile+1) + "{}"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
}

func TestSecretsComeBackAsTheyWere(t *testing.T) {
	s := set(map[string]string{"secret.disk": "couch relic", "secret.user": `a"b\c` + "\t\x01ü", "totp": ""})
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
	for _, s := range []string{`{}`, `{"a":"b"}`, `{"a":"\u0041\n","b":""}`, `{"a":"b",}`, `{"a" "b"}`, "{\"a\":\"\xff\"}",
		`{"a":"\ud800"}`} {
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

// Interrupted twice between its new passphrase and its new key, a disk opens with the
// one before the last. Somebody who kept only the newest file goes on all the same.
func TestTheNewestFileAlwaysOpensTheDisk(t *testing.T) {
	seller, first, second := "seller's", "the first", "the second"
	for _, c := range []struct {
		name  string
		opens []string // each disk, in the order of the questions
		made  string
	}{
		{"set", []string{first}, second},
		{"one set", []string{first, seller}, second},
		{"they differ", []string{second, first}, "the third"},
		{"not set", []string{seller}, first},
	} {
		t.Run(c.name, func(t *testing.T) {
			known := map[string]string{"secret.current": seller, "secret.disk": first}
			if c.name == "they differ" {
				known["secret.disk"], known["secret.earlier"] = second, first
			}
			for range 3 { // each time cut before the disks are touched
				u := &UI{Secrets: set(known), Out: newest(known)}
				for _, opens := range c.opens {
					in := &ui.Input{Key: "secret.current", Secret: secret.New(64)}
					p := &ui.Page{Key: "current", Preset: ui.Continue, Inputs: []*ui.Input{in},
						Choices: []ui.Choice{{ID: ui.Continue, Checks: true}},
						Check: func(context.Context) error {
							if string(in.Secret.Bytes()) != opens {
								return ui.Problem("no")
							}
							return nil
						}}
					if _, err := u.Ask(t.Context(), p); err != nil {
						t.Fatalf("%q: %v, known: %q", opens, err, known)
					}
				}
				made := secret.From([]byte(c.made))
				p := &ui.Page{Key: "record.disk", Preset: ui.Continue, Choices: []ui.Choice{{ID: ui.Continue, Checks: true}},
					Made: []ui.Named{{Key: "secret.disk", Secret: made}}}
				if _, err := u.Ask(t.Context(), p); err != nil {
					t.Fatal(err)
				}
				if known["secret.disk"] != c.made {
					t.Fatalf("handed out: %q", known)
				}
				u.Close()
			}
		})
	}
}

func set(m map[string]string) *Secrets {
	s := &Secrets{}
	for k, v := range m {
		b := secret.From([]byte(v))
		s.Set(k, b)
		b.Wipe()
	}
	return s
}

// newest forgets what the file before had, but for what the seller gave.
type newest map[string]string

func (n newest) Replace(doc *secret.Buffer) error {
	seller := n["secret.current"]
	clear(n)
	n["secret.current"] = seller
	return json.Unmarshal(doc.Bytes(), (*map[string]string)(&n))
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

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":"b"}`, `{"a":"b","a":"c"}`, `{"a":1}`, `{"a":"b"} {}`, `{"a":{"b":"c"}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := Parse(data); (err == nil) != (m != nil) {
			t.Fatalf("%v, %v", err, m)
		}
	})
}

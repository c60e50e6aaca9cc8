package answers

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"reown/internal/secret"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// paper is where the secrets that are made go: the person's own paper.
type paper struct{ *wizardtest.Person }

// Replace implements Sink.
func (p paper) Replace(doc *secret.Buffer) error {
	m := map[string]string{}
	if err := json.Unmarshal(doc.Bytes(), &m); err != nil {
		return err
	}
	for k, v := range m {
		p.Paper[strings.TrimPrefix(k, "secret.")] = v
	}
	return nil
}

// beforehand is a front end whose answers were given before the run: what the person
// would say, and what is on their paper.
func beforehand(p *wizardtest.Person) *UI {
	u := &UI{Answers: map[string]string{"verify": "match", "name": "Ada Lovelace", "email": "ada@example.org",
		"signer": p.W.Seller.SellerKey()}, Secrets: &Secrets{}, Out: paper{p}}
	for _, k := range []string{"confirm", "unproven-serial", "anew-serial", "names-serial"} {
		u.Answers[k] = "NL0T"
	}
	u.Answers["card-serial"] = p.W.Serial[4:]
	for page, ids := range p.Say {
		u.Answers[page] = strings.Fields(ids)[0]
	}
	set := func(key, text string) {
		b := secret.From([]byte(text))
		defer b.Wipe()
		u.Secrets.Set(key, b)
	}
	set("secret.current", wizardtest.SellerPassphrase)
	for k, v := range p.Paper {
		set("secret."+k, v)
	}
	return u
}

// Every conversation that can be held beforehand is, in each language, with the pages
// that it has without any front end. The others end with an error about an answer,
// and nothing has been changed.
func TestEveryConversationBeforehand(t *testing.T) {
	for _, lang := range []string{"en", "fr", "de"} {
		for i := range wizardtest.Conversations {
			c := &wizardtest.Conversations[i]
			if c.Pause != "" {
				continue // nobody is there to ask for it
			}
			t.Run(lang+"/"+c.Name, func(t *testing.T) {
				p := wizardtest.NewPerson(wizardtest.New())
				if p.Paper = map[string]string{}; c.Say["secrets"] == "own" {
					for _, k := range []string{"disk", "user", "admin", "owner"} {
						p.Paper[k] = "couch-relic-" + k
					}
				}
				var log strings.Builder
				err := c.Talk(p, lang, func() ui.UI {
					log.Reset()
					u := beforehand(p)
					u.Log = &log
					return u
				})
				if c.NotGiven != "" {
					var bad *ui.BadAnswerError
					var missing *ui.MissingAnswerError
					if !errors.As(err, &bad) && !errors.As(err, &missing) {
						t.Errorf("%s, and the run says %v\n%s", c.NotGiven, err, log.String())
					}
					return
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, log.String())
				}
				var pages []string
				for l := range strings.Lines(log.String()) {
					if key, ok := strings.CutPrefix(strings.TrimSpace(l), "page "); ok {
						pages = append(pages, key)
					}
				}
				if want, err := c.Pages(lang); err != nil || !slices.Equal(pages, want) {
					t.Errorf("the pages\n%v, want\n%v %v", pages, want, err)
				}
				for what, s := range p.Paper {
					if strings.Contains(log.String(), s) {
						t.Errorf("the log has the secret %s", what)
					}
				}
			})
		}
	}
}

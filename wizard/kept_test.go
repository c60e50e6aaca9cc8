package wizard_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// TestPaperStaysTrue: the power fails when the TPM is cleared and has nobody's passphrase yet. The next start
// takes the one that is on paper, which is the TPM's at the end; or it makes a new one, and says of the other,
// and of the phone's entry, that they do not count. The two entries have two names.
func TestPaperStaysTrue(t *testing.T) {
	for _, keep := range []bool{true, false} {
		w, p := wizardtest.New(), newPaper()
		if err := wizard.OpenRun(t.Context(), w.Machine()); err != nil {
			t.Errorf("before a run: %v", err)
		}
		w.Fault = func(op string) error {
			if op == "tpm.owner" {
				return wizardtest.ErrCut
			}
			return nil
		}
		if err := unattended(w, p, map[string]string{"failed": "end"}); !errors.Is(err, wizardtest.ErrCut) {
			t.Fatal(err)
		}
		first, phone := p.last["secret.owner"], p.last["totp"]
		w.Reboot()
		var open *wizard.RunOpenError
		if err := wizard.OpenRun(t.Context(), w.Machine()); !errors.As(err, &open) ||
			!strings.EqualFold(open.Owner, w.Fprs[0]) {
			t.Errorf("half done: %v, the card has %s", err, w.Fprs[0])
		}
		w.Clock = w.Clock.Add(7 * time.Minute)
		extra, pages := map[string]string{}, map[string]*ui.Page{}
		if keep {
			extra["record.owner"] = "paper"
		}
		u := watched{yes(w, p, extra), func(pg *ui.Page) { pages[pg.Key] = pg }, func(ui.Tasks) {}}
		err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{})
		u.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := wizard.OpenRun(t.Context(), w.Machine()); err != nil {
			t.Errorf("finished: %v", err)
		}
		if w.Owner == "" || (w.Owner == first) != keep {
			t.Errorf("keeping %v: the TPM has %q, the first paper %q", keep, w.Owner, first)
		}
		text := func(key string) (all string) {
			if pages[key] == nil {
				t.Fatalf("no page %s", key)
			}
			for _, b := range pages[key].Body {
				all += b.Text + "\n"
			}
			return all
		}
		if s := text("record.owner"); !strings.Contains(s, "cross the older one out") ||
			!strings.Contains(s, "TPM PASSPHRASE") {
			t.Errorf("nothing says what becomes of the paper:\n%s", s)
		}
		if keep && !strings.Contains(text("choose.owner"), "Type from your paper: TPM PASSPHRASE") {
			t.Errorf("the page that asks for it:\n%s", text("choose.owner"))
		}
		now := w.Clock.Format("2006-01-02 15.04")
		if s := text("totp"); p.last["totp"] == phone || !strings.Contains(s, now) ||
			!strings.Contains(s, "Delete an older entry") {
			t.Errorf("the phone's page:\n%s", s)
		}
		if slices.Contains(p.seen, "") {
			t.Error("an empty secret was handed out")
		}
	}
}

// TestOnlyWhatIs: of the chip's other content the last page says what there is, and no zeros.
func TestOnlyWhatIs(t *testing.T) {
	for want, change := range map[string]wizard.FirmwareChange{
		"":                  {},
		"settings kept: 1.": {Taken: []string{"CONFIG_X=y"}},
		"files removed: 1, s": {Removed: []string{"heads/initrd/etc/motd"},
			Dropped: []wizard.DroppedSetting{{Line: "x", Why: "command"}}},
		"they start anew":      {LostConfig: true},
		"settings removed: 1.": {Dropped: []wizard.DroppedSetting{{Line: "x", Why: "command"}}},
	} {
		w, p, text := wizardtest.New(), newPaper(), ""
		w.Change = change
		u := watched{yes(w, p, nil), func(pg *ui.Page) {
			for _, b := range pg.Body {
				if pg.Key == "check" {
					text += b.Text + "\n"
				}
			}
		}, func(ui.Tasks) {}}
		if err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, want) || strings.Contains(text, ": 0") || want == "" &&
			strings.Contains(text, "F2 lists") {
			t.Errorf("%+v: %q is not said, or too much:\n%s", change, want, text)
		}
	}
}

// TestLanguageIsChanged: the last page leads to the language, too, and from there straight back.
func TestLanguageIsChanged(t *testing.T) {
	w := wizardtest.New()
	p := wizardtest.NewPerson(w)
	p.Say = map[string]string{"language": "en de", "check": "change", "change": "language"}
	if err := wizardtest.Run(w, wizardtest.Bare(p), ""); err != nil {
		t.Fatal(err)
	}
	i := slices.Index(p.Pages, "change")
	if got := p.Pages[i:min(i+3, len(p.Pages))]; !slices.Equal(got, []string{"change", "language", "check"}) {
		t.Errorf("the way was %v", p.Pages)
	}
}

// TestLeavingSaysWhatIsNoted: who leaves before the page with the phone's code has no entry to delete; on it
// and after it the entry is called by its name.
func TestLeavingSaysWhatIsNoted(t *testing.T) {
	w, p := wizardtest.New(), newPaper()
	noted, phone := 0, 0
	u := watched{yes(w, p, nil), func(pg *ui.Page) {
		if pg.Leaving == "" {
			return
		}
		at := strings.Contains(pg.Leaving, "your phone has the entry of "+w.Clock.UTC().Format("2006-01-02"))
		switch {
		case pg.Key == "totp" || phone > 0 && pg.Key == "check":
			if phone++; !at {
				t.Errorf("%s: %s", pg.Key, pg.Leaving)
			}
		case phone == 0:
			if noted++; strings.Contains(pg.Leaving, "phone") {
				t.Errorf("%s: %s", pg.Key, pg.Leaving)
			}
		}
	}, func(ui.Tasks) {}}
	defer u.Close()
	if err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{}); err != nil {
		t.Fatal(err)
	}
	if noted == 0 || phone == 0 {
		t.Errorf("%d pages before the phone's, %d from it on", noted, phone)
	}
}

// TestYesHasItsLetter: who reads "Ja" presses j. No page has two buttons under one letter.
func TestYesHasItsLetter(t *testing.T) {
	for lang, want := range map[string]rune{"en": 'y', "de": 'j', "fr": 'o', "es": 's', "it": 's', "nl": 'j'} {
		w, p := wizardtest.New(), newPaper()
		seen := 0
		u := watched{yes(w, p, map[string]string{"language": lang}), func(pg *ui.Page) {
			letters := map[rune]string{}
			for _, c := range pg.Choices {
				if letters[c.Letter] != "" && c.Letter != 0 {
					t.Errorf("%s, %s: %q and %q are both under %c", lang, pg.Key, letters[c.Letter], c.Label, c.Letter)
				}
				letters[c.Letter] = c.Label
				if pg.Key == "verify" && c.ID == "match" || pg.Key == "duk" && c.ID == "yes" {
					if seen++; c.Letter != want {
						t.Errorf("%s, %s: %q is under %c", lang, pg.Key, c.Label, c.Letter)
					}
				}
			}
		}, func(ui.Tasks) {}}
		err := wizard.Run(t.Context(), w.Machine(), u, wizard.Options{})
		u.Close()
		if err != nil || seen == 0 {
			t.Errorf("%s: %v, %d buttons", lang, err, seen)
		}
	}
}

package wizard_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// manyEntries needs more than one page for its boot menu.
func manyEntries(w *wizardtest.World) {
	for i := range 12 {
		w.Entries = append(w.Entries, fmt.Sprintf("Kernel %d", i))
	}
}

// scenes are the laptops on which everything in the table can happen.
func scenes(t *testing.T) (all []*scene) {
	en := wizard.Options{Language: "en"}
	gone := map[bool]map[string]bool{}
	add := func(s *scene) {
		if gone[s.begun] == nil {
			gone[s.begun] = map[string]bool{}
		}
		s.chart = &chart{leads: map[string]map[string]string{}, order: map[string][]string{}, ended: gone[s.begun]}
		all = append(all, s)
	}
	fresh := func(all ...func(*wizardtest.World)) *wizardtest.World {
		w := wizardtest.New()
		for _, does := range all {
			does(w)
		}
		return w
	}
	two := func(w *wizardtest.World) { w.AddDisk("22222222-bbbb", "S64DNL0U") }
	stranger := func(w *wizardtest.World) {
		w.Seller.Chain = append(w.Seller.Chain,
			wizard.Transfer{From: strings.Repeat("9", 40), Name: "Consultant", Date: "2026-11-09"})
	}
	blank := func(w *wizardtest.World) {
		w.CardState = wizardtest.CardState{CardIn: true, Serial: w.Serial, UserPIN: "123456", AdminPIN: "12345678",
			Tries: [3]int{3, 0, 3}}
	}
	fault := func(w *wizardtest.World, r *rand.Rand) {
		n, err := 1+r.IntN(12), []error{errors.New("device error"), wizardtest.ErrCut, wizard.ErrRestart}[r.IntN(3)]
		w.Fault = func(string) error {
			if n--; n == 0 {
				return err
			}
			return nil
		}
	}
	// troubles put something in the way, and take it away again.
	troubles := func(w *wizardtest.World, page string, n int) {
		if page == "problems" && n%3 == 0 {
			w.PowerState.Mains, w.PowerState.Percent, w.Clock = true, 80, time.Date(2026, 11, 22, 17, 41, 0, 0, time.UTC)
			w.Refuses = nil
		}
	}
	trouble := func(w *wizardtest.World, _ *rand.Rand) {
		w.PowerState.Mains, w.PowerState.Percent, w.Clock = false, 10, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		w.Refuses = map[string]*wizard.Finding{"boot.0": {Kind: wizard.EntryRefuses, Args: []any{"Debian", "gone"}}}
	}
	moves := wizard.Options{Language: "en", Keyboard: moving{&keyboard{now: "us"}}}

	// The questions.
	add(&scene{name: "fresh", world: fresh(two, stranger, manyEntries),
		options: wizard.Options{Keyboard: moving{&keyboard{now: "us", fail: true}}}, talk: true})
	add(&scene{name: "no card", world: fresh(func(w *wizardtest.World) { w.CardIn = false }), options: en, talk: true,
		at: func(w *wizardtest.World, page string, n int) { w.CardIn = w.CardIn || page == "card" && n > 1 }})
	add(&scene{name: "troubles", world: fresh(), options: en, talk: true, begin: trouble, at: troubles})
	add(&scene{name: "recovery", world: fresh(func(w *wizardtest.World) { w.Recovery = true }), options: en, talk: true})
	add(&scene{name: "left to the firmware", world: fresh(func(w *wizardtest.World) { w.Modules = true }), options: en,
		talk: true})
	add(&scene{name: "works elsewhere", world: fresh(func(w *wizardtest.World) {
		w.Fprs = [3]string{strings.Repeat("E",
			40)}
		w.Serial = "0BADCAFE"
	}),
		options: en, talk: true})

	plain, paper := film(t, fresh(two), nil)
	duk, dukPaper := film(t, fresh(manyEntries), map[string]string{"duk": "yes", "backup": "stick"})
	spare, sparePaper := film(t, fresh(), map[string]string{"backup": "card"})
	done := plain[len(plain)-1].now

	begun := before(t, plain, "disk.addslot")
	add(&scene{name: "begun", world: begun, paper: paper, options: moves, talk: true})
	add(&scene{name: "half, troubles", begun: true, world: before(t, duk, "tpm.clear"), paper: dukPaper, options: moves,
		talk: true, begin: trouble, at: troubles})
	add(&scene{name: "half", begun: true, world: before(t, plain, "tpm.clear"), paper: paper, options: moves, talk: true})
	add(&scene{name: "late", begun: true, world: before(t, duk, "boot.stage"), paper: dukPaper, options: moves,
		talk: true})
	// Somebody exchanges the security key while the questions are asked.
	for _, o := range []wizard.Options{moves, en} {
		add(&scene{name: "exchanged", begun: true, world: before(t, duk, "disk.chunk"), paper: dukPaper, options: o,
			talk:  true,
			begin: func(w *wizardtest.World, r *rand.Rand) { w.Modules = r.IntN(2) == 0 },
			at: func(w *wizardtest.World, page string, n int) {
				if page == "keyboard" {
					blank(w)
				}
			}})
		add(&scene{name: "blocked", begun: true, world: before(t, duk, "tpm.clear"), paper: dukPaper, options: o, talk: true,
			says:  map[string]string{"backup": "stick"},
			begin: func(w *wizardtest.World, r *rand.Rand) { w.Tries[r.IntN(2)*2], w.Modules = 0, r.IntN(2) == 0 },
			at: func(w *wizardtest.World, page string, n int) {
				if page == "blocked" && n == 2 {
					blank(w)
				}
			}})
	}
	// A header of before, too, so that all is as the seller's last word has it.
	headers := before(t, plain, "disk.end").Clone()
	stranger(headers)
	for _, v := range headers.Disks {
		v.NewKey, v.Done = "", 0
	}
	add(&scene{name: "exchanged, and back", begun: true, world: headers, paper: paper, options: en, talk: true,
		at: func(w *wizardtest.World, page string, n int) {
			if page == "keyboard" {
				blank(w)
			}
		}})
	add(&scene{name: "blocked, and another", begun: true, world: before(t, spare, "boot.stage"), paper: sparePaper,
		options: moves, talk: true,
		begin: func(w *wizardtest.World, r *rand.Rand) { w.Tries[0] = 0 },
		at: func(w *wizardtest.World, page string, n int) {
			if page == "blocked" {
				w.Tries[0] = 3
			}
		}})

	// What belongs to no run.
	tampered := done.Clone()
	tampered.Oem = true
	add(&scene{name: "tampered", world: tampered, options: en, talk: true})
	closing := before(t, plain, "boot.oem")
	add(&scene{name: "closing", begun: true, world: closing, paper: paper, options: en, talk: true})
	lost := func(does func(*wizardtest.World) error) *scene {
		w := done.Clone()
		return &scene{name: "lost key", world: w, paper: paper, says: map[string]string{"verify": "unproven"},
			options: wizard.Options{Language: "en", LostKey: func(context.Context) error { return does(w) }}}
	}
	add(lost(func(*wizardtest.World) error { return nil }))
	asks := lost(func(*wizardtest.World) error { return nil })
	asks.talk = true
	add(asks)
	add(lost(func(*wizardtest.World) error { return errors.New("/boot is full") }))
	later := lost(func(*wizardtest.World) error { return nil })
	later.begin = func(w *wizardtest.World, _ *rand.Rand) { w.Recovery = true }
	add(later)

	// The work.
	add(&scene{name: "the TPM wants a restart", world: fresh(), options: en,
		at: func(w *wizardtest.World, page string, n int) {
			if page == "check" {
				w.Refuses = map[string]*wizard.Finding{"tpm": {Kind: wizard.TPMPresence, Err: wizard.ErrRestart}}
			}
		}})
	add(&scene{name: "its files are gone", begun: true, world: before(t, duk, "tpm.seal"), paper: dukPaper, options: en,
		begin: func(w *wizardtest.World, _ *rand.Rand) {
			w.Fault = func(string) error {
				w.Refuses = map[string]*wizard.Finding{"boot.0": {Kind: wizard.EntryRefuses, Args: []any{"Debian", "gone"}}}
				return nil
			}
		}})
	add(&scene{name: "the stick is gone", world: fresh(), options: en, says: map[string]string{"backup": "stick"},
		at: func(w *wizardtest.World, page string, n int) {
			switch {
			case page == "check":
				w.StickIn = false
			case page == "plug.stick":
				w.StickIn = n%3 == 0
			}
		}})
	for _, op := range []string{"tpm.clear", "boot.stage"} {
		add(&scene{name: "later", begun: true, world: before(t, duk, op), paper: dukPaper, options: en,
			begin: func(w *wizardtest.World, _ *rand.Rand) { w.Recovery = true }})
	}
	add(&scene{name: "another is shown", world: fresh(), options: en, begin: func(w *wizardtest.World, _ *rand.Rand) {
		w.Fault = func(string) error {
			w.Fault = nil
			swap(w, "plug.spare")
			return nil
		}
	}, at: func(w *wizardtest.World, page string, n int) {
		if n == 2 {
			swap(w, page)
		}
	}})
	ops := []string{"", "card.activate", "disk.addslot", "tpm.clear", "tpm.seal", "duk.addslot", "boot.stage",
		"flash.block.0", "boot.install"}
	for _, op := range ops {
		for _, f := range []struct {
			film  []filmed
			paper []string
			says  map[string]string
		}{{duk, dukPaper, map[string]string{"duk": "yes", "backup": "stick"}},
			{spare, sparePaper, map[string]string{"backup": "card"}}} {
			w := f.film[0].now
			if op == "duk.addslot" && f.says["duk"] == "" {
				continue
			}
			if op != "" {
				w = before(t, f.film, op)
			}
			s := &scene{name: "work", begun: op != "", world: w, paper: f.paper, options: en, begin: fault, says: f.says}
			if op == "" {
				s.name = "work from the beginning"
			}
			s.at = func(w *wizardtest.World, page string, n int) {
				if n%2 == 0 {
					swap(w, page)
					w.StickIn = true
				}
			}
			add(s)
		}
	}
	for range 3 {
		add(&scene{name: "disk", begun: true, world: before(t, duk, "disk.chunk"), paper: dukPaper, options: en,
			begin: fault})
	}
	for _, op := range []string{"tpm.clear", "disk.chunk"} {
		add(&scene{name: "blocked, and another", begun: true, world: before(t, duk, op), paper: dukPaper, options: en,
			talk:  true,
			begin: func(w *wizardtest.World, r *rand.Rand) { w.Tries[r.IntN(2)*2] = 0 },
			says:  map[string]string{"backup": "stick"},
			at: func(w *wizardtest.World, page string, n int) {
				if page == "blocked" {
					w.Tries = [3]int{3, 0, 3}
				}
				if page == "totp" && n == 1 {
					blank(w)
				}
			}})
	}
	add(&scene{name: "blocked, exchanged, and a change of mind", begun: true, world: before(t, duk, "tpm.clear"),
		paper: dukPaper, options: en,
		begin: func(w *wizardtest.World, _ *rand.Rand) { w.Tries[0] = 0 },
		at: func(w *wizardtest.World, page string, n int) {
			if page == "blocked" {
				blank(w)
			}
		},
		says: map[string]string{"verify": "unproven", "backup": "stick", "record.owner#1": ui.Back,
			"record.backup#2": ui.Back}})

	// A lost key, and start files that differ from what it has signed.
	differs := func(w *wizardtest.World, _ *rand.Rand) { w.Files = "changed" }
	for _, talk := range []bool{false, true} {
		s := lost(func(*wizardtest.World) error { return nil })
		s.begin, s.talk = differs, talk
		add(s)
		for _, blocks := range []bool{false, true} {
			w := before(t, duk, "tpm.clear")
			add(&scene{name: "lost key, and a run was begun", begun: true, world: w, paper: dukPaper, talk: talk,
				says:    map[string]string{"verify": "unproven"},
				options: wizard.Options{Language: "en", LostKey: func(context.Context) error { return nil }},
				begin: func(w *wizardtest.World, r *rand.Rand) {
					if differs(w, r); blocks {
						w.Tries[0] = 0
					}
				},
				at: func(w *wizardtest.World, page string, n int) {
					if page == "blocked" {
						w.Tries[0] = 3
					}
				}})
		}
	}
	return all
}

// moving is a keyboard on which everything lies elsewhere.
type moving struct{ *keyboard }

func (moving) Moves([]byte) bool { return true }

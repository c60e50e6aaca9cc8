package wizardtest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"reown/internal/keymap"
	"reown/internal/otp"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui"
)

// A Conversation is one way in which a person and the wizard can talk. Together they
// show every page; the tests of every front end have all of them.
type Conversation struct {
	Name  string
	World func(*World)      // what is special about the laptop; nil: nothing
	Say   map[string]string // choices by page, one for each time it is shown; then, and on other pages: the way on
	Asks  bool              // the language is asked for
	Cut   string            // a first run ends at this named write, and this is the second
	First map[string]string // choices in the first run
	Keep  string            // a page that looks different here
	Then  func(*World)      // what happens to the laptop between the runs
	Pause string            // the person asks for a pause at this named write
	Want  error             // how it ends; nil: the laptop is its owner's
	// NotGiven is why an answers file cannot say it: the run then ends with
	// an error about the answers. "" means that it can.
	NotGiven string
}

// Conversations is the table.
var Conversations = []Conversation{
	{Name: "journey"},
	{Name: "language", Asks: true, Say: map[string]string{"language": "en"}},
	{Name: "layout", Say: map[string]string{"keyboard": "de"}},
	{Name: "no-layout", Say: map[string]string{"keyboard": "fr"}},
	{Name: "not-sure", Say: map[string]string{"verify": "stop", "stop": "end"}, Want: wizard.ErrNotVerified},
	{Name: "clock", Say: map[string]string{"verify": "stop", "stop": "clock"},
		NotGiven: "changes its mind: first unsure, then sure"},
	{Name: "unproven", Keep: "verify", World: func(w *World) { w.Seller.CardSerial = "0BADCAFE" },
		Say: map[string]string{"verify": "unproven"}},
	{Name: "consultant", World: func(w *World) {
		w.Seller.Chain = []wizard.Transfer{
			{From: sellerCard, Name: "NovaCustom", To: strings.Repeat("C05A", 10), Date: "2026-11-02"},
			{From: strings.Repeat("C05A", 10), Name: "A Consultant", To: strings.Repeat("9C0D", 10), Date: "2026-11-12"},
		}
		w.Seller.To = strings.Repeat("9C0D", 10)
	}},
	{Name: "typed-key", Say: map[string]string{"verify": "type"}},
	{Name: "own", Say: map[string]string{"secrets": "own"}},
	{Name: "change", Say: map[string]string{"check": "change", "change": "name"},
		NotGiven: "changes its mind: a file is changed before the run"},
	{Name: "change-unlock-key", Say: map[string]string{"check": "change", "change": "duk", "duk": "yes no"},
		NotGiven: "changes its mind: a file is changed before the run"},
	{Name: "change-phone", Say: map[string]string{"check": "change", "change": "phone"},
		NotGiven: "changes its mind: a file is changed before the run"},
	{Name: "leave", Say: map[string]string{"record.user": ui.Leave}, Want: ui.ErrLeft},
	{Name: "entry", Say: map[string]string{"check": "change", "change": "entry", "entry": "1"},
		NotGiven: "changes its mind: a file is changed before the run"},
	{Name: "stick", Say: map[string]string{"backup": "stick", "stick": "sdb1"}},
	{Name: "no-stick", World: func(w *World) { w.StickIn = false },
		Say: map[string]string{"backup": "stick", "stick": ui.Leave}, Want: ui.ErrLeft},
	{Name: "copy", Say: map[string]string{"done": "stick", "copy": "sdb1"}},
	{Name: "stick-pulled", World: func(w *World) {
		w.Fault = func(op string) error {
			w.StickIn = w.StickIn && !strings.HasPrefix(op, "append.") // when the run begins
			return nil
		}
	}, Say: map[string]string{"backup": "stick", "stick": "sdb1", "plug.stick": "retry sdb1"},
		NotGiven: "needs somebody who plugs the stick in again"},
	{Name: "spare", Say: map[string]string{"backup": "card", "spare": "erase"},
		NotGiven: "needs somebody who plugs in the second security key"},
	{Name: "other-key", Keep: "plug.main", World: func(w *World) {
		exchanged := false
		w.Fault = func(op string) error {
			if !exchanged && strings.HasPrefix(op, "append.") { // when the run begins
				exchanged, w.CardIn, w.Spare.CardIn = true, false, true
			}
			return nil
		}
	}, NotGiven: "needs somebody who plugs the security key in again"},
	{Name: "two-disks", World: func(w *World) { w.AddDisk("22222222-bbbb", "WD-1234") }},
	{Name: "as-qr", Say: map[string]string{"record.disk": "qr", "totp": "letters"},
		NotGiven: "is about what stands on a screen"},
	{Name: "problems", World: func(w *World) {
		w.PowerState = wizard.Power{Known: true, Percent: 20}
		w.Clock = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		w.Full = true
	}, Say: map[string]string{"problems": ui.Leave}, Want: ui.ErrLeft},
	{Name: "chip", Keep: "check", World: func(w *World) {
		w.Change = wizard.FirmwareChange{Shared: 2, LostConfig: true,
			Dropped: []wizard.DroppedSetting{{Line: "$(reboot)", Why: "command"}},
			Removed: []string{"heads/initrd/.gnupg/keys/seller.asc", "heads/initrd/etc/motd", "heads/initrd/bin/hello",
				"heads/initrd/bin/x\x1b[2J"}}
	}},
	{Name: "battery", World: func(w *World) { w.PowerState = wizard.Power{Known: true, Percent: 83} },
		Say: map[string]string{"problems": "battery"}},
	{Name: "no-card", World: func(w *World) { w.CardIn = false }, Say: map[string]string{"card": ui.Leave},
		Want: ui.ErrLeft},
	{Name: "tampering", World: func(w *World) { w.Files = "changed" }, Want: wizard.ErrTampering},
	{Name: "lost-key", Keep: "names", World: func(w *World) { w.LostKey, w.Files = true, "changed" },
		Say: map[string]string{"verify": "unproven", "names": ui.Continue}},
	{Name: "sellers-card", Keep: "try", Say: map[string]string{"current": "try", "try": ui.Continue},
		NotGiven: "answers one page in two ways"},
	{Name: "touched", World: func(w *World) {
		w.Set.Oem = false // after signing, and no hand-over file
		w.HandoverFunc = func() wizard.Handover { return wizard.Handover{Keys: []string{sellerCard}} }
	}, Say: map[string]string{"verify": "unproven"}},
	{Name: "own-card", Keep: "tail", World: func(w *World) { // one that the buyer has used before
		w.Set.Oem, w.Fprs = false, [3]string{strings.Repeat("A", 40)}
		w.HandoverFunc = func() wizard.Handover { return wizard.Handover{Keys: []string{sellerCard}} }
	}, Say: map[string]string{"verify": "unproven"}},
	{Name: "disk-unlock-key", Say: map[string]string{"duk": "yes"}},
	{Name: "left-to-firmware", World: func(w *World) { w.Modules = true }},
	{Name: "restart", World: func(w *World) { w.Recovery = true }, Say: map[string]string{"verify": "unproven"},
		Want: wizard.ErrRestart},
	{Name: "resume-unlock-key", Cut: "duk.seal", First: map[string]string{"duk": "yes"}},
	{Name: "resume-reset", Cut: "card.activate"},
	{Name: "resume-card", Cut: "card.pin.user"},
	{Name: "resume-set", Cut: "disk.begin"},
	{Name: "resume-disk", Cut: "disk.end"},
	{Name: "resume-tpm", Cut: "tpm.owner"},
	{Name: "resume-kept", Cut: "tpm.owner", Say: map[string]string{"record.owner": "paper"}},
	{Name: "resume-flash", Cut: "flash.block.1"},
	{Name: "resume-commit", Cut: "boot.install"},
	{Name: "resume-closing", Cut: "tpm.anchor.lock"},
	{Name: "blocked", Cut: "tpm.clear", Then: func(w *World) { w.Tries[0] = 0 },
		Say:      map[string]string{"resume": "continue anew", "verify": "unproven"},
		NotGiven: "changes its mind: first goes on, then begins anew"},
	{Name: "pause", Pause: "disk.chunk", Want: wizard.ErrPaused, NotGiven: "needs somebody who asks for it"},
	{Name: "pause-go-on", Pause: "disk.chunk", Say: map[string]string{"paused": "on"},
		NotGiven: "needs somebody who asks for it"},
	{Name: "begin-anew", Cut: "tpm.clear", Say: map[string]string{"resume": "anew", "anew": ui.Continue,
		"verify": "unproven"}},
	{Name: "reentry", Keep: "failed", World: func(w *World) {
		w.Fault = func(op string) error {
			if op == "tpm.clear" { // the files of the first entry are gone
				w.Refuses = map[string]*wizard.Finding{"boot.0": {Kind: wizard.EntryRefuses,
					Args: []any{w.Entries[0], "not in /boot: vmlinuz"}}}
			}
			return nil
		}
	}, Say: map[string]string{"failed": "entry", "reentry": "1"}},
	{Name: "failed", World: func(w *World) { w.FailOnce("tpm.clear", errors.New("TPM_RC_LOCKOUT (0x921)")) },
		Say: map[string]string{"failed": "retry"}},
}

// Talk has the conversation with a person, through the front end that open makes
// for each of its runs, and judges the laptop after it. The first run of two says
// nothing special and ends at the cut.
func (c *Conversation) Talk(p *Person, lang string, open func() ui.UI) error {
	if c.World != nil {
		c.World(p.W)
	}
	if c.Cut != "" {
		p.W.Fault = func(op string) error {
			if op == c.Cut {
				return ErrCut
			}
			return nil
		}
		p.Say = map[string]string{"failed": "end"}
		for k, v := range c.First {
			p.Say[k] = v
		}
		if err := Run(p.W, open(), lang); !errors.Is(err, ErrCut) {
			return errors.Join(errors.New("wizardtest: the first run was not cut"), err)
		}
		if err := p.W.Intact(p.Known()); err != nil {
			return err
		}
		p.W.Reboot()
		if c.Then != nil {
			c.Then(p.W)
		}
		p.Pages = nil
	}
	if c.Pause != "" {
		pressed := false
		p.W.Fault = func(op string) error {
			if op == c.Pause && !pressed {
				pressed = true
				p.Press()
				<-p.running.Done()
			}
			return nil
		}
	}
	p.Say = map[string]string{}
	for k, v := range c.Say {
		p.Say[k] = v
	}
	if c.Asks {
		p.Say["language"], lang = lang, ""
	}
	err := Run(p.W, open(), lang)
	if !errors.Is(err, c.Want) || (c.Want == nil) != (err == nil) {
		return errors.Join(errors.New("wizardtest: the run ended otherwise"), err)
	}
	if c.Want == nil {
		return p.W.Owned(p.Known())
	}
	return nil
}

// Run is a run of the wizard on a laptop, as cmd/reown starts it.
func Run(w *World, u ui.UI, lang string) error {
	var lost func(context.Context) error
	if w.LostKey {
		lost = func(context.Context) error { w.Oem = true; return nil }
	}
	return wizard.Run(context.Background(), w.Machine(), u,
		wizard.Options{Language: lang, Keyboard: Keyboard{}, LostKey: lost,
			Explain: func(_ error, l msg.Lang) (string, string, string) {
				return msg.AboutTPM.In(l), msg.DataStep.In(l), msg.DoAgain.In(l)
			}})
}

// Pages are the pages of the conversation, as a person without any front end meets
// them: what every front end must show, in this order.
func (c *Conversation) Pages(lang string) ([]string, error) {
	p := NewPerson(New())
	err := c.Talk(p, lang, func() ui.UI { return bare{p} })
	return p.Pages, err
}

// Keyboard knows three layouts and cannot load one of them.
type Keyboard struct{}

// Layouts implements wizard.Keyboard.
func (Keyboard) Layouts() []string { return []string{"us", "de", "fr"} }

// Load implements wizard.Keyboard.
func (Keyboard) Load(name string) error {
	if name == "fr" {
		return errors.New("not allowed")
	}
	return nil
}

// Moves implements wizard.Keyboard.
func (Keyboard) Moves(text []byte) bool { return keymap.MovesIn(text) }

// A Person sits at the keyboard, and knows what is in the e-mail, on the paper and
// on the phone; what stands on the screen, the front end's test reads out.
type Person struct {
	W     *World
	Paper map[string]string // what was written down last, by page key without "record."
	Say   map[string]string // choices by page, separated by spaces; each is made once
	Pages []string          // seen
	Press func()            // asks for a pause, on the front end in use

	all     []string        // ever written down
	running context.Context // of the work that is watched
}

// Watched makes the person see when a pause has been heard.
func (p *Person) Watched(work func(context.Context, func(ui.Tasks)) error) func(context.Context, func(ui.Tasks)) error {
	return func(ctx context.Context, show func(ui.Tasks)) error {
		p.running = ctx
		return work(ctx, show)
	}
}

// NewPerson is somebody who has just unpacked a laptop.
func NewPerson(w *World) *Person {
	return &Person{W: w, Paper: map[string]string{}, Say: map[string]string{}}
}

// Choose is what the person picks on a page; special is false when it is just the way on.
func (p *Person) Choose(pg *ui.Page) (id string, special bool) {
	p.Pages = append(p.Pages, pg.Key)
	switch pg.Key {
	case "plug.spare":
		p.W.CardIn, p.W.Spare.CardIn = false, true
	case "plug.stick":
		p.W.StickIn, p.W.Fault = true, nil
	case "plug.main":
		p.W.CardIn, p.W.Spare.CardIn = true, false
	}
	if ids := strings.Fields(p.Say[pg.Key]); len(ids) > 0 {
		p.Say[pg.Key] = strings.Join(ids[1:], " ")
		return ids[0], true
	}
	if pg.Key == "failed" {
		return "end", true
	}
	for _, c := range pg.Choices {
		if c.Checks {
			return c.ID, false
		}
	}
	if pg.Default == ui.NoDefault {
		return pg.Choices[0].ID, true
	}
	return pg.Choices[pg.Default].ID, false
}

// Types says whether a choice is one for which the lines of the page are filled in.
func Types(pg *ui.Page, id string) bool {
	i := slices.IndexFunc(pg.Choices, func(c ui.Choice) bool { return c.ID == id })
	return i >= 0 && pg.Choices[i].Checks
}

// Line is what the person types into a line. seen is what is read off the page: the
// words of a secret, or what the phone's camera finds.
func (p *Person) Line(pg *ui.Page, in *ui.Input, seen string) string {
	_, id, _ := strings.Cut(pg.Key, ".")
	switch {
	case strings.HasPrefix(pg.Key, "record."):
		p.note(id, seen)
		return seen
	case strings.HasPrefix(pg.Key, "paper."):
		return p.find(id)
	case in.Key == "secret.current":
		return p.current()
	case in.Key == "secret.seller":
		return SellerPIN
	case in.Key == "secret.owner" && pg.Key == "closing":
		return p.find("owner")
	case in.Key == "totp":
		return p.phone(seen)
	case in.Key == "card-serial":
		return strings.ToLower(p.W.Serial[4:])
	case in.Key == "confirm", strings.HasSuffix(in.Key, "-serial"):
		return "nl0t"
	case in.Twice && slices.ContainsFunc(pg.Choices, func(c ui.Choice) bool { return c.ID == "other" }) &&
		p.Paper[id] != "":
		return p.Paper[id]
	case in.Twice:
		p.note(id, "couch-relic-"+id)
		return p.Paper[id]
	case in.Key == "signer":
		return strings.ToLower(p.W.Seller.SellerKey())
	case in.Key == "clock":
		return "2026-11-22 17:41"
	case in.Key == "name":
		return "Ada Lovelace"
	case in.Key == "email":
		return "ada@example.org"
	}
	return ""
}

// current is the passphrase of the disk as the person knows it.
func (p *Person) current() string {
	for _, v := range p.W.Disks {
		if v.NewKey == "" && !slices.Contains(v.Slots, SellerPassphrase) {
			return p.find("disk")
		}
	}
	return SellerPassphrase
}

func (p *Person) note(id, secret string) { p.Paper[id], p.all = secret, append(p.all, secret) }

// find is the right one of the notes: somebody who has several tries them all, where
// that costs nothing, or knows which is the newest that was used.
func (p *Person) find(id string) string {
	right := []string{p.W.UserPIN}
	switch id {
	case "admin":
		right = []string{p.W.AdminPIN}
	case "owner":
		right = []string{p.W.Owner}
	case "disk":
		right = p.W.Disks[0].Slots
	}
	for _, s := range right {
		if slices.Contains(p.all, s) {
			return s
		}
	}
	return p.Paper[id]
}

// phone makes the six digits of a scanned code, or of typed letters.
func (p *Person) phone(seen string) string {
	if i := strings.Index(seen, "secret="); i >= 0 {
		seen, _, _ = strings.Cut(seen[i+len("secret="):], "&")
	}
	key, err := otp.ParseBase32(secret.From([]byte(seen)))
	if err != nil {
		return ""
	}
	c, err := otp.TOTP(key, p.W.Clock)
	if err != nil {
		return ""
	}
	return c.String()
}

// Known is every secret on paper.
func (p *Person) Known() []string {
	all := slices.Clone(p.all)
	for _, s := range p.Paper {
		all = append(all, s)
	}
	return all
}

// Bare is a front end that shows nothing: the person reads the pages themselves.
func Bare(p *Person) ui.UI { return bare{p} }

// bare is that front end.
type bare struct{ *Person }

func (b bare) Ask(ctx context.Context, pg *ui.Page) (string, error) {
	id, _ := b.Choose(pg)
	if !Types(pg, id) {
		return id, nil
	}
	for _, in := range pg.Inputs {
		text := b.Line(pg, in, Shown(pg))
		if in.Secret == nil {
			in.Value = text
			continue
		}
		in.Secret.SetLen(len(text))
		copy(in.Secret.Bytes(), text)
	}
	if pg.Check != nil {
		if err := pg.Check(ctx); err != nil {
			return "", err
		}
	}
	return id, nil
}

func (b bare) Watch(ctx context.Context, _ string, work func(context.Context, func(ui.Tasks)) error) error {
	ctx, b.Press = context.WithCancel(ctx)
	defer b.Press()
	return b.Watched(work)(ctx, func(ui.Tasks) {})
}

// Shown is the secret that stands on a page.
func Shown(pg *ui.Page) string {
	for _, b := range pg.Body {
		switch b.Kind {
		case ui.Words, ui.Code, ui.QR:
			return string(b.Secret.Bytes())
		}
	}
	return ""
}

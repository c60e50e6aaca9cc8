package wizard_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/words"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/wizardtest"
)

// person answers at random: goes back, leaves, mistypes, changes answers, pauses.
// What was shown and typed back correctly is on paper; nothing else is.
type person struct {
	rand   *rand.Rand
	w      *wizardtest.World
	paper  []string
	disk   string  // the newest disk passphrase on it
	calm   float64 // how likely a sensible answer is
	steps  int
	pages  []string
	leaked error
	// how often something wrong is typed on one page before they leave; 0: they never do
	patience int
}

var errTired = errors.New("the person went away")

func (p *person) sensible() bool { return p.rand.Float64() < p.calm }

func (p *person) Ask(ctx context.Context, pg *ui.Page) (string, error) {
	p.pages = append(p.pages, pg.Key)
	if strings.HasPrefix(pg.Key, "plug.") && p.sensible() {
		swap(p.w, pg.Key)
		p.w.StickIn = true
	} else if p.rand.IntN(8) == 0 && p.calm < 1 {
		p.w.StickIn = !p.w.StickIn
	}
	for try := 1; ; try++ {
		if p.patience > 0 && try > p.patience && !pg.NoLeave {
			return ui.Leave, nil
		}
		if p.steps++; p.steps > 400 {
			return "", errTired
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if pg.Live != nil {
			pg.Live()
		}
		id := p.pick(pg)
		i := slices.IndexFunc(pg.Choices, func(c ui.Choice) bool { return c.ID == id })
		if i < 0 || !pg.Choices[i].Checks {
			return id, nil
		}
		p.fill(pg)
		if !complete(pg) {
			continue
		}
		if pg.Check != nil {
			if err := pg.Check(ctx); err != nil {
				var problem ui.Problem
				if !errors.As(err, &problem) && !errors.Is(err, wizardtest.ErrCut) {
					p.leaked = fmt.Errorf("page %s: %w", pg.Key, err)
				}
				if errors.Is(err, wizardtest.ErrCut) {
					return "", err
				}
				continue
			}
		}
		for _, in := range pg.Inputs {
			if in.Secret != nil && (strings.HasPrefix(pg.Key, "record.") || strings.HasPrefix(pg.Key, "choose.")) {
				p.paper = append(p.paper, string(in.Secret.Bytes()))
				if pg.Key == "record.disk" || pg.Key == "choose.disk" {
					p.disk = string(in.Secret.Bytes())
				}
			}
		}
		return id, nil
	}
}

func complete(pg *ui.Page) bool {
	for _, in := range pg.Inputs {
		if !in.Optional && in.Value == "" && in.Secret.Len() == 0 {
			return false
		}
	}
	return true
}

// last is the page before this one.
func (p *person) last() string {
	if n := len(p.pages); n > 1 {
		return p.pages[n-2]
	}
	return ""
}

func (p *person) pick(pg *ui.Page) string {
	if p.sensible() {
		switch pg.Key {
		case "verify", "resume":
			if pg.Alarm && p.calm == 1 { // begun anew while the chip was half written
				return "unproven"
			}
			if pg.Key == "resume" && (p.w.Tries[0] == 0 || p.w.Tries[2] == 0) && !pg.Alarm && p.last() != "anew" {
				return "anew"
			}
			return pg.Choices[0].ID
		case "problems":
			return "retry"
		}
		return pg.Choices[0].ID
	}
	ids := []string{}
	for _, c := range pg.Choices {
		ids = append(ids, c.ID)
	}
	if !pg.NoBack {
		ids = append(ids, ui.Back)
	}
	if !pg.NoLeave && p.rand.IntN(4) == 0 {
		ids = append(ids, ui.Leave)
	}
	return ids[p.rand.IntN(len(ids))]
}

func (p *person) fill(pg *ui.Page) {
	type_ := func(in *ui.Input, s string) {
		if !p.sensible() {
			s = []string{"", "wrong thing", s + "x", "\x00\xff"}[p.rand.IntN(4)]
		}
		if in.Secret == nil {
			in.Value = s
			return
		}
		n := min(len(s), in.Secret.Cap())
		in.Secret.SetLen(n)
		copy(in.Secret.Bytes(), s)
	}
	for _, in := range pg.Inputs {
		switch {
		case strings.HasPrefix(pg.Key, "record."):
			type_(in, string(pg.Made[0].Secret.Bytes()))
		case strings.HasPrefix(pg.Key, "choose."):
			b := words.Generate(4)
			defer b.Wipe()
			own := []byte("x")
			if p.sensible() {
				own = b.Bytes()[:min(b.Len(), 25)]
			}
			type_(in, string(own))
		case pg.Key == "paper.disk":
			type_(in, p.find(p.w.Disks[0].Slots...))
		case pg.Key == "paper.user":
			type_(in, p.find(p.w.UserPIN))
		case pg.Key == "paper.admin":
			type_(in, p.find(p.w.AdminPIN))
		case pg.Key == "paper.owner":
			type_(in, p.find(p.w.Owner))
		case in.Key == "secret.seller":
			type_(in, wizardtest.SellerPIN)
		case in.Key == "secret.current":
			var slots []string
			for _, v := range p.w.Disks {
				slots = append(slots, v.Slots...)
			}
			slots = slices.DeleteFunc(append(slots, wizardtest.SellerPassphrase),
				func(s string) bool { return p.find(s) == "lost" })
			type_(in, slots[p.steps%len(slots)]) // another one, if that was another disk's
		case in.Key == "totp":
			text := pg.Made[0].Secret.Copy()
			defer text.Wipe()
			if key, err := otp.ParseBase32(text); err == nil {
				defer key.Wipe()
				c, _ := otp.TOTP(key, p.w.Clock)
				type_(in, c.String())
			}
		case in.Key == "confirm", strings.HasSuffix(in.Key, "-serial"):
			if len(p.w.Disks) == 0 {
				type_(in, "START")
				break
			}
			type_(in, "NL0T")
		case in.Key == "signer":
			type_(in, p.w.Seller.Signer)
		case in.Key == "clock":
			type_(in, "2026-11-22 17:41")
		case in.Key == "name":
			type_(in, "Ada")
		case in.Key == "email":
			type_(in, "ada@example.org")
		}
	}
}

// find returns the one of the secrets that the person has, from paper or the seller.
func (p *person) find(of ...string) string {
	for _, s := range of {
		if slices.Contains(p.paper, s) || s == wizardtest.SellerPassphrase || s == "seller-second" {
			return s
		}
	}
	return "lost"
}

func (p *person) Watch(ctx context.Context, _ string, work func(context.Context, func(ui.Tasks)) error) error {
	ctx, pause := context.WithCancel(ctx)
	defer pause()
	n := 0
	return work(ctx, func(ui.Tasks) {
		if n++; !p.sensible() && p.rand.IntN(10) == 0 {
			pause()
		}
	})
}

// Random walks: whatever the person does, and wherever the power is cut, no data and
// no access is lost, no secret is set that is not on paper; and when the person at
// last does what is asked, the machine becomes theirs.
func TestRandomPeople(t *testing.T) {
	walks := 200
	if os.Getenv("REOWN_SOAK") == "1" {
		walks = 20000
	}
	began := time.Now()
	cuts, runs, backed := 0, 0, 0
	for seed := range walks {
		rnd := rand.New(rand.NewPCG(uint64(seed), 4711))
		w := wizardtest.New()
		w.NoLog = seed%8 == 0
		p := &person{rand: rnd, w: w}
		var last error
		for try := 0; w.Oem; try++ {
			if try > 12 {
				t.Fatalf("walk %d does not end: %v; last pages %v", seed, last, p.pages)
			}
			p.calm, p.steps, p.pages = min(0.7+0.1*float64(try), 1), 0, nil
			swap(w, "plug.main")
			w.StickIn = true
			cut := rnd.IntN(3) == 0 && try < 6
			w.Recovery, w.Modules = rnd.IntN(6) == 0 && try < 5, rnd.IntN(8) == 0 // what each start is like
			if cut {
				w.Cut(rnd.IntN(130))
				cuts++
			}
			runs++
			held := secret.Live()
			err := wizard.Run(t.Context(), w.Machine(), p, wizard.Options{Language: "en"})
			last = err
			if n := secret.Live() - held; n != 0 {
				t.Fatalf("walk %d, try %d: %d secrets stay in memory after %v", seed, try, n, p.pages)
			}
			if p.leaked != nil {
				t.Fatalf("walk %d: an error that is no sentence: %v", seed, p.leaked)
			}
			if errors.Is(err, wizard.ErrTampering) {
				t.Fatalf("walk %d, try %d: taken for tampering after %v", seed, try, p.pages)
			}
			if lost := w.Intact(p.paper); lost != nil {
				t.Fatalf("walk %d, try %d (%v): %v\npages %v", seed, try, err, lost, p.pages)
			}
			w.Reboot()
		}
		if err := w.Owned(p.paper); err != nil {
			t.Fatalf("walk %d: %v", seed, err)
		}
		if !slices.Equal(w.Disks[0].Slots, []string{p.disk}) {
			t.Fatalf("walk %d: the disk opens with %q, and the newest paper says %q", seed, w.Disks[0].Slots, p.disk)
		}
		if kind := certified(w); kind == wizard.StickBackup || kind == wizard.SpareBackup {
			backed++
			if err := w.BackedUp(kind, p.paper); err != nil {
				t.Fatalf("walk %d: %v", seed, err)
			}
		}
	}
	if backed == 0 {
		t.Error("nobody has a backup")
	}
	t.Logf("%d walks, %d backups, %d runs, %d cuts in %v", walks, backed, runs, cuts,
		time.Since(began).Round(time.Millisecond))
}

// Package answers is the wizard's front end without a person: answers come from a
// JSON file, secrets that are made go to a file for their owner, and nothing is
// ever asked.
//
// An answers file is one JSON object of strings. A key is a page's or an input's
// name; the value of a page is the ID of a choice. Pages that have a harmless
// default need no answer. It holds no secret:
//
//	{ "language": "en", "verify": "match", "name": "Ada", "email": "ada@example.org", "confirm": "DL0T" }
//
// A secrets file is a JSON object as well. What is read from one (the present
// passphrase of the disk; after an interruption, the owner's own) has the same keys
// as what is written to one: secret.current, secret.disk, secret.user,
// secret.admin, secret.owner, totp. Where an interrupted run has set a passphrase of
// the owner's already, it opens the disk now: secret.disk is tried as the present one
// too. Before another one is made, the one that opens the disk is handed out again
// under secret.earlier (secret.earlier.2 ... where disks differ), and those are tried
// at the next start: somebody who keeps only the newest file can always go on.
package answers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"reown/internal/secret"
	"reown/wizard/ui"
)

// MaxFile bounds an answers or secrets file, in bytes.
const MaxFile = 64 << 10

// UI answers pages from a file. Its zero value knows no answers.
type UI struct {
	Answers map[string]string
	Secrets *Secrets // nil: none are known
	// Out receives each secret that is made, before it is used anywhere, as one
	// JSON object; nil: a page that makes a secret is an error.
	Out Sink
	// Log receives a line for each page and each change of the task list; nil: none.
	Log io.Writer

	made  *Secrets
	kept  int // how many of made are secret.earlier
	last  string
	shown map[string]int
}

// Sink keeps the secrets for their owner. Replace stores the whole document, durably,
// in the place of what it stored before.
type Sink interface {
	Replace(doc *secret.Buffer) error
}

// maxAsked is how often one page may come back in a run without a person: more
// means that an answer leads in a circle.
const maxAsked = 8

// ErrNoSink says that a secret would be made that nobody gets to see.
var ErrNoSink = errors.New("there is nowhere to put the secrets that are made")

// ErrCircle says that the same page came back again and again.
var ErrCircle = errors.New("the answers lead back to the same page")

// Parse reads an answers file. Unknown keys are kept; double ones, other types than
// strings and trailing data are errors.
func Parse(data []byte) (map[string]string, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("reading the answers: more than %d bytes", MaxFile)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("reading the answers: the file is not one JSON object")
	}
	m := map[string]string{}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("reading the answers: %w", err)
		}
		v, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("reading the answers: %w", err)
		}
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("reading the answers: %q is not a string", k)
		}
		if _, twice := m[k.(string)]; twice {
			return nil, fmt.Errorf("reading the answers: %q stands there twice", k)
		}
		m[k.(string)] = s
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("reading the answers: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the answers: something follows the object")
	}
	return m, nil
}

// Ask implements ui.UI.
func (u *UI) Ask(ctx context.Context, p *ui.Page) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	u.logf("page %s", p.Key)
	if u.shown == nil {
		u.shown = map[string]int{}
	}
	if u.shown[p.Key]++; u.shown[p.Key] > maxAsked {
		return "", &ui.BadAnswerError{Key: p.Key, Err: ErrCircle}
	}
	id, ok := u.Answers[p.Key]
	if !ok || !u.offers(p, id) {
		if ok && len(p.Inputs) == 0 {
			return "", &ui.BadAnswerError{Key: p.Key, Err: fmt.Errorf("there is no choice %q", id)}
		}
		id = p.Preset
	}
	if id == "" {
		return "", &ui.MissingAnswerError{Key: p.Key, Why: "the page has no answer that is safe to assume"}
	}
	if id == ui.Leave || id == ui.Back {
		return id, nil
	}
	if c := choice(p, id); c == nil || !c.Checks {
		return id, nil
	}
	if err := u.give(ctx, p); err != nil {
		return "", err
	}
	return id, nil
}

// give fills in what a page asks for and has it checked.
func (u *UI) give(ctx context.Context, p *ui.Page) (err error) {
	if len(p.Made) > 0 {
		if err := u.hand(p.Made); err != nil {
			return err
		}
	}
	if p.Auto != nil {
		err = p.Auto()
	} else {
		err = u.fill(p)
	}
	if err != nil || p.Check == nil {
		return err
	}
	if err = p.Check(ctx); err != nil {
		err = u.checkOwn(ctx, p, err)
	}
	if err == nil {
		return nil
	}
	key := p.Key
	if len(p.Inputs) > 0 {
		key = p.Inputs[0].Key
	}
	return &ui.BadAnswerError{Key: key, Err: err}
}

const earlier = "secret.earlier"

// checkOwn tries the owner's own passphrases where the present one of the disk was
// refused: an interrupted run may have set one already. A disk counts no tries. The
// one that opens it is kept, to be handed out with the next that is made.
func (u *UI) checkOwn(ctx context.Context, p *ui.Page, refused error) error {
	if len(p.Inputs) != 1 || p.Inputs[0].Key != "secret.current" || u.Secrets == nil {
		return refused
	}
	in := p.Inputs[0].Secret
	for i, name := range u.Secrets.names {
		s := u.Secrets.bufs[i]
		if name != "secret.disk" && !strings.HasPrefix(name, earlier) || s.Len() > in.Cap() {
			continue
		}
		in.SetLen(s.Len())
		copy(in.Bytes(), s.Bytes())
		if p.Check(ctx) == nil {
			u.keep(s)
			return nil
		}
	}
	return refused
}

func (u *UI) keep(s *secret.Buffer) {
	if u.made == nil {
		u.made = &Secrets{}
	}
	for i, name := range u.made.names {
		if strings.HasPrefix(name, earlier) && bytes.Equal(u.made.bufs[i].Bytes(), s.Bytes()) {
			return
		}
	}
	name := earlier
	if u.kept++; u.kept > 1 {
		name = fmt.Sprintf("%s.%d", earlier, u.kept)
	}
	u.made.Set(name, s)
}

func choice(p *ui.Page, id string) *ui.Choice {
	for i := range p.Choices {
		if p.Choices[i].ID == id {
			return &p.Choices[i]
		}
	}
	return nil
}

func (u *UI) offers(p *ui.Page, id string) bool {
	return choice(p, id) != nil || id == ui.Leave && !p.NoLeave || id == ui.Back && !p.NoBack
}

// fill takes the inputs of a page from the files.
func (u *UI) fill(p *ui.Page) error {
	for _, in := range p.Inputs {
		if in.Secret != nil {
			s := u.Secrets.Get(in.Key)
			if s == nil {
				return &ui.MissingAnswerError{Key: in.Key, Why: "the secrets file does not have it"}
			}
			if s.Len() > in.Secret.Cap() {
				return &ui.BadAnswerError{Key: in.Key, Err: secret.ErrTooLong}
			}
			in.Secret.SetLen(s.Len())
			copy(in.Secret.Bytes(), s.Bytes())
			continue
		}
		v, ok := u.Answers[in.Key]
		if !ok {
			if in.Optional || in.Value != "" {
				continue
			}
			return &ui.MissingAnswerError{Key: in.Key, Why: "it must be given"}
		}
		in.Value = v
	}
	return nil
}

// hand gives made secrets to the owner's file; the file is complete and synced
// before the secret is used anywhere.
func (u *UI) hand(made []ui.Named) error {
	if u.Out == nil {
		return ErrNoSink
	}
	if u.made == nil {
		u.made = &Secrets{}
	}
	for _, n := range made {
		u.made.Set(n.Key, n.Secret)
	}
	doc := u.made.Document()
	defer doc.Wipe()
	if err := u.Out.Replace(doc); err != nil {
		return fmt.Errorf("writing the secrets for their owner: %w", err)
	}
	return nil
}

// Close wipes what it holds of made secrets.
func (u *UI) Close() { u.made.Wipe() }

// Watch implements ui.UI.
func (u *UI) Watch(ctx context.Context, title string, work func(context.Context, func(ui.Tasks)) error) error {
	lines := make(chan string, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for l := range lines {
			if l != u.last {
				u.logf("%s", l)
				u.last = l
			}
		}
	}()
	err := work(ctx, func(t ui.Tasks) {
		for _, x := range t.Tasks {
			if x.State == ui.InProgress || x.State == ui.Trouble {
				select {
				case lines <- fmt.Sprintf("%s: %s %s", x.Title, x.Status, x.Detail):
				default: // a slow log must not slow the work
				}
			}
		}
	})
	close(lines)
	<-done
	return err
}

func (u *UI) logf(format string, a ...any) {
	if u.Log != nil {
		fmt.Fprintf(u.Log, format+"\n", a...)
	}
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/atomicfile"
	"reown/internal/handover"
	"reown/internal/words"
	"reown/wizard"
	"reown/wizard/prepare"
)

// label is what is printed for one laptop; nothing in it is secret.
type label struct {
	OK bool `json:"ok"`
	// what is missing of a laptop that is not ready yet: "signature", "restart", "again" where it is finished, or ""
	Wants       string   `json:"wants"`
	Order       string   `json:"order"`
	Words       string   `json:"words"`
	Fingerprint string   `json:"fingerprint"`
	Seller      string   `json:"seller"`   // fingerprint that the buyer must know
	Handover    int      `json:"handover"` // number of the statement in its chain, from 0
	Card        string   `json:"card"`
	Volumes     []string `json:"volumes"`
	ROM         string   `json:"rom"`       // SHA-256 of the flash chip
	Aligned     bool     `json:"aligned"`   // the owner's files lie on erase blocks of their own
	Statement   string   `json:"statement"` // SHA-256 of the hand-over file
	Seconds     int64    `json:"seconds"`
	Step        string   `json:"step"`  // that failed
	Error       string   `json:"error"` // of it
}

const (
	wantsSignature = "signature"
	wantsRestart   = "restart"
	wantsAgain     = "again"
)

func (l *label) fail(err error) {
	*l = label{Order: l.Order, Seconds: l.Seconds, Step: "start", Error: err.Error()}
	var step *wizard.StepError
	if errors.As(err, &step) {
		l.Step, l.Error = step.Step, step.Err.Error()
	}
}

// finish says what the laptop is.
func (l *label) finish(order *prepare.Order, res *prepare.Result, aligned bool) {
	*l = label{
		OK: !res.Unsigned, Order: order.ID, Words: strings.Join(handover.Words(res.Statement, words.Four), "-"),
		Fingerprint: res.Fingerprint,
		Seller:      res.Seller, Handover: res.Seq, Card: res.CardSerial, Volumes: res.Volumes, ROM: res.ROM,
		Statement: handover.Digest(res.Statement),
		Aligned:   aligned,
	}
}

// openTable finds a table that cannot be written before anything is changed.
func (p *preparation) openTable() (done func(), err error) {
	if p.record == "" {
		return func() {}, nil
	}
	if p.table, err = os.OpenFile(p.record, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644); err != nil {
		return nil, fmt.Errorf("the shop's table: %w", err)
	}
	return func() { _ = p.table.Close() }, nil
}

// recordLine adds the line of a laptop that is finished: one write under a lock, so that two
// benches do not mix. What a crash has left of a line is ended before it.
func (p *preparation) recordLine(l *label) (err error) {
	if p.table == nil || !l.OK {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("the shop's table: %w", err)
		}
	}()
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	fd := int(p.table.Fd())
	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		return err
	}
	defer func() { _ = unix.Flock(fd, unix.LOCK_UN) }()
	st, err := p.table.Stat()
	if err != nil {
		return err
	}
	var last [1]byte
	if n := st.Size(); n > 0 {
		if _, err := p.table.ReadAt(last[:], n-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := p.table.Write(append(line, '\n')); err != nil {
		return err
	}
	return p.table.Sync()
}

func (p *preparation) print(e *cli.Env, l *label) error {
	if p.json {
		return json.NewEncoder(e.Stdout).Encode(l)
	}
	switch {
	case l.Wants == wantsSignature:
		_, err := fmt.Fprintf(e.Stdout, `NOT READY: shop signature missing
order         %s
to be signed  %s
SHA-256       %s
words         %s
by the key    %s

there   compare the SHA-256, then: gpg --detach-sign --armor %s
here    the same command, with --shop-signature FILE for --shop-later
`, l.Order, p.mailed(handover.FileName(l.Handover)), l.Statement, l.Words, prepare.Grouped(l.Seller), handover.FileName(l.Handover))
		return err
	case l.Wants == wantsRestart:
		_, err := fmt.Fprintf(e.Stdout, "NOT READY: restart the laptop, then the same command again\norder         %s\n",
			l.Order)
		return err
	case l.Wants == wantsAgain:
		_, err := fmt.Fprintf(e.Stdout, "NOT CHANGED: the laptop is finished\n%s\n", l.Error)
		return err
	case !l.OK:
		_, err := fmt.Fprintf(e.Stdout, "DO NOT SHIP\norder         %s\nfailed step   %s\n", cli.OrNone(l.Order), l.Step)
		return err
	}
	_, err := fmt.Fprint(e.Stdout, l.facts().Label()+`
laptop parcel   the laptop
key parcel      the security key
e-mail          the words, the seller's key, and what --mail-out holds
`)
	return err
}

// facts are for the papers.
func (l *label) facts() *prepare.Facts {
	return &prepare.Facts{Order: l.Order, Words: l.Words, Seller: l.Seller, Fingerprint: l.Fingerprint, Card: l.Card}
}

// mail writes what the seller sends to the buyer; or, of a statement that waits for the
// shop's signature, what is to be signed, and nothing that could be sent by mistake.
func (p *preparation) mail(order *prepare.Order, l *label, res *prepare.Result, tpm bool) error {
	if p.mailOut == "" {
		return nil
	}
	if err := os.MkdirAll(p.mailOut, 0o755); err != nil {
		return err
	}
	cert, err := gpgcard.ParseCert(res.Certificate)
	if err != nil {
		return err
	}
	keys := cert.Armored()
	if o := p.shopCert; o != "" {
		shop, err := readCert(o)
		if err != nil {
			return err
		}
		keys = append(shop.Armored(), keys...)
	}
	name := handover.FileName(res.Seq)
	signature := res.Signature
	var text, picture, letter []byte
	if res.Unsigned {
		signature, keys = nil, nil
	} else {
		f := l.facts()
		f.Message, f.Phone = res.Message != nil, tpm
		text, letter = []byte(f.Label()), []byte(f.Letter(order.Language))
		if picture, err = f.LabelSVG(); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{name + ".asc", signature}, {"key.asc", keys}, {"secrets.asc", res.Message}, {"phone.svg.asc", res.Phone},
		{"letter.txt", letter},
		{"label.svg", picture}, {"label.txt", text}, {name, res.Statement}} {
		if err := replaceOrRemove(p.mailed(f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

// mailed is a file in --mail-out.
func (p *preparation) mailed(name string) string { return filepath.Join(p.mailOut, name) }

// replaceOrRemove makes a file hold data, at once; or removes what a former run has left,
// if there is none.
func replaceOrRemove(name string, data []byte) error {
	if data == nil {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return atomicfile.WriteFile(name, data, 0o644)
}

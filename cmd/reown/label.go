package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/atomicfile"
	"reown/internal/handover"
	"reown/wizard"
	"reown/wizard/prepare"
)

// label is what is printed for one laptop; nothing in it is secret.
type label struct {
	OK          bool     `json:"ok"`
	Wants       string   `json:"wants"` // what is missing of a laptop that is not ready yet: "signature", "restart", or ""
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
)

func (l *label) fail(err error) {
	*l = label{Order: l.Order, Seconds: l.Seconds, Step: "start", Error: err.Error()}
	var step *wizard.StepError
	if errors.As(err, &step) {
		l.Step, l.Error = step.Step, step.Err.Error()
	}
}

// recordLine adds a laptop's line to the shop's table: one write, so that two that finish at once do not mix.
func (p *preparation) recordLine(l *label) error {
	if p.record == "" {
		return nil
	}
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(p.record, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("the shop's table: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
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
`, l.Order, p.mailed(handover.FileName(l.Handover)), l.Statement, l.Words, grouped(l.Seller), handover.FileName(l.Handover))
		return err
	case l.Wants == wantsRestart:
		_, err := fmt.Fprintf(e.Stdout, "NOT READY: restart the laptop, then the same command again\norder         %s\n", l.Order)
		return err
	case !l.OK:
		_, err := fmt.Fprintf(e.Stdout, "DO NOT SHIP\norder         %s\nfailed step   %s\n", cli.OrNone(l.Order), l.Step)
		return err
	}
	text := l.text()
	if p.mailOut != "" {
		if err := replaceOrRemove(p.mailed("label.txt"), []byte(text)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(e.Stdout, text+`
laptop parcel   the laptop
key parcel      the security key
e-mail          the words, the seller's key, and what --mail-out holds
`)
	return err
}

// text is what goes on the label.
func (l *label) text() string {
	return fmt.Sprintf(`order         %s
words         %s
seller's key  %s
laptop's key  %s
security key  %s
`, l.Order, l.Words, grouped(l.Seller), grouped(l.Fingerprint), l.Card)
}

// mail writes what the seller sends to the buyer; or, of a statement that waits for the
// shop's signature, what is to be signed, and nothing that could be sent by mistake.
func (p *preparation) mail(res *prepare.Result) error {
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
	if res.Unsigned {
		signature, keys = nil, nil
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{name + ".asc", signature}, {"key.asc", keys}, {"secrets.asc", res.Message}, {name, res.Statement}} {
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

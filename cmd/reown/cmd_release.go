package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"reown/cmd/reown/internal/cli"
	"reown/gpgcard"
	"reown/internal/atomicfile"
	"reown/internal/escape"
	"reown/internal/laptop"
	"reown/internal/secret"
	"reown/wizard"
	"reown/wizard/prepare"
	"reown/wizard/release"
)

func releaseCommand() *cli.Command {
	return &cli.Command{Name: "release", Args: "(--to CERT | --to-nobody) (--pin-file F | --lost-card) --confirm TAIL [flags] [devices]", Short: "resale or end of life: give the machine up", Run: runRelease, Shared: onDevices, Long: `
Makes the laptop nobody's: destroys every keyslot of its encrypted disks, and with them
the only keys to the files; clears the TPM; removes the keyring and settings from the
firmware; removes all signatures and notes from /boot; resets the security key. Then it
reads everything again. What is on the disk cannot be read by anyone afterwards, and
the laptop starts nothing until somebody sets it up again. THIS CANNOT BE UNDONE.

The owner is proven by the PIN of the security key, which also signs a record of what
was done: /boot/kexec_release.json, with its signature and the public key beside it.
After an interruption, run the same command again.
`}
}

func runRelease(ctx context.Context, e *cli.Env, args []string) error {
	d := devices{}
	fs := cli.NewFlags("reown release")
	d.bind(fs)
	to := fs.String("to", "", "CERT the next owner's OpenPGP certificate; its fingerprint goes into the record")
	nobody := fs.Bool("to-nobody", false, "nobody gets the laptop")
	pin := fs.String("pin-file", "", "FILE the security key's user PIN; - reads it from the terminal")
	lost := fs.Bool("lost-card", false, "the security key is lost or broken: no PIN, and the record is not signed")
	confirm := fs.String("confirm", "", "TAIL the last four characters of the first disk's serial number; none "+
		"where there is no encrypted disk")
	record := fs.String("record", "", "DIR also write the record here")
	var without []string
	fs.Func("without", "ID a disk that this laptop had by a signed file, and has no more, by its UUID; or the "+
		"path of a device that is to stay as it is; repeatable", func(s string) error {
		without = append(without, s)
		return nil
	})
	battery := fs.Bool("battery", false, "run without mains power")
	asJSON := fs.Bool("json", false, "print the record as JSON")
	if _, err := cli.Parse(fs, args, 0, 0); err != nil {
		return err
	}
	switch {
	case (*to == "") != *nobody:
		return cli.Usagef("reown release needs either --to CERT or --to-nobody")
	case (*pin == "") != *lost:
		return cli.Usagef("reown release needs either --pin-file or --lost-card")
	}
	unlock, err := laptop.Lock(d.Boot)
	if err != nil {
		return err
	}
	defer unlock()
	l, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	buyer := l.Buyer()
	if err := confirmed(ctx, buyer, *confirm); err != nil {
		return err
	}
	noDisk := len(buyer.Disks) == 0 && *confirm == "none"
	m := l.Release()
	said := progressLines(e)
	defer said.end()
	o := release.Options{NoDisk: noDisk, Without: without, LostCard: *lost, Battery: *battery, Armor: armored,
		Report: said.report}
	if *to != "" {
		if o.To, err = readRecipient(e, *to); err != nil {
			return fmt.Errorf("reading the next owner's certificate: %w", err)
		}
	}
	var p *secret.Buffer
	if *pin != "" {
		if p, err = e.Secret(*pin); err != nil {
			return err
		}
		defer p.Wipe()
		o.PIN = p
	}
	rec, err := release.Run(ctx, m, o)
	said.end()
	if err != nil {
		return err
	}
	if *record != "" {
		if err := copyRecord(ctx, m.Boot, *record); err != nil {
			return err
		}
	}
	if *asJSON {
		err = json.NewEncoder(e.Stdout).Encode(rec)
	} else {
		err = printRecord(e, rec)
	}
	return errors.Join(err, m.Platform.WipeSecrets())
}

// armored is a certificate as it is sent to people.
func armored(cert []byte) ([]byte, error) {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return nil, err
	}
	return c.Armored(), nil
}

// readRecipient returns the fingerprint of a certificate in a file.
func readRecipient(e *cli.Env, name string) (string, error) {
	data, err := e.Read(name, maxBuyer)
	if err != nil {
		return "", err
	}
	if len(data) > maxBuyer {
		return "", fmt.Errorf("%w: more than %d bytes", prepare.ErrBuyer, maxBuyer)
	}
	c, err := gpgcard.ParseCert(data)
	if err != nil {
		return "", err
	}
	return c.Fingerprint(), nil
}

// copyRecord writes the files of a release to a directory.
func copyRecord(ctx context.Context, from release.Boot, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("copying the record: %w", err)
	}
	for _, name := range []string{release.RecordName, release.SignatureName, release.KeyName} {
		data, err := from.ReadPublished(ctx, name)
		if err == nil {
			err = atomicfile.WriteFile(filepath.Join(dir, name), data, 0o644)
		} else if errors.Is(err, wizard.ErrNotFound) && name != release.RecordName {
			err = nil // the card was lost
		}
		if err != nil {
			return fmt.Errorf("copying the record: %w", err)
		}
	}
	return nil
}

func printRecord(e *cli.Env, r *release.Record) error {
	p := func(name, value string) {
		fmt.Fprintf(e.Stdout, "%-14s %s\n", name, escape.Text(cli.OrNone(value)))
	}
	p("released", r.Time)
	p("by", prepare.Grouped(r.Owner))
	p("to", prepare.Grouped(r.To))
	for _, u := range r.Missing {
		p("disk", u+": NOT FOUND, not erased")
	}
	for _, d := range r.Disks {
		p("disk", d.Serial+" "+d.Model+": every keyslot destroyed")
	}
	if r.TPM != "" {
		p("TPM", r.TPM+": cleared")
	}
	p("firmware", "SHA-256 "+r.Firmware)
	if r.Card != "" {
		p("security key", r.Card+": reset")
	}
	for _, s := range r.Remains {
		p("remains", s)
	}
	_, err := fmt.Fprintf(e.Stdout, "record         /boot/%s\n", release.RecordName)
	return err
}

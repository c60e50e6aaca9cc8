package main

import (
	"context"
	"errors"
	"fmt"

	"reown/cmd/reown/internal/cli"
	"reown/cmd/reown/internal/plumbing"
	"reown/internal/escape"
	"reown/internal/handover"
	"reown/internal/laptop"
	"reown/wizard"
	"reown/wizard/prepare"
	"reown/wizard/ui"
)

func verifyCommand() *cli.Command {
	return &cli.Command{Name: "verify", Args: "[--signer FPR] [--me FPR] [--countersign CERT] [--owner FPR] [--json] [devices]", Short: "check the hand-over, or the certificate of a finished run", Run: runVerify, Shared: onDevices, Long: `
Compares the machine with the seller's signed hand-over file: security key, firmware
measurements, start files, disk header, one line for each value. On a machine that
was made its owner's, compares it with the certificate of that run instead, unless
--signer, --me or --countersign asks for the hand-over. What differs from the certificate and is
covered by the signature of the key in the firmware is "changed since": an update, say.
Exit code 3 when anything else does not match or cannot be read, or when there is nothing
to compare with.
`}
}

// A receiver signs that he has accepted.
type receiver struct{ cert, pinFile, serial, bus string }

func runVerify(ctx context.Context, e *cli.Env, args []string) error {
	fs := cli.NewFlags("reown verify")
	asJSON := fs.Bool("json", false, "report as one JSON document")
	signer := fs.String("signer", "", "FPR the fingerprint of who sold you the computer, as you know it from "+
		"elsewhere. Where a seller's key is not in the firmware, nothing is verified without")
	me := fs.String("me", "", "FPR your own key's fingerprint, if you gave one when you ordered")
	owner := fs.String("owner", "", "FPR the key that made the certificate, as it stands on your print of it: "+
		"needed where the firmware trusts another key now, and there is no TPM, or it was reset since")
	var r receiver
	fs.StringVar(&r.cert, "countersign", "", "CERT if all is well and the hand-over file is to this key, of "+
		"which you name the certificate: sign that you have accepted, with the security key that holds it, "+
		"beside the seller's signature")
	fs.StringVar(&r.pinFile, "pin-file", "-", "FILE the PIN of that security key; - asks for it")
	fs.StringVar(&r.serial, "my-serial", "", "S the serial number of that security key")
	fs.StringVar(&r.bus, "my-card", "", "BUS where that security key is; without it, as --card")
	return withLaptop(ctx, fs, args, 0, 0, func(l *laptop.Laptop, d *devices, _ []string) error {
		m := l.Buyer()
		var unknown error
		if *signer+*me+r.cert == "" {
			// Only then: who asks about the seller is not answered by what some owner says.
			c, err := wizard.Certified(ctx, m, *owner)
			if c != nil {
				return verifyCertificate(e, c, *asJSON)
			}
			if unknown = err; err != nil && !errors.Is(err, wizard.ErrOwnerUnknown) {
				return err
			}
		}
		h, err := wizard.ReadHandover(ctx, m)
		if err != nil {
			return err
		}
		if !*asJSON {
			printHandover(e, h, *signer == "" && h.Claimed())
		}
		verdict := h.Check(*signer, *me)
		switch {
		case verdict == nil:
		case unknown != nil:
			verdict = unknown
		case *signer+*me+r.cert == "":
			if own := wizard.OpenRun(ctx, m); own != nil {
				verdict = own
			}
		}
		verdict = cli.WithExit(exitNotVerified, verdict)
		if before := h.Accepted; verdict == nil && r.cert != "" {
			if verdict = r.countersign(ctx, e, l, d, h); verdict == nil && !before && !*asJSON {
				fmt.Fprintf(e.Stdout, "     accepted   %s\n", prepare.Grouped(h.To))
			}
		}
		if *asJSON {
			return errors.Join(e.JSON(h), verdict)
		}
		return verdict
	})
}

// countersign adds the receiver's signature to a hand-over that was verified.
func (r *receiver) countersign(ctx context.Context, e *cli.Env, l *laptop.Laptop, d *devices,
	h *wizard.Handover) error {
	cert, err := readCert(r.cert)
	if err != nil {
		return err
	}
	if h.To == "" {
		return fmt.Errorf("%w: it names no receiver", handover.ErrNotForYou)
	}
	if err := handover.CheckReceiver(h.To, cert.Fingerprint()); err != nil {
		return err
	}
	if h.Accepted { // then no PIN is asked for
		return nil
	}
	if r.bus == "" {
		r.bus = d.Card
	}
	buses, err := plumbing.CardBuses(r.bus)
	if err != nil {
		return err
	}
	pin, err := e.Secret(r.pinFile)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	unlock, err := laptop.Lock(d.Boot)
	if err != nil {
		return err
	}
	defer unlock()
	k := laptop.Card(r.serial, buses...)
	err = l.Accept(ctx, cert, h.Statement, func(data []byte) ([]byte,
		error) {
		return k.Sign(ctx, cert.Bytes(), pin, data)
	})
	h.Accepted = err == nil
	return err
}

var verdictMarks = map[wizard.Verdict]ui.Mark{wizard.Pass: ui.OK, wizard.Fail: ui.Bad, wizard.NotProvided: ui.Unsure,
	wizard.Changed: ui.Unsure}

// printHandover is for people. hide leaves out the fingerprints that they must know from
// elsewhere: what is copied from the screen proves nothing.
func printHandover(e *cli.Env, h *wizard.Handover, hide bool) {
	for _, i := range h.Items {
		fmt.Fprintf(e.Stdout, "%s %-10s %s\n", verdictMarks[i.Verdict], i.ID, escape.Text(i.Detail))
	}
	for _, t := range h.Chain {
		fpr := prepare.Grouped(t.From)
		if hide {
			fpr = "(not shown)"
		}
		fmt.Fprintf(e.Stdout, "     from       %s  %s\n", fpr, escape.Text(t.Name))
	}
	if h.To != "" {
		fmt.Fprintf(e.Stdout, "     to         %s\n", prepare.Grouped(h.To))
	}
	if h.Accepted {
		fmt.Fprintf(e.Stdout, "     accepted   by that key\n")
	}
	if h.Words != "" {
		fmt.Fprintf(e.Stdout, "     words      %s\n", h.Words)
	}
	for _, l := range h.Lines {
		fmt.Fprintf(e.Stdout, "     %-14s %-12s %s\n", escape.Text(l.Status), escape.Text(l.Name), escape.Text(l.Label))
	}
}

// verifyCertificate shows what of a certificate still holds.
func verifyCertificate(e *cli.Env, c *wizard.Recheck, asJSON bool) error {
	if asJSON {
		if err := e.JSON(c); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(e.Stdout, "certificate %s of %s, by the owner's key %s\n", escape.Text(c.Reference), escape.Text(c.Date),
			prepare.Grouped(c.Owner))
		var keys string
		for i, k := range c.Keys {
			if keys += prepare.Grouped(k); i < len(c.Keys)-1 {
				keys += ", or the key "
			}
		}
		for _, i := range c.Items {
			detail := escape.Text(i.Detail)
			if i.Verdict == wizard.Changed {
				detail += ": changed since " + escape.Text(c.Date) + " by somebody who holds the key " + keys
			}
			fmt.Fprintf(e.Stdout, "%s %-10s %s\n", verdictMarks[i.Verdict], i.ID, detail)
		}
	}
	if !c.Holds() {
		return cli.WithExit(exitNotVerified, wizard.ErrChangedSince)
	}
	return nil
}

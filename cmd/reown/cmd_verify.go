package main

import (
	"context"
	"fmt"

	"reown/internal/escape"
	"reown/internal/handover"
	"reown/wizard"
	"reown/wizard/ui"
)

func verifyCommand() *command {
	return &command{name: "verify", args: "[--signer FPR] [--me FPR] [--json] [devices]", short: "check the hand-over, or the certificate of a finished run", run: runVerify, long: `
Compares the machine with the seller's signed hand-over file: security key, firmware
measurements, start files, disk header, one line for each value. On a machine that
was made its owner's, compares it with the certificate of that run instead. Exit code
3 when anything does not match, or when there is nothing to compare with.

  --signer FPR          the seller's fingerprint, or that of another who handed the
                        computer on, as you know it from elsewhere. Where the first
                        seller's key is not in the firmware, nothing is verified without
  --me FPR              your own key's fingerprint, if you gave one when you ordered
  --json                for programs
` + deviceHelp}
}

func runVerify(ctx context.Context, e *env, args []string) error {
	fs := newFlags("reown verify")
	asJSON := fs.Bool("json", false, "")
	signer := fs.String("signer", "", "")
	me := fs.String("me", "", "")
	return withMachine(ctx, fs, args, 0, 0, func(m *wizard.Machine, _ *devices, _ []string) error {
		if c, err := wizard.Certified(ctx, m); err != nil {
			return err
		} else if c != nil {
			return verifyCertificate(e, c, *asJSON)
		}
		h, err := m.Boot.Handover(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			if err := printJSON(e, h); err != nil {
				return err
			}
		} else {
			printHandover(e, &h)
		}
		if err := handedOver(&h, wizard.Fingerprint(*signer), wizard.Fingerprint(*me)); err != nil {
			return withExit(exitNotVerified, err)
		}
		return nil
	})
}

var verdictMarks = map[wizard.Verdict]ui.Mark{wizard.Pass: ui.OK, wizard.Fail: ui.Bad, wizard.NotProvided: ui.Unsure}

func printHandover(e *env, h *wizard.Handover) {
	for _, i := range h.Items {
		fmt.Fprintf(e.stdout, "%s %-10s %s\n", verdictMarks[i.Verdict], i.ID, escape.Text(i.Detail))
	}
	for _, t := range h.Chain {
		fmt.Fprintf(e.stdout, "     from       %s  %s\n", grouped(t.From), escape.Text(t.Name))
	}
	if h.To != "" {
		fmt.Fprintf(e.stdout, "     to         %s\n", grouped(h.To))
	}
	if h.Words != "" {
		fmt.Fprintf(e.stdout, "     words      %s\n", h.Words)
	}
	for _, l := range h.Lines {
		fmt.Fprintf(e.stdout, "     %-14s %-12s %s\n", escape.Text(l.Status), escape.Text(l.Name), escape.Text(l.Label))
	}
}

// handedOver returns nil if the machine is what the seller's statement says, and the
// statement is by whom and for whom the person says.
func handedOver(h *wizard.Handover, signer, me string) error {
	switch {
	case h.Tampering:
		return fmt.Errorf("%w: %s", wizard.ErrTampering, h.Why)
	case !h.Verified() && h.Cause != nil:
		return fmt.Errorf("%w: %w", wizard.ErrNotVerified, h.Cause)
	case !h.Verified():
		return wizard.ErrNotVerified
	case signer != "" && !h.SoldBy(signer):
		return fmt.Errorf("%w %s: it is by %s", handover.ErrSigner, escape.Text(signer), h.Chain[0].From)
	case signer == "" && h.Claimed():
		return wizard.ErrSellerUnknown
	case me != "":
		return handover.CheckReceiver(h.To, me)
	}
	return nil
}

// verifyCertificate shows what of a certificate still holds.
func verifyCertificate(e *env, c *wizard.Recheck, asJSON bool) error {
	if asJSON {
		if err := printJSON(e, c); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(e.stdout, "certificate %s of %s, by the owner's key %s\n", escape.Text(c.Reference), escape.Text(c.Date), grouped(c.Owner))
		for _, i := range c.Items {
			fmt.Fprintf(e.stdout, "%s %-10s %s\n", verdictMarks[i.Verdict], i.ID, escape.Text(i.Detail))
		}
	}
	if !c.Holds() {
		return withExit(exitNotVerified, wizard.ErrChangedSince)
	}
	return nil
}

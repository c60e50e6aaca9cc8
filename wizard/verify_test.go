package wizard_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"reown/internal/handover"
	"reown/internal/judge"
	"reown/wizard"
	"reown/wizard/wizardtest"
)

// newerChip is a chip whose image was replaced in the firmware's menus, with its keyring.
type newerChip struct{ wizard.Firmware }

func (f newerChip) Info(ctx context.Context) (wizard.FirmwareInfo, error) {
	i, err := f.Firmware.Info(ctx)
	i.Digest, i.Version = "newer", "2"
	return i, err
}

// Heads signs /boot by the key that the firmware trusts, whatever its owner has done in its menus.
func headsSigns(w *wizardtest.World, files, primary string) {
	w.Files, w.Set.Files = files, files
	if primary != "" {
		w.Primary, w.Area, w.Sealed = primary, wizardtest.Area{}, nil
		h, _ := w.Machine().TPM.PrimaryHash(context.Background())
		w.Set.Primary = string(h)
	}
}

// replaceKey is what Heads does for an owner with another key.
func replaceKey(w *wizardtest.World) {
	cert, _ := w.Forge()
	for i := range w.ROM {
		w.ROM[i] = slices.Clone(cert)
	}
	fprs, _ := w.Machine().PGP.Fingerprints(cert)
	w.Fprs, w.Set.Signer = fprs, fprs[0]
}

// TestVerifyAfterwards: what an honest owner does in Heads' menus, and what the system does, is the same or
// "changed since", never red; the same values without a signature of the firmware's key are red.
func TestVerifyAfterwards(t *testing.T) {
	const none = wizard.Verdict("no such row")
	for name, c := range map[string]struct {
		change func(*wizardtest.World, *wizard.Machine)
		owner  bool // the person types the fingerprint on the certificate
		item   string
		want   wizard.Verdict // of the worst row of it; "" for ErrOwnerUnknown
	}{
		"signed again after an update of the system": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			headsSigns(w, "files-2", "")
		}, false, "boot", wizard.Pass},
		"firmware updated": {func(_ *wizardtest.World,
			m *wizard.Machine) {
			m.Firmware = newerChip{m.Firmware}
		}, false, "firmware", wizard.Changed},
		"key replaced": {func(w *wizardtest.World, _ *wizard.Machine) { replaceKey(w) }, false,
			"firmware", wizard.Changed},
		"TPM reset": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			headsSigns(w, "files-1", "srk-heads")
		}, false, "tpm", wizard.Changed},
		"TPM reset, then the key replaced": {func(w *wizardtest.World, _ *wizard.Machine) {
			headsSigns(w, "files-1", "srk-heads")
			replaceKey(w)
		}, true, "tpm", wizard.Changed},
		"key replaced, without a TPM": {func(w *wizardtest.World,
			m *wizard.Machine) {
			w.Area = wizardtest.Area{}
			replaceKey(w)
		}, true, "firmware", wizard.Changed},
		"TOTP and HOTP sealed anew": {func(w *wizardtest.World, _ *wizard.Machine) {
			w.Sealed.OTP, w.TokenOTP = "another", "another"
		}, false, "tpm", wizard.Pass},
		"disk passphrase changed": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Disks[0].Slots = []string{"another"}
		}, false, "disk", wizard.Pass},
		"a slot added by the system": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Disks[0].Slots = append(w.Disks[0].Slots, "more")
		}, false, "disk", wizard.Pass},
		"disk unlock key set": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Disks[0].DUK = "duk"
			headsSigns(w, "files-1", "")
		}, false, "disk", wizard.Pass},
		"key replaced, and the disk re-encrypted": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Disks[0].Key = "newer"
			replaceKey(w)
		},
			false, "disk", wizard.Changed},
		"another security key in use": {func(w *wizardtest.World, _ *wizard.Machine) { w.CardIn = false }, false, "disk",
			wizard.Pass},

		"the disk has another key, and nobody can tell why": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Disks[0].Key = "newer"
		}, false, "disk", wizard.Fail},
		"ATTACK: the TPM was cleared in the shell": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Primary = "srk-shell"
		}, false, "tpm", wizard.Fail},
		"ATTACK: somebody on the TPM's bus": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.OnTheBus = true
		}, false, "tpm", wizard.Fail},
		"ATTACK: the seller's TPM state is back": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			headsSigns(w, "files-1", w.SellerSRK)
		}, false, "tpm", wizard.Fail},
		"ATTACK: other files start": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Files = "evil"
		}, false, "boot", wizard.Fail},
		"ATTACK: other files, and a newer chip": {func(w *wizardtest.World, m *wizard.Machine) {
			w.Files, m.Firmware = "evil", newerChip{m.Firmware}
		}, false, "firmware", wizard.Fail},
		"ATTACK: a certificate of another run": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Area.Run[0] ^= 1
			replaceKey(w)
		}, false, "", ""},
		"ATTACK: the area is not locked": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			w.Area.State = wizard.AnchorOpen
			replaceKey(w)
		}, false, "", ""},
		"TPM reset and key replaced, and nobody says whose the certificate is": {func(w *wizardtest.World,
			_ *wizard.Machine) {
			headsSigns(w, "files-1", "srk-heads")
			replaceKey(w)
		}, false, "", ""},
	} {
		w, _ := owned(t)
		was := w.Fprs[0]
		m := w.Machine()
		c.change(w, m)
		said := ""
		if c.owner {
			said = was
		}
		r, err := wizard.Certified(t.Context(), m, said)
		if c.want == "" {
			if !errors.Is(err, wizard.ErrOwnerUnknown) || r != nil {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
			continue
		}
		if err != nil || r == nil {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		got := none
		for _, i := range r.Items {
			if i.ID == c.item && (got == none || got == wizard.Pass || i.Verdict == wizard.Fail) {
				got = i.Verdict
			}
		}
		if got != c.want || r.Holds() != (c.want != wizard.Fail) || r.Owner != was || len(r.Keys) != 1 ||
			r.Key != w.Fprs[0] && w.CardIn {
			t.Errorf("%s: %s: %s, holds %v: %+v", name, c.item, got, r.Holds(), r)
		}
	}
}

// TestCheckHandover: who asks about the seller is answered by the seller's word alone, by the judge.
func TestCheckHandover(t *testing.T) {
	stranger := "AAAA AAAA AAAA AAAA AAAA  AAAA AAAA AAAA AAAA AAAA"
	for name, c := range map[string]struct {
		change     func(*wizardtest.World)
		signer, me string
		want       error
	}{
		"as sent":                 {func(*wizardtest.World) {}, "", "", nil},
		"as sent, by whom I know": {func(*wizardtest.World) {}, wizardtest.New().Seller.Signer, "", nil},
		"by another":              {func(*wizardtest.World) {}, stranger, "", handover.ErrSigner},
		"to another": {func(w *wizardtest.World) { w.Seller.To = "BB" }, "", stranger,
			handover.ErrNotForYou},
		"a key that came with the files": {func(w *wizardtest.World) { w.Seller.Chain[0].Firmware = false }, "", "",
			wizard.ErrSellerUnknown},
		"the same, and I know it": {func(w *wizardtest.World) { w.Seller.Chain[0].Firmware = false },
			wizardtest.New().Seller.Signer, "", nil},
		"another disk": {func(w *wizardtest.World) { w.Disks[0].Key = "other" }, "", "",
			wizard.ErrNotVerified},
		"other files": {func(w *wizardtest.World) { w.Files = "other" }, "", "", wizard.ErrTampering},
		"no trigger, other files": {func(w *wizardtest.World) { w.Oem, w.Files = false, "other" }, "", "",
			wizard.ErrNotVerified},
		"no statement": {func(w *wizardtest.World) { w.Seller = wizard.Handover{} }, "", "",
			wizard.ErrNotVerified},
	} {
		w := wizardtest.New()
		c.change(w)
		h, err := wizard.ReadHandover(t.Context(), w.Machine())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Check(c.signer, c.me); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a run of an owner has noted does not answer for the seller.
	w, p := wizardtest.New(), newPaper()
	w.Fault = func(op string) error {
		if op == "tpm.clear" {
			return wizardtest.ErrCut
		}
		return nil
	}
	if err := unattended(w, p, nil); err == nil || w.Hints["kexec_reown.receipt"] == nil {
		t.Fatal("not cut in a run")
	}
	w.Reboot()
	h, err := wizard.ReadHandover(t.Context(), w.Machine())
	if err != nil || h.Tampering || h.Tree != judge.TreeSigned {
		t.Fatalf("%+v, %v", h, err)
	}
	if err := h.Check(w.Seller.Signer, ""); !errors.Is(err, wizard.ErrNotVerified) {
		t.Errorf("in a run: %v", err)
	}
}

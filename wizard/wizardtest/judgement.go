package wizardtest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"reown/wizard"
)

// Intact says what is lost, if anything: data under no known key, or a device whose
// secret nobody has seen. seen are the secrets that the owner has on paper.
func (w *World) Intact(seen []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := append([]string{SellerPassphrase, "seller-second", SellerPIN, SellerOwner, "654321", "87654321", "123456",
		"12345678", ""}, seen...)
	for _, v := range w.Disks {
		if !slices.ContainsFunc(v.Slots, func(s string) bool { return slices.Contains(known, s) }) {
			return fmt.Errorf("nobody knows a passphrase of volume %s", v.UUID)
		}
		for i, k := range v.Chunks {
			want := v.Key
			if v.NewKey != "" && i < v.Done {
				want = v.NewKey
			}
			if k != want {
				return fmt.Errorf("chunk %d of volume %s is under %s, the header says %s", i, v.UUID, k, want)
			}
		}
	}
	for _, wiped := range w.Sets {
		if !*wiped {
			return errors.New("secret keys are still in memory")
		}
	}
	for what, s := range map[string]string{"user PIN": w.UserPIN, "admin PIN": w.AdminPIN,
		"spare's user PIN": w.Spare.UserPIN, "spare's admin PIN": w.Spare.AdminPIN, "TPM owner passphrase": w.Owner} {
		if !slices.Contains(known, s) {
			return fmt.Errorf("nobody knows the %s", what)
		}
	}
	return nil
}

// BackedUp says what is missing for the keys of an owned laptop to be in a second
// place, if anything.
func (w *World) BackedUp(kind wizard.Backup, seen []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.Sets) == 0 {
		return errors.New("the keys were never in memory")
	}
	switch kind {
	case wizard.SpareBackup:
		if w.Spare.Fprs != w.Fprs || w.Spare.UserPIN != w.UserPIN || w.Spare.AdminPIN != w.AdminPIN || w.Spare.Terminated {
			return errors.New("the second security key is not like the first")
		}
	case wizard.StickBackup:
		file := string(w.Stick["reown-"+w.Serial+"-secret-key.asc"])
		if !slices.ContainsFunc(seen, func(s string) bool {
			return file == strings.Join(w.Fprs[:], " ")+" under "+hash(s)
		}) {
			return fmt.Errorf("the file on the stick is no backup of the key under a passphrase that was written down: %q", file)
		}
		n := 0
		for name := range w.Stick {
			if strings.HasSuffix(name, "secret-key.asc") {
				n++
			}
		}
		if n != 1 || w.Stick["holiday.jpg"] == nil {
			return fmt.Errorf("there are %d secret keys among the files on the stick", n)
		}
	}
	return nil
}

// Owned says what is missing for the laptop to be its owner's, if anything.
func (w *World) Owned(seen []string) error {
	if err := w.Intact(seen); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rom, err := w.parse(w.keyring())
	switch {
	case w.Oem:
		return errors.New("/boot/oem is there")
	case err != nil:
		return fmt.Errorf("the firmware's keyring: %w", err)
	case rom.Fprs != w.Fprs:
		return errors.New("the firmware does not trust the card")
	case w.Fprs[0] == sellerCard || w.Fprs[0] == "":
		return errors.New("the card has no new keys")
	case w.HasToken && !w.AES:
		return errors.New("the token has no AES keys")
	case w.Set.Signer != w.Fprs[0] || w.Set.Files != w.Files:
		return errors.New("/boot is not signed by the card")
	case !slices.Contains(seen, w.UserPIN) || !slices.Contains(seen, w.AdminPIN):
		return errors.New("a PIN is not the owner's")
	}
	if err := w.ownedTPM(seen); err != nil {
		return err
	}
	if err := w.ownedDUK(seen); err != nil {
		return err
	}
	return w.ownedDisks(seen)
}

func (w *World) ownedDisks(seen []string) error {
	for _, v := range w.Disks {
		if len(v.Slots) != 1 || !slices.Contains(seen, v.Slots[0]) {
			return fmt.Errorf("volume %s opens with %d passphrases", v.UUID, len(v.Slots))
		}
		if v.NewKey != "" || v.Key == "key-0" || v.Key == "key-1" {
			return fmt.Errorf("volume %s is under its old key", v.UUID)
		}
	}
	return nil
}

func (w *World) ownedTPM(seen []string) error {
	switch {
	case !w.HasTPM:
	case !slices.Contains(seen, w.Owner):
		return errors.New("the TPM is not the owner's")
	case (w.Sealed == nil || w.Sealed.PCR7 != w.pcr7() || w.Sealed.Primary != w.Primary):
		return errors.New("the TPM will not open its secret at the next start")
	case w.Set.Rollback != string(w.rollback()):
		return errors.New("/boot names another rollback counter")
	case w.Set.Primary != hash(w.Primary):
		return errors.New("/boot names another storage root")
	case w.HasToken && w.TokenOTP != w.Sealed.OTP:
		return errors.New("the token and the TPM have different secrets")
	}
	return nil
}

// Known says who knows the private key that the firmware trusts: "evil" is somebody else, "seller"
// he who sold the laptop, "maker" he who made a security key that shows what it makes; "" is its
// owner, or nobody.
func (w *World) Known() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.parse(w.keyring())
	switch {
	case err != nil:
		return ""
	case strings.HasPrefix(w.keys[c.Fprs[0]], "private-evil"):
		return "evil"
	case strings.HasPrefix(w.keys[c.Fprs[0]], "private-maker"):
		return "maker"
	case c.Fprs[0] == sellerCard:
		return "seller"
	}
	return ""
}

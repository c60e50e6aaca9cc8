package wizardtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"reown/internal/handover"
	"reown/wizard"
)

type certificate struct {
	Fprs [3]string
	ID   wizard.Identity
	Self string
}

func (w *World) certificate(fprs [3]string, id wizard.Identity) []byte {
	c := certificate{Fprs: fprs, ID: id}
	c.Self = w.mac(fprs[0], fmt.Sprint(fprs, id))
	b, _ := json.Marshal(c)
	return b
}

func (w *World) mac(fpr, data string) string { return hash("signature", w.keys[fpr], data) }

func (w *World) parse(cert []byte) (certificate, error) {
	if c, ok := w.parsed[string(cert)]; ok { // a key is never taken back
		return c, nil
	}
	var c certificate
	if len(cert) == 0 {
		return c, errNoCertificate
	}
	if err := json.Unmarshal(cert, &c); err != nil {
		return c, fmt.Errorf("wizardtest: no certificate: %w", err)
	}
	if w.keys[c.Fprs[0]] == "" || c.Self != w.mac(c.Fprs[0], fmt.Sprint(c.Fprs, c.ID)) {
		return c, errors.New("wizardtest: a self-signature does not verify")
	}
	if w.parsed == nil {
		w.parsed = map[string]certificate{}
	}
	w.parsed[string(cert)] = c
	return c, nil
}

var errNoCertificate = errors.New("wizardtest: no certificate")

// Forge makes a certificate and a signer that are nobody's in this laptop: what an
// attacker with a key of his own can put into /boot.
func (w *World) Forge() (cert []byte, sign func([]byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fprs := [3]string{w.fpr(), w.fpr(), w.fpr()}
	w.keys[fprs[0]] = w.name("private-evil")
	return w.certificate(fprs, wizard.Identity{Name: "Mallory"}), func(d []byte) []byte { return w.armor(fprs[0], d) }
}

// Adopt makes a certificate in this laptop's terms of keys that are in a real card, and what
// signs for it.
func (w *World) Adopt(fprs [3]string, id wizard.Identity) (cert []byte, sign func([]byte) []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys[fprs[0]] = w.name("private-real")
	return w.certificate(fprs, id), func(d []byte) []byte { w.mu.Lock(); defer w.mu.Unlock(); return w.armor(fprs[0], d) }
}

// Armor is a signature that the key has made at some time.
func (w *World) Armor(fpr string, data []byte) []byte { return w.armor(fpr, data) }

// armor has the form of an OpenPGP signature, so that files of several can be taken
// apart as real ones are.
func (w *World) armor(fpr string, data []byte) []byte {
	mac := w.mac(fpr, string(data))
	packet := append([]byte{0xc2, byte(len(mac))}, mac...)
	return []byte("-----BEGIN PGP SIGNATURE-----\n\n" + base64.StdEncoding.EncodeToString(packet) +
		"\n-----END PGP SIGNATURE-----\n")
}

type pgp struct{ *World }

func (w pgp) Fingerprints(cert []byte) ([3]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.parse(cert)
	return c.Fprs, err
}

func (w pgp) Keys(cert []byte) (all []string, err error) {
	fprs, err := w.Fingerprints(cert)
	for _, f := range fprs {
		if f != "" && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all, err
}

func (w pgp) Verify(cert, data, sig []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.parse(cert)
	if err != nil {
		return err
	}
	made, err := handover.Signatures(sig)
	good, _ := handover.Signatures(w.armor(c.Fprs[0], data))
	if err != nil || len(made) != 1 || !bytes.Equal(made[0], good[0]) {
		return errors.New("wizardtest: the signature does not verify")
	}
	return nil
}

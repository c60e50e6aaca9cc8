package laptop

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"reown/gpgcard"
	"reown/gpgcard/keybox"
	"reown/wizard"
)

// keyring makes the two files of the ROM for one certificate.
func keyring(cert []byte) (kbx, trustdb []byte, err error) {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return nil, nil, err
	}
	// The key's own time, so that the same certificate always gives the same image.
	if kbx, err = keybox.Write(c.Created(), c); err != nil {
		return nil, nil, err
	}
	trustdb, err = keybox.WriteTrustDB(c.Created(), c)
	return kbx, trustdb, err
}

// certsIn returns the certificates in a GnuPG keybox or a plain keyring, by
// primary fingerprint. A key that is not read stands there without a certificate: to
// GnuPG it may be as good as the others.
func certsIn(data []byte) (map[string][]byte, error) {
	parse := gpgcard.ParseCerts
	if len(data) > 12 && slices.Equal(data[8:12], []byte("KBXf")) {
		parse = keybox.Read
	}
	certs, err := parse(data)
	m := map[string][]byte{}
	if some := (*gpgcard.UnusableKeysError)(nil); errors.As(err, &some) {
		for _, k := range some.Keys {
			m[cmp.Or(k.Fingerprint, "unknown")] = nil
		}
	} else if err != nil {
		return nil, err
	}
	for _, c := range certs {
		m[c.Fingerprint()] = c.Bytes()
	}
	return m, nil
}

// userID is the name on the key. A key must have one; an owner need not.
func userID(id wizard.Identity) gpgcard.Identity {
	if id.Name == "" && id.Email == "" {
		return gpgcard.Identity{Name: "Owner"}
	}
	return gpgcard.Identity{Name: id.Name, Email: id.Email}
}

// keySet shows keys in memory to the wizard.
type keySet struct{ *gpgcard.KeySet }

func (k keySet) Certificate() []byte { return k.Cert().Bytes() }

// openPGP reads certificates, makes keys in memory and checks signatures for the wizard.
type openPGP struct{}

func (openPGP) Fingerprints(cert []byte) ([3]string, error) {
	var out [3]string
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return out, err
	}
	for _, k := range c.Keys() {
		for i, use := range []string{"S", "E", "A"} {
			if out[i] == "" && !k.Revoked && strings.Contains(k.Usage, use) {
				out[i] = k.Fingerprint
			}
		}
	}
	return out, nil
}

func (openPGP) Keys(cert []byte) (all []string, err error) {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return nil, err
	}
	all = []string{c.Fingerprint()}
	for _, k := range c.Keys() {
		if k.Fingerprint != all[0] {
			all = append(all, k.Fingerprint)
		}
	}
	return all, nil
}

func (openPGP) Verify(cert, data, sig []byte) error {
	c, err := gpgcard.ParseCert(cert)
	if err != nil {
		return err
	}
	_, err = gpgcard.VerifyDetached(c, sig, data)
	return err
}

func (openPGP) NewKeySet(ctx context.Context, spec wizard.KeySpec, id wizard.Identity) (wizard.KeySet, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	alg, err := gpgcard.ParseAlgorithm(spec.Algorithm)
	if err != nil {
		return nil, err
	}
	set, err := gpgcard.NewKeySet(alg, userID(id), spec.Created)
	if err != nil {
		return nil, err
	}
	return keySet{set}, nil
}

// signedByCard says whether the card that is plugged in has signed a document: cert's keys
// are the card's, and its signature holds.
func signedByCard(c cardInfo) func(ctx context.Context, cert, doc, sig []byte) bool {
	return func(ctx context.Context, cert, doc, sig []byte) bool {
		fprs, err := openPGP{}.Fingerprints(cert)
		if err != nil || (openPGP{}).Verify(cert, doc, sig) != nil {
			return false
		}
		i, err := c.Info(ctx)
		return err == nil && !i.Terminated && fprs[0] != "" && fprs == i.Fingerprints
	}
}

// cardInfo is all that is asked of a card where none of its keys is used.
type cardInfo interface {
	Info(ctx context.Context) (wizard.CardInfo, error)
}

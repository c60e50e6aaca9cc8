package prepare

import (
	"context"
	"errors"
	"fmt"

	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/words"
	"reown/wizard/ui/answers"
)

// ErrOtherOrder says that the secrets at hand were made for another laptop. They
// are never used for two.
var ErrOtherOrder = errors.New("the secrets at hand belong to another order or security key")

// Names in the document of secrets; those of the secrets are the wizard's.
const (
	nameOrder    = "order"
	nameCard     = "card"
	nameCurrent  = "secret.current"
	nameDisk     = "secret.disk"
	nameUser     = "secret.user"
	nameAdmin    = "secret.admin"
	nameOwner    = "secret.owner"
	nameTOTP     = "totp"
	nameURI      = "totp.uri"
	nameHandover = "handover"
)

// sizes of a made secret: words, and what the device takes in bytes.
type sizes struct {
	name            string
	words, min, max int
}

// makeSecret makes words that the device takes; where even few are too long for it,
// digits.
func makeSecret(s sizes) *secret.Buffer {
	for range 1000 {
		b := words.Generate(s.words)
		if b.Len() >= s.min && b.Len() <= s.max {
			return b
		}
		b.Wipe()
	}
	return words.Digits(min(max(s.min, 8), s.max))
}

// Known are documents of secrets. The first that has a name counts.
type Known []*answers.Secrets

// Get returns a secret that stays owned by its document, or nil.
func (k Known) Get(name string) *secret.Buffer {
	for _, s := range k {
		if b := s.Get(name); b != nil {
			return b
		}
	}
	return nil
}

// Wipe clears all.
func (k Known) Wipe() {
	for _, s := range k {
		s.Wipe()
	}
}

// makeSecrets makes the secrets of one laptop, or takes those of the interrupted run
// of the same order on the same security key, and gives them to their keeper. A security
// key that would refuse its PINs is found here, before anything is changed.
func (r *run) makeSecrets(ctx context.Context) error {
	if err := r.collectSecrets(); err != nil {
		return err
	}
	if err := r.job.RehearseCard(ctx, r.m.Card.At(r.card.Serial), false); err != nil {
		return err
	}
	doc := r.made.Document()
	defer doc.Wipe()
	if err := r.o.Out.Replace(doc); err != nil {
		return fmt.Errorf("writing the secrets before they are used: %w", err)
	}
	return nil
}

func (r *run) collectSecrets() error {
	old := r.o.Known
	made := &answers.Secrets{}
	r.made = made
	setText(made, nameOrder, r.o.Order.ID)
	setText(made, nameCard, r.card.Serial)
	for _, s := range r.sizes() {
		name := s.name
		b := old.Get(name)
		if b != nil && !r.sameLaptop() {
			return fmt.Errorf("%s: %w", name, ErrOtherOrder)
		}
		if b == nil {
			b = makeSecret(s)
			defer b.Wipe()
		}
		made.Set(name, b)
	}
	if r.m.TPM != nil {
		if err := r.makeTOTP(); err != nil {
			return err
		}
	}
	r.keys.Disk, r.keys.User, r.keys.Admin, r.keys.Owner = made.Get(nameDisk), made.Get(nameUser), made.Get(nameAdmin),
		made.Get(nameOwner)
	return nil
}

// makeTOTP makes the secret for the telephone, or takes the earlier one.
func (r *run) makeTOTP() (err error) {
	if b := r.o.Known.Get(nameTOTP); b == nil {
		r.keys.OTP = otp.NewSecret()
	} else if r.keys.OTP, err = otp.ParseBase32(b); err != nil {
		return fmt.Errorf("reading the earlier TOTP secret: %w", err)
	}
	text := otp.Base32Groups(r.keys.OTP)
	defer text.Wipe()
	r.made.Set(nameTOTP, text)
	return nil
}

// sizes are what the devices of this laptop take.
func (r *run) sizes() []sizes {
	user, admin := [2]int{6, 64}, [2]int{8, 25}
	if c := r.card; c.PINMax[0] > 0 && c.PINMax[1] > 0 {
		user = [2]int{max(6, c.PINMin[0]), min(64, c.PINMax[0])}
		admin = [2]int{max(8, c.PINMin[1]), min(25, c.PINMax[1])} // Heads' tools take 25
	}
	all := []sizes{{nameDisk, 7, 12, 512}, {nameUser, 2, user[0], user[1]}, {nameAdmin, 2, admin[0], admin[1]}}
	if r.m.TPM != nil {
		all = append(all, sizes{nameOwner, 4, 8, 32})
	}
	return all
}

// sameLaptop says whether the known secrets were made for this order and card.
func (r *run) sameLaptop() bool {
	return textIs(r.o.Known, nameOrder, r.o.Order.ID) && textIs(r.o.Known, nameCard, r.card.Serial)
}

// diskKeys are the passphrases that may open the disk now: the image's, or, after an
// interruption, the one that was made.
func (r *run) diskKeys() (all []*secret.Buffer) {
	if b := r.o.Known.Get(nameDisk); b != nil && r.sameLaptop() {
		all = append(all, b)
	}
	if b := r.o.Known.Get(nameCurrent); b != nil {
		all = append(all, b)
	}
	return all
}

func setText(s *answers.Secrets, name, text string) {
	b := secret.From([]byte(text))
	defer b.Wipe()
	s.Set(name, b)
}

func textIs(s Known, name, text string) bool {
	b := s.Get(name)
	return b != nil && string(b.Bytes()) == text // neither is secret
}

// message is the document for the buyer: the secrets, what a telephone scans, and
// which statement they belong to.
func (r *run) message(digest string) (*secret.Buffer, error) {
	if uri, err := r.uri(); err != nil {
		return nil, err
	} else if uri != nil {
		defer uri.Wipe()
		r.made.Set(nameURI, uri)
	}
	setText(r.made, nameHandover, digest)
	return r.made.Document(), nil
}

// uri is what a telephone scans; nil without a TPM.
func (r *run) uri() (*secret.Buffer, error) {
	if r.m.TPM == nil {
		return nil, nil
	}
	return otp.Named(r.o.Order.Seller.Name, r.o.Order.ID, r.keys.OTP)
}

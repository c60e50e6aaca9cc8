package prepare

import (
	"errors"
	"fmt"
	"strings"

	"reown/wizard"
	"reown/wizard/msg"
	"reown/wizard/ui/answers"
)

// MaxOrder bounds an order file, in bytes.
const MaxOrder = 4096

// ErrOrder says that an order file is not one.
var ErrOrder = errors.New("not a valid order")

// An Order is what the seller decides about one laptop.
type Order struct {
	ID     string          // the order's number: of one laptop and no other
	Seller wizard.Identity // the name on the key that is made
	Buyer  string          // fingerprint of the buyer's OpenPGP key, 40 upper-case hex digits; "": not known
	Card   string          // serial number of the security key that must be plugged in; "": any
	// Language is the one of the letter to the buyer.
	Language msg.Lang
}

// ParseOrder reads an order file: one JSON object of strings with the keys order,
// name and email, and if wanted buyer, card and language. Unknown and double keys and
// trailing data are refused. Every error is ErrOrder.
func ParseOrder(data []byte) (*Order, error) {
	if len(data) > MaxOrder {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrOrder, MaxOrder)
	}
	m, err := answers.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	o := &Order{}
	language := msg.Langs[msg.EN].Code
	fields := map[string]*string{"order": &o.ID, "name": &o.Seller.Name, "email": &o.Seller.Email, "buyer": &o.Buyer,
		"card": &o.Card, "language": &language}
	for k, v := range m {
		f, ok := fields[k]
		if !ok {
			return nil, fmt.Errorf("%w: unknown key %q", ErrOrder, k)
		}
		*f = v
	}
	o.Buyer = strings.ToUpper(strings.ReplaceAll(o.Buyer, " ", "")) // as gpg prints it
	o.Card = strings.ToUpper(o.Card)
	var known bool
	o.Language, known = msg.Parse(language)
	switch {
	case o.ID == "" || len(o.ID) > 64 || !only(o.ID, orderLetters):
		return nil, fmt.Errorf("%w: order must be 1 to 64 letters, digits or ._/-", ErrOrder)
	case o.Seller.Name == "" || o.Seller.Email == "":
		return nil, fmt.Errorf("%w: name and email must be there; the buyer sees them on the key", ErrOrder)
	case !o.Seller.Writable():
		return nil, fmt.Errorf("%w: name and email must be one line each that a key can bear", ErrOrder)
	case o.Buyer != "" && (len(o.Buyer) != 40 || !only(o.Buyer, hexDigits)):
		return nil, fmt.Errorf("%w: buyer must be a fingerprint of 40 hexadecimal digits", ErrOrder)
	case !known:
		return nil, fmt.Errorf("%w: language must be one of %s", ErrOrder, strings.Join(languages(), ", "))
	case !only(o.Card, hexDigits):
		return nil, fmt.Errorf("%w: card must be a serial number in hexadecimal", ErrOrder)
	}
	return o, nil
}

const (
	hexDigits    = "0123456789ABCDEF"
	orderLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-"
)

func languages() (codes []string) {
	for _, l := range msg.Langs {
		codes = append(codes, l.Code)
	}
	return codes
}

func only(s, letters string) bool { return strings.Trim(s, letters) == "" }

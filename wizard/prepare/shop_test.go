package prepare

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"reown/gpgcard"
	"reown/internal/handover"
	"reown/wizard"
	"reown/wizard/wizardtest"
)

// station is a shop's own key, by the model's cryptography.
func (s *shop) station(t *testing.T) *Shop {
	t.Helper()
	cert, sign := s.Forge()
	fprs, err := s.World.Machine().PGP.Fingerprints(cert)
	if err != nil {
		t.Fatal(err)
	}
	if s.own == nil {
		s.own = map[string][]byte{}
	}
	s.own[fprs[0]] = cert
	return &Shop{Cert: cert, Fingerprint: fprs[0],
		Sign: func(_ context.Context, data []byte) ([]byte, error) { return sign(data), nil }}
}

var oem = strings.Repeat("0E", 20)

// sold is a statement by which somebody handed the laptop to a key.
func sold(t *testing.T, to string) *handover.Statement {
	t.Helper()
	return &handover.Statement{Subjects: map[string]string{handover.SubjectROM: strings.Repeat("a", 64)}, From: oem,
		To: to, Order: "OEM-1"}
}

func marshal(t *testing.T, st *handover.Statement) []byte {
	t.Helper()
	data, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestConsultant: a laptop that was handed to this shop gets the next statement of its
// chain, also after a cut at every write of the file; any other gets a new chain.
func TestConsultant(t *testing.T) {
	s := newShop()
	st := s.station(t)
	first := marshal(t, sold(t, st.Fingerprint))
	s.handed = [][]byte{first}
	o := s.options(t)
	o.Shop, o.Signer = st, oem
	res, err := Run(t.Context(), s.machine(), o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := handover.Parse(res.Statement)
	if err != nil {
		t.Fatal(err)
	}
	if res.Seq != 1 || got.Seq != 1 || got.Previous != handover.Digest(first) || got.From != st.Fingerprint ||
		res.Seller != st.Fingerprint {
		t.Errorf("%+v of %+v", got, res)
	}
	if res.Fingerprint == st.Fingerprint || strings.Count(string(res.Signature), "BEGIN") != 2 {
		t.Errorf("the statement must be signed by the shop and by the laptop's key:\n%s", res.Signature)
	}

	for name, to := range map[string]string{"handed to somebody else": strings.Repeat("0D", 20), "handed to nobody": ""} {
		s := newShop()
		s.handed = [][]byte{marshal(t, sold(t, to))}
		o := s.options(t)
		o.Shop = s.station(t)
		res, err := Run(t.Context(), s.machine(), o)
		if err != nil || res.Seq != 0 || res.Seller != o.Shop.Fingerprint || len(s.handed) != 1 {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
	}

	points := 0
	for i, op := range s.Ops {
		if !strings.HasPrefix(op, "handover.") {
			continue
		}
		points++
		s := newShop()
		o := s.options(t)
		o.Shop = s.station(t)
		o.Signer = oem
		s.handed = [][]byte{marshal(t, sold(t, o.Shop.Fingerprint))}
		s.Cut(i)
		if _, err := Run(t.Context(), s.machine(), o); err == nil {
			t.Errorf("not cut at %s", op)
		}
		s.Reboot()
		again := s.options(t)
		again.Shop, again.Signer = o.Shop, oem
		if res, err := Run(t.Context(), s.machine(), again); err != nil || res.Seq != 1 || len(s.handed) != 2 {
			t.Errorf("repeated after a cut at %s: %+v, %v; %d statements", op, res, err, len(s.handed))
		}
	}
	if points < 8 {
		t.Errorf("%d points", points)
	}
}

// TestShopThatCannotSign is refused before anything is changed.
func TestShopThatCannotSign(t *testing.T) {
	for name, sign := range map[string]func(context.Context, []byte) ([]byte, error){
		"no key": func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no card") },
		"another key": func(context.Context, []byte) ([]byte, error) {
			_, by := wizardtest.New().Forge()
			return by(nil),
				nil
		},
	} {
		s := newShop()
		o := s.options(t)
		o.Shop = s.station(t)
		o.Shop.Sign = sign
		if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, ErrShop) {
			t.Errorf("%s: %v", name, err)
		}
		if len(s.Ops) > 0 {
			t.Errorf("%s: written: %q", name, s.Ops)
		}
	}
	// The shop's key itself in the place of the laptop's.
	s := newShop()
	o := s.options(t)
	o.Shop = s.station(t)
	o.Shop.Cert = s.ROM[0]
	if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, ErrShop) || !strings.Contains(err.Error(), "erased") ||
		len(s.Ops) > 0 {
		t.Errorf("%v, written %q", err, s.Ops)
	}
}

// manyKeys is a certificate with more keys than a card has slots.
type manyKeys struct {
	wizard.OpenPGP
	also string
}

func (p manyKeys) Keys(cert []byte) ([]string, error) {
	all, err := p.OpenPGP.Keys(cert)
	return append(all, p.also), err
}

// TestSpareAndNotes: the spare of the laptop's last owner has the laptop's own keys, and is erased only
// after its number was typed. What that owner's run has left in /boot goes before anything else does.
func TestSpareAndNotes(t *testing.T) {
	for _, typed := range []bool{false, true} {
		s := newShop()
		o := s.options(t)
		own := *o.Order
		o.Order, own.Card = &own, ""
		s.Hints["kexec_reown.certificate.json"] = []byte(`{"run":{"spare":"` + s.Serial + `"}}`)
		s.Hints["kexec_reown.receipt"] = []byte("of a run")
		if typed {
			o.CardTail = s.Serial[len(s.Serial)-4:]
		}
		first := ""
		s.Fault = func(op string) error {
			if first == "" && (strings.HasPrefix(op, "card.") || strings.HasPrefix(op, "disk.") ||
				strings.HasPrefix(op, "tpm.")) {
				if first = op; s.Hints["kexec_reown.certificate.json"] != nil || s.Hints["kexec_reown.receipt"] != nil {
					t.Errorf("the notes are there at %s", op)
				}
			}
			return nil
		}
		_, err := Run(t.Context(), s.machine(), o)
		if typed && err != nil || !typed && (!errors.Is(err, ErrCardElsewhere) || len(s.Ops) > 0) || typed != (first != "") {
			t.Errorf("typed %v: %v, first %q", typed, err, first)
		}
	}
}

// TestWhoseCard: no card is erased that is the shop's own by any slot and any key of his
// certificate, nor one that works for something else until its number was typed; what /boot says
// about that counts for nothing.
func TestWhoseCard(t *testing.T) {
	stranger := func(s *shop) {
		for i := range s.Fprs {
			s.Fprs[i] = strings.Repeat(string("789"[i]), 40)
		}
	}
	for slot := range 3 { // one of the shop's subkeys in any slot
		s := newShop()
		o := s.options(t)
		o.Shop = s.station(t)
		stranger(s)
		m := s.machine()
		m.PGP = manyKeys{m.PGP, s.Fprs[slot]}
		o.CardTail = s.Serial[len(s.Serial)-4:]
		if _, err := Run(t.Context(), m, o); !errors.Is(err, ErrShop) || len(s.Ops) > 0 {
			t.Errorf("slot %d: %v, written %q", slot, err, s.Ops)
		}
	}
	forged := func(s *shop) { s.Hints = map[string][]byte{cardHint: []byte("forged"), keysHint: []byte("forged")} }
	for name, c := range map[string]struct {
		change func(*shop, *Options)
		want   error
	}{
		"not typed":      {func(*shop, *Options) {}, ErrCardElsewhere},
		"wrongly typed":  {func(_ *shop, o *Options) { o.CardTail = "0000" }, ErrCardElsewhere},
		"notes in /boot": {func(s *shop, _ *Options) { forged(s) }, ErrCardElsewhere},
		"typed":          {func(s *shop, o *Options) { o.CardTail = strings.ToLower(s.Serial[len(s.Serial)-4:]) }, nil},
		"the buyer's own": {func(s *shop, o *Options) {
			set, err := gpgcard.NewKeySet(gpgcard.Curve25519, gpgcard.Identity{Name: "Ada"},
				time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC))
			if err != nil {
				t.Fatal(err)
			}
			defer set.Wipe()
			if o.Buyer, err = ParseBuyer(set.Cert().Bytes(), time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)); err != nil {
				t.Fatal(err)
			}
			o.Order.Buyer, s.Fprs[2] = o.Buyer.Fingerprint, set.Cert().Keys()[1].Fingerprint
			o.CardTail = s.Serial[len(s.Serial)-4:] // not even then
		}, ErrCardElsewhere},
		"stands in the order": {func(s *shop, o *Options) { o.Order.Card = strings.ToUpper(s.Serial) }, nil},
	} {
		s := newShop()
		o := s.options(t)
		stranger(s)
		own := *o.Order
		o.Order, own.Card = &own, ""
		c.change(s, &o)
		was := s.Fprs
		if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != nil && s.Fprs != was {
			t.Errorf("%s: the card was changed", name)
		}
	}
}

// TestWhoseCardAfterACut: who was allowed to erase the card goes on after a cut, wherever it was, and
// need not say so again.
func TestWhoseCardAfterACut(t *testing.T) {
	for n := range 24 {
		s := newShop()
		o := s.options(t)
		own := *o.Order
		o.Order, own.Card = &own, ""
		for i := range s.Fprs {
			s.Fprs[i] = strings.Repeat(string("789"[i]), 40)
		}
		was := s.Fprs
		o.CardTail = s.Serial[len(s.Serial)-4:]
		s.Cut(n)
		if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, wizardtest.ErrCut) {
			t.Fatalf("%d: %v", n, err)
		}
		s.Reboot()
		again := s.options(t)
		again.Order = &own
		_, err := Run(t.Context(), s.machine(), again)
		if untouched := errors.Is(err, ErrCardElsewhere) && s.Fprs == was; err != nil && !untouched {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// TestWhoseChain: a chain whose keys came with the laptop is not continued, and so not
// vouched for, unless the shop says whose it is.
func TestWhoseChain(t *testing.T) {
	for signer, want := range map[string]error{"": wizard.ErrSellerUnknown, strings.Repeat("0D", 20): handover.ErrSigner} {
		s := newShop()
		o := s.options(t)
		o.Shop, o.Signer = s.station(t), signer
		s.handed = [][]byte{marshal(t, sold(t, o.Shop.Fingerprint))}
		if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, want) || len(s.Ops) > 0 {
			t.Errorf("%q: %v, written %q", signer, err, s.Ops)
		}
	}
}

// TestAnotherBoard: a chain about another TPM is not continued: no buyer's computer
// would accept it.
func TestAnotherBoard(t *testing.T) {
	s := newShop()
	o := s.options(t)
	o.Shop, o.Signer = s.station(t), oem
	first := sold(t, o.Shop.Fingerprint)
	first.Subjects[handover.SubjectEK] = strings.Repeat("e", 64)
	s.handed = [][]byte{marshal(t, first)}
	if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, handover.ErrOtherMachine) || len(s.handed) != 1 {
		t.Errorf("%v, %d statements", err, len(s.handed))
	}
}

// elsewhere prepares a laptop whose shop signs on another computer, and returns what
// signs there.
func (s *shop) elsewhere(t *testing.T) (o Options, sign func(context.Context, []byte) ([]byte, error)) {
	t.Helper()
	o = s.options(t)
	o.Shop = s.station(t)
	sign, o.Shop.Sign = o.Shop.Sign, nil
	return o, sign
}

// again are the options of the next start.
func (s *shop) again(t *testing.T, before Options) Options {
	t.Helper()
	o := s.options(t)
	o.Shop = before.Shop
	return o
}

func TestShopSignsElsewhere(t *testing.T) {
	s := newShop()
	o, sign := s.elsewhere(t)
	res, err := Run(t.Context(), s.machine(), o)
	if err != nil || !res.Unsigned || res.Message != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := s.reads(t.Context()); !errors.Is(err, handover.ErrSigner) {
		t.Fatalf("it verifies without the shop's signature: %v", err)
	}
	st, err := handover.Parse(res.Statement)
	if err != nil || st.From != o.Shop.Fingerprint {
		t.Fatalf("%+v, %v", st, err)
	}
	good, err := sign(t.Context(), res.Statement)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := sign(t.Context(), []byte("another laptop's statement"))
	_, mallory := s.Forge()
	written := len(s.Ops)
	for name, c := range map[string]struct {
		sig  []byte
		want error
	}{
		"nothing":              {nil, ErrShopSignature},
		"no signature":         {[]byte("thank you"), ErrShopSignature},
		"of another laptop":    {other, ErrShopSignature},
		"by another key":       {mallory(res.Statement), ErrShopSignature},
		"the laptop's alone":   {s.signature, ErrShopSignature},
		"cut off":              {good[:len(good)/2], ErrShopSignature},
		"several, none of his": {append(bytes.Clone(other), mallory(res.Statement)...), ErrShopSignature},
	} {
		if _, err := Sign(t.Context(), s.machine(), s.again(t, o), c.sig); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Options){
		"another order": func(o *Options) {
			o.Order = &Order{ID: "2026-1148", Seller: order.Seller}
			setText(o.Known[0], nameOrder, "2026-1148")
		},
		"another buyer": func(o *Options) {
			o.Order = &Order{ID: order.ID, Seller: order.Seller, Buyer: strings.Repeat("A", 40)}
		},
		"another shop":       func(o *Options) { o.Shop = s.station(t) },
		"no shop":            func(o *Options) { o.Shop = nil },
		"without the secret": func(o *Options) { o.Known = o.Known[1:] },
		"another card":       func(o *Options) { o.Order = &Order{ID: order.ID, Seller: order.Seller, Card: "0000BEEF"} },
	} {
		o := s.again(t, o)
		change(&o)
		if _, err := Sign(t.Context(), s.machine(), o, good); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if len(s.Ops) != written {
		t.Fatalf("written before it was refused: %q", s.Ops[written:])
	}
	file := append(bytes.Clone(other), good...) // gpg appends, if it is told to
	for range 2 {                               // and once more, as a worker might
		done, err := Sign(t.Context(), s.machine(), s.again(t, o), file)
		if err != nil {
			t.Fatal(err)
		}
		if done.Unsigned || done.Seller != o.Shop.Fingerprint || done.Fingerprint != res.Fingerprint || done.ROM != res.ROM ||
			done.CardSerial != res.CardSerial ||
			!bytes.Equal(done.Statement, res.Statement) || !slices.Equal(done.Volumes, res.Volumes) ||
			!bytes.Equal(done.Certificate, res.Certificate) {
			t.Errorf("%+v\nafter %+v", done, res)
		}
		if _, err := s.reads(t.Context()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(string(s.signature), "BEGIN"); n != 2 {
			t.Errorf("%d signatures", n)
		}
		file = s.signature
	}
}

// TestSignCutAnywhere cuts the power at every write of both parts, and repeats.
func TestSignCutAnywhere(t *testing.T) {
	first := newShop()
	o, sign := first.elsewhere(t)
	res, err := Run(t.Context(), first.machine(), o)
	if err != nil {
		t.Fatal(err)
	}
	began := len(first.Ops)
	good, _ := sign(t.Context(), res.Statement)
	if _, err := Sign(t.Context(), first.machine(), first.again(t, o), good); err != nil {
		t.Fatal(err)
	}
	if len(first.Ops) < began+2 {
		t.Fatalf("no named write: %q", first.Ops[began:])
	}
	for n := range first.Ops {
		s := newShop()
		o, sign := s.elsewhere(t)
		s.Cut(n)
		res, err := Run(t.Context(), s.machine(), o)
		if n < began {
			if err == nil {
				t.Fatalf("cut at point %d: nothing was noticed", n)
			}
			if _, err := s.reads(t.Context()); err == nil {
				t.Fatalf("cut at point %d: it verifies without the shop's signature", n)
			}
			s.Reboot()
			if res, err = Run(t.Context(), s.machine(), s.again(t, o)); err != nil {
				t.Fatalf("cut at point %d, repeated: %v", n, err)
			}
		}
		good, _ := sign(t.Context(), res.Statement)
		_, err = Sign(t.Context(), s.machine(), s.again(t, o), good)
		if n >= began {
			if err == nil {
				t.Fatalf("cut at point %d (%s): nothing was noticed", n, first.Ops[n])
			}
			s.Reboot()
			_, err = Sign(t.Context(), s.machine(), s.again(t, o), good)
		}
		if err != nil {
			t.Fatalf("cut at point %d, signed: %v", n, err)
		}
		if _, err := s.reads(t.Context()); err != nil {
			t.Fatalf("cut at point %d: %v", n, err)
		}
	}
}

// TestSignedInTheMeantime: what was done to the laptop while the statement was away
// keeps the signature from being added.
func TestSignedInTheMeantime(t *testing.T) {
	for name, spoil := range spoils {
		s := newShop()
		o, sign := s.elsewhere(t)
		res, err := Run(t.Context(), s.machine(), o)
		if err != nil {
			t.Fatal(err)
		}
		good, _ := sign(t.Context(), res.Statement)
		before := bytes.Clone(s.signature)
		spoil(s)
		if name == "another hand-over file" {
			s.handed[0] = s.statement
		}
		var step *wizard.StepError
		if _, err := Sign(t.Context(), s.machine(), s.again(t, o), good); !errors.As(err, &step) || step.Step != "measure" &&
			step.Step != "signature" {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, s.signature) {
			t.Errorf("%s: signed", name)
		}
	}
}

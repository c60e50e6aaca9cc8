package prepare

import (
	"context"
	"errors"
	"strings"
	"testing"

	"reown/internal/handover"
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
	return &Shop{Cert: cert, Fingerprint: fprs[0], Sign: func(_ context.Context, data []byte) ([]byte, error) { return sign(data), nil }}
}

// sold is a statement by which somebody handed the laptop to a key.
func sold(t *testing.T, to string) *handover.Statement {
	t.Helper()
	return &handover.Statement{Subjects: map[string]string{handover.SubjectROM: strings.Repeat("a", 64)}, From: strings.Repeat("0E", 20), To: to, Order: "OEM-1"}
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
	o.Shop = st
	res, err := Run(t.Context(), s.machine(), o)
	if err != nil {
		t.Fatal(err)
	}
	got, err := handover.Parse(res.Statement)
	if err != nil {
		t.Fatal(err)
	}
	if res.Seq != 1 || got.Seq != 1 || got.Previous != handover.Digest(first) || got.From != st.Fingerprint || res.Seller != strings.Repeat("0E", 20) {
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
		s.handed = [][]byte{marshal(t, sold(t, o.Shop.Fingerprint))}
		s.Cut(i)
		if _, err := Run(t.Context(), s.machine(), o); err == nil {
			t.Errorf("not cut at %s", op)
		}
		s.Reboot()
		again := s.options(t)
		again.Shop = o.Shop
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
		"no key":      func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no card") },
		"another key": func(context.Context, []byte) ([]byte, error) { _, by := wizardtest.New().Forge(); return by(nil), nil },
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
	if _, err := Run(t.Context(), s.machine(), o); !errors.Is(err, ErrShop) || !strings.Contains(err.Error(), "erased") || len(s.Ops) > 0 {
		t.Errorf("%v, written %q", err, s.Ops)
	}
}

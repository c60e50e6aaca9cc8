package gpgcard_test

import (
	"slices"
	"testing"

	"reown/gpgcard"
	"reown/gpgcard/cardtest"
)

// YubiKey 5.4.3 says that its list of algorithms is two bytes longer than it is, and
// lists X25519 under the number of EdDSA. Every algorithm in it is offered.
func TestAlgorithmsOfYubiKey543(t *testing.T) {
	info, err := open(t, cardtest.New(cardtest.YubiKey)).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []gpgcard.Algorithm{gpgcard.RSA4096, gpgcard.P256, gpgcard.Curve25519, gpgcard.RSA3072, gpgcard.RSA2048,
		gpgcard.P384, gpgcard.P521}
	if !slices.Equal(info.Algorithms, want) {
		t.Errorf("offers %v, want %v", info.Algorithms, want)
	}
}

// A list that says nothing leaves what such cards usually have.
func TestAlgorithmsOfAnEmptyList(t *testing.T) {
	p := cardtest.Nitrokey3
	p.Odd.NoAlgorithms = true
	info, err := open(t, cardtest.New(p)).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(info.Algorithms, gpgcard.P256) {
		t.Errorf("offers %v", info.Algorithms)
	}
}

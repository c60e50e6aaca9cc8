package wizard

import (
	"context"
	"errors"
	"slices"
)

// Promised are the UUIDs of the encrypted volumes that the machine has by the word of somebody whose
// key the firmware trusts: the seller's statement, or the owner's certificate. nil: nobody says.
func Promised(ctx context.Context, m *Machine) ([]string, error) {
	h, err := m.Boot.Handover(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	if h.Signer != "" {
		for _, v := range h.Volumes {
			all = append(all, v.UUID)
		}
	}
	c, err := certified(ctx, m)
	if err == nil && c != nil {
		for _, v := range c.Volumes {
			all = append(all, v.UUID)
		}
		all = append(all, c.LeftOut...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// certified is the certificate in /boot by the one key that the firmware trusts; nil: none.
func certified(ctx context.Context, m *Machine) (*Certificate, error) {
	s := measure(ctx, m)
	if holds, err := s.Holds(); err != nil || !holds {
		return nil, err
	}
	cert, err := s.HintCert()
	if err != nil {
		return nil, err
	}
	c, err := readCertificate(ctx, m, cert)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return c, err
}

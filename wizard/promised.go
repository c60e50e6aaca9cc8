package wizard

import (
	"encoding/json"
	"errors"

	"context"
	"slices"
)

// Promised are the UUIDs of the encrypted volumes that the machine has by the word of somebody whose
// key the firmware trusts: the seller's statement, or the owner's certificate. nil: nobody says.
func Promised(ctx context.Context, m *Machine) ([]string, error) {
	s := measure(ctx, m)
	h, err := s.Handover()
	if err != nil {
		return nil, err
	}
	var all []string
	if h.Signer != "" {
		for _, v := range h.Volumes {
			all = append(all, v.UUID)
		}
	}
	c, err := s.certified("")
	if err == nil && c != nil {
		for _, v := range c.Volumes {
			all = append(all, v.UUID)
		}
		all = append(all, c.LeftOut...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// SpareOf is the serial number of the second security key that an owner has filled, by the receipt or the
// certificate in /boot; "": none is named. Anybody can write such a name: it may only make somebody ask.
func SpareOf(ctx context.Context, m *Machine) (string, error) {
	for _, name := range []string{hintReceipt, hintCertificate} {
		file, err := m.Boot.ReadHint(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue
		} else if err != nil {
			return "", err
		}
		var c struct {
			Spare string   `json:"spare"`
			Run   *Receipt `json:"run"`
		}
		if name == hintReceipt {
			if file, _, err = splitSigned(file); err != nil {
				continue
			}
		}
		if json.Unmarshal(file, &c) != nil {
			continue
		}
		if c.Run != nil && c.Run.Spare != "" {
			return c.Run.Spare, nil
		}
		if c.Spare != "" {
			return c.Spare, nil
		}
	}
	return "", nil
}

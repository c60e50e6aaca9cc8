package wizard

import (
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

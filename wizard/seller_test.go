package wizard_test

import (
	"strings"
	"testing"

	"reown/wizard"
)

// TestHandedOnByAStranger: a stranger who bought a computer from the maker can hand it on
// with the maker's statement before his own, and name in it whom he likes. Who knows the
// maker's key is not shown by it that the maker sent the computer as it is.
func TestHandedOnByAStranger(t *testing.T) {
	maker, stranger := strings.Repeat("70A6", 10), strings.Repeat("EEEE", 10)
	direct := wizard.Handover{Chain: []wizard.Transfer{{From: maker, Firmware: true}}}
	stolen := wizard.Handover{Chain: []wizard.Transfer{{From: maker, To: stranger},
		{From: stranger, To: strings.Repeat("9C0D", 10)}}}
	swapped := wizard.Handover{Chain: []wizard.Transfer{{From: maker, To: stranger}, {From: stranger, Firmware: true}}}
	begun := wizard.Handover{Chain: []wizard.Transfer{{From: maker, To: stranger, Firmware: true}, {From: stranger}}}
	for name, c := range map[string]struct {
		h      wizard.Handover
		seller string
		asked  bool
	}{
		"direct":                            {direct, maker, false},
		"by a stranger":                     {stolen, stranger, true},
		"his key in the firmware":           {swapped, stranger, true},
		"the maker's left in the firmware":  {begun, stranger, true},
		"no hand-over, nothing to be shown": {wizard.Handover{}, "", false},
	} {
		if c.h.SoldBy(c.seller) != (c.seller != "") || c.seller != maker && c.h.SoldBy(maker) || c.h.SoldBy("") {
			t.Errorf("%s: sold by the wrong one", name)
		}
		if c.h.Claimed() != c.asked || c.h.SellerKey() != c.seller {
			t.Errorf("%s: asked for the seller's key: %v", name, c.h.Claimed())
		}
	}
}

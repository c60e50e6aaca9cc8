package main

import "reown/wizard/release"

var releaseTexts = []errorText{
	{err: release.ErrNotOwner, What: "The security key that is plugged in does not hold the key that this laptop's firmware trusts, so it does not prove that you own the laptop.", Data: "Nothing was erased.", Do: "Plug in the owner's security key and repeat the command. If it is lost or broken, use --lost-card instead of --pin-file.", Exit: exitRefused},
	{err: release.ErrNoDisk, What: "No encrypted disk was found, so there is none to erase.", Data: "Nothing was erased.",
		Do: "If the laptop has one, find out why it does not show before you give it away: `reown luks info` on its device. If it has none, add --confirm none.", Exit: exitRefused},
	{typ: typeOf[*release.MissingError](), What: "A signed file says that this laptop has encrypted disks that were not found. Whatever opens them would still open them.", Data: "Nothing was erased.", Do: "Find out why they do not show: taken out, or a damaged header (`reown luks info`). For each that is really gone add --without and the UUID above; the record will say so.", Exit: exitRefused},
	{typ: typeOf[*release.DoubtError](), What: "A device looks like an encrypted disk, but can be read in more ways than one, or not at all; the line above says which.", Data: "Nothing was erased.", Do: "Look at it with `reown luks info`. If it is to stay as it is, add --without and its path; the record will say so.", Exit: exitRefused},
	{err: release.ErrNeedsPIN, What: "The owner's security key is plugged in and its PIN was not given.",
		Data: "Nothing was erased.", Do: "Repeat the command with --pin-file; --pin-file - asks for the PIN.",
		Exit: exitRefused},
	{err: release.ErrNotReleased, What: "After the release something of the owner's was still found on the laptop.",
		Data: "What was erased before is gone for good. The part that is named above is not clean.",
		Do:   "Repeat the same command. If it says the same again, do not give the laptop away."},
}

package main

import (
	"reown/internal/ccid"
	"reown/internal/usb"
)

// Sentences that several rows share.
const (
	nothingChanged = "Nothing was changed."
	replug         = "Pull the security key out, wait a few seconds, plug it in again, and repeat the step."
)

var hotpTexts = []errorText{
	// usb
	{err: usb.ErrGone, What: "The security key was pulled out, or lost its contact, while it was in use.", Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: "Plug the security key in again, directly and not through a hub, and repeat the step."},
	{err: usb.ErrBusy, What: "Another program is using the security key.", Data: nothingChanged, Do: "Close other programs that use the security key (GnuPG, pcscd), or pull it out and plug it in again. Then repeat the step."},
	{err: usb.ErrAccess, What: "This program is not allowed to talk to the security key.", Data: nothingChanged, Do: "Run the command as root."},
	{err: usb.ErrStall, What: "The security key refused a request that every such key should understand.", Data: nothingChanged, Do: replug},
	{err: usb.ErrTransfer, What: "The USB connection to the security key failed.", Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: "Try another USB port, without a hub. " + replug},
	{err: usb.ErrDescriptor, What: "A USB device describes itself in a way that makes no sense.", Data: nothingChanged, Do: "Pull out USB devices that you do not need. If it is your security key, it may be broken."},

	// ccid
	{err: ccid.ErrNoReader, What: "This USB device has no smart card inside.", Data: nothingChanged, Do: "Plug in the security key that came with the computer."},
	{err: ccid.ErrNoCard, What: "There is no card in the card reader.", Data: nothingChanged, Do: "Push the card in, with the chip first, and repeat the step."},
	{err: ccid.ErrUnsupported, What: "This card reader, or this card, speaks a language that this program does not know.", Data: nothingChanged, Do: "Use another security key. Nitrokey, Librem Key and YubiKey work."},
	{err: ccid.ErrNoAnswer, What: "The security key does not answer any more.", Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},
	{err: ccid.ErrProtocol, What: "The security key sent something that makes no sense.", Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},
	{err: ccid.ErrLost, What: "The security key's answer was lost on the way. Whether it carried out the last command is not known.", Data: "The last command is not repeated by itself: a wrong PIN would cost you a second try.", Do: replug + " The program then looks what state the key is in."},
	{err: ccid.ErrTooLong, What: "A command was too long for this security key's card reader.", Data: nothingChanged, Do: "Use another USB card reader or security key, and report this with the output of `reown card status --json`."},
	{err: ccid.ErrClosed, What: "The connection to the security key had already ended.", Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},
	{typ: typeOf[*ccid.CommandError](), What: "The security key's card reader reported a failure.", Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},
}

package main

import (
	"reown/internal/ccid"
	"reown/internal/hotpkey"
	"reown/internal/usb"
)

// Sentences that several rows share.
const (
	nothingChanged = "Nothing was changed."
	replug         = "Pull the security key out, wait a few seconds, plug it in again, and repeat the step."
)

var hotpTexts = []errorText{
	// usb
	{err: usb.ErrGone, What: "The security key was pulled out, or lost its contact, while it was in use.",
		Data: "A step that was cut off in the middle is checked and finished when you repeat it.",
		Do:   "Plug the security key in again, directly and not through a hub, and repeat the step."},
	{err: usb.ErrBusy, What: "Another program is using the security key.", Data: nothingChanged,
		Do: "Close other programs that use the security key (GnuPG, pcscd), or pull it out and plug it in again. Then repeat the step."},
	{err: usb.ErrAccess, What: "This program is not allowed to talk to the security key.", Data: nothingChanged,
		Do: "Run the command as root."},
	{err: usb.ErrStall, What: "The security key refused a request that every such key should understand.",
		Data: nothingChanged, Do: replug},
	{err: usb.ErrTransfer, What: "The USB connection to the security key failed.",
		Data: "A step that was cut off in the middle is checked and finished when you repeat it.",
		Do:   "Try another USB port, without a hub. " + replug},
	{err: usb.ErrDescriptor, What: "A USB device describes itself in a way that makes no sense.", Data: nothingChanged,
		Do: "Pull out USB devices that you do not need. If it is your security key, it may be broken."},

	// ccid
	{err: ccid.ErrNoReader, What: "This USB device has no smart card inside.", Data: nothingChanged,
		Do: "Plug in the security key that came with the computer."},
	{err: ccid.ErrNoCard, What: "There is no card in the card reader.", Data: nothingChanged,
		Do: "Push the card in, with the chip first, and repeat the step."},
	{err: ccid.ErrCharacters, What: "This card reader passes single characters, and wants a driver of its own. The line above names it.", Data: nothingChanged, Do: "Use another card reader, or reach this one through pcscd (`--card pcsc`) on a system that has its driver."},
	{err: ccid.ErrT0, What: "This card reader speaks an older protocol (T=0) alone, which no OpenPGP card speaks. The line above names it.", Data: nothingChanged, Do: "Use another card reader, or a security key that is plugged in by itself."},
	{err: ccid.ErrUnsupported, What: "This card reader, or this card, speaks a language that this program does not know.",
		Data: nothingChanged, Do: "Use another security key. Nitrokey, Librem Key and YubiKey work."},
	{err: ccid.ErrNoAnswer, What: "The security key does not answer any more.",
		Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},
	{err: ccid.ErrProtocol, What: "The security key sent something that makes no sense.",
		Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},
	{err: ccid.ErrLost, What: "The security key's answer was lost on the way. Whether it carried out the last command is not known.", Data: "The last command is not repeated by itself: a wrong PIN would cost you a second try.", Do: replug + " The program then looks what state the key is in."},
	{err: ccid.ErrTooLong, What: "A command was too long for this security key's card reader.", Data: nothingChanged,
		Do: "Use another USB card reader or security key, and report this with the output of `reown card status --json`."},
	{err: ccid.ErrClosed, What: "The connection to the security key had already ended.",
		Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},
	{typ: typeOf[*ccid.CommandError](), What: "The security key's card reader reported a failure.",
		Data: "A step that was cut off in the middle is checked and finished when you repeat it.", Do: replug},

	// hotpkey
	{err: hotpkey.ErrNoToken, What: "No security key that can show the green light is plugged in.", Data: nothingChanged,
		Do: "Plug in a Nitrokey 3, Nitrokey Pro, Nitrokey Storage or Librem Key, directly and not through a hub, and try again. Other keys cannot do this."},
	{err: hotpkey.ErrManyTokens, What: "More than one security key is plugged in.", Data: nothingChanged,
		Do: "Leave only the key that you want to use with this computer, or choose it by its serial number."},
	{err: hotpkey.ErrWrongCode, What: "The security key shows red: it does not recognise the code.",
		Data: "Your files were not touched. If you did not change the computer's firmware or settings yourself, somebody else may have.", Do: "If this computer was started several times without the key, or its boot files were restored, run the check again with --resync. Otherwise treat the computer as tampered with until you know why."},
	{err: hotpkey.ErrNoSlot, What: "The security key has no secret of this computer yet, so it cannot show the green light.", Data: nothingChanged, Do: "Store it with `reown hotp set`, or let `reown resume` do it. If a secret was on this key before, find out who erased it."},
	{err: hotpkey.ErrNoTouch, What: "The security key waited for your finger and gave up.",
		Data: "The step is not done. If the old secret had already been removed, the key shows no green light until the step is repeated.", Do: "Repeat the step. Touch the key's button, or its metal contact, when its light blinks; you have 15 seconds each time."},
	{err: hotpkey.ErrNoApp, What: "The firmware of this Nitrokey 3 has no secrets app, so it cannot check the code of a start.", Data: "Nothing was changed.", Do: "Update its firmware on another computer (`nitropy nk3 update`), or use another security key."},
	{err: hotpkey.ErrOldFirmware, What: "The firmware of this security key is too old: it cannot check the code of a start.", Data: "Nothing was changed.", Do: "Use a Nitrokey Pro or Librem Key with firmware 0.9 or newer, a Nitrokey Storage with 0.54 or newer, or a Nitrokey 3. An old Nitrokey Pro cannot be updated."},
	{err: hotpkey.ErrNoPIN, What: "This Nitrokey 3 has no PIN for its secrets app yet.", Data: nothingChanged,
		Do: "Choose a PIN, write it down, and repeat the step with --new-pin. It is not the PIN of the OpenPGP card."},
	{err: hotpkey.ErrPINBlocked, What: "The PIN was wrong too often: the security key does not accept it any more.",
		Data: "The secret on the key is still there and still works. " + nothingChanged,
		Do:   "On a Nitrokey 3, reset the secrets app with `reown hotp reset`. On other keys the whole OpenPGP card must be reset with `reown card reset`, which destroys the keys on it."},
	{err: hotpkey.ErrLastTry, What: "Only one try is left for this PIN, and it was not used.", Data: nothingChanged,
		Do: "Look the PIN up before you go on. If you are sure of it, repeat the step with --last-try."},
	{err: hotpkey.ErrPINLength, What: "A PIN of this length does not fit the security key.", Data: nothingChanged +
		" No try was used.", Do: "Nitrokey Pro, Storage and Librem Key take an admin PIN of 8 to 25 characters; a Nitrokey 3 takes a secrets PIN of 4 to 127."},
	{err: hotpkey.ErrBadSecret, What: "The file does not hold a secret that the security key could store.",
		Data: nothingChanged, Do: "The secret must have 16 to 40 bytes; 20 on a Heads machine. If the file holds letters, add --base32."},
	{err: hotpkey.ErrBadCounter, What: "The number that counts the codes is missing, or makes no sense.",
		Data: nothingChanged, Do: "Store the secret on the key again: `reown hotp set --counter-file` writes the number anew."},
	{err: hotpkey.ErrFull, What: "The security key's memory is full.",
		Data: "The old secret of this computer is gone from the key; other secrets on it are untouched.",
		Do:   "Remove secrets from the key that you do not need, with the program that you stored them with, and repeat the step."},
	{err: hotpkey.ErrRefused, What: "The security key does not want to check a code just now.", Data: nothingChanged,
		Do: "Wait five seconds and try again. If the key blinks, touch it."},
	{err: hotpkey.ErrNotAuthorized, What: "The security key restarted in the middle of the step and forgot that the PIN had been right.", Data: "The step is not done; it can be repeated.", Do: "Try another USB port, without a hub, and repeat the step."},
	{err: hotpkey.ErrNoAnswer, What: "The security key does not answer any more.",
		Data: "Whether it finished the last command is not known; repeating the step is safe.", Do: replug},
	{err: hotpkey.ErrProtocol, What: "The security key sent something that makes no sense.",
		Data: "Whether it finished the last command is not known; repeating the step is safe.", Do: replug},
	{err: hotpkey.ErrNeedsConsent, What: "This erases a secret on the security key, and was not confirmed.",
		Data: nothingChanged, Do: "If you mean it, repeat the command with --confirm and the key's serial number.",
		Exit: exitRefused},
	{typ: typeOf[*hotpkey.PINError](), What: "The PIN is wrong; the line above says which one, and how many tries are left.", Data: "The secret on the key is still there and still works. One try was used.", Do: "Look the PIN up on your paper and try again. Do not guess: when no try is left, the PIN is blocked."},
	{typ: typeOf[*hotpkey.StatusError](), What: "The security key refused a command; the line above holds its number.",
		Data: "The step is not done; it can be repeated.", Do: replug +
			" If it happens again, the key's firmware may be too old: Nitrokey 3 needs 1.8 or later, Nitrokey Pro and Librem Key 0.10."},
}

package main

import (
	"reown/gpgcard"
	"reown/gpgcard/keybox"
	"reown/internal/pcsc"
)

const cardUntouched = "Nothing on the key was changed; your files have nothing to do with it."

var cardTexts = []errorText{
	{err: gpgcard.ErrNoReader, What: "No security key (USB token) and no smart card reader was found.", Data: cardUntouched, Do: "Plug the key in, without a hub if possible, and try again after five seconds."},
	{err: gpgcard.ErrNoCard, What: "None of the plugged-in devices is the OpenPGP security key that is wanted.", Data: cardUntouched, Do: "Plug in the right key. `reown card status` lists what is there."},
	{err: gpgcard.ErrSeveralCards, What: "More than one security key is plugged in, and this program does not guess which one you mean.", Data: cardUntouched, Do: "Unplug the others, or name one with --serial; `reown card status` lists the numbers.", Exit: exitRefused},
	{err: gpgcard.ErrNoApplet, What: "This card or key has no OpenPGP application, so it cannot sign for the firmware.", Data: cardUntouched, Do: "Use another key: Nitrokey, Librem Key, YubiKey 5 or another one that says OpenPGP."},
	{err: gpgcard.ErrBusy, What: "Another program is using the security key.", Data: cardUntouched, Do: "Close programs that use it (`gpgconf --kill all` ends GnuPG's), then try again."},
	{err: gpgcard.ErrRemoved, What: "The security key was unplugged, or lost its power, in the middle of the work.", Data: "Your files are untouched. The step on the key is not finished and can be done again.", Do: "Plug the key in and repeat the step.", Exit: exitStopped},
	{err: gpgcard.ErrUnanswered, What: "The security key has worked on one command for half an hour and has not come to an end.", Data: "Your files are untouched. Whether it has carried the command out is not known.", Do: "Pull it out, plug it in again, and repeat the step: it looks first at what is there. If it stays so, use another key.", Exit: exitStopped},
	{err: gpgcard.ErrTerminated, What: "The security key is in the middle of being emptied: a reset was begun and not ended.", Data: "Its old keys are gone already; your files are untouched.", Do: "Finish with `reown card reset`."},
	{err: gpgcard.ErrNoReset, What: "This security key says that it cannot be reset to its factory state.", Data: cardUntouched + " In particular its PINs were not blocked.", Do: "If you know its admin PIN, new keys can be made over the old ones with `reown card generate`. Otherwise use another key.", Exit: exitRefused},
	{err: gpgcard.ErrResetFailed, What: "The security key did not return to its factory state.", Data: "Your files are untouched. Its PINs may be blocked now; its keys may still be there, but cannot be used.", Do: "Unplug it, plug it in again and repeat `reown card reset`. If that fails twice, use another key."},
	{err: gpgcard.ErrLastTry, What: "Too few tries are left for this PIN: one mistake could block it, so it was not sent.", Data: cardUntouched, Do: "If you are sure of the PIN, repeat with --last-try. A blocked user PIN can be set anew with the admin PIN (`reown card pin unblock`); a blocked admin PIN cannot.", Exit: exitRefused},
	{err: gpgcard.ErrBlocked, What: "The PIN is blocked: it was entered wrongly too often.", Data: "Your files are untouched. The keys on the security key stay locked until the PIN is set anew.", Do: "User PIN: `reown card pin unblock` with the admin PIN. Admin PIN: only `reown card reset` helps, which destroys the keys on it.", Exit: exitRefused},
	{err: gpgcard.ErrPINNeeded, What: "The security key wants a PIN before it does this.", Data: cardUntouched, Do: "Give the PIN with --pin-file or --admin-pin-file."},
	{err: gpgcard.ErrTouch, What: "The security key waited for a touch of its button, and there was none in time; or it refused the operation.", Data: cardUntouched, Do: "Repeat, and touch the key when it blinks."},
	{err: gpgcard.ErrTouchFixed, What: "The touch policy of this key was fixed, and cannot be changed any more.", Data: cardUntouched, Do: "Leave it as it is. Only a reset of the security key, which destroys its keys, ends it."},
	{err: gpgcard.ErrNoTouch, What: "This security key has no button, or does not offer this kind of confirmation.", Data: cardUntouched, Do: "Go on without it."},
	{err: gpgcard.ErrNoKDF, What: "This security key cannot keep its PINs hashed, or only before keys are made on it.", Data: cardUntouched, Do: "Go on without it, or do it right after `reown card reset`."},
	{err: gpgcard.ErrNoKey, What: "There is no secret key in that place on the security key.", Data: cardUntouched, Do: "Check that it is the right one (`reown card status`), or make keys with `reown card generate`."},
	{err: gpgcard.ErrKeyMismatch, What: "A key on the security key is not the one noted beside it: making or importing it was interrupted.", Data: "Your files are untouched. That key cannot be used as it is.", Do: "Make or import the keys again (`reown card generate` or `reown card import`)."},
	{err: gpgcard.ErrWrongCard, What: "This security key does not hold the secret key that belongs to the certificate. The line above names both.", Data: cardUntouched, Do: "Plug in the right one. No PIN was sent."},
	{err: gpgcard.ErrTooLarge, What: "The key or command is too long for this security key or its reader.", Data: cardUntouched, Do: "Use a shorter kind of key (such as 25519 or rsa2048), or plug the key in directly."},
	{err: gpgcard.ErrMalformed, What: "The security key answered something that makes no sense. It may be defective, or the connection is.", Data: "Your files are untouched. The step is not finished.", Do: "Plug it in again, at another port, and repeat. If it stays so, use another key."},
	{err: gpgcard.ErrBadSignature, What: "The signature is not good: the data was changed, or another key signed it.", Data: "Nothing was changed.", Do: "Do not trust what was signed before you know why. If you have just changed /boot yourself, sign it again.", Exit: exitNotVerified},
	{err: gpgcard.ErrBadCert, What: "This is not an OpenPGP key that can be used: it is damaged, of an unknown kind, or not one key.", Data: "Nothing was changed.", Do: "Get the file again, as `gpg --export` or `reown card export` writes it."},
	{typ: typeOf[*gpgcard.UnusableKeysError](), What: "The key ring has a key that this program does not read: an old or new kind, a very large one, or one that did not sign its own name.", Data: "Nothing was changed.", Do: "Take keys of RSA 2048 to 8192 bits or of a curve that security keys have, as `gpg --export` writes them; leave the others out."},
	{err: gpgcard.ErrBadIdentity, What: "A name or address has characters that cannot stand in a key, or is empty or too long.", Data: "Nothing was changed.", Do: "Leave out the signs ( ) < > and try again."},
	{err: gpgcard.ErrWrongPassphrase, What: "The passphrase does not open the secret key in the backup.", Data: "Nothing was changed.", Do: "Type it again; mind the keyboard layout."},
	{err: gpgcard.ErrNotImportable, What: "The backup has no key that this security key could use, or only its public part.", Data: cardUntouched, Do: "Use the file with the secret keys, as `gpg --export-secret-keys` writes it."},
	{typ: typeOf[*gpgcard.PINError](), What: "The PIN is wrong; the line above says which one and how many tries are left.", Data: cardUntouched, Do: "Type it again with care. Stop when one try is left and look for your paper."},
	{typ: typeOf[*gpgcard.PINLengthError](), What: "The new PIN is too short or too long for this security key, or the key does not let this PIN be changed now.", Data: "The old PIN is still in force.", Do: "Choose a PIN of a length that the line above allows. A Nitrokey Start needs keys before its user PIN can be changed."},
	{typ: typeOf[*gpgcard.HalfSetError](), What: "The security key took the new admin PIN, refused the new user PIN, and did not take the old admin PIN back.", Data: "The new admin PIN is in force; the user PIN is the old one. The keys are as they were.", Do: "Write the new admin PIN down. With it, `reown card pin unblock` sets a user PIN of a length that the line above allows."},
	{typ: typeOf[*gpgcard.AlgorithmError](), What: "The security key does not offer this kind of key.", Data: "Your files are untouched. If it happened while keys were being made, the ones already made are new.", Do: "Choose another kind: `reown card status` lists what the key offers."},
	{typ: typeOf[*gpgcard.ClockError](), What: "The computer's clock is wrong; a key or signature with that date would not be accepted later.", Data: "Nothing was changed.", Do: "Set date and time (in the firmware's menu, or with `date -u -s` and `hwclock -w`), then try again.", Exit: exitRefused},
	{typ: typeOf[*gpgcard.StatusError](), What: "The security key refused a command, with the code in the line above.", Data: "Your files are untouched. The step is not finished.", Do: "Plug it in again and repeat. If it stays so, `reown card status` and the code help whoever helps you."},
	{err: keybox.ErrMalformed, What: "The key ring (pubring.kbx) is damaged.", Data: "Nothing was changed.", Do: "If it is the one in the firmware, the firmware image is damaged or was tampered with: do not trust it, write a good image."},
	{err: pcsc.ErrNoSocket, What: "The smart card service (pcscd) has no socket at the place that the line above names.", Data: "Nothing was changed.", Do: "Correct the path after --card pcsc:, or start pcscd; or reach the key over USB directly with --card usb."},
	{err: pcsc.ErrDenied, What: "The smart card service (pcscd) does not let this user in.", Data: "Nothing was changed.", Do: "Run the command as root."},
	{err: pcsc.ErrNotRunning, What: "The smart card service (pcscd) is not running.", Data: "Nothing was changed.", Do: "Start it, or reach the key over USB directly with --card usb."},
	{err: pcsc.ErrHung, What: "The smart card service (pcscd) runs and does not answer.", Data: "Your files are untouched. The step is not finished.", Do: "Unplug the security key, restart pcscd, plug the key in and repeat; or reach it over USB directly with --card usb."},
	{typ: typeOf[pcsc.Code](), What: "The smart card service (pcscd) could not do what it was asked; the line above says why.", Data: "Your files are untouched. The step is not finished.", Do: "Plug the security key in again and repeat, or reach it over USB directly with --card usb."},
	{err: pcsc.ErrProtocol, What: "The smart card service (pcscd) answered something that makes no sense.", Data: "Nothing was changed.", Do: "Restart it, or reach the key over USB directly with --card usb."},
}

package main

import (
	"reown/internal/keymap"
	"reown/wizard"
	"reown/wizard/ui"
	"reown/wizard/ui/answers"
	"reown/wizard/ui/tui"
)

var wizardTexts = []errorText{
	{err: wizard.ErrNothingToDo, What: "There is no file /boot/oem, so nobody asks for this computer to be handed over.", Data: "Nothing was touched.", Do: "Nothing. To make the computer yours nevertheless, create /boot/oem and start again."},
	{err: wizard.ErrTampering, What: "The computer already has an owner, and something in /boot asks for it to be taken over.", Data: "Nothing was changed by this program.", Do: "Type no passphrase. Compare /boot with what you know of it in the recovery shell, and remove /boot/oem if nothing else differs.", Exit: exitNotVerified},
	{err: wizard.ErrNotVerified, What: "It could not be shown that this is the computer that was sent to you.", Data: "Nothing was changed in this start.", Do: "Photograph the screen, type no secret, and ask the seller at the address on your order.", Exit: exitNotVerified},
	{err: wizard.ErrPaused, What: "The run was paused.", Data: "Your files are intact; everything goes on where it stopped.", Do: "Start the computer again and choose Continue, or run `reown resume`.", Exit: exitStopped},
	{err: wizard.ErrNotPrepared, What: "The steps that come before this one are not done, and doing it now could lock you out.", Data: "Nothing was changed.", Do: "Run `reown resume`: it does what is missing, in the right order.", Exit: exitRefused},
	{err: wizard.ErrOtherCard, What: "A reset of the security key had been begun before, so that its number could be read only now; it is not the number that the seller lists.", Data: "Your files are as they were. The key in the reader is empty.", Do: "Plug in the key that was sent to you and start again. If this is that key, ask the seller.", Exit: exitRefused},
	{err: wizard.ErrLocked, What: "The program already runs on another console of this computer.", Data: "Nothing was changed.", Do: "Go on there, or end it there first.", Exit: exitRefused},
	{err: wizard.ErrSealImpossible, What: "The TPM cannot keep the new secret in this start: it went through the recovery shell, it began from a chip that was half written, or the firmware's log of its measurements is in doubt.", Data: "Nothing is lost.", Do: "Run `reown resume`: it does all the rest, and seals the secret after a normal restart.", Exit: exitRefused},
	{err: wizard.ErrRestart, What: "The computer must restart once before the run is finished.", Data: "Your files are intact; what is done stays done.", Do: "Let it start normally and choose Continue, or run `reown resume` then.", Exit: exitStopped},
	{err: wizard.ErrOwnName, What: "The TPM cannot open the disk for the installed system: that names its disk in a way of its own, and might not find it.", Data: "Nothing is lost: the disk opens with its passphrase.", Do: "Go on without the disk unlock key. A system with its root on LVM, or whose initrd has a crypttab that asks for the passphrase of this disk, can have one.", Exit: exitRefused},
	{err: wizard.ErrLeftToFirmware, What: "The TPM cannot keep a key for the disk now, because what the firmware loads before it opens the disk is not known for sure.", Data: "Nothing is lost: the disk opens with its passphrase.", Do: "Set the disk unlock key up in the firmware's menu: Options, Boot Options, Show OS boot menu, make it the default.", Exit: exitRefused},
	{err: wizard.ErrNoTPMState, What: "The TPM holds no secret for the six digits.", Data: "Nothing is lost.", Do: "Run `reown resume`: it seals a new one."},
	{err: wizard.ErrNoCard, What: "No security key is plugged in, or it does not answer.", Data: "Nothing is lost.", Do: "Plug it in, wait for its light, and try again."},
	{err: wizard.ErrSeveralCards, What: "More than one security key is plugged in, and it cannot be told which one is meant.", Data: "Nothing was changed.", Do: "Leave one plugged in, or name it with --card-serial.", Exit: exitRefused},
	{err: wizard.ErrOtherKeys, What: "The security key does not show, or cannot use, the keys that it was given.", Data: "Your files are untouched. The key has no keys that anything relies on.", Do: "Try again. If it stays so, the security key is defective: use another one."},
	{err: wizard.ErrNoHOTP, What: "The security key cannot keep the secret for its green light: its firmware is too old, or has no secrets app.", Data: "Nothing was changed.", Do: "Update its firmware on another computer (`nitropy nk3 update`), or use another security key.", Exit: exitRefused},
	{err: wizard.ErrNoStick, What: "The USB stick is not plugged in.", Data: "Nothing is lost.", Do: "Plug it in, wait five seconds, and try again."},
	{err: wizard.ErrWrongSecret, What: "A passphrase or PIN was refused by the device that it is for.", Data: "Nothing was changed.", Do: "Look at your paper, check Caps Lock and the keyboard, and try again. A PIN has few tries; `reown card status` shows how many."},
	{err: wizard.ErrNotFound, What: "A file that the program keeps in /boot is not there.", Data: "Nothing is lost; what was done is measured on the devices.", Do: "Run `reown resume`."},
	{err: wizard.ErrClock, What: "The computer's clock is wrong. It would go into the key for ever.", Data: "Nothing was changed.", Do: "Set the clock and run the command again.", Exit: exitRefused},
	{err: wizard.ErrPowerUnreliable, What: "The computer runs on its battery.", Data: "Nothing was changed.", Do: "Plug in the power supply and try again.", Exit: exitRefused},
	{typ: typeOf[*wizard.PreflightError](), What: "Something must be put right first; the line above lists it.", Data: "Nothing was changed.", Do: "Put it right, then try again. `reown status` shows each problem with its remedy.", Exit: exitRefused},
	{typ: typeOf[*wizard.RefusedError](), What: "That is not allowed as the computer is now; the line above says why.", Data: "What was to be done was not begun.", Do: "Run `reown wizard`: its pages ask for what is missing, or say what is wrong.", Exit: exitRefused},
	{typ: typeOf[*wizard.Finding](), What: "A device says that it would refuse a later step of the run; the line above says which and why.", Data: "Looking at it changed nothing.", Do: "Put it right as the line above says. `reown plan` looks again."},
	{typ: typeOf[*wizard.NotDoneError](), What: "A device reported success, but measuring it shows that the step is not done.", Data: "Your files are intact.", Do: "Try again. If it stays so, export the log with `reown log --export` and ask for help."},
	{typ: typeOf[*wizard.UnknownStepError](), What: "There is no step of that name.", Data: "Nothing was changed.", Do: "Use one of those that `reown status` lists.", Exit: exitUsage},

	{err: wizard.ErrChangedSince, What: "This computer is not any more what the certificate of its run says, and no signature of the key in its firmware explains why; the lines above show what differs.", Data: "Nothing was changed by looking.", Do: "If you have updated the system and not signed /boot again, that is why: do so in the firmware's menu. If not, type no passphrase and treat the computer as tampered with.", Exit: exitNotVerified},
	{typ: typeOf[*wizard.RunOpenError](), What: "A run that makes this computer somebody's own is half done; the line above names the key that it was begun with. What differs from the seller's list can be that run's own work.", Data: "Nothing was changed by looking. What the run has done stays done.", Do: "If the key is yours, go on with `reown resume`. If you did not begin a run, type no passphrase: choose \"I did not begin this\" there, or ask for help.", Exit: exitNotVerified},
	{err: wizard.ErrOwnerUnknown, What: "A certificate lies in /boot, but the firmware trusts another key now, and the TPM does not say that the certificate's key was the owner's. A stranger could have made it.", Data: "Nothing was changed by looking.", Do: "If you have replaced your key, give the fingerprint on your print of the certificate: `--owner FINGERPRINT`.", Exit: exitNotVerified},
	{typ: typeOf[*wizard.WithheldError](), What: "A check at the end of the run was made and failed, so there is no certificate; the line above names it.", Data: "Your files are intact. What the other steps did stays done.", Do: "Type no passphrase of yours for now. Run `reown status`, and ask for help with what it shows.", Exit: exitNotVerified},
	{err: wizard.ErrStillOpens, What: "A passphrase that must not open the disk any more still opens it.", Data: "Your files are intact.", Do: "Run `reown status` and ask for help with what it shows.", Exit: exitNotVerified},
	{err: wizard.ErrUnseen, What: "The beginning of the disk cannot be read, so nothing shows whether it holds what its header says, or an old header lies over data of a newer key.", Data: untouched, Do: "Copy your files to another drive and exchange this one. The wizard can leave it out, where there is another disk.", Exit: exitRefused},
	{err: wizard.ErrNoise, What: "The disk reads as noise under the key of its header: either it holds no files, or somebody has put an old header over data of a newer key.", Data: untouched, Do: "If it held files, do not go on: encrypted once more they would be lost. A copy of its newer header opens them.", Exit: exitRefused},
	{err: wizard.ErrOtherKey, What: "A second program that reads the disk finds another key in it than this one.", Data: "Nothing was changed by looking.", Do: "Do not restart the computer. Ask for help with what the line above says.", Exit: exitNotVerified},
	{err: wizard.ErrSellerUnknown, What: "The hand-over files are in order, but a seller's key in them came with the computer itself. A stranger could have made both.", Data: "Nothing was changed.", Do: "Give the fingerprint that the one you bought from has told you: `--signer FINGERPRINT`.", Exit: exitNotVerified},

	{err: ui.ErrLeft, What: "You left before anything was changed.", Data: "Nothing was changed.", Do: "Start again whenever you like."},
	{typ: typeOf[*ui.MissingAnswerError](), What: "An answer is missing, and nobody may be asked.", Data: "Nothing was changed.", Do: "Add the answer that the line above names to the answers file, or the secret to the secrets file.", Exit: exitNoAnswer},
	{typ: typeOf[*ui.BadAnswerError](), What: "An answer in the answers file was refused.", Data: "Nothing was changed.", Do: "Correct the answer that the line above names.", Exit: exitNoAnswer},
	{typ: typeOf[ui.Problem](), What: "What was typed does not fit the question.", Data: "Nothing was changed.", Do: "Read the line above and answer again."},
	{err: keymap.ErrUnknown, What: "There is no keyboard layout of that name.", Data: "Nothing was changed.", Do: "Use us, uk, de or fr.", Exit: exitUsage},
	{err: keymap.ErrNoConsole, What: "The keyboard layout of this terminal cannot be changed from here.", Data: "Nothing was changed.", Do: "Set it where the terminal's keyboard is, or type as on a US keyboard."},
	{err: answers.ErrNoSink, What: "Secrets would be made that nobody gets to see.", Data: "Nothing was changed.", Do: "Say where they shall be written: `--secrets-out FILE`.", Exit: exitNoAnswer},
	{err: answers.ErrCircle, What: "The answers lead back to the same question again and again.", Data: "Nothing was changed.", Do: "Look at the answer that the line above names.", Exit: exitNoAnswer},
	{err: tui.ErrScreen, What: "The screen or terminal went away while the program ran.", Data: "Your files are intact; a step that was running is finished at the next start.", Do: "Start the computer again and choose Continue, or use `--ui line`."},

	{typ: typeOf[*wizard.UnreadError](), What: "The disk can no longer read some of its own blocks; the line above says how many bytes of the decrypted disk, and where.", Data: "Nothing that can be read is lost, and nothing was written over these blocks. The re-encryption stands before them.", Do: "Without a backup, pause here and copy the disk first. To go on without exactly these bytes, which become zero, give up what cannot be read; `reown resume` asks again.", Exit: exitRefused},

	// The step's own error has its own row; this is for those that have none.
	{typ: typeOf[*wizard.StepError](), What: "A step failed; the line above says which, and why.", Data: stepData, Do: "Run `reown status` to see where it stands, and `reown resume` to go on."},
}

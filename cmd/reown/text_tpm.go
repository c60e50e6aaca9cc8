package main

import "reown/tpm"

// nothingLost is the data sentence of every TPM error: no file's content depends
// on a TPM alone, because the disk always has a passphrase as well.
const tpmNothingLost = "Your files are not affected: the disk opens with its passphrase, with or without this chip."

var tpmTexts = []errorText{
	{err: tpm.ErrNoTPM, What: "This computer shows no TPM, the chip that remembers what was started.", Data: tpmNothingLost, Do: "Check that the TPM is switched on in the firmware. Without one, the steps that need it are left out."},
	{err: tpm.ErrBusy, What: "Another program is using the TPM.", Data: tpmNothingLost, Do: "Wait a moment and try again, or restart the computer."},
	{err: tpm.ErrNotStarted, What: "The firmware did not start the TPM.", Data: tpmNothingLost, Do: "Switch the computer off completely, wait ten seconds, and switch it on again. If it happens again, the firmware needs repair."},
	{err: tpm.ErrBroken, What: "The TPM's own test says that the chip is defective.", Data: tpmNothingLost, Do: "Switch the computer off completely and on again. If it stays, the chip or the board must be replaced."},
	{err: tpm.ErrTampered, What: "An answer that should come from the TPM was not made by it. Somebody may have put a device between the processor and the chip, or the connection is faulty.", Data: "Your files are not affected, but do not type any passphrase into this computer now.", Do: "Switch off. Open the case and look for anything that was added, or ask your seller. Do not use the computer for secrets until this is understood.", Exit: exitNotVerified},
	{typ: typeOf[*tpm.ReadingError](), What: "What the TPM said about this could not be shown to come from the chip that the papers name. The line above says what was asked, and why it does not count.", Data: tpmNothingLost, Do: "Switch the computer off completely and on again, and check once more. If it stays, and nobody has reset the TPM or exchanged the board, treat the computer as tampered with.", Exit: exitNotVerified},
	{err: tpm.ErrProtocol, What: "The TPM gave an answer that makes no sense.", Data: tpmNothingLost, Do: "Switch the computer off completely and on again, then continue."},
	{err: tpm.ErrNotSetUp, What: "The TPM has not been set up yet, or its set-up was interrupted.", Data: tpmNothingLost, Do: "Run the set-up of the TPM: `reown step tpm`, or choose Continue at the next start."},
	{err: tpm.ErrPlatformLocked, What: "The TPM can only be cleared by the firmware itself, before an operating system has been started.", Data: tpmNothingLost, Do: "Restart the computer into the firmware's menu and continue from there.", Exit: exitStopped},
	{err: tpm.ErrRestartNeeded, What: "The TPM goes on only after a restart of the computer: it was switched off, or has just been cleared.", Data: tpmNothingLost, Do: "Restart the computer and choose Continue.", Exit: exitStopped},
	{err: tpm.ErrWrongOwner, What: "This is not the TPM owner passphrase.", Data: tpmNothingLost, Do: "Look at your paper and type it again. If it is lost, the TPM can be cleared and set up anew."},
	{err: tpm.ErrWrongPassphrase, What: "This is not the passphrase of the key that the TPM keeps for the disk.", Data: tpmNothingLost, Do: "Type it again; after ten wrong tries the TPM refuses for an hour. The disk's recovery passphrase always works."},
	{err: tpm.ErrBadPassphrase, What: "A TPM passphrase must be 1 to 32 characters of plain text.", Data: "Nothing was changed.", Do: "Choose another passphrase."},
	{err: tpm.ErrPCRMismatch, What: "The TPM keeps the secret back, because what was started this time is not what was started when the secret was stored.", Data: tpmNothingLost, Do: "If you or an update have just changed the firmware or its settings, store the secret anew. If nobody has changed anything, treat the computer as tampered with.", Exit: exitNotVerified},
	{err: tpm.ErrNotSealed, What: "The TPM holds no such secret.", Data: tpmNothingLost, Do: "Make a new one-time code: `reown step seal`."},
	{err: tpm.ErrNoCounter, What: "The TPM has no counter of this name; it was removed, or the TPM was cleared.", Data: tpmNothingLost, Do: "If you have just reset the TPM, sign /boot again, which makes a new counter. If not, treat the computer as tampered with.", Exit: exitNotVerified},
	{err: tpm.ErrCounterBusy, What: "A TPM of this age can move only one counter between two starts, and another was moved already.", Data: "Nothing was changed.", Do: "Restart the computer and continue.", Exit: exitStopped},
	{err: tpm.ErrNVFull, What: "The TPM has no room left for another counter or secret.", Data: tpmNothingLost, Do: "Reset the TPM, which removes what former systems left in it."},
	{err: tpm.ErrNoBank, What: "The TPM is set to keep no SHA-256 measurements.", Data: tpmNothingLost, Do: "Reset the TPM's measurement banks in the firmware, then start again."},
	{err: tpm.ErrTooLarge, What: "The secret is empty or larger than what a TPM can keep.", Data: "Nothing was changed.", Do: "Give a secret of 1 to 128 bytes."},
	{err: tpm.ErrNoAnchor, What: "The TPM holds no mark of a run.", Data: tpmNothingLost, Do: "If the TPM was reset since the run began, the run cannot be continued: begin anew. If nobody has reset it, treat the computer as tampered with.", Exit: exitNotVerified},
	{err: tpm.ErrAnchorClosed, What: "The TPM's mark says that the run is over. It is locked, and nobody can open it again.", Data: tpmNothingLost, Do: "Nothing is left to do in that run. If a start says that a run is still open, treat the computer as tampered with.", Exit: exitRefused},
	{err: tpm.ErrAnchorOrder, What: "The TPM's mark of a run goes forward only: open, closing, closed.", Data: tpmNothingLost, Do: "Run `reown status` to see where the run is, and continue from there.", Exit: exitRefused},
	{err: tpm.ErrAnchorForeign, What: "The place in the TPM where the mark of a run is kept holds something else.", Data: tpmNothingLost, Do: "Restart the computer into the firmware's menu and continue from there; then it can be removed. If it comes back, treat the computer as tampered with.", Exit: exitNotVerified},
	{err: tpm.ErrNoAnchorHere, What: "This TPM lets everybody write its areas, so it can keep no mark of a run.", Data: tpmNothingLost, Do: "Nothing to repair: the run does without it, and relies on the security key's count of signatures."},
	{err: tpm.ErrNoEventLog, What: "The firmware gives no list of what it measured at the start.", Data: tpmNothingLost, Do: "Nothing to repair: the one-time code is stored after the next restart instead of now."},
	{err: tpm.ErrBadEventLog, What: "The firmware's list of what it measured cannot be read.", Data: tpmNothingLost, Do: "Nothing to repair: the one-time code is stored after the next restart instead of now."},
	{err: tpm.ErrEventLogMismatch, What: "The firmware's list of what it measured does not lead to the values the TPM holds.", Data: tpmNothingLost, Do: "The one-time code is stored after the next restart instead of now. If this stays after a restart, ask your seller whether this firmware is meant to do so."},
	{typ: typeOf[*tpm.LockoutError](), What: "Too many wrong passphrases were tried, and the TPM refuses for a while.", Data: tpmNothingLost, Do: "Leave the computer switched on and wait as long as the line above says, then try once. Resetting the TPM also ends it."},
	{typ: typeOf[*tpm.CommandError](), What: "The TPM refused a command; the line above has its name and the chip's reason.", Data: tpmNothingLost, Do: "Restart the computer and choose Continue. If the same line appears again, send the exported log to your seller."},
}

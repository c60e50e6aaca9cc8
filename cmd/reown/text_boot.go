package main

import (
	"reown/boot"
	"reown/cmd/reown/internal/plumbing"
	"reown/internal/atomicfile"
	"reown/internal/handover"
	"reown/internal/initrd"
	"reown/internal/unpack"
)

// bootUnharmed is the data sentence of errors about /boot, which holds the system's
// start files and none of the owner's.
const bootUnharmed = "Your files are not affected: /boot holds only what is needed to start, and nothing there was replaced."

// notTrusted is what to do with a machine that is not what it should be.
const notTrusted = "Do not type a passphrase into this computer now. Ask your seller by telephone, with this message, before you go on."

var bootTexts = []errorText{
	{err: plumbing.ErrNoCertificate, What: "Whose signature it must be was not said, so it was not checked.",
		Data: "Nothing was changed.", Do: "Name the public key: `--cert FILE`. This says nothing for or against the files.",
		Exit: exitNotVerified},
	{err: handover.ErrOtherMachine, What: "The hand-over file was written for another computer, or a part that identifies this one was exchanged.", Data: "Nothing was changed.", Do: notTrusted, Exit: exitNotVerified},
	{err: handover.ErrSigner, What: "The hand-over file is not signed by the key that should have signed it. Anybody could have written it.", Data: "Nothing was changed.", Do: "Check that you typed the seller's fingerprint as it was given to you. " + notTrusted, Exit: exitNotVerified},
	{err: handover.ErrChain, What: "The hand-over files do not follow one another: one is missing, exchanged or out of order.", Data: "Nothing was changed.", Do: "Ask the seller of the computer for the complete set. " + notTrusted, Exit: exitNotVerified},
	{err: handover.ErrNotForYou, What: "The hand-over file says that this computer was handed to somebody else.",
		Data: "Nothing was changed.", Do: "If you have bought it from that person, ask for a statement that hands it to you. " + notTrusted, Exit: exitNotVerified},
	{err: handover.ErrNothingCompared, What: "The hand-over file has a good signature, but nothing in it could be compared that only this computer has.", Data: "Nothing was changed.", Do: "Plug in the security key and try again. If it stays, ask your seller for a complete hand-over file.", Exit: exitNotVerified},
	{err: handover.ErrMalformed, What: "The hand-over file is damaged, or it was made to be read in two ways.",
		Data: "Nothing was changed.", Do: "Ask your seller for the file again. " + notTrusted, Exit: exitNotVerified},
	{err: handover.ErrTooLarge, What: "The hand-over file is far larger than any real one.", Data: "Nothing was changed.",
		Do: notTrusted, Exit: exitNotVerified},
	{typ: typeOf[*handover.MismatchError](),
		What: "This computer is not what the seller's hand-over file says it was; the line above names the differences.",
		Data: "Nothing was changed.", Do: "If something could not be read, because the security key is not plugged in, say: see to that and try again. If not: " + notTrusted, Exit: exitNotVerified},
	{typ: typeOf[*handover.LinkError](), What: "One of the hand-over files was refused; the line above says which and why.", Data: "Nothing was changed.", Do: notTrusted, Exit: exitNotVerified},
	{err: boot.ErrNoEntries, What: "No system to start was found in /boot.", Data: bootUnharmed,
		Do: "Check that the right partition is /boot. If the system was just installed, start it once and let it write its start menu.", Exit: exitRefused},
	{typ: typeOf[*boot.GoneError](), What: "The chosen start entry loads files that are not in /boot, or that are not covered by its signature; the line above names them.", Data: bootUnharmed, Do: "Choose another entry: `reown boot entries /boot` lists them. If there is none, let the installed system write its start files anew from its rescue medium."},
	{err: boot.ErrEntry, What: "The chosen start entry cannot be made the default; the line above says why.",
		Data: bootUnharmed, Do: "Choose another entry: `reown boot entries /boot` lists them."},
	{err: atomicfile.ErrNotRegular, What: "Where a plain file with one name must be, there is a link, a folder, a device, or a file with further names; the line above names it.", Data: "Nothing was written to it or through it.", Do: "No system makes such a thing there. Look at it in a recovery shell and remove it if you did not make it."},
	{err: boot.ErrTooLarge, What: "Something in /boot is far larger than it can be on a real system.", Data: bootUnharmed,
		Do: "Look at /boot in a recovery shell; the line above names what is too large."},
	{err: boot.ErrNoSignature, What: "The start files carry no signature, so nobody can say whether they were changed.",
		Data: bootUnharmed, Do: "If you have just installed or cleared /boot, sign it. If not, treat the computer as tampered with.", Exit: exitNotVerified},
	{err: boot.ErrBadSignature, What: "The signature on the start files is not a good one by the key that this computer trusts.", Data: bootUnharmed, Do: "If a run of this program was interrupted, choose Continue. If not, treat the computer as tampered with.", Exit: exitNotVerified},
	{err: boot.ErrForm, What: "How this firmware checks the signature on the start files cannot be told from its scripts, or the word given for it is none that is known.", Data: bootUnharmed, Do: "Say it with --heads-form: `names` for Heads since April 2026, `paths` for Heads before."},
	{typ: typeOf[*boot.StartError](), What: "What was to be signed would let this computer start something that your key has not signed before; the line above names the files.", Data: "Your files are not affected, and nothing was signed.", Do: "If you have changed the system's start files yourself in the middle of a run, put the old ones back and continue. If you have not, treat the computer as tampered with.", Exit: exitRefused},
	{typ: typeOf[*boot.TrialError](), What: "/boot cannot be changed as a run has to change it; the line above names what cannot be replaced, and why.", Data: "Your files are not affected, and in /boot no file got another content.", Do: "A file that cannot be replaced: take its attributes away (`chattr -i -a FILE`) in the installed system. No room: remove an old kernel there. A disk that reports errors: do not go on before you have a copy of your data.", Exit: exitRefused},
	{err: boot.ErrNotStaged, What: "There is no complete and checked set of start files to put in place.",
		Data: bootUnharmed, Do: "Run the step again: `reown step boot`."},
	{err: boot.ErrSetName, What: "A file was to be signed under a name that the firmware would not read.",
		Data: bootUnharmed, Do: "Use a name such as kexec_rollback.txt."},
	{err: boot.ErrCrypttab, What: "How the installed system opens its disk cannot be told for sure from its initrd.",
		Data: bootUnharmed, Do: "The TPM can still open the disk: set that up in the firmware's own menu, which asks what it cannot tell."},
	{err: initrd.ErrUnreadable, What: "The installed system's initrd is damaged, or packed in a way that this program and Heads do not read.", Data: bootUnharmed, Do: "If the system starts, it is packed in another way, and all but the TPM disk unlock key can be set up. If not, repair it from the system's rescue medium."},
	{err: unpack.ErrCorrupt, What: "The compressed part of an initrd is damaged.", Data: bootUnharmed,
		Do: "If the system does not start, let it write its initrd anew from its rescue medium."},
	{err: unpack.ErrUnsupported, What: "An initrd is compressed in a way that this program does not read.",
		Data: bootUnharmed, Do: "Let the system compress it with gzip or zstd, or do without the TPM disk unlock key."},
	{err: boot.ErrChanged, What: "The start files changed while they were being signed.", Data: bootUnharmed,
		Do: "Make sure that nothing else writes to /boot, and run the step again."},
	{typ: typeOf[*boot.AppearedError](), What: "In /boot are files that no firmware reads, and that nobody was asked about; the line above names them.", Data: "Your files are not affected, and nothing was removed.", Do: "Run `reown wizard`: its page shows them, and they go when you continue. If nobody knows where they come from, treat the computer as tampered with.", Exit: exitRefused},
	{typ: typeOf[*boot.OddError](), What: "There is something in /boot that this program neither signs nor writes over; the line above names it and says what it is.", Data: "Your files are not affected: /boot holds only what is needed to start, and what is named was left as it is.", Do: "Rename or remove it, in the installed system or in a recovery shell, and begin again. If nobody knows where it comes from, treat the computer as tampered with.", Exit: exitRefused},
	{typ: typeOf[*boot.MismatchError](), What: "Files in /boot are not the ones that were signed; the line above counts them.", Data: bootUnharmed, Do: "If you have just updated the system, sign /boot again. If not, treat the computer as tampered with; `reown boot verify /boot` lists them.", Exit: exitNotVerified},
}

package main

import "reown/luks"

const untouched = "Nothing was written; your data is as it was."

var luksTexts = []errorText{
	{err: luks.ErrNotLUKS, What: "There is no encrypted volume of the LUKS kind on this device.", Data: untouched, Do: "Check the device's name; `lsblk -f` lists what is where."},
	{err: luks.ErrDamaged, What: "The device has a LUKS header, but both copies of it are damaged.", Data: "Nothing was written. Without a header the data cannot be opened.", Do: "Do not write to the device. Restore a header backup with `reown luks restore DEVICE FILE`."},
	{err: luks.ErrForeign, What: "The second copy of the LUKS header is intact, but something else has been written where the first one belongs.", Data: untouched, Do: "Make sure that this is the right device. If it is, write the header back with `reown luks restore` from a backup."},
	{err: luks.ErrUnproven, What: "An earlier re-encryption was run without protection and was interrupted. How far it came is recorded nowhere and could not be proven from the data.", Data: "Nothing was written. Part of the data is under the old key and part under the new one; both keys are still in the header.", Do: "Do NOT run `cryptsetup reencrypt --resume-only`: it would destroy what is already done. Make a full image of the disk, then run `reown luks rescue DEVICE`.", Exit: exitRefused},
	{err: luks.ErrMetadata, What: "The header's description of the re-encryption does not belong to this volume's keys. It was damaged, or changed by somebody without the passphrase.", Data: untouched, Do: "Do not continue on this device before you know who changed it. A header backup made before can be restored only if no data was re-encrypted since.", Exit: exitRefused},
	{err: luks.ErrReencrypting, What: "A re-encryption has begun on this volume and is not finished; until then its keyslots cannot be changed.", Data: "Nothing is lost.", Do: "Run `reown luks resume DEVICE` with the passphrase the re-encryption was started with, then repeat this command.", Exit: exitRefused},
	{err: luks.ErrWrongPassphrase, What: "The passphrase opens no keyslot of this volume.", Data: untouched, Do: "Type it again; mind the keyboard layout and Caps Lock. A key file counts to the byte, a newline at its end included."},
	{typ: typeOf[*luks.MemoryError](), What: "Checking this passphrase needs more memory than the computer has free.", Data: untouched, Do: "Close other programs, or do this step on a computer with more memory."},
	{err: luks.ErrNoSpace, What: "The LUKS header has no room for another keyslot or for the re-encryption's safety area.", Data: untouched, Do: "Destroy keyslots you do not need with `reown luks kill`, then try again."},
	{err: luks.ErrLastSlot, What: "This is the only keyslot; without it nobody could open the volume.", Data: untouched, Do: "Set a new passphrase first, with `reown luks passwd`.", Exit: exitRefused},
	{err: luks.ErrNoSuchSlot, What: "There is no keyslot with this number.", Data: untouched, Do: "`reown luks info DEVICE` lists the keyslots."},
	{err: luks.ErrInUse, What: "The device is mounted, unlocked, or being worked on by another program.", Data: untouched, Do: "Unmount and lock it, or do this from the firmware's recovery shell before the system starts.", Exit: exitRefused},
	{err: luks.ErrTooSmall, What: "The device is smaller than its LUKS header says.", Data: untouched, Do: "If this is a copy of a disk, it is incomplete. If a partition was shrunk, enlarge it again."},
	{err: luks.ErrOtherKey, What: "This header backup was made before the disk was re-encrypted; its key opens nothing any more.", Data: untouched, Do: "Destroy that backup and make a new one with `reown luks backup`. If the header on the disk is beyond repair and nothing was re-encrypted, add --force.", Exit: exitRefused},
	{err: luks.ErrLUKS1Interrupted, What: "Another program was re-encrypting this volume of the old LUKS1 kind and was interrupted. The header and the position are not on the disk but in files named LUKS-....org, .new and .log.", Data: "Nothing was written. If those files still exist the data can be recovered; without them it cannot.", Do: "Find the files in the directory where that program ran, and run it again there. Do not switch the computer off before: they may be in memory only."},
	{err: luks.ErrNotErased, What: "The key material was overwritten, but the device still returns something else when it is read back.", Data: "The disk must be taken as still open to whoever knows a passphrase for it.", Do: "The disk is failing or write-protected. Run `reown luks erase` again; if it says the same, destroy the disk itself."},
	{err: luks.ErrReadOnly, What: "The volume was opened for reading only.", Data: untouched, Do: "Check that the device is not write-protected."},
	{typ: typeOf[*luks.RequirementError](), What: "The header asks for a feature this program does not know.", Data: untouched, Do: "Use the program that made the volume, or a newer version of this one.", Exit: exitRefused},
	{typ: typeOf[*luks.UnsupportedError](), What: "The volume uses something this program cannot handle; the line above names it.", Data: untouched, Do: "Use cryptsetup for this volume."},
	{typ: typeOf[*luks.HeaderError](), What: "The LUKS header contradicts itself; the line above says where.", Data: untouched, Do: "Restore a header backup if you have one."},
	{typ: typeOf[*luks.IOError](), What: "The disk refused to read or write; the line above says where.", Data: "What was written before is safe, and what was being changed can be recovered from the header.", Do: "Check cables, then run `reown luks resume DEVICE`. If it fails at the same place again, the disk is failing: copy it to a new one first."},
}

package main

import (
	"strings"

	"reown/luks"
	"reown/luks/second"
)

const untouched = "Nothing was written; your data is as it was."

// afterWriting replaces the sentence that nothing was written by what had been.
func afterWriting(data string, w *luks.WroteError) string {
	rest, ok := strings.CutPrefix(data, "Nothing was written")
	if !ok {
		return data
	}
	if data == untouched {
		rest = "."
	}
	said := "Before this, only unused room in the LUKS header had been written; header and data are as they were"
	switch {
	case w.Data():
		said = "Before this, data had been re-encrypted; the header says how far (`reown luks info DEVICE`), and the same command goes on"
	case w.Header():
		said = "Before this, the LUKS header had been changed, keyslots perhaps: `reown luks info DEVICE` shows how it is now. The data was not touched"
	}
	return said + rest
}

var luksTexts = []errorText{
	{err: luks.ErrUnseen, What: "The beginning of the volume cannot be read, so nothing shows whether it holds what its header says, or an old header lies over data of a newer key.", Data: untouched, Do: "Copy what can be read to another drive. A volume whose start is unreadable is not re-encrypted by the wizard.", Exit: exitRefused},
	{err: luks.ErrNoise, What: "The volume reads as noise under the key of its header: either it holds no files, or an old header was put over data of a newer key.", Data: untouched, Do: "If it held files, do not re-encrypt it: they would be lost. A copy of its newer header opens them.", Exit: exitRefused},
	{err: luks.ErrFull, What: "The image file lies on a file system that has no room left, so that a write was refused.",
		Data: untouched, Do: "Make room there, then give the same command again: it goes on."},
	{err: luks.ErrWriteProtected, What: "The disk, or the file system that the image file lies on, does not take writes.",
		Data: untouched, Do: "Take off the write protection (a switch, `blockdev --setrw DEVICE`, or mount again with rw), then give the same command again. A disk that turned read-only by itself is failing: copy it first."},
	{err: luks.ErrEmptyPassphrase, What: "The new passphrase is empty: it would open the disk to everybody.",
		Data: untouched, Do: "Give a passphrase. If an empty one is what you want, say --allow-empty.", Exit: exitRefused},
	{err: luks.ErrEncrypting, What: "cryptsetup has begun to encrypt this device in place (`cryptsetup reencrypt --encrypt`) and is not through.", Data: untouched, Do: "Let cryptsetup finish: `cryptsetup reencrypt --resume-only --force-offline-reencrypt DEVICE`; if it says that it crashed, `cryptsetup repair DEVICE` first. Then give this command again.", Exit: exitRefused},
	{err: luks.ErrDecrypting, What: "cryptsetup has begun to decrypt this volume in place (`cryptsetup reencrypt --decrypt`) and is not through.", Data: untouched, Do: "Let cryptsetup finish, with the header that it was started with: `cryptsetup reencrypt --resume-only --force-offline-reencrypt --header FILE DEVICE`.", Exit: exitRefused},
	{err: luks.ErrNotLUKS, What: "There is no encrypted volume of the LUKS kind on this device.", Data: untouched,
		Do: "Check the device's name; `lsblk -f` lists what is where."},
	{err: luks.ErrDamaged, What: "The device has a LUKS header, but both copies of it are damaged.",
		Data: "Nothing was written. Without a header the data cannot be opened.",
		Do:   "Do not write to the device. Restore a header backup with `reown luks restore DEVICE FILE`."},
	{err: luks.ErrDisagree, What: "The device has two copies of the LUKS header; both are intact, they say different things, and it is not that one is an update older. No program leaves that behind, interrupted or not: somebody has changed one of them, or part of a header backup was written back.", Data: "Nothing was written.", Do: "Make an image of the disk. If you have a header backup that you trust, write it back with `reown luks restore`; otherwise ask for help with the image.", Exit: exitRefused},
	{err: luks.ErrPartitioned, What: "A partition table stands beside the LUKS header at the start of this device: one of the two is left from an earlier use of the disk, and nothing here can tell which.", Data: untouched, Do: "If the disk is used in partitions, this header is a remain and the encrypted volume is in one of the partitions: name that one. If the whole disk is the encrypted volume, make an image of it, then restore a header backup.", Exit: exitRefused},
	{err: luks.ErrTwoHeaders, What: "The device has intact LUKS headers of two different volumes. One of them is left from an earlier use, or was put there.", Data: untouched, Do: "Make an image of the disk. If you have a header backup that you trust, write it back with `reown luks restore`.", Exit: exitRefused},
	{err: luks.ErrMember, What: "This device is one half of a RAID mirror, or was one: the array's description stands at its end. Changing one half alone would part the two.", Data: untouched, Do: "Assemble the array (`mdadm --assemble --scan`) and use its device, /dev/md…. If there is no array any more, `mdadm --zero-superblock DEVICE` removes the description.", Exit: exitRefused},
	{err: luks.ErrTwin, What: "Two devices have a LUKS volume with the same UUID: the halves of a mirror, or a disk and its copy.", Data: untouched, Do: "Unplug the copy, or assemble the mirror and use its device.", Exit: exitRefused},
	{err: luks.ErrForeign, What: "The second copy of the LUKS header is intact, but something else has been written where the first one belongs.", Data: untouched, Do: "Make sure that this is the right device. If it is, write the header back with `reown luks restore` from a backup."},
	{typ: typeOf[*luks.EdgeError](), What: "An earlier re-encryption was run without protection and was interrupted. The place where it stopped is known but for one stretch, in which the data looks random under both keys; the line above names it.", Data: "Nothing was written. All data outside that stretch is known; both keys are still in the header.", Do: "Do NOT run `cryptsetup reencrypt --resume-only`: it would destroy what is already done. If the power stayed on and only the program was killed, add --in-order --hotzone 20, or the length that cryptsetup was told; a wrong length loses data of that stretch. If you do not know, make a full image of the disk; --accept-loss FILE then saves the stretch to FILE, on another disk, and goes on.", Exit: exitRefused},
	{err: luks.ErrUnproven1, What: "cryptsetup was re-encrypting this volume, of the old LUKS1 kind, and was interrupted. How far it came could not be proven from the data and the log.", Data: "Nothing was written. Part of the data may be under the new key, which only the .new file holds.", Do: "Keep the files LUKS-....log, .org and .new. If the power stayed on, add --in-order. Otherwise make a full image of the disk, then ask for help with the image.", Exit: exitRefused},
	{err: luks.ErrUnproven, What: "An earlier re-encryption was run without protection and was interrupted. How far it came is recorded nowhere and could not be proven from the data.", Data: "Nothing was written. Part of the data is under the old key and part under the new one; both keys are still in the header.", Do: "Do NOT run `cryptsetup reencrypt --resume-only`: it would destroy what is already done. Make a full image of the disk, then run `reown luks rescue DEVICE`.", Exit: exitRefused},
	{err: luks.ErrNoRescue, What: "There is no unprotected re-encryption on this volume: it is at rest, or its re-encryption is protected and can be continued.", Data: untouched, Do: "Run `reown luks resume DEVICE`: it finishes a re-encryption that is not finished, and never starts one.", Exit: exitRefused},
	{typ: typeOf[*luks.DoubtError](), What: "A re-encryption was interrupted, and some blocks of the interrupted part are neither what their checksums say nor what the new key makes of that; the line above names them. cryptsetup can leave this behind when the power fails; a failing disk can, too.", Data: "Nothing was written. All data outside the interrupted part is safe; inside it, the data is under the old or the new key, and both keys are still in the header.", Do: "Do NOT run `cryptsetup repair`: it takes all of that part for done, and what is not would be lost. Make a full image of the disk first. If these are few, `reown luks resume DEVICE --lose RANGES`, with the ranges as the line above gives them, goes on: what makes sense under one key only is kept, and the rest of these may be lost. If they are many, ask for help with the image.", Exit: exitRefused},
	{err: luks.ErrInDoubt, What: "A re-encryption was interrupted, and the checksums that tell which blocks of the interrupted part are done do not fit the data there. cryptsetup can leave this behind when the power fails; a failing disk can, too.", Data: "Nothing was written. All data outside the interrupted part is safe; inside it, the data is under the old or the new key, and both keys are still in the header.", Do: "Do NOT run `cryptsetup repair`: it takes all of that part for done, and what is not would be lost. Make a full image of the disk first. Then ask for help with the image.", Exit: exitRefused},
	{err: luks.ErrLeftBehind, What: "A part that the header calls re-encrypted is still under the old key: the power failed while cryptsetup was recovering it. Around it there are blocks of which it cannot be proven under which key they are.", Data: "Nothing was written. All the rest of the data is safe, and both keys are still in the header.", Do: "Do NOT let cryptsetup go on: at the end it destroys the old key, and with it what is left under that. Make a full image of the disk, then ask for help with the image. If `reown luks resume` says this, `reown luks rescue DEVICE --dry-run` looks at the data as well.", Exit: exitRefused},
	{err: luks.ErrOldKey, What: "The passphrase is right for the new volume key, but opens no keyslot of the old one, which the rest of the re-encryption needs. Either the re-encryption was started with another passphrase, or the power failed while cryptsetup was destroying the old keyslots, before the data it had just recovered was safe.", Data: "Nothing was written. What is re-encrypted can be opened; what is not needs the old key.", Do: "Try the other passphrases of this disk. If none is right, make a full image of the disk: the old key may still be in a header backup.", Exit: exitRefused},
	{err: luks.ErrTwice, What: "An unprotected re-encryption was interrupted and then started again by cryptsetup, which took data that was done for data that was not: it has been encrypted twice.", Data: "Nothing was written. That data can be brought back as long as both volume keys exist; finishing the re-encryption would destroy the old one.", Do: "Do not run cryptsetup on this disk again. Make a full image of the disk, header included, then ask for help with the image.", Exit: exitRefused},
	{err: luks.ErrMetadata, What: "The header's description of the re-encryption does not belong to this volume's keys. It was damaged, or changed by somebody without the passphrase.", Data: untouched, Do: "Do not continue on this device before you know who changed it. A header backup made before can be restored only if no data was re-encrypted since.", Exit: exitRefused},
	{err: luks.ErrReencrypting, What: "A re-encryption has begun on this volume and is not finished; until then its keyslots cannot be changed.", Data: "Nothing is lost.", Do: "Run `reown luks resume DEVICE` with the passphrase the re-encryption was started with, then repeat this command.", Exit: exitRefused},
	{err: luks.ErrWrongPassphrase, What: "The passphrase opens no keyslot of this volume.", Data: untouched,
		Do: "Type it again; mind the keyboard layout and Caps Lock. A key file counts to the byte, a newline at its end included."},
	{typ: typeOf[*luks.MemoryError](), What: "This needs more memory than the computer has free; the line above says how much.", Data: untouched, Do: "Close other programs or raise the limit (ulimit -v), or do this step on a computer with more memory."},
	{typ: typeOf[*luks.OpensError](), What: "A passphrase that must not open the disk any more still opens one of its keyslots; the line above says which.", Data: "Your data is as it was, and anybody who knows that passphrase can read it.", Do: "Set a new passphrase with `reown luks passwd`, which removes all other keyslots, and re-encrypt the disk.", Exit: exitRefused},
	{err: second.ErrDiffers, What: "A second, independent program opens the disk with your passphrase and finds another volume key than this one does.", Data: untouched, Do: "Do not rely on this disk. Make a copy of the data, then ask for help with an image of the header (`reown luks backup`).", Exit: exitRefused},
	{err: second.ErrNoMapper, What: "The kernel has no device mapper, so that no decrypted view of a disk can be made.",
		Data: untouched, Do: "In the firmware this is a matter of how its kernel was built. Use a system that has it: `modprobe dm-crypt`."},
	{err: second.ErrCannot, What: "A second, independent program does not open the disk; the line above says why.",
		Data: untouched, Do: "If this program opens it (`reown luks info`, then cryptsetup), the second one may not know its cipher: what it would have shown is not known, and nothing else is wrong."},
	{typ: typeOf[*luks.SlowKDFError](), What: "This keyslot was made with a key derivation that would keep this computer busy for more than a minute; it was not run.", Data: untouched, Do: "If you made it for a faster computer, open the disk there and give it a new keyslot: `cryptsetup luksAddKey`. If a seller made it, send the disk back or format it: this is no accident.", Exit: exitRefused},
	{err: luks.ErrNoSpace, What: "The LUKS header has no room for another keyslot or for the re-encryption's safety area.",
		Data: untouched, Do: "Destroy keyslots you do not need with `reown luks kill`, then try again."},
	{err: luks.ErrLastSlot, What: "This is the only keyslot; without it nobody could open the volume.", Data: untouched,
		Do: "Set a new passphrase first, with `reown luks passwd`.", Exit: exitRefused},
	{err: luks.ErrNoSuchSlot, What: "There is no keyslot with this number.", Data: untouched,
		Do: "`reown luks info DEVICE` lists the keyslots."},
	{err: luks.ErrInUse, What: "The device is mounted, unlocked, or being worked on by another program.", Data: untouched,
		Do:   "Unmount and lock it, or do this from the firmware's recovery shell before the system starts.",
		Exit: exitRefused},
	{err: luks.ErrTooSmall, What: "The device is smaller than its LUKS header says.", Data: untouched,
		Do: "If this is a copy of a disk, it is incomplete. If a partition was shrunk, enlarge it again."},
	{err: luks.ErrOtherKey, What: "This header backup was made before the disk was re-encrypted; its key opens nothing any more.", Data: untouched, Do: "Destroy that backup and make a new one with `reown luks backup`. If the header on the disk is beyond repair and nothing was re-encrypted, add --force.", Exit: exitRefused},
	{err: luks.ErrLUKS1Interrupted, What: "cryptsetup was re-encrypting this volume, of the old LUKS1 kind, and was interrupted. The disk has the old key only: the new one and the position are in files named LUKS-....new and .log, in the directory where cryptsetup ran.", Data: "Nothing was written. What was not reached yet opens with the old passphrase. What was re-encrypted opens only with the .new file; under Heads that file is in memory, and once the computer was switched off nobody can recover that part.", Do: "If you have these files (if the computer has been on since, copy them to a USB stick first), run `reown luks rescue DEVICE --log-dir DIR`. If cryptsetup stopped with an error before it began, `reown luks rescue DEVICE --in-order` proves it from the data and puts the header right. Otherwise make an image of the disk and restore your backup."},
	{err: luks.ErrLUKS1Files, What: "The files that cryptsetup's re-encryption of a LUKS1 disk keeps (LUKS-....log, .org and .new) are missing, damaged, or do not belong to this disk; the line above says which.", Data: "Nothing was written.", Do: "Give the directory where cryptsetup was started: --log-dir DIR. Keep the files whatever happens: what was re-encrypted cannot be opened without them.", Exit: exitRefused},
	{err: luks.ErrNotErased, What: "The key material was overwritten, but the device still returns something else when it is read back.", Data: "The disk must be taken as still open to anybody who knows a passphrase for it.", Do: "The disk is failing or write-protected. Run `reown luks erase` again; if it says the same, destroy the disk itself."},
	{err: luks.ErrReadOnly, What: "The volume was opened for reading only.", Data: untouched,
		Do: "Check that the device is not write-protected."},
	{typ: typeOf[*luks.RequirementError](), What: "The header asks for a feature this program does not know.",
		Data: untouched, Do: "Use the program that made the volume, or a newer version of this one.", Exit: exitRefused},
	{typ: typeOf[*luks.UnsupportedError](),
		What: "The volume uses something this program cannot handle; the line above names it.", Data: untouched,
		Do: "Use cryptsetup for this volume."},
	{typ: typeOf[*luks.HeaderError](), What: "The LUKS header contradicts itself; the line above says where.",
		Data: untouched, Do: "Restore a header backup if you have one."},
	{typ: typeOf[*luks.BadSectorsError](), What: "The disk can no longer read some of its own blocks; the line above says how many bytes of the decrypted volume, and where.", Data: "Nothing that can be read is lost, and nothing was written over these blocks. The re-encryption stands where they are and can be continued.", Do: "If you have no backup, copy the disk first. To go on and give up exactly these bytes, which become zero, run `reown luks resume DEVICE --lose RANGES` with the ranges as the line above gives them.", Exit: exitRefused},
	{typ: typeOf[*luks.IOError](), What: "The disk refused to read or write; the line above says where.", Data: untouched,
		Do: "Check cables, then give the same command again: it goes on from where it is. If it fails at the same place again, the disk is failing: copy it to a new one first."},
}

package main

import (
	"reown/cmd/reown/internal/plumbing"
	"reown/internal/power"
	"reown/internal/rom"
	"reown/internal/rom/flash"
)

const chipUntouched = "The firmware was not changed, and your files on the disk have nothing to do with it."

var romTexts = []errorText{
	{err: flash.ErrDamaged, What: "The firmware chip holds neither the old firmware nor the new one, and writing it again failed.", Data: "Your files on the disk are safe. But if the computer is switched off now, it will probably not start again.", Do: "Do NOT switch off or restart. Run `reown rom write IMAGE --flash` again, with the new image or the backup of the old one. If that keeps failing, the chip must be written with a programmer from outside."},
	{err: flash.ErrRestored, What: "Writing the firmware chip failed, so the old firmware was put back. It was read back and compared.", Data: "Nothing is lost: the computer is as it was before this step.", Do: "Try again. If it fails once more, the chip may be write-protected or failing; the line above says what the flash program said."},
	{err: flash.ErrLocked, What: "The firmware chip is locked against writing.", Data: chipUntouched,
		Do: "Restart the computer and do this step before any system is started from the boot menu: Heads locks the chip then. If that does not help, the chip itself is protected: by a jumper or its WP pin, or until its power is cut. Ask the seller.", Exit: exitRefused},
	{err: flash.ErrUnstable, What: "Two readings of the firmware chip gave different results, so neither can be trusted.",
		Data: chipUntouched, Do: "Restart the computer and try again. If it happens again, the chip or its contacts are failing; do not write to it.", Exit: exitRefused},
	{err: flash.ErrChanged, What: "The firmware chip no longer holds what this program read from it before; something else has written to it.", Data: chipUntouched, Do: "Close other programs that write firmware and begin this step anew.", Exit: exitRefused},
	{err: flash.ErrNoProgram, What: "The firmware does not say how the firmware chip of this board is written (CONFIG_FLASH_OPTIONS is empty).", Data: chipUntouched, Do: "On boards that cannot write their own chip, re-own the firmware image on another computer with `reown rom own` and write it with a programmer.", Exit: exitRefused},
	{typ: typeOf[*flash.SeveralChipsError](),
		What: "The flash program cannot tell which of several kinds of flash chips this one is; the line above lists them.",
		Data: chipUntouched, Do: "Read what is printed on the chip, or ask the seller, and name it: `--flash=\"PROGRAM OPTIONS -c NAME\"`, or -c NAME in the firmware's CONFIG_FLASH_OPTIONS.", Exit: exitRefused},
	{err: flash.ErrNoChip, What: "The flash program finds no flash chip.", Data: chipUntouched,
		Do: "Restart the computer and do this step before any system is started from the boot menu. If it stays so, the firmware's CONFIG_FLASH_OPTIONS do not fit this board.", Exit: exitRefused},
	{err: flash.ErrOption, What: "The flash program does not know one of the options that it was given.",
		Data: chipUntouched, Do: "Correct --flash, or the firmware's CONFIG_FLASH_OPTIONS: they are for another version of the program.", Exit: exitRefused},
	{err: flash.ErrRoom, What: "There is no room for a firmware image among the temporary files (in memory, mostly in /tmp).", Data: chipUntouched, Do: "Remove large files from /tmp, or restart the computer, and try again.", Exit: exitRefused},
	{err: flash.ErrKilled, What: "The flash program was ended from outside before it was done: killed, or there was too little memory.", Data: "If it was writing, the next attempt or the old firmware came after it; the line above says how it ended.", Do: "Restart the computer only if the line above does not speak of a damaged image. Then try again."},
	{err: flash.ErrNotInstalled, What: "The flash program that the line above names is not there.", Data: chipUntouched,
		Do: "Correct --flash, or the firmware's CONFIG_FLASH_OPTIONS.", Exit: exitRefused},
	{err: flash.ErrPartial, What: "The board's flash program reads only some regions of the chip, and the rest could not be read.", Data: "Nothing was written to the chip.", Do: "Without the missing regions the file restores only what it holds. The line above says what the program said.", Exit: exitRefused},
	{err: power.ErrLow, What: "The computer might run out of power while the firmware is being written.",
		Data: chipUntouched, Do: "Connect the charger and try again.", Exit: exitRefused},

	{err: plumbing.ErrImagesDiffer, What: "The two firmware images are not the same.", Data: "Nothing was changed.",
		Do: "`reown rom diff OLD NEW` lists what differs."},

	{err: rom.ErrUnsafeChange, What: "The new firmware image differs from the old one in more than the owner's files.",
		Data: chipUntouched, Do: "Use Heads' own firmware update for a new firmware. If the image was made by this program, please report the fault.", Exit: exitRefused},
	{err: rom.ErrVerified, What: "This firmware checks its own files at each start. With another key in it, it would refuse to start.", Data: chipUntouched, Do: "Ask the maker of the computer for a firmware without that check, or for their way of exchanging the key.", Exit: exitRefused},
	{err: rom.ErrNotMeasurable, What: "It cannot be foretold what Heads will measure when it starts from this firmware.",
		Data: chipUntouched, Do: "The line above names the file. If you did not put it there, write the maker's original firmware first.", Exit: exitRefused},
	{err: rom.ErrUnknownLayout, What: "This firmware image is laid out in a way that this program does not understand, or it is damaged.", Data: chipUntouched, Do: "Check that it is a whole image of a coreboot firmware. If it was read from this computer, the line above says what is odd about it; please report that.", Exit: exitRefused},
	{err: rom.ErrNoSpace, What: "There is not enough free space in the firmware for your key.", Data: chipUntouched,
		Do: "Use a smaller key (an elliptic-curve key takes a quarter of the space), or remove files from the image with `reown rom remove`."},
	{err: rom.ErrNotFound, What: "There is no file of that name in the firmware image.", Data: chipUntouched,
		Do: "`reown rom list IMAGE` shows the names."},
	{err: rom.ErrExists, What: "The firmware image has a file of that name already.", Data: chipUntouched,
		Do: "Remove it first, with `reown rom remove IMAGE NAME`."},
	{err: rom.ErrBadName, What: "That name cannot be given to a file in the firmware, or the file is empty.",
		Data: chipUntouched, Do: "Use letters, digits and / without spaces, at most 230 characters."},
	{err: rom.ErrBadSetting, What: "That setting cannot stand in Heads' configuration.", Data: chipUntouched,
		Do: "A setting is CONFIG_NAME=value; the value has no quotes, dollar signs, backslashes or back quotes."},
}

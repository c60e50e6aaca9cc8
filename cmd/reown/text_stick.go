package main

import "reown/internal/stick"

const stickUntouched = "What was on the stick is still there; nothing else was changed."

var stickTexts = []errorText{
	{err: stick.ErrGone, What: "The USB stick is not plugged in any more, or does not answer.",
		Data: "A file on it may be missing, none is half written.",
		Do:   "Plug it in again, wait five seconds and repeat. If that fails twice, use another stick."},
	{err: stick.ErrReadOnly, What: "The USB stick is write-protected.", Data: stickUntouched,
		Do: "Move the little switch on it, or use another stick."},
	{err: stick.ErrFull, What: "There is no room on the USB stick.", Data: stickUntouched,
		Do: "Delete something on it with another computer, or use another stick; half a megabyte is enough."},
	{err: stick.ErrFilesystem, What: "The file system on the USB stick is damaged, or of a kind that the firmware cannot use.", Data: stickUntouched, Do: "Use another stick, or format this one with another computer as FAT32."},
	{err: stick.ErrNotWritten, What: "What is read from the USB stick is not what was written to it: the stick is failing.", Data: "Do not rely on anything on this stick. Nothing else was changed.", Do: "Use another stick."},
	{err: stick.ErrName, What: "A file of that name cannot be put on a USB stick.", Data: stickUntouched,
		Do: "Use letters, digits, dots and hyphens only.", Exit: exitUsage},
}

// Package flash carries a rom.Plan to the flash chip, and never leaves a chip
// whose content it does not know.
//
// The chip is behind a Backend: the board's own flash program (flashprog or
// flashrom with the board's options, told by a layout file to touch nothing but
// the changed erase blocks), a Linux MTD device, or a plain file. Write reads
// before and after by itself and compares; it does not rely on the program's own
// verification.
//
// What it does not do: it drives no SPI controller itself, and it cannot undo a
// power cut. That is why package rom puts the owner's files on blocks that hold
// nothing else.
package flash

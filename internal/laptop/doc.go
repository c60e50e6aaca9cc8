// Package laptop is the machine that the program runs on: its security key, encrypted
// disks, TPM, flash chip, /boot, USB sticks, clock and power.
//
// Open finds the devices from a Config, which holds paths only: nothing in it can choose an
// emulator. A Laptop then has three views of them. Buyer is for package wizard, Seller for
// wizard/prepare, Release for wizard/release; each implements the interfaces that these
// packages declare.
//
// What lies here is what takes several devices at once, and so belongs to none of their
// packages: what the registers of the TPM will be at the next start, from the chip's image,
// the event log and Heads' configuration (pcrs.go, as Heads' /init and kexec-seal-key.sh
// measure); the disk unlock key, which is keyslots and a sealed object (duk.go); the judgement
// of a hand-over, which compares a signed statement with all devices (handover.go,
// compare.go); and the file that lets a chip be finished whose write was cut (halfwritten.go).
//
// It does not ask anybody anything, draws nothing, decides on no order of steps, and keeps no
// secret longer than a call lasts.
package laptop

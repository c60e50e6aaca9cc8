// Package lab builds and runs a virtual laptop out of real parts, for the demo,
// for tests and for screenshots: a GPT disk whose LUKS2 partition the real
// cryptsetup made, a coreboot image made by cbfstool, a /boot with Debian's own
// kernel signed by the seller's key, swtpm, and an emulated OpenPGP card that
// real pcscd and scdaemon talk to. It is in the state in which a seller ships a
// machine: the seller knows every secret.
//
// Host mode gives these parts to the shipped binary as paths: an image file, a
// directory, sockets. Nothing in the shipped binary knows of the lab.
//
// The package never does with reown's own code what a foreign tool can do, so
// that a mistake cannot cancel itself out. It is imported by tests and cmd/lab
// only.
package lab

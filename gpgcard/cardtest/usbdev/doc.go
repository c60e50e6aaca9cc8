// Package usbdev emulates USB security tokens for tests and the lab: descriptors,
// the CCID reader with its firmware's habits (time extensions, T=1 with its card),
// the HID feature reports, and a hand that pulls the token out. It is never linked
// into the product.
//
// A Device is the token. Bus plugs devices into the emulated bus of one process and
// implements usb.Bus. The sub-packages bring an opened device elsewhere: usbip
// serves it over a socket, usbredir plugs it into a QEMU guest, where the kernel's
// own USB stack enumerates it.
//
// What it leaves out of the real tokens: the mass storage of a Nitrokey Storage,
// keyboards, FIDO.
package usbdev

// Package usb talks to USB devices from user space, as USB 2.0 chapter 5 sees
// them: control, bulk and interrupt transfers on claimed interfaces.
//
// The product's backend is Linux usbfs (/dev/bus/usb): no libusb, no hidraw, no
// kernel driver beyond the host controller's. Every transfer is an asynchronous
// URB, so it can be cancelled without losing a message and it ends at once when
// the device is unplugged. Data passes through locked memory that is wiped
// afterwards, because PINs go this way.
//
// Device and Bus are interfaces so that tests can put an emulated device in the
// place of a real one; the emulators live in gpgcard/cardtest/usbdev.
//
// What it does not do: isochronous transfers, streams, SET_CONFIGURATION (the
// kernel has done it), power management, hot-plug events.
package usb

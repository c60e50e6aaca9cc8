// Package cardtest is an emulated OpenPGP card for tests and the lab. It is never
// linked into the product.
//
// Card is the card behind its APDUs. Front ends bring it to a client: Link (in
// process), vpcd (a reader of pcscd, so that GnuPG's scdaemon drives it) and
// usbdev (a USB token). The emulator is judged by foreign clients, scdaemon and
// OpenSC, never by our own code only.
package cardtest

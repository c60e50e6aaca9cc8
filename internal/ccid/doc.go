// Package ccid speaks to smart-card readers and tokens that follow the USB
// "Device Class: Smart Card CCID" specification, revision 1.1, on top of
// internal/usb. It carries APDUs at every exchange level a reader may have:
//
//   - TPDU: the host runs the T=1 block protocol itself (ISO/IEC 7816-3:2006,
//     clause 11), as the Nitrokey Pro and Librem Key need;
//   - short APDU (Gnuk, Nitrokey Start);
//   - short and extended APDU, with chained blocks (Nitrokey 3, YubiKey).
//
// A card may think for as long as it likes: while it asks for more time, or is
// silent, Transmit waits. Only the caller's context, or unplugging, ends the
// wait, because a key generation of ten minutes is not an error.
//
// An APDU that may have been executed is never sent twice: trying a PIN again on
// the owner's behalf would cost a try. When the answer is lost beyond what T=1 can
// repair, Transmit says ErrLost and the caller looks at the card's state.
//
// Card and reader are brought to one speed as libccid does it (start.go). Where the
// reader leaves the PPS to its driver, the card is asked, and its answer is used. A
// card that refuses, or falls silent, is reset and stays at the default speed.
//
// What it does not do: T=0 at TPDU level, character-level readers, PIN pads.
package ccid

// Package hotpkey speaks to USB security keys that verify HOTP codes (RFC 4226): the
// computer shows the key a code, and the key lights green when the code is right,
// that is, when the TPM gave the secret away because nothing was tampered with.
//
// Two families, as Nitrokey's firmware defines them:
//
//   - Nitrokey Pro, Pro 2, Storage and Librem Key: 64-byte HID feature reports
//     (nitrokey-pro-firmware, report_protocol.c), HOTP slot 3;
//   - Nitrokey 3: APDUs to its secrets app over CCID (trussed-secrets-app), the
//     credential "HEADS Validation".
//
// Both are compatible with Heads' hotp_verification: same slot, same name, six
// digits, and a code that is up to nine counters ahead is accepted.
//
// One owner: a Pro's firmware hangs when HID commands and smart-card commands
// alternate while the card has power (nitrokey-pro-firmware issue 54). An open Token
// therefore holds the smart-card interface too, with the card switched off. Open
// fails with usb.ErrBusy while a card connection exists, and the other way round: close
// one before opening the other.
//
// What it does not do: TOTP on the key, the password safe, touch-protected HOTP
// slots, keys that cannot verify HOTP (YubiKey, Nitrokey Start).
package hotpkey

// Package otp computes the six digits that tell a firmware from an impostor:
// HOTP (RFC 4226) and TOTP (RFC 6238) with HMAC-SHA-1, six digits and steps of
// 30 seconds, as Heads and every telephone app use them, and the otpauth URI in
// which a telephone learns the secret.
//
// The secret, its base32 form and the URI stay in secret.Buffers. The six digits
// are shown to anyone who looks and are plain bytes.
//
// What it does not do: other digests, lengths or steps; Heads' initrd has none.
package otp

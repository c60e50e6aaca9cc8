// Package qr encodes bytes as a QR code (ISO/IEC 18004) and draws it with the
// half-block characters of a text console.
//
// It is written here because the data is a secret: the libraries take a Go
// string and leave copies of it on the heap. This one takes bytes and keeps the
// codewords and the modules in secret.Buffers.
//
// It makes what an otpauth URI needs: byte mode, versions 1 to 10 (up to 271
// bytes), error correction levels L and M. It does not read codes.
package qr

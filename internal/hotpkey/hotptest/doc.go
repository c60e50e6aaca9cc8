// Package hotptest emulates the HOTP side of security keys for tests and the lab: the
// HID firmware of a Nitrokey Pro and the secrets app of a Nitrokey 3, with the state
// machines of the real ones (nitrokey-pro-firmware, report_protocol.c and hotp.c;
// trussed-secrets-app, authenticator.rs). It is never linked into the product, and
// shares no code with the client.
package hotptest

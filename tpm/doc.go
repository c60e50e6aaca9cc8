// Package tpm sets up and uses a machine's TPM, 1.2 or 2.0, so that Heads
// afterwards finds exactly the state that its own scripts would have made.
//
// One typed API serves both families: state, rehearsal and reset (clear, own, storage
// root, lockout policy), secrets sealed to PCR values, the rollback counter, the
// anchor of a run, PCRs, the firmware's event log and the values PCRs will have at
// the next start.
//
// Specifications: TCG TPM 2.0 Library 1.59 parts 1-3, TCG TPM 1.2 Main rev 116
// parts 2-3, TCG PC Client firmware profile for event logs, and Heads'
// initrd/bin/tpmr.sh for handles, attributes and file texts.
//
// The bus between processor and TPM is open to anybody with the case open. With a
// TPM 2.0 no secret crosses it in clear and none can be guessed from a recording:
// every use of the owner passphrase is an HMAC session salted to the storage
// primary, secrets travel encrypted, and every reply's HMAC is checked
// (ErrTampered). Not covered: somebody who sits on the bus during Reset and
// answers in the TPM's place, because the primary key is first seen there. TPM
// 1.2 has no encryption for sealed data: Seal and Unseal carry it in clear.
//
// Reader is for decisions: it reads in sessions salted to a storage root whose name
// the caller has from elsewhere, so that neither a changed reply nor a forged "no
// such handle" counts. Info is for people and for the state of one's own work.
//
// Passphrases and secrets are secret.Buffer of internal/secret, so only this module
// can call what takes them: a []byte would lose the promise that they lie in locked
// memory and are wiped, and a Buffer is worth nothing without that package's rules.
//
// What the package does not do: it never starts the TPM (firmware's work), and it
// takes no measurement of its own except by ExtendPCR.
//
// The device is open only while a method runs, so that other programs can use it
// in between. The end of its context ends every method, also while a chip does not
// answer; stopping there, or losing power, is safe: the method can be called again.
package tpm

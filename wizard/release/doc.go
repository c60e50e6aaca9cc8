// Package release is the owner's last act: it makes a laptop nobody's, for resale,
// return or scrap.
//
// The steps go from what matters most to what is needed longest: the volume keys of
// the disks, the TPM, the keyring and settings in the firmware, the signatures on
// /boot, and last the security key, which until then signs the record of what was
// done. Each step measures the machine and may be repeated, so that a run that was cut
// is simply run again; nothing is reported that was not read back.
//
// What it does not do: it overwrites no data. Without the volume key, of which the
// header held the only copies, the data cannot be read; an SSD may keep an older copy
// of a keyslot in blocks that it no longer shows, which the owner's passphrase still
// protects. It installs nothing: to sell a laptop that starts, use package prepare.
package release

package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"strings"
)

// A Set is every kexec* file that goes into /boot together. kexec.sig covers those
// ending in .txt; the others (kexec_hotp_counter) are written with them.
type Set struct {
	Files map[string][]byte
	// OEM is set if the lists include /boot/oem: the seller's order, trigger first,
	// signature second. Committing such a set leaves /boot/oem in place.
	OEM bool
}

// BuildOptions says what a set holds besides the hashes and the tree.
type BuildOptions struct {
	// Extra files by name, such as kexec_rollback.txt; kexec_hotp_counter is not signed.
	Extra map[string][]byte
	// Entry is the index of the default boot entry, from 1; 0 sets none.
	Entry int
	// KeepOEM makes a set that includes /boot/oem (the seller's side).
	KeepOEM bool
	// Progress of the hashing; may be nil.
	Progress Progress
}

// Build makes a set for /boot as it is, in memory. It returns a *NameError for
// names that Heads cannot sign, and ErrEntry if the entry cannot be the default.
func (d *Dir) Build(ctx context.Context, o BuildOptions) (*Set, error) {
	s := &Set{Files: maps.Clone(o.Extra), OEM: o.KeepOEM}
	if s.Files == nil {
		s.Files = make(map[string][]byte)
	}
	for n := range s.Files {
		if !setName(n) || Built(n) {
			return nil, fmt.Errorf("building the set of boot files: %q: %w", n, ErrSetName)
		}
	}
	if o.Entry != 0 {
		if err := d.addDefault(ctx, s, o.Entry); err != nil {
			return nil, err
		}
	}
	hashes, tree, err := hashTree(ctx, d.path, o.KeepOEM, o.Progress)
	if err != nil {
		return nil, fmt.Errorf("building the set of boot files: %w", err)
	}
	s.Files["kexec_hashes.txt"], s.Files["kexec_tree.txt"] = hashes, tree
	return s, nil
}

// addDefault adds kexec_default.N.txt and kexec_default_hashes.txt.
func (d *Dir) addDefault(ctx context.Context, s *Set, index int) error {
	entries, err := d.Entries()
	if err != nil {
		return err
	}
	if index < 1 || index > len(entries) {
		return fmt.Errorf("%w: there is no entry %d", ErrEntry, index)
	}
	e := entries[index-1]
	if e.Uncertain != "" {
		return fmt.Errorf("%w: entry %d: %s", ErrEntry, index, e.Uncertain)
	}
	// Links are followed, as sha256sum follows them.
	sums, err := hashFiles(ctx, d.path, e.Files, true, nil)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotRegular) {
		return fmt.Errorf("%w: entry %d: %w", ErrEntry, index, err)
	}
	if err != nil {
		return err
	}
	s.Files["kexec_default."+strconv.Itoa(index)+".txt"] = []byte(e.Line + "\n")
	s.Files["kexec_default_hashes.txt"] = hashLines(sums)
	return nil
}

// Built reports the names of files that Build makes itself: they cannot be extras.
func Built(n string) bool {
	return n == "kexec_hashes.txt" || n == "kexec_tree.txt" || n == "kexec_default_hashes.txt" ||
		strings.HasPrefix(n, "kexec_default.")
}

// setName reports the names that a set may hold.
func setName(n string) bool {
	return topName(n) && (isListed(n) && !strings.HasPrefix(n, ownName) || n == "kexec_hotp_counter")
}

// SignedBytes returns what Heads gives to gpg: see SignedBytes.
func (s *Set) SignedBytes() []byte { return SignedBytes(s.Files) }

// SignedBytes returns what kexec.sig signs: the output of `sha256sum kexec*.txt` in
// /boot, the names in the order of the C locale. Other names are passed over.
func SignedBytes(files map[string][]byte) []byte { return signedBytes(files, "") }

func signedBytes(files map[string][]byte, prefix string) []byte {
	var sums []digest
	for _, n := range sortedNames(files) {
		if isListed(n) {
			sums = append(sums, digest{prefix + n, sha256.Sum256(files[n])})
		}
	}
	return hashLines(sums)
}

// equal reports whether two sets are the same to the byte.
func (s *Set) equal(o *Set) bool {
	return maps.EqualFunc(s.Files, o.Files, func(a, b []byte) bool { return bytes.Equal(a, b) })
}

// sumLine is sha256sum's line for content under a name.
func sumLine(content []byte, name string) []byte {
	return []byte(digest{name, sha256.Sum256(content)}.line())
}

// RollbackTPM2 returns kexec_rollback.txt for a TPM 2.0 NV counter: index as the NV
// handle (0x01xxxxxx), value as TPM2_NV_Read gives it.
func RollbackTPM2(index uint32, value uint64) []byte {
	id := strconv.FormatUint(uint64(index), 16)
	return sumLine(fmt.Appendf(nil, "%s: %016x\n", id, value), "/tmp/counter-"+id)
}

// RollbackTPM12 returns kexec_rollback.txt for a TPM 1.2 counter: its id, and the
// 10-byte TPM_COUNTER_VALUE (tag, label, counter).
func RollbackTPM12(id uint32, value [10]byte) []byte {
	n := strconv.FormatInt(int64(int32(id)), 10)
	return sumLine([]byte(n+": "+hex.EncodeToString(value[:])+"\n"), "/tmp/counter-"+n)
}

// PrimaryHandle returns kexec_primhdl_hash.txt for the serialised ESYS_TR that
// `tpm2 readpublic -c 0x81000000 -t` writes.
func PrimaryHandle(serialized []byte) []byte {
	return sumLine(serialized, "/tmp/secret/primary.handle")
}

// A KeyDevice is a LUKS container that the TPM Disk Unlock Key (DUK) opens.
type KeyDevice struct {
	Device string // "/dev/nvme0n1p3"
	UUID   string
	Header []byte // `cryptsetup luksHeaderBackup`'s file
}

// DUKFiles returns kexec_key_devices.txt and kexec_lukshdr_hash.txt for a sealed
// Disk Unlock Key, and kexec_key_lvm.txt if there is a volume group.
func DUKFiles(devices []KeyDevice, volumeGroup string) map[string][]byte {
	var list bytes.Buffer
	headers := make(map[string][]byte)
	for _, k := range devices {
		fmt.Fprintf(&list, "%s %s\n", k.Device, k.UUID)
		headers["/tmp/lukshdr-"+strings.ReplaceAll(k.Device, "/", "_")] = k.Header
	}
	var hashes bytes.Buffer
	for _, n := range sortedNames(headers) { // the order of a glob
		hashes.Write(sumLine(headers[n], n))
	}
	files := map[string][]byte{"kexec_key_devices.txt": list.Bytes(), "kexec_lukshdr_hash.txt": hashes.Bytes()}
	if volumeGroup != "" {
		files["kexec_key_lvm.txt"] = []byte(volumeGroup + "\n")
	}
	return files
}

// HOTPCounter returns kexec_hotp_counter: the counter of the next code to check.
func HOTPCounter(next uint64) []byte { return []byte(strconv.FormatUint(next, 10) + "\n") }

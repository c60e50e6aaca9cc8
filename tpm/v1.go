package tpm

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"errors"
	"fmt"
	"slices"

	"reown/internal/secret"
)

const (
	// v1BlobSize is the size of Heads' NV areas: a sealed blob with a 2048-bit key.
	v1BlobSize = 312
	// v1CounterLabel is what Heads' `-la 3135106223` becomes.
	v1CounterLabel = 0xbaddecaf
	// v1CounterLabelReset is what oem-factory-reset's `-la -3135106223` becomes.
	v1CounterLabelReset = 0x45221351

	v1SetPermFlags   = 1  // TPM_SET_PERM_FLAGS
	v1FlagReadSRKPub = 17 // TPM_PF_READSRKPUB
)

// v1 is a TPM 1.2.
type v1 struct{}

// passwordAuth is how tpmtotp makes an authorisation out of a passphrase; no
// passphrase is twenty zero bytes, the "well known secret".
func passwordAuth(p *secret.Buffer) digest {
	if p == nil {
		return digest{}
	}
	return sha1.Sum(p.Bytes())
}

// reset does what Heads' `tpmr.sh reset` does. ForceClear leaves the TPM
// "deactivated" from the next start on, until that is undone: so it is undone right
// after it, and once more at the end. Power lost between the two makes a TPM that
// needs one more restart (ErrRestartNeeded), not a dead one.
func (v *v1) reset(c *conn, owner *secret.Buffer, o ResetOptions) error {
	const total = 4
	step := func(done int64) {
		if o.Progress != nil {
			o.Progress(done, total)
		}
	}
	if err := v.activate(c); err != nil {
		return err
	}
	step(1)
	// Without an endorsement key the cleared TPM could not be owned again.
	if _, err := c.endorsementKey(); refused(err, v1NoEndorsement) {
		return fmt.Errorf("%w (%w)", ErrNoEndorsementKey, err)
	} else if c.io != nil {
		return c.io
	}
	late, err := v.forceClear(c)
	if err != nil {
		return err
	}
	step(2)
	if err := v.takeOwnership(c, passwordAuth(owner)); err != nil {
		if refused(err, v1Deactivated) || refused(err, v1Disabled) {
			err = fmt.Errorf("%w (%w)", ErrRestartNeeded, err)
		}
		return err
	}
	step(3)
	if err := v.showRoot(c, passwordAuth(owner)); err != nil {
		return err
	}
	if late {
		if err := v.emptySlots(c); err != nil {
			return err
		}
	}
	err = v.activate(c)
	step(4)
	return err
}

// clear removes the owner and leaves the TPM without one, switched on.
func (v *v1) clear(c *conn) error {
	if err := v.activate(c); err != nil {
		return err
	}
	_, err := v.forceClear(c)
	return err
}

// forceClear clears a TPM that activate was called for, and undoes that it is
// deactivated by it from the next start on. late says that the sealed blobs could not
// be emptied: a TPM without owner allows few writes.
func (v *v1) forceClear(c *conn) (late bool, err error) {
	f, err := c.flags()
	if err != nil {
		return false, err
	}
	if f.nowDeactivated {
		return false, ErrRestartNeeded
	}
	if _, err := c.call(v1ForceClear); err != nil {
		if refused(err, v1BadPresence) {
			err = fmt.Errorf("%w (%w)", ErrPlatformLocked, err)
		}
		return false, err
	}
	if err := v.activate(c); err != nil {
		return false, err
	}
	// Clearing spares areas that everybody may write. What the former owner sealed
	// would look like ours and never open again.
	err = v.emptySlots(c)
	if refused(err, v1MaxNVWrites) {
		return true, nil
	}
	return false, err
}

// emptySlots overwrites the sealed blobs that are there.
func (v *v1) emptySlots(c *conn) error {
	for _, s := range []slot{otpSlot, dukSlot} {
		if err := v.remove(c, s, nil); err != nil {
			return err
		}
	}
	return nil
}

// remove overwrites a sealed blob; the area stays.
func (v *v1) remove(c *conn, s slot, _ *secret.Buffer) error {
	_, err := c.call(v1NVWrite, s.v1, uint32(0), sized(make([]byte, v1BlobSize)))
	if noArea(err) {
		return nil
	}
	return err
}

// noArea says whether an NV area was refused because it is not there, or is of another
// form than Heads': too small, or kept from everybody by somebody who made it.
func noArea(err error) bool {
	var ce *CommandError
	if !errors.As(err, &ce) {
		return false
	}
	switch ce.Code {
	case v1BadIndex, v1NoSpace, v1WrongPCR, v1BadPresence, v1AuthConflict, v1AreaLocked, v1BadLocality:
		return true
	}
	return false
}

// activate claims physical presence and switches the TPM on for good.
func (v *v1) activate(c *conn) error {
	// The first call fails on chips where the maker has locked the choice of how
	// presence is shown; the second tells whether that matters.
	if _, err := c.call(v1PhysicalPresence, uint16(v1PresenceCMDEnable)); c.io != nil {
		return err
	}
	for _, cmd := range []struct {
		ordinal uint32
		params  []byte
	}{
		{v1PhysicalPresence, pack(uint16(v1PresencePresent))},
		{v1PhysicalEnable, nil},
		{v1SetDeactivated, []byte{0}},
	} {
		_, err := c.call(cmd.ordinal, cmd.params)
		if c.io != nil {
			return err
		}
		if err != nil && cmd.ordinal != v1PhysicalPresence {
			if refused(err, v1BadPresence) {
				return fmt.Errorf("%w (%w)", ErrPlatformLocked, err)
			}
			return err
		}
	}
	return nil
}

func (v *v1) takeOwnership(c *conn, owner digest) error {
	ek, err := c.endorsementKey()
	if err != nil {
		return err
	}
	// The TPM's OAEP has the label "TCPA" (part 1, 31.1.1).
	var enc [2][]byte
	for i, auth := range []digest{owner, {}} {
		if enc[i], err = rsa.EncryptOAEP(sha1.New(), rand.Reader, ek, auth[:], []byte("TCPA")); err != nil {
			return fmt.Errorf("encrypting to the endorsement key: %w", err)
		}
	}
	// The storage root Heads expects: no passphrase, and none asked for (authDataUsage
	// "never"), or `tpm unsealfile` could not use it.
	srk := pack(uint32(v1Version11), uint16(v1KeyStorage), uint32(0), byte(0),
		uint32(v1AlgRSA), uint16(v1EncOAEPSHA1MGF1), uint16(v1SigNone),
		sized(pack(uint32(v1KeyBits), uint32(v1NPrimes), uint32(0))),
		uint32(0), uint32(0), uint32(0)) // PCR info, public and private part: made by the TPM
	s, err := c.oiap(owner)
	if err != nil {
		return err
	}
	_, err = c.authorised(v1TakeOwnership, s, nil, pack(uint16(v1ProtocolOwner), sized(enc[0]), sized(enc[1]), srk))
	return err
}

// showRoot lets everybody read the storage root's public key (TPM_PF_READSRKPUB, part 2,
// 7.1.1), as trousers' tpm_restrictsrk -a does: it is how a later start knows that the
// TPM has not been cleared since. A chip that refuses shows none.
func (v *v1) showRoot(c *conn, owner digest) error {
	s, err := c.oiap(owner)
	if err != nil {
		return err
	}
	_, err = c.authorised(v1SetCapability, s, nil,
		pack(uint32(v1SetPermFlags), sized(pack(uint32(v1FlagReadSRKPub))), sized([]byte{1})))
	var refused *CommandError
	if errors.As(err, &refused) && c.io == nil {
		return nil
	}
	return err
}

// checkOwner reads the storage root's public key, which only the owner may.
func (v *v1) checkOwner(c *conn, owner *secret.Buffer) error {
	s, err := c.oiap(passwordAuth(owner))
	if err != nil {
		return err
	}
	_, err = c.authorised(v1OwnerReadPub, s, nil, pack(uint32(v1SRK)))
	return v.ownerError(c, err)
}

// ownerError names the refusal of the owner passphrase. A TPM without an owner refuses
// every one in the same words.
func (v *v1) ownerError(c *conn, err error) error {
	if refused(err, v1AuthFail) || refused(err, v1Auth2Fail) {
		if p, perr := c.capability(v1CapProperty, uint32(v1PropOwner)); perr == nil && p.u8() == 0 && !p.bad {
			return fmt.Errorf("%w (%w)", ErrNotSetUp, err)
		}
		return fmt.Errorf("%w (%w)", ErrWrongOwner, err)
	}
	return v1SetUpError(err)
}

func v1SetUpError(err error) error {
	if refused(err, v1NoSRK) || refused(err, v1Deactivated) || refused(err, v1Disabled) {
		return fmt.Errorf("%w (%w)", ErrNotSetUp, err)
	}
	return err
}

// composite is TPM_PCR_INFO's digestAtRelease for the given registers and values,
// after the selection of two bytes.
func composite(pcrs []int, values PCRValues) (sel []byte, d digest, err error) {
	sel = make([]byte, 2)
	for _, p := range pcrs {
		sel[p/8] |= 1 << (p % 8)
	}
	sorted := slices.Sorted(slices.Values(pcrs))
	all, err := values.concat(sorted, V12.PCRSize())
	return sel, sha1.Sum(pack(uint16(len(sel)), sel, sized(all))), err
}

// seal makes a blob as `tpm sealfile2` does and writes it where Heads reads it. The
// area is defined at the first time, in the place of any other of its number, which is
// when the owner passphrase is needed.
func (v *v1) seal(c *conn, s slot, owner, data, pass *secret.Buffer, values PCRValues) error {
	sel, release, err := composite(s.pcrs, values)
	if err != nil {
		return err
	}
	session, err := c.osap(v1EntitySRK, v1SRK, digest{})
	if err != nil {
		return v1SetUpError(err)
	}
	info := pack(uint16(len(sel)), sel, release, digest{})
	p, err := c.authorised(v1Seal, session, pack(uint32(v1SRK)),
		pack(session.hide(passwordAuth(pass)), sized(info), sized(data.Bytes())))
	if err != nil {
		return v1SetUpError(err)
	}
	if len(p.b) > v1BlobSize {
		return fmt.Errorf("%w: sealed blob of %d bytes", ErrProtocol, len(p.b))
	}
	blob := append(bytes.Clone(p.b), make([]byte, v1BlobSize-len(p.b))...)
	write := func() error {
		_, err := c.call(v1NVWrite, s.v1, uint32(0), sized(blob))
		return err
	}
	if err = write(); !noArea(err) {
		return err
	}
	if err := v.defineNV(c, owner, s.v1); err != nil {
		return err
	}
	return write()
}

// defineNV makes an area of 312 bytes that everybody may read and write, as Heads
// does: what protects the content is the seal.
func (v *v1) defineNV(c *conn, owner *secret.Buffer, index uint32) error {
	return v.defineArea(c, owner, index, v1NVAuthNone, v1BlobSize)
}

func (v *v1) defineArea(c *conn, owner *secret.Buffer, index, permission, size uint32) error {
	s, err := c.osap(v1EntityOwner, v1Owner, passwordAuth(owner))
	if err != nil {
		return err
	}
	anyPCR := pack(uint16(0), byte(v1LocalityZero), digest{})
	public := pack(uint16(v1TagNVDataPublic), index, anyPCR, anyPCR,
		uint16(v1TagNVAttributes), permission, byte(0), byte(0), byte(0), size)
	_, err = c.authorised(v1NVDefine, s, nil, pack(public, s.hide(digest{})))
	return v.ownerError(c, err)
}

// sealedBlob is TPM_STORED_DATA (part 2, 9.1).
type sealedBlob struct {
	raw     []byte // as TPM_Unseal wants it
	sel     []byte
	release digest
}

// parseBlob reads a sealed blob from an NV area, which is padded with zeros.
func parseBlob(area []byte) (*sealedBlob, error) {
	p := &parser{b: area}
	version := p.u32()
	info := &parser{b: p.sized()}
	data := p.sized()
	if p.bad || version != v1Version11 || len(data) == 0 {
		return nil, ErrNotSealed
	}
	b := &sealedBlob{raw: area[:len(area)-len(p.b)]}
	b.sel = info.take(int(info.u16()))
	b.release = info.digest()
	if info.bad {
		return nil, ErrNotSealed
	}
	return b, nil
}

func (v *v1) readBlob(c *conn, s slot) (*sealedBlob, error) {
	p, err := c.call(v1NVRead, s.v1, uint32(0), uint32(v1BlobSize))
	if noArea(err) {
		return nil, ErrNotSealed
	}
	if err != nil {
		return nil, err
	}
	area := p.sized()
	if p.bad {
		return nil, ErrProtocol
	}
	return parseBlob(area)
}

func (v *v1) sealedTo(c *conn, s slot, passphrase bool, values PCRValues) (bool, error) {
	sel, release, err := composite(s.pcrs, values)
	if err != nil {
		return false, err
	}
	b, err := v.readBlob(c, s)
	if isNotSealed(err) {
		return false, nil
	}
	if err != nil || !bytes.Equal(b.sel, sel) || b.release != release {
		return false, err
	}
	if passphrase {
		return true, nil
	}
	// A blob of a former owner's, cleared by a reset that was not ours, says the same.
	// The TPM refuses it before it looks at the registers (part 3, 10.2).
	data, err := v.open(c, b, nil)
	data.Wipe()
	switch {
	case err == nil, errors.Is(err, ErrPCRMismatch):
		return true, nil
	case isNotSealed(err):
		return false, nil
	}
	return false, err
}

func (v *v1) unseal(c *conn, s slot, pass *secret.Buffer) (*secret.Buffer, error) {
	b, err := v.readBlob(c, s)
	if err != nil {
		return nil, err
	}
	return v.open(c, b, pass)
}

func (v *v1) open(c *conn, b *sealedBlob, pass *secret.Buffer) (*secret.Buffer, error) {
	session, err := c.oiap(passwordAuth(pass))
	if err != nil {
		return nil, err
	}
	p, err := c.authorised(v1Unseal, session, pack(uint32(v1SRK)), b.raw)
	switch {
	case refused(err, v1WrongPCR):
		return nil, fmt.Errorf("%w (%w)", ErrPCRMismatch, err)
	case refused(err, v1AuthFail), refused(err, v1Auth2Fail):
		return nil, fmt.Errorf("%w (%w)", ErrWrongPassphrase, err)
	case refused(err, v1NotSealedBlob), refused(err, v1DecryptError):
		return nil, fmt.Errorf("%w: what is there was sealed for a former owner (%w)", ErrNotSealed, err)
	case err != nil:
		return nil, v1SetUpError(err)
	}
	out := secret.From(p.sized())
	return out, p.err()
}

func (v *v1) readPCRs(c *conn, pcrs []int) (PCRValues, error) {
	out := PCRValues{}
	for _, i := range pcrs {
		p, err := c.call(v1PCRRead, uint32(i))
		if err != nil {
			return nil, v1SetUpError(err)
		}
		d := p.digest()
		if p.bad {
			return nil, ErrProtocol
		}
		out[i] = d[:]
	}
	return out, nil
}

func (v *v1) extendPCR(c *conn, pcr int, value []byte) error {
	_, err := c.call(v1Extend, uint32(pcr), value)
	return err
}

// shutdown has nothing to do: TPM 1.2 counts no unannounced power loss.
func (v *v1) shutdown(*conn) error { return nil }

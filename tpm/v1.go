package tpm

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"reown/internal/secret"
)

const (
	// v1BlobSize is the size of Heads' NV areas: a sealed blob with a 2048-bit key.
	v1BlobSize = 312
	// v1CounterLabel is what Heads' `-la 3135106223` becomes.
	v1CounterLabel = 0xbaddecaf

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

// flags of TPM_PERMANENT_FLAGS and TPM_STCLEAR_FLAGS (part 2, 7.1 and 7.2).
type v1Flags struct {
	disabled, deactivated             bool // from the next start on
	lifetimeLock, cmdEnable           bool // of physical presence
	nowDeactivated, noForceClear      bool // until the next start
	present, presenceLocked, hwEnable bool
}

func (c *conn) flags() (f v1Flags, err error) {
	p, err := c.capability(v1CapFlag, uint32(v1PermanentFlags))
	if err != nil {
		return f, err
	}
	b := p.take(2 + 9)
	if p.bad {
		return f, ErrProtocol
	}
	f.disabled, f.deactivated = b[2] != 0, b[4] != 0
	f.lifetimeLock, f.hwEnable, f.cmdEnable = b[8] != 0, b[9] != 0, b[10] != 0
	p, err = c.capability(v1CapFlag, uint32(v1VolatileFlags))
	if err != nil {
		return f, err
	}
	if b = p.take(2 + 4); p.bad {
		return f, ErrProtocol
	}
	f.nowDeactivated, f.noForceClear, f.present, f.presenceLocked = b[2] != 0, b[3] != 0, b[4] != 0, b[5] != 0
	return f, nil
}

// canReset says whether software can claim physical presence and clear the TPM.
func (f v1Flags) canReset() bool {
	claim := !f.presenceLocked && (f.cmdEnable || !f.lifetimeLock)
	return (f.present || claim) && !f.noForceClear
}

func (v *v1) info(c *conn) (*Info, error) {
	i := &Info{Family: V12, Counters: []string{}}
	p, err := c.capability(v1CapProperty, uint32(v1PropManufacturer))
	if err != nil {
		return nil, err
	}
	i.Manufacturer = vendorName(p.u32())
	if p, err = c.capability(v1CapProperty, uint32(v1PropOwner)); err != nil {
		return nil, err
	}
	i.Owned = p.u8() != 0
	f, err := c.flags()
	if err != nil {
		return nil, err
	}
	i.CanReset = f.canReset()
	i.SetUp = i.Owned && !f.disabled && !f.deactivated && !f.nowDeactivated
	if l, err := c.daLogic(); err == nil { // optional in the specification
		i.Lockout = l
	}
	if f.disabled || f.nowDeactivated {
		return i, nil // such a TPM answers nothing else
	}
	if i.Owned {
		if i.PrimaryName, err = v.rootName(c); err != nil {
			return nil, err
		}
	}
	for s, has := range map[*slot]*bool{&otpSlot: &i.HasOTP, &dukSlot: &i.HasDUK} {
		b, err := v.readBlob(c, *s)
		if err != nil && !isNotSealed(err) {
			return nil, err
		}
		*has = b != nil
	}
	ids, err := c.v1Handles(v1ResourceCounter)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		i.Counters = append(i.Counters, strconv.FormatUint(uint64(id), 10))
	}
	i.PCRs, err = v.readPCRs(c, DUKPCRs())
	return i, err
}

// daLogic reads the guessing protection of the owner passphrase (part 2, 21.10).
func (c *conn) daLogic() (Lockout, error) {
	p, err := c.capability(v1CapDALogic, uint16(v1EntityOwner))
	if err != nil {
		return Lockout{}, err
	}
	p.u16() // structure tag
	l := Lockout{Locked: p.u8() != 0, Tries: uint32(p.u16()), Max: uint32(p.u16())}
	p.take(2 + 4) // what happens at the threshold
	l.Interval = p.u32()
	return l, p.err()
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
// form than Heads': too small, or kept from everybody by whoever made it.
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
	_, err = c.authorised(v1SetCapability, s, nil, pack(uint32(v1SetPermFlags), sized(pack(uint32(v1FlagReadSRKPub))), sized([]byte{1})))
	var refused *CommandError
	if errors.As(err, &refused) && c.io == nil {
		return nil
	}
	return err
}

// rootName is the hash of the storage root's public key in hex, "" where the TPM does
// not show it.
func (v *v1) rootName(c *conn) (string, error) {
	p, err := c.call(v1GetPubKey, uint32(v1SRK))
	var refused *CommandError
	switch {
	case err == nil:
		h := sha1.Sum(p.b)
		return hex.EncodeToString(h[:]), nil
	case errors.As(err, &refused) && c.io == nil:
		return "", nil
	}
	return "", err
}

// checkOwner reads the storage root's public key, which only the owner may.
func (v *v1) checkOwner(c *conn, owner *secret.Buffer) error {
	s, err := c.oiap(passwordAuth(owner))
	if err != nil {
		return err
	}
	_, err = c.authorised(v1OwnerReadPub, s, nil, pack(uint32(v1SRK)))
	return v1OwnerError(err)
}

func v1OwnerError(err error) error {
	if refused(err, v1AuthFail) || refused(err, v1Auth2Fail) {
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
	s, err := c.osap(v1EntityOwner, v1Owner, passwordAuth(owner))
	if err != nil {
		return err
	}
	anyPCR := pack(uint16(0), byte(v1LocalityZero), digest{})
	public := pack(uint16(v1TagNVDataPublic), index, anyPCR, anyPCR,
		uint16(v1TagNVAttributes), uint32(v1NVAuthNone), byte(0), byte(0), byte(0), uint32(v1BlobSize))
	_, err = c.authorised(v1NVDefine, s, nil, pack(public, s.hide(digest{})))
	return v1OwnerError(err)
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

// createCounter makes Heads' counter, or uses the one that is there under its label:
// a TPM 1.2 has room for four, and Clear removes them.
func (v *v1) createCounter(c *conn, owner *secret.Buffer) (Counter, error) {
	ids, err := c.v1Handles(v1ResourceCounter)
	if err != nil {
		return Counter{}, err
	}
	for _, id := range ids {
		p, err := c.call(v1ReadCounter, id)
		if err != nil {
			continue
		}
		p.u16()
		if p.u32() != v1CounterLabel {
			continue
		}
		if n, err := v.increment(c, id); err == nil || c.io != nil || refused(err, v1BadCounter) { // busy: it was read above
			return n, err
		}
	}
	s, err := c.osap(v1EntityOwner, v1Owner, passwordAuth(owner))
	if err != nil {
		return Counter{}, v1SetUpError(err)
	}
	p, err := c.authorised(v1CreateCounter, s, nil, pack(s.hide(sha1.Sum(nil)), uint32(v1CounterLabel)))
	if err != nil {
		return Counter{}, v1OwnerError(err)
	}
	id := p.u32()
	if p.bad {
		return Counter{}, ErrProtocol
	}
	return v.increment(c, id)
}

// v1Counter makes a Counter of TPM_COUNTER_VALUE: tag, label, count.
func v1Counter(id uint32, p *parser) (Counter, error) {
	raw := bytes.Clone(p.take(10))
	if p.bad {
		return Counter{}, ErrProtocol
	}
	q := parser{b: raw[6:]}
	return Counter{ID: strconv.FormatUint(uint64(id), 10), Line: fmt.Sprintf("%d: %x", id, raw), Value: uint64(q.u32())}, nil
}

func (v *v1) increment(c *conn, id uint32) (Counter, error) {
	s, err := c.oiap(sha1.Sum(nil)) // Heads' `-pwdc ''`
	if err != nil {
		return Counter{}, err
	}
	p, err := c.authorised(v1IncrementCounter, s, nil, pack(id))
	if refused(err, v1BadCounter) {
		// Either it does not exist, or another one was the first of this start.
		if _, rerr := c.call(v1ReadCounter, id); rerr == nil {
			return Counter{}, fmt.Errorf("%w (%w)", ErrCounterBusy, err)
		}
		return Counter{}, fmt.Errorf("%w (%w)", ErrNoCounter, err)
	}
	if err != nil {
		return Counter{}, err
	}
	return v1Counter(id, p)
}

func v1CounterID(id string) (uint32, error) {
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: %q is no counter's number", ErrNoCounter, id)
	}
	return uint32(n), nil
}

func (v *v1) incrementCounter(c *conn, id string) (Counter, error) {
	n, err := v1CounterID(id)
	if err != nil {
		return Counter{}, err
	}
	return v.increment(c, n)
}

func (v *v1) readCounter(c *conn, id string) (Counter, error) {
	n, err := v1CounterID(id)
	if err != nil {
		return Counter{}, err
	}
	p, err := c.call(v1ReadCounter, n)
	if refused(err, v1BadCounter) {
		return Counter{}, fmt.Errorf("%w (%w)", ErrNoCounter, err)
	}
	if err != nil {
		return Counter{}, err
	}
	return v1Counter(n, p)
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

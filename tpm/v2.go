package tpm

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"reown/internal/secret"
)

const (
	v2ReplyTag    = 0x8001
	primaryHandle = tpm2.TPMHandle(0x81000000)

	// Lockout parameters of Heads' reset.
	daMaxTries, daRecovery, daLockoutRecovery = 10, 3600, 0

	capHandles    = 1
	capProperties = 6
)

// v2 is a TPM 2.0. It remembers the primary key it saw first: another one under
// the same handle later in the same run, or none, is an attack.
type v2 struct {
	pinned []byte // Name of the primary
}

// key is a TPM key that sessions are salted to.
type key struct {
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	pub    tpm2.TPMTPublic
}

// session is a one-command HMAC session that nobody on the bus can compute or
// guess at: its key comes from a salt encrypted to k.
func (k *key) session(o ...tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 32, append(o, tpm2.Salted(k.handle, k.pub))...)
}

// encryptIn is an additional session that encrypts the first parameter of a command.
func (k *key) encryptIn() tpm2.Session {
	return k.session(tpm2.AESEncryption(128, tpm2.EncryptIn))
}

// audit is an additional session that authenticates the reply to a command that needs
// no authorisation.
func (k *key) audit() tpm2.Session { return k.session(tpm2.Audit()) }

// owner authorises by the owner passphrase.
func (k *key) owner(p *secret.Buffer) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: k.session(tpm2.Auth(p.Bytes()))}
}

// self authorises the use of the key itself, whose passphrase is empty.
func (k *key) self() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: k.handle, Name: k.name, Auth: k.session()}
}

// tidy drops what an interrupted program left loaded: a TPM has room for three
// objects and three sessions only. Saved sessions, which Heads keeps, stay.
func (v *v2) tidy(c *conn) error {
	for _, first := range []uint32{0x80000000, 0x02000000} {
		hs, err := v.handles(c, first)
		if err != nil {
			return err
		}
		for _, h := range hs {
			_, _ = tpm2.FlushContext{FlushHandle: tpm2.TPMHandle(h)}.Execute(c)
			if c.io != nil {
				return c.io
			}
		}
	}
	return nil
}

// readPublic returns an object's public area, checked against its Name; refused
// with v2Handle when there is none.
func (v *v2) readPublic(c *conn, h named, s ...tpm2.Session) (*key, error) {
	r, err := tpm2.ReadPublic{ObjectHandle: h}.Execute(c, s...)
	if err != nil {
		return nil, c.check(err)
	}
	pub, err := r.OutPublic.Contents()
	if err != nil {
		return nil, fmt.Errorf("%w: public area: %v", ErrProtocol, err)
	}
	name, err := tpm2.ObjectName(pub)
	if err != nil {
		return nil, fmt.Errorf("%w: public area: %v", ErrProtocol, err)
	}
	if !bytes.Equal(name.Buffer, r.Name.Buffer) {
		return nil, fmt.Errorf("%w: an object's name is not that of its content", ErrTampered)
	}
	return &key{tpm2.TPMHandle(h.HandleValue()), r.Name, *pub}, nil
}

// named is a handle, with the name of what it stands for where that is known.
type named interface {
	HandleValue() uint32
	KnownName() *tpm2.TPM2BName
}

// object returns the object at a persistent handle, read in a session salted to k; nil
// when a list that the TPM has authenticated says that there is none. It is read twice,
// because a session authenticates the name of what a command is about, too.
func (v *v2) object(c *conn, k *key, handle tpm2.TPMHandle) (*key, error) {
	there, err := v.listed(c, k, uint32(handle))
	if err != nil || !there {
		return nil, err
	}
	first, err := v.readPublic(c, handle)
	if err != nil {
		return nil, err
	}
	return v.readPublic(c, tpm2.NamedHandle{Handle: handle, Name: first.name}, k.audit())
}

// primary returns the storage primary; ErrNotSetUp when there is none that serves.
func (v *v2) primary(c *conn) (*key, error) {
	k, err := v.readPublic(c, primaryHandle)
	gone := refused(err, v2Handle)
	if err != nil && !gone {
		return nil, err
	}
	if v.pinned != nil && (gone || !bytes.Equal(v.pinned, k.name.Buffer)) {
		return nil, fmt.Errorf("%w: another primary key than before", ErrTampered)
	}
	if gone {
		return nil, ErrNotSetUp
	}
	a := k.pub.ObjectAttributes
	if !a.Restricted || !a.Decrypt || !a.FixedTPM || !a.FixedParent || algOf(&k.pub) == "" {
		return nil, fmt.Errorf("%w: 0x%x is no storage key", ErrNotSetUp, uint32(primaryHandle))
	}
	v.pinned = k.name.Buffer
	return k, nil
}

func algOf(p *tpm2.TPMTPublic) PrimaryAlg {
	switch p.Type {
	case tpm2.TPMAlgRSA:
		return RSA
	case tpm2.TPMAlgECC:
		return ECC
	}
	return ""
}

// salt returns a key to salt sessions with: the storage primary or, on a TPM that
// has none, one of the null hierarchy made for the moment.
func (v *v2) salt(c *conn) (k *key, done func(), err error) {
	done = func() {}
	if err := v.tidy(c); err != nil {
		return nil, done, err
	}
	if k, err = v.primary(c); !isNotSetUp(err) {
		return k, done, err
	}
	r, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHNull, Auth: tpm2.PasswordAuth(nil)},
		InPublic:      tpm2.New2B(primaryTemplate(ECC)),
	}.Execute(c)
	if err != nil {
		return nil, done, c.check(err)
	}
	pub, err := r.OutPublic.Contents()
	if err != nil {
		return nil, done, fmt.Errorf("%w: %v", ErrProtocol, err)
	}
	done = func() { _, _ = tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(c) }
	return &key{r.ObjectHandle, r.Name, *pub}, done, nil
}

// primaryTemplate is that of `tpm2 createprimary -g sha256 -G rsa|ecc`: attributes
// 0x30072, AES-128-CFB, no unique value.
func primaryTemplate(alg PrimaryAlg) tpm2.TPMTPublic {
	pub := tpm2.TPMTPublic{
		NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true,
			UserWithAuth: true, Restricted: true, Decrypt: true,
		},
	}
	sym := tpm2.TPMTSymDefObject{
		Algorithm: tpm2.TPMAlgAES,
		KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(128)),
		Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
	}
	if alg == ECC {
		pub.Type = tpm2.TPMAlgECC
		pub.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC,
			&tpm2.TPMSECCParms{Symmetric: sym, CurveID: tpm2.TPMECCNistP256})
		return pub
	}
	pub.Type = tpm2.TPMAlgRSA
	pub.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{Symmetric: sym, KeyBits: 2048})
	return pub
}

// reset ends in the state of Heads' `tpmr.sh reset`, by another order: the primary
// key is made and stored while the owner passphrase is still empty, so that every
// passphrase can then be set inside a session salted to it. Heads sends them in
// clear.
func (v *v2) reset(c *conn, owner *secret.Buffer, o ResetOptions) error {
	const total = 10
	empty := tpm2.PasswordAuth(nil)
	done := int64(0)
	step := func() {
		done++
		if o.Progress != nil {
			o.Progress(done, total)
		}
	}
	ps, err := v.rehearse(c, RehearseOptions{PrimaryAlg: o.PrimaryAlg})
	if err == nil {
		err = stopping(ps)
	}
	if err != nil {
		return err
	}
	if err := v.allowClear(c); err != nil {
		return err
	}
	step()
	if err := v.clearOwner(c); err != nil {
		return err
	}
	step()
	cp, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: empty},
		InPublic:      tpm2.New2B(primaryTemplate(o.PrimaryAlg)),
	}.Execute(c)
	if err != nil {
		return c.check(err)
	}
	step()
	_, err = tpm2.EvictControl{
		Auth:             tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: empty},
		ObjectHandle:     &tpm2.NamedHandle{Handle: cp.ObjectHandle, Name: cp.Name},
		PersistentHandle: primaryHandle,
	}.Execute(c)
	if err != nil {
		return c.check(err)
	}
	step()
	if _, err := (tpm2.FlushContext{FlushHandle: cp.ObjectHandle}).Execute(c); err != nil {
		return c.check(err)
	}
	if err := v.keepEndorsementKey(c); err != nil {
		return err
	}
	step()
	v.pinned = cp.Name.Buffer
	k, err := v.primary(c)
	if err != nil {
		return err
	}
	step()
	var da [12]byte
	binary.BigEndian.PutUint32(da[0:], daMaxTries)
	binary.BigEndian.PutUint32(da[4:], daRecovery)
	binary.BigEndian.PutUint32(da[8:], daLockoutRecovery)
	// As Heads does, go on with a chip that refuses: Info measures the rule that is left.
	err = v.raw(c, tpm2.TPMCCDictionaryAttackParameters, tpm2.TPMRHLockout, k.session(), da[:])
	if err != nil && (!errors.As(err, new(*CommandError)) || errors.Is(err, ErrWait)) {
		return err
	}
	step()
	lockout := randomAuth(maxAuth)
	defer lockout.Wipe()
	// Lockout comes last: it is what tells a finished reset from an interrupted one.
	for _, h := range []struct {
		handle tpm2.TPMHandle
		auth   *secret.Buffer
	}{{tpm2.TPMRHOwner, owner}, {tpm2.TPMRHEndorsement, owner}, {tpm2.TPMRHLockout, lockout}} {
		_, err := tpm2.HierarchyChangeAuth{
			AuthHandle: tpm2.AuthHandle{Handle: h.handle, Auth: empty},
			NewAuth:    tpm2.TPM2BAuth{Buffer: h.auth.Bytes()},
		}.Execute(c, k.encryptIn())
		if err != nil {
			return c.check(err)
		}
		step()
	}
	return nil
}

// clear removes the owner and leaves the TPM without one.
func (v *v2) clear(c *conn) error {
	if err := v.allowClear(c); err != nil {
		return err
	}
	return v.clearOwner(c)
}

// allowClear lifts the operating system's ban on clearing (disableClear), which the
// platform may.
func (v *v2) allowClear(c *conn) error {
	if err := v.tidy(c); err != nil {
		return err
	}
	return platformLocked(v.raw(c, tpm2.TPMCCClearControl, tpm2.TPMRHPlatform, tpm2.PasswordAuth(nil), []byte{0}))
}

// clearOwner sends TPM2_Clear; the primary that was seen before goes with it.
func (v *v2) clearOwner(c *conn) error {
	v.pinned = nil
	_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}}.Execute(c)
	return platformLocked(c.check(err))
}

// randomAuth returns random bytes without a zero among them: TPMs and libraries
// disagree on auth values that contain one (go-tpm cuts there).
func randomAuth(n int) *secret.Buffer {
	b := secret.Random(n)
	p := b.Bytes()
	for i := range p {
		for p[i] == 0 {
			if _, err := rand.Read(p[i : i+1]); err != nil {
				panic(err)
			}
		}
	}
	return b
}

// platformLocked names the reason why the platform's empty passphrase is refused.
func platformLocked(err error) error {
	if refused(err, v2Presence) {
		return fmt.Errorf("%w (%w)", ErrPresence, err)
	}
	if refused(err, v2BadAuth) || refused(err, v2AuthFail) || refused(err, v2HierarchyDown) ||
		refused(err, v2AuthUnavail) {
		return fmt.Errorf("%w (%w)", ErrPlatformLocked, err)
	}
	return err
}

// raw runs a command that go-tpm does not have: one authorised handle, parameters,
// and nothing in reply.
func (v *v2) raw(c *conn, cc tpm2.TPMCC, h tpm2.TPMHandle, s tpm2.Session, params []byte) error {
	if err := s.Init(c); err != nil {
		return c.check(err)
	}
	if err := s.NewNonceCaller(); err != nil {
		return err
	}
	names := []tpm2.TPM2BName{tpm2.HandleName(h)}
	a, err := s.Authorize(cc, params, nil, names, 0)
	if err != nil {
		return err
	}
	auth := tpm2.Marshal(*a)
	cmd := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTSessions))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(headerLen+4+4+len(auth)+len(params)))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(cc))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(h))
	cmd = binary.BigEndian.AppendUint32(cmd, uint32(len(auth)))
	cmd = append(append(cmd, auth...), params...)
	reply, err := c.Send(cmd)
	if err != nil {
		return err
	}
	if c.code != 0 {
		err := c.check(tpm2.TPMRC(c.code))
		_ = s.CleanupFailure(c)
		return err
	}
	if len(reply) < headerLen+4 || binary.BigEndian.Uint32(reply[headerLen:]) != 0 {
		return fmt.Errorf("%s: %w", c.last, ErrProtocol)
	}
	ar, err := tpm2.Unmarshal[tpm2.TPMSAuthResponse](reply[headerLen+4:])
	if err != nil {
		return fmt.Errorf("%s: %w: %v", c.last, ErrProtocol, err)
	}
	return c.check(s.Validate(0, cc, nil, names, 0, ar))
}

// checkOwner uses the passphrase for a command without effect: PolicySecret in a
// trial session.
func (v *v2) checkOwner(c *conn, owner *secret.Buffer) error {
	k, done, err := v.salt(c)
	if err != nil {
		return err
	}
	defer done()
	return v.ownerError(c, v.policySecret(c, k.owner(owner)))
}

func (v *v2) policySecret(c *conn, who tpm2.AuthHandle) error {
	trial, end, err := tpm2.PolicySession(c, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return c.check(err)
	}
	_, err = tpm2.PolicySecret{AuthHandle: who, PolicySession: trial.Handle(), NonceTPM: trial.NonceTPM()}.Execute(c)
	err = c.check(err)
	_ = end()
	return err
}

// ownerError names the refusal of the owner passphrase. A TPM whose owner has none
// refuses every one in the same words.
func (v *v2) ownerError(c *conn, err error) error {
	if refused(err, v2BadAuth) || refused(err, v2AuthFail) {
		if _, perm, perr := v.lockoutState(c); perr == nil && perm&permOwnerAuth == 0 {
			return fmt.Errorf("%w (%w)", ErrNotSetUp, err)
		}
		return fmt.Errorf("%w (%w)", ErrWrongOwner, err)
	}
	return err
}

func (v *v2) handleFile(c *conn) ([]byte, error) {
	k, err := v.primary(c)
	if err != nil {
		return nil, err
	}
	// ESYS_TR as tpm2-tss 3.x writes it: handle, name, kind of resource (1: object), public area.
	b := binary.BigEndian.AppendUint32(nil, uint32(k.handle))
	b = append(b, tpm2.Marshal(k.name)...)
	b = binary.BigEndian.AppendUint32(b, 1)
	return append(b, tpm2.Marshal(tpm2.New2B(k.pub))...), nil
}

func selection(pcrs []int) tpm2.TPMLPCRSelection {
	u := make([]uint, len(pcrs))
	for i, p := range pcrs {
		u[i] = uint(p)
	}
	return tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: tpm2.TPMAlgSHA256, PCRSelect: tpm2.PCClientCompatible.PCRs(u...)},
	}}
}

// readPCRs reads the SHA-256 bank. Where the TPM has a primary, an audit session
// salted to it proves that the values come from the TPM: a secret sealed to values
// of a stranger's choice would be a secret given to the stranger.
func (v *v2) readPCRs(c *conn, pcrs []int) (PCRValues, error) {
	k, err := v.primary(c)
	if err != nil && !isNotSetUp(err) {
		return nil, err
	}
	return v.pcrsIn(c, k, pcrs)
}

// pcrsIn reads in sessions salted to k, or in none for nil.
func (v *v2) pcrsIn(c *conn, k *key, pcrs []int) (PCRValues, error) {
	out := PCRValues{}
	for _, p := range pcrs { // one at a time: a reply holds eight at most, and may hold fewer
		var s []tpm2.Session
		if k != nil {
			s = append(s, k.audit())
		}
		r, err := tpm2.PCRRead{PCRSelectionIn: selection([]int{p})}.Execute(c, s...)
		if err != nil {
			return nil, c.check(err)
		}
		if len(r.PCRValues.Digests) != 1 || len(r.PCRValues.Digests[0].Buffer) != V20.PCRSize() {
			return nil, fmt.Errorf("%w: SHA-256", ErrNoBank)
		}
		out[p] = r.PCRValues.Digests[0].Buffer
	}
	return out, nil
}

func (v *v2) extendPCR(c *conn, pcr int, digest []byte) error {
	_, err := tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: digest}}},
	}.Execute(c)
	return c.check(err)
}

// orderly follows the use of an object under lockout protection, as Heads makes its
// own: the primary, what is sealed, the counters. A TPM that loses power after such a use
// counts a wrong try, because the try's result could have been lost with it; ten
// pulled plugs would lock it. Announced now, the power may go at any time.
func (v *v2) orderly(c *conn) { _ = v.shutdown(c) }

func (v *v2) shutdown(c *conn) error {
	_, err := tpm2.Shutdown{ShutdownType: tpm2.TPMSUClear}.Execute(c)
	return c.check(err)
}

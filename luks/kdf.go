package luks

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"runtime/debug"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/blake2s"
	//lint:ignore SA1019 LUKS1 headers name it
	"golang.org/x/crypto/ripemd160"

	"reown/internal/secret"
)

// hashByName finds a hash by the name LUKS uses for it.
func hashByName(name string) (func() hash.Hash, error) {
	switch strings.ToLower(name) {
	case "sha1":
		return sha1.New, nil
	case "sha224":
		return sha256.New224, nil
	case "sha256":
		return sha256.New, nil
	case "sha384":
		return sha512.New384, nil
	case "sha512":
		return sha512.New, nil
	case "sha3-256":
		return func() hash.Hash { return sha3.New256() }, nil
	case "sha3-512":
		return func() hash.Hash { return sha3.New512() }, nil
	case "ripemd160":
		return ripemd160.New, nil
	case "blake2b-512":
		return func() hash.Hash { h, _ := blake2b.New512(nil); return h }, nil
	case "blake2s-256":
		return func() hash.Hash { h, _ := blake2s.New256(nil); return h }, nil
	}
	return nil, unsupported("hash %q", name)
}

// pbkdf2 is RFC 8018 5.2, for one that a header asks for: one that would take too long is
// refused (*SlowKDFError).
func pbkdf2(ctx context.Context, hashName string, pass, salt []byte, iterations, length int) (*secret.Buffer, error) {
	newHash, err := hashByName(hashName)
	if err != nil {
		return nil, err
	}
	if iterations > leastRounds { // less is always affordable
		ns, err := pbkdf2Cost(hashName, iterations, length)
		if err == nil {
			err = affordable(ns)
		}
		if err != nil {
			return nil, err
		}
	}
	out := rawPBKDF2(ctx, newHash, pass, salt, iterations, length)
	if err := ctx.Err(); err != nil {
		out.Wipe()
		return nil, err
	}
	return out, nil
}

// rawPBKDF2 ends early, with a useless result, when ctx is cancelled. The standard
// library's takes the password as a string, which could not be wiped.
func rawPBKDF2(ctx context.Context, newHash func() hash.Hash, pass, salt []byte, iterations,
	length int) *secret.Buffer {
	mac := hmac.New(newHash, pass)
	size := mac.Size()
	out := secret.New((length + size - 1) / size * size)
	u := make([]byte, 0, size)
	defer func() { secret.Zero(u[:size]) }()
	for block := 1; (block-1)*size < length; block++ {
		t := out.Bytes()[(block-1)*size : block*size]
		mac.Reset()
		mac.Write(salt)
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(block)))
		u = mac.Sum(u[:0])
		copy(t, u)
		for i := 1; i < iterations; i++ {
			if i%(1<<16) == 0 && ctx.Err() != nil {
				return out
			}
			mac.Reset()
			mac.Write(u)
			u = mac.Sum(u[:0])
			for j, b := range u {
				t[j] ^= b
			}
		}
	}
	out.SetLen(length)
	return out
}

// argon lets one Argon2 run at a time: disks may be worked on in parallel, but there
// is only one memory.
var argon = make(chan struct{}, 1)

// derive turns a passphrase into a keyslot key of length bytes. free tells how much
// memory Argon2 may take, in bytes; 0 if nobody knows.
func (k *kdf) derive(ctx context.Context, slot int, pass *secret.Buffer, length int, free func() int64) (*secret.Buffer,
	error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k.unknown {
		return nil, fmt.Errorf("keyslot %d: %w", slot, unsupported("key derivation %q", k.typ))
	}
	if k.typ == "pbkdf2" {
		key, err := pbkdf2(ctx, k.hash, pass.Bytes(), k.salt, k.iterations, length)
		if err != nil {
			return nil, fmt.Errorf("keyslot %d: %w", slot, err)
		}
		return key, nil
	}
	if err := affordable(argonCost(k.time, k.memory, k.cpus)); err != nil {
		return nil, fmt.Errorf("keyslot %d: %w", slot, err)
	}
	select {
	case argon <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	need := int64(k.memory) << 10
	if have := free(); have > 0 && need > have {
		<-argon
		return nil, &MemoryError{Slot: slot, Need: need, Have: have}
	}
	f := argon2.IDKey
	if k.typ == "argon2i" {
		f = argon2.Key
	}
	// Argon2 cannot be interrupted. Who gives up leaves it to end by itself.
	p := pass.Copy()
	done := make(chan *secret.Buffer, 1)
	go func() {
		key := secret.From(f(p.Bytes(), k.salt, uint32(k.time), uint32(k.memory), uint8(k.cpus), uint32(length)))
		p.Wipe()
		debug.FreeOSMemory()
		<-argon
		done <- key
	}()
	select {
	case key := <-done:
		return key, nil
	case <-ctx.Done():
		go func() { (<-done).Wipe() }()
		return nil, ctx.Err()
	}
}

// afSize is the length in bytes of key material split into stripes.
func afSize(keySize, stripes int) int64 {
	return roundUp(int64(keySize)*int64(stripes), 512)
}

// afSplit writes the anti-forensic expansion of key (LUKS1 specification 2.4): all
// stripes are needed to get it back.
func afSplit(dst, key []byte, stripes int, hashName string) error {
	newHash, err := hashByName(hashName)
	if err != nil {
		return err
	}
	n := len(key)
	acc := secret.New(n)
	defer acc.Wipe()
	random := secret.Random(n * (stripes - 1))
	defer random.Wipe()
	copy(dst, random.Bytes())
	diffuse := diffuser(newHash())
	for i := range stripes - 1 {
		diffuse(acc.Bytes(), dst[i*n:(i+1)*n])
	}
	last := dst[(stripes-1)*n : stripes*n]
	for i := range last {
		last[i] = acc.Bytes()[i] ^ key[i]
	}
	return nil
}

// afMerge is the inverse of afSplit.
func afMerge(src []byte, keySize, stripes int, hashName string) (*secret.Buffer, error) {
	newHash, err := hashByName(hashName)
	if err != nil {
		return nil, err
	}
	key := secret.New(keySize)
	acc := key.Bytes()
	diffuse := diffuser(newHash())
	for i := range stripes - 1 {
		diffuse(acc, src[i*keySize:(i+1)*keySize])
	}
	for i, b := range src[(stripes-1)*keySize : stripes*keySize] {
		acc[i] ^= b
	}
	return key, nil
}

// diffuser returns the function that sets acc to H(acc xor stripe), H working on
// numbered hash-sized pieces.
func diffuser(h hash.Hash) func(acc, stripe []byte) {
	size := h.Size()
	sum := make([]byte, 0, size)
	var number [4]byte
	return func(acc, stripe []byte) {
		for i := range acc {
			acc[i] ^= stripe[i]
		}
		for i := 0; i*size < len(acc); i++ {
			piece := acc[i*size : min((i+1)*size, len(acc))]
			binary.BigEndian.PutUint32(number[:], uint32(i))
			h.Reset()
			h.Write(number[:])
			h.Write(piece)
			sum = h.Sum(sum[:0])
			copy(piece, sum)
		}
		secret.Zero(sum)
	}
}

package keybox

import (
	"encoding/hex"
	"fmt"
	"time"

	//lint:ignore SA1019 the trustdb's hash of user ids
	"golang.org/x/crypto/ripemd160"

	"reown/gpgcard"
)

// Trust database records (DETAILS, "Layout of the TrustDB"; tdbio.h): 40 bytes each.
const (
	recordLen   = 40
	recVersion  = 1
	recHashTbl  = 10
	recTrust    = 12
	recValid    = 13
	perHashTbl  = 9                                   // table items in one record
	hashRecords = (256 + perHashTbl - 1) / perHashTbl // one item for each first byte of a fingerprint
	ultimate    = 6
)

// WriteTrustDB returns a trustdb.gpg in which the certificates are ultimately
// trusted and all their user ids valid. The hash table starts at record 1.
//
// Two keys whose fingerprints begin with the same byte would need a second table
// level; they are refused.
func WriteTrustDB(created time.Time, certs ...*gpgcard.Cert) ([]byte, error) {
	b := make([]byte, (1+hashRecords)*recordLen)
	copy(b, []byte{recVersion, 'g', 'p', 'g', 3, 3, 1, 5, 1,
		2}) // version, marginals, completes, depth, model PGP, minimal certification level
	be.PutUint32(b[12:], uint32(created.Unix()))
	be.PutUint32(b[36:], 1) // hash table
	for i := range hashRecords {
		b[(1+i)*recordLen] = recHashTbl
	}
	for _, c := range certs {
		fpr, err := hex.DecodeString(c.Fingerprint())
		if err != nil || len(fpr) != 20 {
			return nil, fmt.Errorf("fingerprint %q", c.Fingerprint())
		}
		item := (1+int(fpr[0])/perHashTbl)*recordLen + 2 + 4*(int(fpr[0])%perHashTbl)
		if be.Uint32(b[item:]) != 0 {
			return nil, fmt.Errorf("two keys begin with %02X", fpr[0])
		}
		n := uint32(len(b) / recordLen)
		be.PutUint32(b[item:], n)
		uids := c.UserIDs()
		t := make([]byte, recordLen)
		t[0] = recTrust
		copy(t[2:], fpr)
		t[22] = ultimate
		if len(uids) > 0 {
			be.PutUint32(t[26:], n+1)
		}
		b = append(b, t...)
		for i, u := range uids {
			v := make([]byte, recordLen)
			v[0] = recValid
			h := ripemd160.New()
			h.Write([]byte(u))
			copy(v[2:], h.Sum(nil))
			v[22] = ultimate
			if i < len(uids)-1 {
				be.PutUint32(v[23:], n+2+uint32(i))
			}
			b = append(b, v...)
		}
	}
	return b, nil
}

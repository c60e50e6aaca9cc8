package tpm

import "encoding/binary"

const (
	v1ReplyTag         = 0x00c4
	v1ContinueSelfTest = 0x53
)

var v1Names = map[uint32]string{}

// v1Command builds a command without authorisation.
func v1Command(ordinal uint32, params []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0x00c1)
	b = binary.BigEndian.AppendUint32(b, uint32(headerLen+len(params)))
	b = binary.BigEndian.AppendUint32(b, ordinal)
	return append(b, params...)
}

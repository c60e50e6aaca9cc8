package xsha

import (
	"encoding/binary"

	"reown/internal/xts/internal/cpuid"
)

// sha2ni adds chunks of 64 bytes of two messages to their states.
//
//go:noescape
func sha2ni(state *byte, p, q *byte, chunks int)

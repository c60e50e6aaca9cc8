package xsha

import (
	"testing"

	"reown/internal/xts/internal/peer"
)

func TestImplementation(t *testing.T) { t.Logf("chosen: %s", Implementation()) }

// QEMU 7.2 has no SHA extensions.
func TestOnOtherProcessors(t *testing.T) {
	peer.RunOn(t,
		peer.Machine{GOARCH: "amd64", CPU: "Westmere", Best: "generic"},
		peer.Machine{GOARCH: "amd64", CPU: "SandyBridge", Best: "avx"},
		peer.Machine{GOARCH: "amd64", CPU: "Haswell", Best: "avx2"},
		peer.Machine{GOARCH: "arm64", Best: "generic"},
	)
}

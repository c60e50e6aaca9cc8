package xts

import (
	"os"
	"testing"

	"reown/internal/xts/internal/peer"
)

func TestImplementation(t *testing.T) { t.Logf("chosen: %s", Implementation()) }

// The laptops that Heads runs on span fifteen years. (QEMU 7.2 has no VAES.) The default run has
// one without AES instructions; the other machines are for the soak.
func TestOnOtherProcessors(t *testing.T) {
	old := peer.Machine{GOARCH: "amd64", CPU: "core2duo", Best: "ssse3"}
	if os.Getenv("REOWN_SOAK") == "" {
		peer.RunOn(t, old)
		return
	}
	peer.RunOn(t, old,
		peer.Machine{GOARCH: "amd64", CPU: "Opteron_G1", Best: "generic"},
		peer.Machine{GOARCH: "amd64", CPU: "Westmere", Best: "aes-ni"}, // no AVX
		peer.Machine{GOARCH: "amd64", CPU: "Haswell", Best: "aes-ni"},
		peer.Machine{GOARCH: "arm64", Best: "armv8-ce"},
		peer.Machine{GOARCH: "ppc64le", Best: "vcipher"},
	)
}

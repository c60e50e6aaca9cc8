package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCurrent: NOTICE names what is linked today.
func TestCurrent(t *testing.T) {
	var want bytes.Buffer
	if err := notice("../..", &want); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../NOTICE")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want.Bytes()) {
		t.Error("NOTICE is not what is linked: go run ./scripts/notice >NOTICE")
	}
}

package main

import (
	"testing"

	"reown/internal/laptop"
)

func TestParseDisk(t *testing.T) {
	for s, want := range map[string]laptop.DiskSpec{
		"/dev/sda2": {Path: "/dev/sda2"}, "disk.img@1048576+4096": {Path: "disk.img", Offset: 1 << 20, Size: 4096},
		"disk.img@512": {Path: "disk.img", Offset: 512},
	} {
		if d, err := parseDisk(s); err != nil || d != want {
			t.Errorf("%s: %+v, %v", s, d, err)
		}
	}
	for _, s := range []string{"disk@home.img", "", "disk@1+-1"} {
		if d, err := parseDisk(s); err == nil {
			t.Errorf("%s: %+v", s, d)
		}
	}
}

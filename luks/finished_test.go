package luks_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"reown/luks"
	"reown/luks/lukstest"
)

// An unprotected run of cryptsetup that has done all data and not closed its header is
// finished by rescue and resume. If cryptsetup was resumed there, which makes it begin
// again from the start, nothing is written.
func TestRescueOfFinishedRun(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	f.replacePlain(prose(1<<20), 512)
	base := f.image()
	log := f.record(f.peerReencrypt("--resilience", "none")...)
	found := false
	for k := range log {
		img := lukstest.Replay(base, log[:k])
		v, err := luks.OpenDevice("disk", lukstest.NewDisk(slices.Clone(img), 512), nil)
		if err != nil || !v.Info().Reencryption.Finished || found && k < len(log)-4 {
			continue
		}
		out, r, err := rescueOnly(img, luks.RescueOptions{})
		if err != nil || r.Position != r.Total || r.Mixed != 0 || !bytes.Equal(out, img) {
			t.Fatalf("after %d of %d operations: %+v, %v", k, len(log), r, err)
		}
		if out, err = f.ourResume(out); err == nil {
			err = f.data(out, 512)
		}
		if err != nil {
			t.Errorf("after %d of %d operations: %v", k, len(log), err)
		}
		if found {
			continue
		}
		found = true
		f.put(img)
		again := f.record(f.on("reencrypt", "--resume-only", "--force-offline-reencrypt", "--batch-mode", "--resilience",
			"none", "--key-file", f.key)...)
		cut := 0
		for i, op := range again {
			if cut == 0 && op.Off >= int64(f.offset) && len(op.Data) > 0 {
				cut = i + 1
			}
		}
		if cut == 0 {
			t.Fatal("cryptsetup did not begin again: this test has lost its subject")
		}
		img = lukstest.Replay(img, again[:cut])
		if out, r, err := rescueOnly(img, luks.RescueOptions{}); !errors.Is(err, luks.ErrTwice) || !bytes.Equal(out, img) {
			t.Errorf("begun again: %+v, %v; changed: %v", r, err, !bytes.Equal(out, img))
		}
	}
	if !found {
		t.Error("no such state in the log")
	}
}

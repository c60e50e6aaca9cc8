package laptop

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"reown/internal/secret"
	"reown/luks"
	"reown/luks/lukstest"
	"reown/wizard"
)

// luksImage makes a volume of 1 MiB with cryptsetup, and its plain text.
func luksImage(t *testing.T, typ string) (p *lukstest.Peer, plain []byte) {
	t.Helper()
	p = lukstest.NewPeer(t)
	key, img := p.Write("seller", []byte("seller")), p.Write("img", make([]byte, 5<<20))
	args := []string{"luksFormat", "--batch-mode", "--type", typ, "--pbkdf-force-iterations", "1000", "--key-size", "512",
		"--key-file", key}
	if typ == "luks2" {
		args = append(args, "--pbkdf", "pbkdf2", "--offset", "8192", "--sector-size", "512")
	} else {
		args = append(args, "--align-payload", "8192")
	}
	p.Run(append(args, img)...)
	vk, err := p.VolumeKey(img, key)
	if err != nil {
		t.Fatal(err)
	}
	plain = lukstest.Random(512<<10, 3)
	raw := p.Read("img")
	copy(raw[4<<20:], lukstest.XTS(vk, plain, 512, true))
	p.Write("img", raw)
	return p, plain
}

// A LUKS1 disk is the owner's after the wizard's two acts, and LUKS2.
func TestOldDiskBecomesOurs(t *testing.T) {
	p, plain := luksImage(t, "luks1")
	seller, owner := secret.From([]byte("seller")), secret.From([]byte("owner"))
	d := &disk{spec: DiskSpec{Path: p.Path("img")}, kdf: luks.KDFPBKDF2}
	ctx := t.Context()
	if found, err := d.Rehearse(ctx, true); err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	if i, err := d.Info(ctx); err != nil || i.Format != "LUKS1" {
		t.Fatalf("%+v, %v", i, err)
	}
	var seen wizard.DiskSurvey
	if err := d.Survey(ctx, func(s wizard.DiskSurvey) { seen = s }); err != nil || !seen.Complete() ||
		seen.Written != 512<<10 {
		t.Fatalf("%+v, %v", seen, err)
	}
	if err := d.SetPassphrase(ctx, seller, owner); err != nil {
		t.Fatal(err)
	}
	if err := d.Reencrypt(ctx, owner, wizard.Rekeying{Survey: &seen}); err != nil {
		t.Fatal(err)
	}
	if i, err := d.Info(ctx); err != nil || i.Format != "LUKS2" || i.Keyslots != 1 || i.Reencrypting {
		t.Errorf("%+v, %v", i, err)
	}
	if err := d.SecondRead(ctx, owner); err != nil {
		t.Error(err)
	}
	vk, err := p.VolumeKey(p.Path("img"), p.Write("owner", []byte("owner")))
	if err != nil {
		t.Fatal(err)
	}
	if raw := p.Read("img"); !bytes.Equal(lukstest.XTS(vk, raw[4<<20:][:len(plain)], 512, false), plain) {
		t.Error("the data differs")
	}
}

// What a survey finds unreadable is what a run stops at, and goes on without when it is given up.
func TestGiveUpBadSectors(t *testing.T) {
	p, plain := luksImage(t, "luks2")
	disc := lukstest.NewDisk(p.Read("img"), 512)
	bad := wizard.Stretch{Offset: 70 << 10, Length: 1024}
	disc.BadRead = func(off int64, n int) error {
		if at := 4<<20 + bad.Offset; off < at+bad.Length && at < off+int64(n) {
			return unix.EIO
		}
		return nil
	}
	disc.Observe = func(_ int, op lukstest.Op) { // a write remaps a sector
		if at := 4<<20 + bad.Offset; !op.Sync && op.Off <= at && at+bad.Length <= op.Off+int64(len(op.Data)) {
			disc.BadRead = nil
		}
	}
	d := &disk{spec: DiskSpec{Path: "disk"}, door: func() (*luks.Volume, error) {
		v, err := luks.OpenDevice("disk", disc, nil)
		if err == nil {
			v.SetKDF(luks.KDFPBKDF2)
		}
		return v, err
	}}
	ctx, pass := t.Context(), secret.From([]byte("seller"))
	var seen wizard.DiskSurvey
	if err := d.Survey(ctx, func(s wizard.DiskSurvey) { seen = s }); err != nil ||
		!slices.Equal(seen.Bad, []wizard.Stretch{bad}) {
		t.Fatalf("%+v, %v", seen, err)
	}
	var unread *wizard.UnreadError
	err := d.Reencrypt(ctx, pass, wizard.Rekeying{Lose: []wizard.Stretch{{Offset: bad.Offset, Length: 512}}})
	if !errors.As(err, &unread) || !slices.Equal(unread.Bad, seen.Bad) || unread.Volume == "" {
		t.Fatalf("half of it given up: %v", err)
	}
	if err := d.Reencrypt(ctx, pass, wizard.Rekeying{Lose: unread.Bad}); err != nil {
		t.Fatal(err)
	}
	vk, err := p.VolumeKey(p.Write("after", disc.Bytes()), p.Path("seller"))
	if err != nil {
		t.Fatal(err)
	}
	clear(plain[bad.Offset : bad.Offset+bad.Length])
	if !bytes.Equal(lukstest.XTS(vk, disc.Bytes()[4<<20:][:len(plain)], 512, false), plain) {
		t.Error("the rest of the data differs")
	}
}

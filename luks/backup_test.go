package luks_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"

	"reown/luks"
)

func TestHeaderBackup(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	ctx := context.Background()
	v := open(t, f.img)
	ours := f.Path("backup")
	if err := v.BackupFile(ctx, ours); err != nil {
		t.Fatal(err)
	}
	theirs := f.Path("peer-backup")
	f.Run("luksHeaderBackup", "--header-backup-file", theirs, f.img)
	if !bytes.Equal(f.Read("backup"), f.Read("peer-backup")) {
		t.Error("the backup is not what cryptsetup makes")
	}
	if st, err := os.Stat(ours); err != nil || st.Mode().Perm() != 0o400 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	restore := func(force bool) error {
		return luks.RestoreHeader(ctx, f.img, bytes.NewReader(f.Read("backup")), force, luks.Options{})
	}

	// The header is wiped, as by a careless dd; the backup brings the data back.
	img := f.Read("img")
	clear(img[:f.offset])
	f.Write("img", img)
	if _, err := luks.Open(ctx, f.img, luks.Options{}); !errors.Is(err, luks.ErrNotLUKS) {
		t.Fatalf("a wiped header: %v", err)
	}
	if err := restore(false); err != nil {
		t.Fatal(err)
	}
	f.judge(t, f.key, 512)

	// After a re-encryption it would lose everything.
	v = open(t, f.img)
	if err := v.Reencrypt(ctx, pass("first"), luks.ReencryptOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := restore(false); !errors.Is(err, luks.ErrOtherKey) {
		t.Errorf("a backup of the old volume key: %v", err)
	}
	f.judge(t, f.key, 512)

	// Another volume's.
	other := format(t, shape{size: 1 << 20, sector: 512})
	if err := luks.RestoreHeader(ctx, other.img, bytes.NewReader(f.Read("backup")), false, luks.Options{}); !errors.Is(err,
		luks.ErrForeign) {
		t.Errorf("a backup of another volume: %v", err)
	}
	for _, cut := range []int{0, 100, 4096, 32768, f.offset - 4096} {
		if err := luks.RestoreHeader(ctx, f.img, bytes.NewReader(f.Read("backup")[:cut]), true, luks.Options{}); err == nil {
			t.Errorf("a backup of %d bytes was restored", cut)
		}
	}
	f.judge(t, f.key, 512)
}

func TestNoBackupDuringReencryption(t *testing.T) {
	f := format(t, shape{size: 1 << 20, sector: 512})
	ctx, cancel := context.WithCancel(context.Background())
	cancelled := luks.ReencryptOptions{Hotzone: 256 << 10, Progress: func(done, _ int64) {
		if done > 0 {
			cancel()
		}
	}}
	v := open(t, f.img)
	if err := v.Reencrypt(ctx, pass("first"), cancelled); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := v.Backup(context.Background(), &bytes.Buffer{}); !errors.Is(err, luks.ErrReencrypting) {
		t.Errorf("backup: %v", err)
	}
	for name, err := range map[string]error{
		"passphrase": v.SetPassphrase(context.Background(), pass("first"), pass("second")),
		"kill":       v.KillKeyslot(context.Background(), 0, pass("first")),
	} {
		if !errors.Is(err, luks.ErrReencrypting) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := v.SetPassphrase(context.Background(), pass("other"), pass("first")); err != nil {
		t.Errorf("the passphrase that is already the only one: %v", err)
	}
	if err := v.Resume(context.Background(), pass("wrong"), luks.ReencryptOptions{}); !errors.Is(err,
		luks.ErrWrongPassphrase) {
		t.Errorf("resume with a wrong passphrase: %v", err)
	}
	if err := v.Resume(context.Background(), pass("first"), luks.ReencryptOptions{}); err != nil {
		t.Fatal(err)
	}
	f.judge(t, f.key, 512)
}

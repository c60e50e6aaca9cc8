package lab

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"reown/gpgcard/cardtest"
)

// A deed is one of her acts, on a laptop that is off or on.
type deed struct {
	name   string
	off    func(context.Context, *maid, *Laptop) error
	on     func(context.Context, *maid, *Laptop) error
	parcel bool // with another security key in the reader
	wipes  bool // of the disk's header, after which nothing opens it
}

// errNotHere says that there is nothing to do it to.
var errNotHere = errors.New("not at this moment")

// in is a path in /boot.
func (l *Laptop) in(name string) string { return filepath.Join(l.BootDir(), name) }

// boot is an act on /boot.
func boot(name string, do func(l *Laptop) error) deed {
	return deed{name: name, off: func(_ context.Context, _ *maid, l *Laptop) error { return do(l) }}
}

// only is nil where a file was not there.
func only(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return errNotHere
	}
	return err
}

// edit replaces a file's content.
func edit(path string, change func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return only(err)
	}
	return os.WriteFile(path, change(b), 0o644)
}

// kernel is the path of a file in /boot by the start of its name.
func (l *Laptop) kernel(prefix string) string {
	all, _ := filepath.Glob(l.in(prefix + "*"))
	return append(all, l.in(prefix))[0]
}

const evilEntry = "menuentry 'Debian GNU/Linux' {\n\tlinux /kexec_reown.1/evil root=/dev/sda1 init=/bin/sh\n\tinitrd /kexec_reown.1/evil.img\n}\n"

// evilFolder is a folder that Heads does not hash, with something to start.
func evilFolder(l *Laptop) error {
	dir := l.in("kexec_reown.1")
	return errors.Join(os.MkdirAll(filepath.Join(dir, "grub"), 0o755),
		os.WriteFile(filepath.Join(dir, "evil"), []byte("evil kernel"), 0o644),
		os.WriteFile(filepath.Join(dir, "evil.img"), []byte("evil initrd"), 0o644),
		os.WriteFile(filepath.Join(dir, "grub", "grub.cfg"), []byte(evilEntry), 0o644),
		os.WriteFile(filepath.Join(dir, "grub.cfg"), []byte(evilEntry), 0o644))
}

// earlier puts something of another moment back.
func earlier(name string, which func(at moment) bool, paths ...string) deed {
	return deed{name: name, off: func(ctx context.Context, m *maid, l *Laptop) error {
		for _, at := range m.moments {
			if !which(at) {
				continue
			}
			found := false
			for _, pattern := range paths {
				all, _ := filepath.Glob(filepath.Join(at.dir, pattern))
				for _, from := range all {
					rel, err := filepath.Rel(at.dir, from)
					if err != nil {
						return err
					}
					if err := os.RemoveAll(l.path(rel)); err != nil {
						return err
					}
					if _, err := tool(ctx, nil, "cp", "-a", "--sparse=always", from, l.path(rel)); err != nil {
						return err
					}
					found = true
				}
			}
			if found {
				return nil
			}
		}
		return errNotHere
	}}
}

func isFirst(at moment) bool { return at.name == "delivered" }
func isBegun(at moment) bool { return at.begun }
func isOver(at moment) bool  { return at.over }

// with does two things.
func with(d deed, name string, more func(l *Laptop) error) deed {
	first := d.off
	d.name = name
	d.off = func(ctx context.Context, m *maid, l *Laptop) error {
		if err := first(ctx, m, l); err != nil {
			return err
		}
		return more(l)
	}
	return d
}

func touchOEM(l *Laptop) error { return os.WriteFile(l.in("oem"), nil, 0o644) }

// header writes over the start of the LUKS partition.
func header(off int64, n int) func(*Laptop) error {
	return func(l *Laptop) error {
		f, err := os.OpenFile(l.Disk(), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		start, _ := l.Window()
		_, err = f.WriteAt(make([]byte, n), start+off)
		return errors.Join(err, f.Close())
	}
}

// deeds are what she can do.
var deeds = []deed{
	boot("touches oem", touchOEM),
	boot("removes oem", func(l *Laptop) error { return only(os.Remove(l.in("oem"))) }),
	boot("makes oem a folder", func(l *Laptop) error {
		return errors.Join(os.RemoveAll(l.in("oem")),
			os.Mkdir(l.in("oem"), 0o755))
	}),
	boot("makes oem a link", func(l *Laptop) error {
		return errors.Join(os.RemoveAll(l.in("oem")), os.Symlink("grub/grub.cfg", l.in("oem")))
	}),
	boot("adds a folder that Heads does not hash", evilFolder),
	boot("adds that, and oem", func(l *Laptop) error { return errors.Join(evilFolder(l), touchOEM(l)) }),
	boot("links the menu to it", func(l *Laptop) error {
		return errors.Join(evilFolder(l), os.Remove(l.in("grub/grub.cfg")),
			os.Symlink("../kexec_reown.1/grub.cfg", l.in("grub/grub.cfg")))
	}),
	boot("links the kernel to it", func(l *Laptop) error {
		k := l.kernel("vmlinuz-")
		return errors.Join(evilFolder(l), os.Remove(k), os.Symlink("kexec_reown.1/evil", k))
	}),
	boot("changes the kernel", func(l *Laptop) error {
		return edit(l.kernel("vmlinuz-"), func(b []byte) []byte { return append(b, "evil"...) })
	}),
	boot("changes the initrd", func(l *Laptop) error {
		return edit(l.kernel("initrd.img-"), func(b []byte) []byte { return append(b, "evil"...) })
	}),
	boot("puts an entry first", func(l *Laptop) error {
		return edit(l.in("grub/grub.cfg"), func(b []byte) []byte { return append([]byte(evilEntry), b...) })
	}),
	boot("adds a file", func(l *Laptop) error { return os.WriteFile(l.in("evil"), []byte("evil"), 0o644) }),
	deed{name: "zeroes the first magic", off: func(_ context.Context, _ *maid,
		l *Laptop) error {
		return header(0, 6)(l)
	}},
	deed{name: "zeroes the second magic", off: func(_ context.Context, _ *maid,
		l *Laptop) error {
		return header(16<<10, 6)(l)
	}},
	deed{name: "zeroes both headers", wipes: true,
		off: func(_ context.Context, _ *maid, l *Laptop) error { return header(0, 1<<20)(l) }},
	deed{name: "zeroes the first binary header",
		off: func(_ context.Context, _ *maid, l *Laptop) error { return header(0, 4096)(l) }},
	{name: "flags a re-encryption", off: flagged},
	boot("hangs the journal onto the menu", func(l *Laptop) error {
		return errors.Join(os.RemoveAll(l.in("kexec_reown.log")), os.Link(l.in("grub/grub.cfg"), l.in("kexec_reown.log")))
	}),
	boot("links the stage to /boot", func(l *Laptop) error {
		return errors.Join(os.RemoveAll(l.in("kexec_reown.stage")), os.Symlink(".", l.in("kexec_reown.stage")))
	}),
	boot("puts a pipe there", func(l *Laptop) error { return syscall.Mkfifo(l.in("evil"), 0o644) }),
	{name: "signs all by a key of her own", off: signsAll},
	{name: "puts her key beside the owner's", off: func(_ context.Context, m *maid, l *Laptop) error {
		return edit(l.in("kexec_reown.asc"), func(b []byte) []byte { return append(b, m.cert...) })
	}},
	boot("removes the signature", func(l *Laptop) error { return only(os.Remove(l.in("kexec.sig"))) }),
	boot("removes the hand-over", func(l *Laptop) error {
		return only(errors.Join(os.Remove(l.in("kexec_handover.json")), os.Remove(l.in("kexec_handover.json.asc"))))
	}),
	earlier("puts the delivered /boot back", isFirst, "boot"),
	boot("removes all notes", func(l *Laptop) error {
		all, _ := filepath.Glob(l.in("kexec_reown*"))
		if len(all) == 0 {
			return errNotHere
		}
		for _, n := range all {
			if err := os.RemoveAll(n); err != nil {
				return err
			}
		}
		return nil
	}),
	boot("removes the receipt", func(l *Laptop) error { return only(os.Remove(l.in("kexec_reown.receipt"))) }),
	boot("removes the owner's key", func(l *Laptop) error { return only(os.Remove(l.in("kexec_reown.asc"))) }),
	with(earlier("", isBegun, "boot/kexec_reown*"), "puts the notes of a begun run back, and oem", touchOEM),
	earlier("puts the /boot of a begun run back", isBegun, "boot"),
	earlier("puts a begun run's receipt back", isBegun, "boot/kexec_reown.receipt"),
	earlier("puts the delivered start files back", isFirst, "boot/kexec.sig", "boot/kexec_*.txt"),
	earlier("puts the delivered disk back", isFirst, "disk.img"),
	earlier("puts the disk of a begun run back", isBegun, "disk.img"),
	with(earlier("", isOver, "boot"), "puts the finished /boot in, and oem", touchOEM),
	boot("changes the hand-over", func(l *Laptop) error {
		return edit(l.in("kexec_handover.json"),
			func(b []byte) []byte { return []byte(strings.Replace(string(b), `"`, ` "`, 1)) })
	}),
	{name: "clears the TPM", on: heads("tpm2_clear -Q -c platform")},
	{name: "clears the TPM and takes it", on: func(ctx context.Context, _ *maid,
		l *Laptop) error {
		return l.Heads.Reset(ctx, "evil-owner")
	}},
	{name: "extends a register", on: heads("tpm2_pcrextend 7:sha256=" + strings.Repeat("e1", 32))},
	{name: "removes what is sealed", on: heads("tpm2_clear -Q -c platform; reset evil-owner")},
	{name: "exchanges the security key for an empty one", parcel: true,
		off: func(_ context.Context, _ *maid, l *Laptop) error {
			fresh, err := cardtest.New(cardtest.Nitrokey3).Save()
			return errors.Join(err, os.WriteFile(l.path("card.json"), fresh, 0o600))
		}},
	{name: "exchanges it for one that says that it holds its keys", parcel: true, off: claims},
	{name: "adds a second signed list", off: func(_ context.Context, _ *maid, l *Laptop) error {
		return os.WriteFile(l.in("kexec_evil.txt"), []byte("evil\n"), 0o644)
	}},
	boot("adds to the list of hashes", func(l *Laptop) error {
		return edit(l.in("kexec_hashes.txt"), func(b []byte) []byte {
			return append(b, strings.Repeat("0", 64)+
				"  ./evil\n"...)
		})
	}),
}

func heads(script string) func(context.Context, *maid, *Laptop) error {
	return func(ctx context.Context, _ *maid, l *Laptop) error {
		_, err := l.Heads.sh(ctx, script)
		return err
	}
}

// flagged lets cryptsetup begin a re-encryption with the seller's passphrase, and do nothing of it.
func flagged(ctx context.Context, _ *maid, l *Laptop) error {
	work, err := os.MkdirTemp(l.Dir, "maid")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	offset, size := l.Window()
	v, err := CopyVolume(l.Disk(), offset, size, work)
	if err != nil {
		return err
	}
	if ok, err := v.Opens(ctx, l.Seller.Disk); !ok || err != nil {
		return errNotHere
	}
	if _, err := v.cryptsetup(ctx, l.Seller.Disk, "reencrypt", "--init-only", "--batch-mode", "--force-offline-reencrypt",
		"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"); err != nil {
		return errNotHere // one is under way
	}
	return copyInto(l.Disk(), v.Path, offset)
}

// signsAll is Heads' signing with her key, and the key where the owner's lies.
func signsAll(ctx context.Context, m *maid, l *Laptop) error {
	if err := edit(l.in("grub/grub.cfg"), func(b []byte) []byte { return append([]byte(evilEntry), b...) }); err != nil {
		return err
	}
	if err := errors.Join(evilFolder(l), headsHash(ctx, l.BootDir())); err != nil {
		return err
	}
	signed, err := HeadsSignedBytes(ctx, l.BootDir())
	if err != nil {
		return err
	}
	sig, err := gpg(ctx, m.home, string(signed), "--detach-sign", "-a", "-o", "-")
	return errors.Join(err, os.WriteFile(l.in("kexec.sig"), sig, 0o644),
		os.WriteFile(l.in("kexec_reown.asc"), m.cert, 0o644))
}

// claims is a key with the public side of the owner's, and other private keys.
func claims(_ context.Context, _ *maid, l *Laptop) error {
	return edit(l.path("card.json"), func(b []byte) []byte {
		var card struct{ Keys []json.RawMessage }
		all := map[string]json.RawMessage{}
		if json.Unmarshal(b, &card) != nil || json.Unmarshal(b, &all) != nil || len(card.Keys) != 3 {
			return nil
		}
		card.Keys[0], card.Keys[2] = card.Keys[2], card.Keys[0]
		all["Keys"], _ = json.Marshal(card.Keys)
		b, _ = json.Marshal(all)
		return b
	})
}

package plumbing

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"reown/cmd/reown/internal/cli"
	"reown/internal/escape"
	"reown/internal/secret"
	"reown/luks"
	"reown/luks/second"
)

// onVolume are the flags that all luks commands but close have.
var onVolume = &cli.Shared{
	Title: "Of the volume. DEVICE is a block device or an image file; one that is mounted or mapped is refused",
	Bind:  func(fs *flag.FlagSet) { new(luksFlags).bind(fs) },
}

func luksCommand() *cli.Command {
	return &cli.Command{Name: "luks", Short: "LUKS headers, keyslots and re-encryption", Sub: []*cli.Command{
		{Name: "info", Args: "DEVICE [--json]", Short: "what the header says; nothing is written", Run: luksInfo,
			Shared: onVolume,
			Long:   `Prints version, cipher, keyslots, tokens, and how far a re-encryption is.`},
		{Name: "open", Args: "DEVICE NAME --key-file KEY", Short: "make the decrypted data the device /dev/mapper/NAME",
			Run: luksOpen, Shared: onVolume,
			Long: `For who wants to look at the files. Refused while a re-encryption is not finished. Needs the kernel's device mapper.`},
		{Name: "close", Args: "NAME", Short: "end what open began", Run: luksClose,
			Long: `Removes /dev/mapper/NAME. Unmount it first.`},
		{Name: "passwd", Args: "DEVICE --key-file OLD --new-key-file NEW", Short: "make a new passphrase the only one",
			Run: luksPasswd, Shared: onVolume,
			Long: `Adds and proves a keyslot for NEW, then destroys all other keyslots and wipes them. Repeating it is harmless.`},
		{Name: "kill", Args: "DEVICE --slot N --key-file KEEP", Short: "destroy one keyslot", Run: luksKill, Shared: onVolume,
			Long: `Destroys keyslot N and wipes it. KEEP must open another one.`},
		{Name: "reencrypt", Args: "DEVICE... --key-file KEY [--new-key-file NEW]",
			Short: "put the data under a new volume key, or go on with that", Run: luksReencrypt, Shared: onVolume,
			Long: `Re-encrypts in place. KEY keeps opening the volume throughout; with NEW the passphrase is changed first.
All other keyslots are destroyed, also those that open no data: their passphrases are not known here. Tokens,
persistent flags, and a cipher or key derivation below the floor (AES-XTS of 512 bits; Argon2id of 64 MiB and
about two seconds) end with the old key. A volume that reads as noise under the key of its header is refused: an
old header may lie over data of a newer key. May be stopped (SIGTERM, power) and called again at any time. Several
devices run in parallel.`},
		{Name: "resume", Args: "DEVICE... --key-file KEY", Short: "finish a re-encryption that either program left",
			Run: luksResume, Shared: onVolume,
			Long: `Recovers an interrupted hotzone, goes on, and closes the header. On a volume at rest it wipes remains of old keyslots.`},
		{Name: "survey", Args: "DEVICE [--json]", Short: "read all data: what was never written, what cannot be read",
			Run: luksSurvey, Shared: onVolume,
			Long: `Reads the volume once, at low priority, and writes nothing. No passphrase is needed.`},
		{Name: "rescue", Args: "DEVICE --key-file KEY [--log-dir DIR]",
			Short: "finish an interrupted re-encryption that had no protection", Run: luksRescue, Shared: onVolume,
			Long: `For what cryptsetup reencrypt --resilience=none (Heads) leaves when it is interrupted. Reads all data, finds
from the data itself which part is under which key, records that in the header and finishes. Where it
cannot be proven nothing is written: the stretch in doubt is named, and --accept-loss goes on. In a protected
run it looks for data that a power failure during cryptsetup repair has left under the old key. A LUKS1 disk that
cryptsetup has made unusable gets its header back if no data had been re-encrypted.`},
		{Name: "convert", Args: "DEVICE --to 1|2", Short: "change the header between LUKS1 and LUKS2", Run: luksConvert,
			Shared: onVolume,
			Long:   `Safe against interruption at any point. Save the header first all the same (reown luks backup).`},
		{Name: "backup", Args: "DEVICE FILE", Short: "save the header to a new file", Run: luksBackup, Shared: onVolume,
			Long: `FILE is what cryptsetup luksHeaderBackup makes. With it an old passphrase opens the disk again until the
disk is re-encrypted: guard it like the passphrase.`},
		{Name: "restore", Args: "DEVICE FILE", Short: "write a saved header back", Run: luksRestore, Shared: onVolume,
			Long: `Refuses a backup of another volume, of another volume key, or from the middle of a re-encryption.`},
		{Name: "erase", Args: "DEVICE --confirm disk", Short: "destroy all keyslots: the data is lost for ever",
			Run: luksErase, Shared: onVolume,
			Long: `Wipes all key material, tokens and the state of an unfinished re-encryption, reads back that it is gone, and
leaves a LUKS header without keyslots. No passphrase is asked for and none opens the disk afterwards. What
cannot be reached: header backups elsewhere, and blocks that an SSD has put aside.`},
	}}
}

// luksFlags are the flags of all luks commands.
type luksFlags struct {
	*flag.FlagSet
	opts            luks.Options
	json            bool
	key, newKey     string
	secrets         []*secret.Buffer
	usedStdinSecret bool
}

func newLuksFlags(name string) *luksFlags {
	f := &luksFlags{FlagSet: cli.NewFlags("reown luks " + name)}
	f.bind(f.FlagSet)
	return f
}

func (f *luksFlags) bind(fs *flag.FlagSet) {
	fs.StringVar(&f.opts.Header, "detached-header", "", "FILE the header is in FILE, DEVICE holds only data")
	fs.Int64Var(&f.opts.Offset, "offset", 0, "N the volume begins at this byte of DEVICE: a partition of a disk "+
		"image")
	fs.Int64Var(&f.opts.Size, "size", 0, "N and is so many bytes long; without it, to the end")
	fs.BoolVar(&f.opts.NoLocks, "no-locks", false, "do not take cryptsetup's lock files")
	fs.BoolVar(&f.json, "json", false, "report as one JSON document")
	fs.BoolVar(&f.opts.AllowEmpty, "allow-empty", false, "let the new passphrase be empty")
	fs.BoolFunc("pbkdf2", "new keyslots use PBKDF2 (1,000,000 rounds), for a boot loader that reads no Argon2",
		func(string) error { f.opts.KDF = luks.KDFPBKDF2; return nil })
}

// withKey adds the flag for the passphrase, and if one is to be set the one for that.
func (f *luksFlags) withKey(fresh bool) *luksFlags {
	f.StringVar(&f.key, "key-file", "", "FILE the present passphrase, used to the byte, as cryptsetup does; - "+
		"is standard input")
	if fresh {
		f.StringVar(&f.newKey, "new-key-file", "", "FILE the new passphrase")
	}
	return f
}

// readKey reads the key file that flag names; close wipes it.
func (f *luksFlags) readKey(e *cli.Env, flag, name string) (*secret.Buffer, error) {
	switch {
	case name == "":
		return nil, cli.Usagef("%s needs --%s", f.Name(), flag)
	case name == "-" && f.usedStdinSecret:
		return nil, cli.Usagef("%s: only one key can come from standard input", f.Name())
	}
	f.usedStdinSecret = f.usedStdinSecret || name == "-"
	b, err := e.Key(name)
	if err != nil {
		return nil, err
	}
	f.secrets = append(f.secrets, b)
	return b, nil
}

func (f *luksFlags) wipe() {
	for _, s := range f.secrets {
		s.Wipe()
	}
}

// change opens one device, makes a change and reports the result.
func (f *luksFlags) change(ctx context.Context, e *cli.Env, device string, do func(*luks.Volume) error) error {
	v, err := luks.Open(ctx, device, f.opts)
	if err != nil {
		return err
	}
	defer v.Close()
	if err := do(v); err != nil {
		return err
	}
	return f.report(e, v.Info())
}

// report prints the volume's state after a command.
func (f *luksFlags) report(e *cli.Env, infos ...luks.Info) error {
	if f.json {
		if len(infos) == 1 {
			return e.JSON(infos[0])
		}
		return e.JSON(infos)
	}
	for _, in := range infos {
		printLuksInfo(e.Stdout, in)
	}
	return nil
}

func luksInfo(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("info")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	f.opts.ReadOnly = true
	v, err := luks.Open(ctx, ops[0], f.opts)
	if err != nil {
		return err
	}
	defer v.Close()
	return f.report(e, v.Info())
}

func printLuksInfo(w io.Writer, in luks.Info) {
	fmt.Fprintf(w, "%s: LUKS%d %s\n", escape.Text(in.Path), in.Version, escape.Text(in.UUID))
	fmt.Fprintf(w, "  data      %d bytes at %d, %s, %d-bit key, %d-byte sectors\n", in.DataSize, in.DataOffset,
		escape.Text(in.Cipher), in.KeyBits, in.SectorSize)
	fmt.Fprintf(w, "  key       %.16s... (digest; it changes with the volume key)\n", in.KeyDigest)
	for _, k := range in.Keyslots {
		fmt.Fprintf(w, "  keyslot   %d: %s, %s volume key, %s\n", k.ID, escape.Text(k.Type), k.Key, escape.Text(kdfText(k)))
	}
	for _, t := range in.Tokens {
		fmt.Fprintf(w, "  token     %d: %s for keyslots %v\n", t.ID, escape.Text(t.Type), t.Keyslots)
	}
	for _, d := range in.Damage {
		fmt.Fprintf(w, "  damage    %s\n", escape.Text(d))
	}
	if len(in.Requirements) > 0 {
		fmt.Fprintf(w, "  required  %s\n", escape.Text(strings.Join(in.Requirements, ", ")))
	}
	if in.Integrity {
		fmt.Fprintln(w, "  integrity dm-integrity below; it is not re-encrypted here")
	}
	switch r := in.Reencryption; {
	case r.Mode == "encrypt" || r.Mode == "decrypt":
		fmt.Fprintf(w, "  %sion  begun by cryptsetup and not finished: `cryptsetup reencrypt --resume-only --force-offline-reencrypt`\n", r.Mode)
	case r.Finished:
		fmt.Fprintf(w, "  re-encryption  all data done, the header is not closed: run `reown luks resume`\n")
	case r.Active && r.Resilience == "none":
		fmt.Fprintln(w, "  re-encryption  without protection; how far it came is not recorded: run `reown luks rescue`, never `cryptsetup reencrypt --resume-only`")
	case r.Active:
		fmt.Fprintf(w, "  re-encryption  %d of %d bytes, %s", r.Done, r.Total, r.Resilience)
		if r.Crash {
			fmt.Fprint(w, ", interrupted in a hotzone")
		}
		fmt.Fprintln(w)
	}
}

func kdfText(k luks.KeyslotInfo) string {
	switch {
	case k.KDF == "":
		return "no passphrase"
	case k.Iterations > 0:
		return fmt.Sprintf("%s-%s, %d iterations", k.KDF, k.Hash, k.Iterations)
	}
	return fmt.Sprintf("%s, %d passes, %d MiB, %d threads", k.KDF, k.Time, k.Memory>>20, k.CPUs)
}

// luksOpen is the second reader's: it shares no code with what wrote the header.
func luksOpen(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("open").withKey(false)
	ops, err := cli.Parse(f.FlagSet, args, 2, 2)
	if err != nil {
		return err
	}
	if f.opts.Offset != 0 || f.opts.Size != 0 || f.opts.Header != "" {
		return cli.Usagef("%s: takes a whole device with its header", f.Name())
	}
	if err := mapName(ops[1]); err != nil {
		return err
	}
	defer f.wipe()
	key, err := f.readKey(e, "key-file", f.key)
	if err != nil {
		return err
	}
	f.opts.ReadOnly = true
	v, err := luks.Open(ctx, ops[0], f.opts)
	if err != nil {
		return err
	}
	defer v.Close()
	if v.Info().Reencryption.Active {
		return luks.ErrReencrypting
	}
	slot, err := v.Unlock(ctx, key)
	if err != nil {
		return err
	}
	return second.Map(ctx, ops[0], slot, key, ops[1])
}

func luksClose(_ context.Context, _ *cli.Env, args []string) error {
	ops, err := cli.Parse(cli.NewFlags("reown luks close"), args, 1, 1)
	if err != nil {
		return err
	}
	if err := mapName(ops[0]); err != nil {
		return err
	}
	return second.Unmap(ops[0])
}

// mapName refuses what the device mapper would not take for a name, or take for more.
func mapName(s string) error {
	if len(s) > 127 || s == "control" || strings.Trim(s,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+") != "" {
		return cli.Usagef("%q is no name for a mapped device: letters, digits, - _ +", s)
	}
	return nil
}

func luksPasswd(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("passwd").withKey(true)
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	defer f.wipe()
	old, err := f.readKey(e, "key-file", f.key)
	if err != nil {
		return err
	}
	next, err := f.readKey(e, "new-key-file", f.newKey)
	if err != nil {
		return err
	}
	return f.change(ctx, e, ops[0], func(v *luks.Volume) error { return v.SetPassphrase(ctx, old, next) })
}

func luksKill(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("kill").withKey(false)
	slot := f.Int("slot", -1, "N the keyslot")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if *slot < 0 {
		return cli.Usagef("%s needs --slot", f.Name())
	}
	defer f.wipe()
	keep, err := f.readKey(e, "key-file", f.key)
	if err != nil {
		return err
	}
	return f.change(ctx, e, ops[0], func(v *luks.Volume) error { return v.KillKeyslot(ctx, *slot, keep) })
}

func luksReencrypt(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("reencrypt").withKey(true)
	var o luks.ReencryptOptions
	hotzone := f.Int64("hotzone", 0, "MIB data in doubt at one time (96 if you do not say, less with little "+
		"memory)")
	f.IntVar(&o.SectorSize, "sector-size", 0, "N change the encryption sector size (512 or 4096)")
	f.IntVar(&o.KeyBits, "key-bits", 0, "N change the volume key's size")
	f.StringVar(&o.Cipher, "cipher", "", "NAME change the cipher")
	f.StringVar((*string)(&o.Resilience), "resilience", "", "MODE checksum (if you do not say) or journal")
	runFlags(f, &o)
	f.BoolVar(&o.BackToLUKS1, "back-to-luks1", false, "a LUKS1 volume becomes LUKS2 for the work; turn it back "+
		"at the end")
	noise := f.Bool("noise", false, "the volume holds no files: re-encrypt although it reads as noise")
	f.BoolFunc("inherit", "keep tokens, flags, cipher and key derivation of the old header",
		func(string) error { o.Inherit, f.opts.KDF = true, luks.KDFInherit; return nil })
	return luksRun(ctx, e, f, args, func(ctx context.Context, v *luks.Volume, key, newKey *secret.Buffer,
		progress func(done, total int64)) error {
		o := o
		o.Hotzone, o.Progress, o.Result = *hotzone<<20, progress, new(luks.Result)
		defer func() { printResult(e.Stderr, v.Info().Path, *o.Result) }()
		// What it would stop at is known before the passphrase is changed.
		r, err := v.Rehearse(ctx, o, newKey != nil)
		if err != nil {
			return err
		}
		if len(r.Problems) > 0 {
			return r.Problems[0]
		}
		if !*noise && !v.Info().Reencryption.Active {
			if err := v.Look(ctx, key); err != nil {
				return err
			}
		}
		if newKey != nil {
			if err := v.SetPassphrase(ctx, key, newKey); err != nil {
				return err
			}
			key = newKey
		}
		return v.Reencrypt(ctx, key, o)
	})
}

func luksResume(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("resume").withKey(false)
	var o luks.ReencryptOptions
	hotzone := f.Int64("hotzone", 0, "MIB data in doubt at one time (96 if you do not say, less with little "+
		"memory)")
	runFlags(f, &o)
	return luksRun(ctx, e, f, args, func(ctx context.Context, v *luks.Volume, key, _ *secret.Buffer,
		progress func(done, total int64)) error {
		o := o
		o.Hotzone, o.Progress, o.Result = *hotzone<<20, progress, new(luks.Result)
		defer func() { printResult(e.Stderr, v.Info().Path, *o.Result) }()
		return v.Resume(ctx, key, o)
	})
}

func luksRescue(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("rescue").withKey(false)
	var o luks.RescueOptions
	f.BoolVar(&o.InOrder, "in-order", false, "the program was killed but the power stayed on")
	zone := f.Int64("hotzone", 0, "MIB with --in-order: what cryptsetup worked on at a time; 20 unless it was told "+
		"another length, which Heads does not. Where data does not tell new from old, it stopped between two of these")
	f.StringVar(&o.AcceptLoss, "accept-loss", "",
		"FILE if a stretch stays in doubt, save it to the new FILE and go on from the "+
			"more probable place. FILE holds both keys: guard it like the passphrase")
	f.Func("at", "N go on from this byte of the data instead; it must be within the stretch", func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		o.At = &n
		return err
	})
	f.BoolVar(&o.DryRun, "dry-run", false, "only report")
	f.StringVar(&o.LogDir, "log-dir", "", "DIR of a LUKS1 disk that cryptsetup had begun to re-encrypt: the "+
		"directory with its files LUKS-<uuid>.log, .org and .new. The disk becomes LUKS2; reown luks convert "+
		"turns it back")
	f.opts.LUKS1Aside = true
	return luksRun(ctx, e, f, args, func(ctx context.Context, v *luks.Volume, key, _ *secret.Buffer,
		progress func(done, total int64)) error {
		o := o
		o.Progress, o.Hotzone = progress, *zone<<20
		if err := rescueFlags(f.Name(), o); err != nil {
			return err
		}
		found, err := v.Rescue(ctx, key, o)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.Stderr, "re-encrypted up to byte %d of %d; then %d bytes mixed, each known\n", found.Position,
			found.Total, found.Mixed)
		if n := found.InDoubt.Length; n > 0 {
			fmt.Fprintf(e.Stderr, "the %d bytes from byte %d on were in doubt and are saved to %s\n", n, found.InDoubt.Offset,
				escape.Text(o.AcceptLoss))
		}
		if o.DryRun {
			return nil
		}
		return v.Resume(ctx, key, luks.ReencryptOptions{Progress: progress})
	})
}

// rescueFlags refuses what says nothing by itself.
func rescueFlags(name string, o luks.RescueOptions) error {
	switch {
	case o.Hotzone != 0 && !o.InOrder:
		return cli.Usagef("%s: --hotzone says something only with --in-order", name)
	case o.Hotzone < 0 || o.Hotzone > 1<<30:
		return cli.Usagef("%s: a hotzone has 1 to 1024 MiB", name)
	case o.At != nil && o.AcceptLoss == "":
		return cli.Usagef("%s: --at chooses within what --accept-loss saves", name)
	}
	return nil
}

func luksConvert(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("convert")
	to := f.Int("to", 0, "N the version that the header is to have, 1 or 2")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if *to != 1 && *to != 2 {
		return cli.Usagef("%s needs --to 1 or --to 2", f.Name())
	}
	return f.change(ctx, e, ops[0], func(v *luks.Volume) error { return v.Convert(ctx, *to) })
}

func luksBackup(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("backup")
	ops, err := cli.Parse(f.FlagSet, args, 2, 2)
	if err != nil {
		return err
	}
	f.opts.ReadOnly = true
	v, err := luks.Open(ctx, ops[0], f.opts)
	if err != nil {
		return err
	}
	defer v.Close()
	return v.BackupFile(ctx, ops[1])
}

func luksRestore(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("restore")
	force := f.Bool("force", false, "restore although the header on the device is another volume's or key's")
	ops, err := cli.Parse(f.FlagSet, args, 2, 2)
	if err != nil {
		return err
	}
	b, err := os.Open(ops[1])
	if err != nil {
		return err
	}
	defer b.Close()
	return luks.RestoreHeader(ctx, ops[0], b, *force, f.opts)
}

func luksErase(ctx context.Context, e *cli.Env, args []string) error {
	f := newLuksFlags("erase")
	confirm := f.String("confirm", "", "disk says that you mean it")
	ops, err := cli.Parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if *confirm != "disk" {
		return cli.Usagef("%s destroys all data on %s; say --confirm disk", f.Name(), ops[0])
	}
	return f.change(ctx, e, ops[0], func(v *luks.Volume) error { return v.Erase(ctx) })
}

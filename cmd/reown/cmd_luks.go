package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"reown/internal/secret"
	"reown/luks"
)

const luksCommonHelp = `
DEVICE is a block device or an image file. A device that is mounted or mapped is refused.
  --detached-header FILE  the header is in FILE, DEVICE holds only data
  --offset N, --size N    the volume is a window of DEVICE (bytes): a partition of a disk image
  --no-locks              do not take cryptsetup's lock files
  --json                  report as one JSON document
A key file is used to the byte, as cryptsetup does; "-" is standard input.`

func luksCommand() *command {
	help := func(s string) string { return strings.TrimSpace(s) + "\n" + luksCommonHelp }
	return &command{name: "luks", short: "LUKS headers, keyslots and re-encryption", sub: []*command{
		{name: "info", args: "DEVICE [--json]", short: "what the header says; nothing is written", run: luksInfo,
			long: help(`Prints version, cipher, keyslots, tokens, and how far a re-encryption is.`)},
		{name: "passwd", args: "DEVICE --key-file OLD --new-key-file NEW", short: "make a new passphrase the only one", run: luksPasswd,
			long: help(`Adds and proves a keyslot for NEW, then destroys all other keyslots and wipes them. Repeating it is harmless.`)},
		{name: "kill", args: "DEVICE --slot N --key-file KEEP", short: "destroy one keyslot", run: luksKill,
			long: help(`Destroys keyslot N and wipes it. KEEP must open another one.`)},
		{name: "reencrypt", args: "DEVICE... --key-file KEY [--new-key-file NEW]", short: "put the data under a new volume key, or go on with that", run: luksReencrypt,
			long: help(`Re-encrypts in place. KEY keeps opening the volume throughout; with NEW the passphrase is changed first.
All other keyslots are destroyed: their passphrases are not known here. May be stopped (SIGTERM, power) and
called again at any time. Several devices run in parallel.
  --sector-size N         change the encryption sector size (512 or 4096)
  --key-bits N            change the volume key's size
  --cipher NAME           change the cipher
  --resilience MODE       checksum (default) or journal
  --back-to-luks1         a LUKS1 volume becomes LUKS2 for the work; turn it back at the end
  --hotzone MIB           data in doubt at one time (default 96, less with little memory)`)},
		{name: "resume", args: "DEVICE... --key-file KEY", short: "finish a re-encryption that either program left", run: luksResume,
			long: help(`Recovers an interrupted hotzone, goes on, and closes the header. On a volume at rest it wipes remains of old keyslots.`)},
		{name: "rescue", args: "DEVICE --key-file KEY [--log-dir DIR]", short: "finish an interrupted re-encryption that had no protection", run: luksRescue,
			long: help(`For what cryptsetup reencrypt --resilience=none (Heads) leaves when it is interrupted. Reads all data, finds
from the data itself which part is under which key, records that in the header and finishes. Where it
cannot be proven nothing is written. In a protected run it looks for data that a power failure during
cryptsetup repair has left under the old key. A LUKS1 disk that cryptsetup has made unusable gets its header back if
no data had been re-encrypted.
  --log-dir DIR           a LUKS1 disk that cryptsetup had begun to re-encrypt: the directory with its files
                          LUKS-<uuid>.log, .org and .new. The disk becomes LUKS2; reown luks convert turns it back
  --in-order              the program was killed but the power stayed on
  --dry-run               only report`)},
		{name: "convert", args: "DEVICE --to 1|2", short: "change the header between LUKS1 and LUKS2", run: luksConvert,
			long: help(`Safe against interruption at any point. Save the header first all the same (reown luks backup).`)},
		{name: "backup", args: "DEVICE FILE", short: "save the header to a new file", run: luksBackup,
			long: help(`FILE is what cryptsetup luksHeaderBackup makes. With it an old passphrase opens the disk again until the
disk is re-encrypted: guard it like the passphrase.`)},
		{name: "restore", args: "DEVICE FILE", short: "write a saved header back", run: luksRestore,
			long: help(`Refuses a backup of another volume, of another volume key, or from the middle of a re-encryption.
  --force                 restore although the header on the device is another volume's or key's`)},
		{name: "erase", args: "DEVICE --confirm disk", short: "destroy all keyslots: the data is lost for ever", run: luksErase,
			long: help(`Wipes all key material, tokens and the state of an unfinished re-encryption, reads back that it is gone, and
leaves a LUKS header without keyslots. No passphrase is asked for and none opens the disk afterwards. What
cannot be reached: header backups elsewhere, and blocks that an SSD has put aside.`)},
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
	f := &luksFlags{FlagSet: newFlags("reown luks " + name)}
	f.StringVar(&f.opts.Header, "detached-header", "", "")
	f.Int64Var(&f.opts.Offset, "offset", 0, "")
	f.Int64Var(&f.opts.Size, "size", 0, "")
	f.BoolVar(&f.opts.NoLocks, "no-locks", false, "")
	f.BoolVar(&f.json, "json", false, "")
	f.StringVar(&f.key, "key-file", "", "")
	f.StringVar(&f.newKey, "new-key-file", "", "")
	return f
}

// readKey reads the key file that flag names; close wipes it.
func (f *luksFlags) readKey(e *env, flag, name string) (*secret.Buffer, error) {
	switch {
	case name == "":
		return nil, usagef("%s needs --%s", f.Name(), flag)
	case name == "-" && f.usedStdinSecret:
		return nil, usagef("%s: only one key can come from standard input", f.Name())
	}
	f.usedStdinSecret = f.usedStdinSecret || name == "-"
	b, err := readKeyFile(e, name)
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
func (f *luksFlags) change(ctx context.Context, e *env, device string, do func(*luks.Volume) error) error {
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
func (f *luksFlags) report(e *env, infos ...luks.Info) error {
	if f.json {
		if len(infos) == 1 {
			return printJSON(e, infos[0])
		}
		return printJSON(e, infos)
	}
	for _, in := range infos {
		printLuksInfo(e.stdout, in)
	}
	return nil
}

func luksInfo(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("info")
	ops, err := parse(f.FlagSet, args, 1, 1)
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
	fmt.Fprintf(w, "%s: LUKS%d %s\n", in.Path, in.Version, in.UUID)
	fmt.Fprintf(w, "  data      %d bytes at %d, %s, %d-bit key, %d-byte sectors\n", in.DataSize, in.DataOffset, in.Cipher, in.KeyBits, in.SectorSize)
	fmt.Fprintf(w, "  key       %.16s... (digest; it changes with the volume key)\n", in.KeyDigest)
	for _, k := range in.Keyslots {
		fmt.Fprintf(w, "  keyslot   %d: %s, %s volume key, %s\n", k.ID, k.Type, k.Key, kdfText(k))
	}
	for _, t := range in.Tokens {
		fmt.Fprintf(w, "  token     %d: %s for keyslots %v\n", t.ID, t.Type, t.Keyslots)
	}
	for _, d := range in.Damage {
		fmt.Fprintf(w, "  damage    %s\n", d)
	}
	switch r := in.Reencryption; {
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

func luksPasswd(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("passwd")
	ops, err := parse(f.FlagSet, args, 1, 1)
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

func luksKill(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("kill")
	slot := f.Int("slot", -1, "")
	ops, err := parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if *slot < 0 {
		return usagef("%s needs --slot", f.Name())
	}
	defer f.wipe()
	keep, err := f.readKey(e, "key-file", f.key)
	if err != nil {
		return err
	}
	return f.change(ctx, e, ops[0], func(v *luks.Volume) error { return v.KillKeyslot(ctx, *slot, keep) })
}

func luksReencrypt(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("reencrypt")
	var o luks.ReencryptOptions
	hotzone := f.Int64("hotzone", 0, "")
	f.IntVar(&o.SectorSize, "sector-size", 0, "")
	f.IntVar(&o.KeyBits, "key-bits", 0, "")
	f.StringVar(&o.Cipher, "cipher", "", "")
	f.StringVar((*string)(&o.Resilience), "resilience", "", "")
	f.BoolVar(&o.BackToLUKS1, "back-to-luks1", false, "")
	return luksRun(ctx, e, f, args, func(ctx context.Context, v *luks.Volume, key, newKey *secret.Buffer, progress func(done, total int64)) error {
		o := o
		o.Hotzone, o.Progress = *hotzone<<20, progress
		if newKey != nil {
			if err := v.SetPassphrase(ctx, key, newKey); err != nil {
				return err
			}
			key = newKey
		}
		return v.Reencrypt(ctx, key, o)
	})
}

func luksResume(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("resume")
	hotzone := f.Int64("hotzone", 0, "")
	return luksRun(ctx, e, f, args, func(ctx context.Context, v *luks.Volume, key, _ *secret.Buffer, progress func(done, total int64)) error {
		return v.Resume(ctx, key, luks.ReencryptOptions{Hotzone: *hotzone << 20, Progress: progress})
	})
}

func luksRescue(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("rescue")
	var o luks.RescueOptions
	f.BoolVar(&o.InOrder, "in-order", false, "")
	f.BoolVar(&o.DryRun, "dry-run", false, "")
	f.StringVar(&o.LogDir, "log-dir", "", "")
	f.opts.LUKS1Aside = true
	return luksRun(ctx, e, f, args, func(ctx context.Context, v *luks.Volume, key, _ *secret.Buffer, progress func(done, total int64)) error {
		o := o
		o.Progress = progress
		found, err := v.Rescue(ctx, key, o)
		if err != nil {
			return err
		}
		fmt.Fprintf(e.stderr, "re-encrypted up to byte %d of %d; then %d bytes mixed, each known\n", found.Position, found.Total, found.Mixed)
		if o.DryRun {
			return nil
		}
		return v.Resume(ctx, key, luks.ReencryptOptions{Progress: progress})
	})
}

func luksConvert(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("convert")
	to := f.Int("to", 0, "")
	ops, err := parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if *to != 1 && *to != 2 {
		return usagef("%s needs --to 1 or --to 2", f.Name())
	}
	return f.change(ctx, e, ops[0], func(v *luks.Volume) error { return v.Convert(ctx, *to) })
}

func luksBackup(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("backup")
	ops, err := parse(f.FlagSet, args, 2, 2)
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

func luksRestore(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("restore")
	force := f.Bool("force", false, "")
	ops, err := parse(f.FlagSet, args, 2, 2)
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

func luksErase(ctx context.Context, e *env, args []string) error {
	f := newLuksFlags("erase")
	confirm := f.String("confirm", "", "")
	ops, err := parse(f.FlagSet, args, 1, 1)
	if err != nil {
		return err
	}
	if *confirm != "disk" {
		return usagef("%s destroys all data on %s; say --confirm disk", f.Name(), ops[0])
	}
	return f.change(ctx, e, ops[0], func(v *luks.Volume) error { return v.Erase(ctx) })
}

// luksRun runs a long job on one or several devices in parallel, with progress on
// stderr. One device's failure does not stop the others.
func luksRun(ctx context.Context, e *env, f *luksFlags, args []string, job func(context.Context, *luks.Volume, *secret.Buffer, *secret.Buffer, func(done, total int64)) error) error {
	ops, err := parse(f.FlagSet, args, 1, -1)
	if err != nil {
		return err
	}
	if len(ops) > 1 && (f.opts.Header != "" || f.opts.Offset != 0 || f.opts.Size != 0) {
		return usagef("%s: a header or window belongs to one device", f.Name())
	}
	defer f.wipe()
	key, err := f.readKey(e, "key-file", f.key)
	if err != nil {
		return err
	}
	var newKey *secret.Buffer
	if f.newKey != "" {
		if newKey, err = f.readKey(e, "new-key-file", f.newKey); err != nil {
			return err
		}
	}
	m := &meter{w: e.stderr}
	infos := make([]luks.Info, len(ops))
	errs := make([]error, len(ops))
	var wg sync.WaitGroup
	for i, op := range ops {
		wg.Go(func() {
			v, err := luks.Open(ctx, op, f.opts)
			if err != nil {
				errs[i] = err
				return
			}
			defer v.Close()
			errs[i] = job(ctx, v, key, newKey, m.device(op))
			infos[i] = v.Info()
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return f.report(e, infos...)
}

// A meter prints how far devices are: bytes, rate and time left, at most once a
// second for each.
type meter struct {
	mu sync.Mutex
	w  io.Writer
}

func (m *meter) device(name string) func(done, total int64) {
	var start, last time.Time
	var first int64
	return func(done, total int64) {
		now := time.Now()
		if start.IsZero() {
			start, first = now, done
		}
		if done < total && now.Sub(last) < time.Second {
			return
		}
		last = now
		m.mu.Lock()
		defer m.mu.Unlock()
		line := fmt.Sprintf("%s: %d of %d MiB", name, done>>20, total>>20)
		if t := now.Sub(start).Seconds(); t > 0 && done > first {
			rate := float64(done-first) / t
			left := time.Duration(float64(total-done) / rate * float64(time.Second))
			line += fmt.Sprintf(", %.0f MiB/s, %s left", rate/(1<<20), left.Round(time.Second))
		}
		fmt.Fprintln(m.w, line)
	}
}

package plumbing

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"strconv"

	"reown/cmd/reown/internal/cli"
	"reown/internal/escape"
	"reown/internal/hotpkey"
	"reown/internal/otp"
	"reown/internal/secret"
	"reown/internal/usb"
)

// HOTP is the command hotp for the keys on a USB bus.
func HOTP(bus usb.Bus) *cli.Command { return hotpTool{bus}.command() }

// hotpTool is the hotp command on some bus.
type hotpTool struct{ bus usb.Bus }

func (h hotpTool) command() *cli.Command {
	return &cli.Command{Name: "hotp", Short: "the green light: info, set, check, reset", Sub: []*cli.Command{
		{Name: "info", Args: "[--serial S] [--json]", Short: "which key is plugged in, and what is stored on it", Run: h.info,
			Long: `Costs no try of any PIN.`},
		{Name: "set", Args: "--pin-file FILE --secret-file FILE", Short: "store the secret on the key", Run: h.set,
			Long: `
Stores the secret from counter 0 on and proves it with the code of counter 1, as Heads does; the counter file is
then to hold 2. A wrong PIN changes nothing but the number of tries. The PIN is the admin PIN of the OpenPGP card
on Nitrokey Pro, Storage and Librem Key (8 to 25 characters), and the secrets PIN on a Nitrokey 3, which also
wants to be touched: once, or three times to replace a secret.`},
		{Name: "check", Args: "CODE | --secret-file FILE (--counter N | --counter-file FILE)", Short: "show the key a code",
			Run: h.check,
			Long: `
Exit code 0 and a green light: the code is right. With a counter file, the code is computed, and the file moves on
only after the key has accepted it.`},
		{Name: "regenerate", Args: "--pin-file FILE", Short: "make the key's AES keys anew, after a reset of its card",
			Run: h.regenerate,
			Long: `
A factory reset of the OpenPGP card destroys the AES keys of Nitrokey Pro, Storage and Librem Key, and with them what is
in the password safe and on the encrypted volume. Both work again after this. Other keys are left alone.`},
		{Name: "reset", Args: "[--pin-file FILE] --confirm SERIAL", Short: "remove the secret from the key", Run: h.reset,
			Long: `
Nitrokey Pro, Storage, Librem Key: erases that one secret; needs the admin PIN. Nitrokey 3: erases EVERYTHING in the
secrets app, other one-time passwords and its PIN included, but not the OpenPGP keys; needs a touch.`},
	}}
}

// hotpFlags are the flags of all hotp commands.
type hotpFlags struct {
	*flag.FlagSet
	serial, pin, key, counterFile, counter string
	base32, json                           bool
}

func newHotpFlags(name string) *hotpFlags {
	f := &hotpFlags{FlagSet: cli.NewFlags("reown hotp " + name)}
	f.StringVar(&f.serial, "serial", "", "S the key's serial number, when several are plugged in")
	f.BoolVar(&f.json, "json", false, "report as one JSON document")
	return f
}

func (f *hotpFlags) bindSecret() {
	f.StringVar(&f.key, "secret-file", "", "FILE the secret, 16 to 40 bytes; - is standard input")
	f.BoolVar(&f.base32, "base32", false, "the file holds the secret in base32 instead")
	f.StringVar(&f.counter, "counter", "", "N the counter; with set, start at N instead of 0, and prove nothing")
	f.StringVar(&f.counterFile, "counter-file", "", "FILE where the counter is kept (/boot/kexec_hotp_counter in "+
		"Heads)")
}

// secret reads the HOTP secret.
func (f *hotpFlags) secret(e *cli.Env) (*secret.Buffer, error) {
	key, err := e.Key(f.key)
	if err != nil || !f.base32 {
		return key, err
	}
	defer key.Wipe()
	return otp.ParseBase32(key)
}

// open opens the key; touches are announced on standard error.
func (h hotpTool) open(ctx context.Context, e *cli.Env, f *hotpFlags) (*hotpkey.Token, error) {
	return hotpkey.Find(ctx, h.bus, hotpkey.Options{Serial: f.serial, Touch: func(t hotpkey.Touch) {
		again := ""
		if t.Again {
			again = " once more: the last touch came too late"
		}
		fmt.Fprintf(e.Stderr, "Touch the security key now, %s (touch %d of %d)%s.\n", t.Why, t.N, t.Of, again)
	}})
}

func (h hotpTool) info(ctx context.Context, e *cli.Env, args []string) error {
	f := newHotpFlags("info")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	k, err := h.open(ctx, e, f)
	if err != nil {
		return err
	}
	defer k.Close()
	i, err := k.Info(ctx)
	if err != nil {
		return err
	}
	if f.json {
		return e.JSON(i)
	}
	tries := func(n int) string {
		if n < 0 {
			return "unknown"
		}
		return strconv.Itoa(n)
	}
	fmt.Fprintf(e.Stdout, "%s, serial number %s, firmware %s\n", escape.Text(i.Model), escape.Text(i.Serial),
		escape.Text(i.Firmware))
	if i.SecretsApp != "" {
		fmt.Fprintf(e.Stdout, "secrets app:   %s\n", i.SecretsApp)
	}
	fmt.Fprintf(e.Stdout, "HOTP secret:   %s\n", i.Slot)
	if i.Counter >= 0 {
		fmt.Fprintf(e.Stdout, "HOTP counter:  %d\n", i.Counter)
	}
	if i.PINSet {
		fmt.Fprintf(e.Stdout, "PIN for HOTP:  the %s, tries left: %s\n", i.PIN, tries(i.PINTries))
	} else {
		fmt.Fprintf(e.Stdout, "PIN for HOTP:  no %s has been set\n", i.PIN)
	}
	fmt.Fprintf(e.Stdout, "OpenPGP card:  tries left: user PIN %s, admin PIN %s\n", tries(i.UserTries),
		tries(i.AdminTries))
	return nil
}

// hotpResult is the report of set and check.
type hotpResult struct {
	OK    bool    `json:"ok"`
	Next  *uint64 `json:"next_counter,omitempty"`
	Drift *int64  `json:"drift,omitempty"` // of the key's counter against the file, when it was found again
}

func (h hotpTool) set(ctx context.Context, e *cli.Env, args []string) error {
	f := newHotpFlags("set")
	f.bindSecret()
	f.StringVar(&f.pin, "pin-file", "", "FILE the PIN; - is standard input")
	var o hotpkey.SetOptions
	f.BoolVar(&o.NewPIN, "new-pin", false, "if the Nitrokey 3 has no secrets PIN yet, make this one its PIN")
	f.BoolVar(&o.LastTry, "last-try", false, "use the last try of the PIN, if only one is left")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if f.pin == "" || f.key == "" || f.pin == f.key {
		return cli.Usagef("%s needs --pin-file and --secret-file, and they must be two files", f.Name())
	}
	if f.counter != "" && f.counterFile != "" {
		return cli.Usagef("%s takes --counter or --counter-file", f.Name())
	}
	var start uint64
	if f.counter != "" {
		var err error
		if start, err = hotpkey.ParseCounter([]byte(f.counter)); err != nil {
			return cli.Usagef("%s: %v", f.Name(), err)
		}
	}
	pin, err := e.Secret(f.pin)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	key, err := f.secret(e)
	if err != nil {
		return err
	}
	defer key.Wipe()
	k, err := h.open(ctx, e, f)
	if err != nil {
		return err
	}
	defer k.Close()
	i, err := k.Info(ctx)
	if err != nil {
		return err
	}
	if i.PINSet && i.PINTries >= 0 {
		fmt.Fprintf(e.Stderr, "Tries left for the %s: %d.\n", i.PIN, i.PINTries)
	}
	next := start
	if f.counter != "" {
		err = k.Set(ctx, pin, key, start, o)
	} else {
		next, err = k.Seal(ctx, pin, key, o)
	}
	if err != nil {
		return err
	}
	if f.counterFile != "" {
		if err := hotpkey.WriteCounter(f.counterFile, next); err != nil {
			return err
		}
	}
	if f.json {
		return e.JSON(hotpResult{OK: true, Next: &next})
	}
	fmt.Fprintf(e.Stdout, "The secret is stored on the %s. The next counter is %d.\n", k.Model().Name, next)
	return nil
}

func (h hotpTool) check(ctx context.Context, e *cli.Env, args []string) error {
	f := newHotpFlags("check")
	f.bindSecret()
	resync := f.Bool("resync", false, "if the code is wrong, look for a counter up to 50 away whose code is right")
	operands, err := cli.Parse(f.FlagSet, args, 0, 1)
	if err != nil {
		return err
	}
	if (len(operands) == 1) == (f.key != "") || f.key == "" && (*resync || f.counter != "" || f.counterFile != "") ||
		f.key != "" && (f.counter != "") == (f.counterFile != "") {
		return cli.Usagef("%s takes a CODE, or --secret-file with --counter or --counter-file", f.Name())
	}
	var r hotpResult
	if f.key == "" {
		code, err := otp.ParseCode([]byte(operands[0]))
		if err != nil {
			return err
		}
		k, err := h.open(ctx, e, f)
		if err != nil {
			return err
		}
		defer k.Close()
		if _, err := k.Check(ctx, code); err != nil {
			return err
		}
	} else if r, err = h.checkCounter(ctx, e, f, *resync); err != nil {
		return err
	}
	r.OK = true
	if f.json {
		return e.JSON(r)
	}
	if r.Drift != nil {
		fmt.Fprintf(e.Stdout, "The counters had drifted apart by %+d and agree again.\n", *r.Drift)
	}
	fmt.Fprintln(e.Stdout, "The code is right.")
	if r.Next != nil {
		fmt.Fprintf(e.Stdout, "The next counter is %d.\n", *r.Next)
	}
	return nil
}

// checkCounter computes the code of a counter, shows it to the key, and moves the
// counter file on after success.
func (h hotpTool) checkCounter(ctx context.Context, e *cli.Env, f *hotpFlags, resync bool) (hotpResult, error) {
	var r hotpResult
	counter, err := hotpkey.ParseCounter([]byte(f.counter))
	if f.counterFile != "" {
		counter, err = hotpkey.ReadCounter(f.counterFile)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%w: %w", hotpkey.ErrBadCounter, err)
	}
	if err != nil {
		return r, err
	}
	key, err := f.secret(e)
	if err != nil {
		return r, err
	}
	defer key.Wipe()
	k, err := h.open(ctx, e, f)
	if err != nil {
		return r, err
	}
	defer k.Close()
	next, err := hotpkey.Verify(ctx, k, key, counter)
	if errors.Is(err, hotpkey.ErrWrongCode) && resync {
		if next, err = hotpkey.Resync(ctx, k, key, counter); err == nil {
			drift := int64(next-1) - int64(counter)
			r.Drift = &drift
		}
	}
	if err != nil {
		return r, err
	}
	r.Next = &next
	if f.counterFile != "" {
		err = hotpkey.WriteCounter(f.counterFile, next)
	}
	return r, err
}

func (h hotpTool) regenerate(ctx context.Context, e *cli.Env, args []string) error {
	f := newHotpFlags("regenerate")
	f.StringVar(&f.pin, "pin-file", "", "FILE the PIN; - is standard input")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	if f.pin == "" {
		return cli.Usagef("%s needs --pin-file", f.Name())
	}
	pin, err := e.Secret(f.pin)
	if err != nil {
		return err
	}
	defer pin.Wipe()
	k, err := h.open(ctx, e, f)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := k.RegenerateAES(ctx, pin); err != nil {
		return err
	}
	if f.json {
		return e.JSON(hotpResult{OK: true})
	}
	fmt.Fprintln(e.Stdout, "Done. If the key does not answer, pull it out and plug it in again.")
	return nil
}

func (h hotpTool) reset(ctx context.Context, e *cli.Env, args []string) error {
	f := newHotpFlags("reset")
	f.StringVar(&f.pin, "pin-file", "", "FILE the PIN; - is standard input")
	confirm := f.String("confirm", "", "SERIAL the serial number that 'reown hotp info' shows")
	if _, err := cli.Parse(f.FlagSet, args, 0, 0); err != nil {
		return err
	}
	k, err := h.open(ctx, e, f)
	if err != nil {
		return err
	}
	defer k.Close()
	i, err := k.Info(ctx)
	if err != nil {
		return err
	}
	if *confirm != i.Serial {
		return fmt.Errorf("%w: to erase the secret on this %s, add --confirm %s", hotpkey.ErrNeedsConsent, i.Model, i.Serial)
	}
	var pin *secret.Buffer
	if k.NeedsPIN() {
		if f.pin == "" {
			return cli.Usagef("%s needs --pin-file for this key", f.Name())
		}
		if pin, err = e.Secret(f.pin); err != nil {
			return err
		}
		defer pin.Wipe()
	}
	if err := k.Reset(ctx, pin); err != nil {
		return err
	}
	if f.json {
		return e.JSON(hotpResult{OK: true})
	}
	fmt.Fprintf(e.Stdout, "The HOTP secret on the %s is gone.\n", i.Model)
	return nil
}
